"""What the probes of a run's Python processes noted, read into one value.

Each process has a file of JSON lines in the run's spool; a kill leaves the last line of one cut at worst. What a kind
of note means is decided by the reader of that kind, not here; but opened files, of which there may be millions, are
united as they are read.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import field
from typing import Any, BinaryIO, Final

from git_replicate.capture.opened import Opened
from git_replicate.core.frozen import frozen

PROBE_FOLDER: Final = "probe"
"""In a run's spool."""
_MOST_FAILURES: Final = 20
_MOST_BYTES: Final = 500_000_000
"""Of all the files; what is beyond is not read, and the report says so."""


@frozen
class PythonProcess:
    """One Python process: what its first note says of it, and the notes behind that, in order."""

    pid: int
    parent: int
    time: float
    words: tuple[str, ...]
    rank: int
    above: tuple[int, ...]
    """Process ids of the run's own Python programs that it descends from, outermost first."""
    launcher: bool
    forked: int
    """How many forks lie between it and the process whose words it has."""
    facts: Mapping[str, Any]
    """The whole first note: python, executable, prefix, base_prefix."""
    notes: tuple[Mapping[str, Any], ...]

    @property
    def is_main(self) -> bool:
        """Whether it is the run's own program: not a child of it, not a launcher, and of rank 0."""
        return not (self.forked or self.rank or self.above or self.launcher)

    def of_kind(self, kind: str) -> Iterator[Mapping[str, Any]]:
        return (note for note in self.notes if note.get("kind") == kind)


@frozen
class ProbeReport:
    """All of a run's Python processes, in the order of their start."""

    processes: tuple[PythonProcess, ...] = ()
    opened: Opened = field(default_factory=Opened)
    incomplete: bool = False
    """Whether there was more than could be read."""

    @property
    def main(self) -> tuple[PythonProcess, ...]:
        """The run's own programs: one, or several where a script starts one after the other."""
        return tuple(process for process in self.processes if process.is_main)

    def of_kind(self, kind: str) -> Iterator[tuple[PythonProcess, Mapping[str, Any]]]:
        """Every note of a kind with its process, in the order of the processes' start."""
        return ((process, note) for process in self.processes for note in process.of_kind(kind))


def failures(report: ProbeReport) -> list[str]:
    """What went wrong inside the probe itself, in words, each once."""
    found = (f"probe: {note.get('where')}: {note.get('error')}" for _, note in report.of_kind("failure"))
    return list(dict.fromkeys(found))[:_MOST_FAILURES]


def read_report(folder: str, top: str = "") -> ProbeReport:
    """The notes in a folder; an absent folder has none. Lines that are no notes are passed over.

    top: of the run's worktree.
    """
    try:
        names = sorted(name for name in os.listdir(folder) if name.endswith(".jsonl"))
    except FileNotFoundError:
        return ProbeReport()
    processes = []
    opened = Opened.in_worktree(top)
    left = _MOST_BYTES
    unread = False
    for name in names:
        try:
            with open(os.path.join(folder, name), "rb") as file:
                process = _process(_notes(file, opened, left))
                left -= file.tell()
        except OSError:
            unread = True
            continue
        if process is not None:
            processes.append(process)
    found = tuple(sorted(processes, key=lambda process: (process.time, process.pid)))
    return ProbeReport(found, opened, unread or left < 0)


def _notes(file: BinaryIO, opened: Opened, most_bytes: int) -> Iterator[Mapping[str, Any]]:
    """The notes of a file, up to the line that goes beyond `most_bytes`; those of opened files go to `opened`."""
    for line in iter(file.readline, b""):
        if file.tell() > most_bytes:
            return
        try:
            note = json.loads(line)
            if isinstance(note, dict) and not opened.add(note):
                yield note
        except (ValueError, KeyError, TypeError, IndexError):
            continue


def _process(notes: Iterator[Mapping[str, Any]]) -> PythonProcess | None:
    facts = next(notes, {})
    try:
        return PythonProcess(
            pid=int(facts["pid"]),
            parent=int(facts["parent"]),
            time=float(facts["time"]),
            words=_texts(facts["words"]),
            rank=int(facts["rank"]),
            above=tuple(int(pid) for pid in facts["above"]),
            launcher=bool(facts["launcher"]),
            forked=int(facts["forked"]),
            facts=facts,
            notes=tuple(notes),
        )
    except (KeyError, TypeError, ValueError):
        return None


def _texts(values: Sequence[Any]) -> tuple[str, ...]:
    return tuple(str(value) for value in values)
