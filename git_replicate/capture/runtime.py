"""What the run's own program really computed with, as its probe found at its end; and what the probe failed to see."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from git_replicate.capture.probe_report import ProbeReport
from git_replicate.capture.values import fit
from git_replicate.core.record import Record

_MOST_FAILURES: Final = 20


def with_runtime(record: Record, report: ProbeReport) -> Record:
    """The record with libraries, threads and switches of the main programs, a later one's over an earlier's.

    What failed in a part of any process's probe is listed beside them, each kind of failure once.
    """
    found: dict[str, Any] = {}
    for process in report.main:
        for note in process.of_kind("runtime"):
            values = note.get("values")
            if isinstance(values, Mapping):
                found.update(fit(values, []))
    failures = sorted({f"{note.get('where')}: {note.get('error')}" for _, note in report.of_kind("failure")})
    if failures:
        found["probe_failures"] = fit(failures[:_MOST_FAILURES], [])
    return replace(record, runtime={**record.runtime, **found}) if found else record
