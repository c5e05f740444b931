"""What the probes of a run saw of its random number generators, as the record's seeds.

The run's own program counts: what its workers and helpers do with their generators is told only for libraries that
the program itself has not loaded.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from git_replicate.capture.probe_report import ProbeReport
from git_replicate.core.record import Seeds

MOST_CALLS: Final = 100
_RANK: Final = {"unseen": 0, "imposed": 1, "own": 2}


def with_seeding(seeds: Seeds, report: ProbeReport) -> Seeds:
    """The seeds with each library's status, and the first seeding calls of the program with their number."""
    libraries: dict[str, str] = {}
    for process in report.main:
        for note in process.of_kind("seeded"):
            library, status = _status(note)
            if _RANK.get(status, -1) >= _RANK.get(libraries.get(library, ""), -1):
                libraries[library] = status
    for _, note in report.of_kind("seeded"):
        library, status = _status(note)
        libraries.setdefault(library, status)
    calls = [note for process in report.main for note in process.of_kind("seeding")]
    numbers = [
        max([len(list(process.of_kind("seeding"))), *(int(note["number"]) for note in process.of_kind("seedings"))])
        for process in report.main
    ]
    if not (libraries or calls):
        return seeds
    return replace(
        seeds,
        libraries=dict(sorted(libraries.items())),
        calls=tuple(_call(note) for note in calls[:MOST_CALLS]),
        calls_seen=sum(numbers),
    )


def _status(note: Mapping[str, Any]) -> tuple[str, str]:
    return str(note.get("library", "")), str(note.get("status", ""))


def _call(note: Mapping[str, Any]) -> dict[str, Any]:
    """A call as TOML holds it: no value for one that had none, a whole number beyond 64 bits as its digits."""
    call: dict[str, Any] = {"library": str(note.get("library", "")), "function": str(note.get("function", ""))}
    value = note.get("value")
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        value = str(value)
    if isinstance(value, bool | int | float | str):
        call["value"] = value
    return call
