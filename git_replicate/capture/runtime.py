"""What the run's own program really computed with, as its probe found at its end."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from git_replicate.capture.probe_report import ProbeReport
from git_replicate.capture.values import fit
from git_replicate.core.record import Record


def with_runtime(record: Record, report: ProbeReport) -> Record:
    """The record with libraries, threads and switches of the main programs, a later one's over an earlier's."""
    found: dict[str, Any] = {}
    for process in report.main:
        for note in process.of_kind("runtime"):
            values = note.get("values")
            if isinstance(values, Mapping):
                found.update(fit(values, []))
    return replace(record, runtime={**record.runtime, **found}) if found else record
