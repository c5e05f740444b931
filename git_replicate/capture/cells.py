"""The cells that a run's notebooks executed, in order, as the lines of `.replicate/cells.jsonl`.

    {"count": 3, "time": "2026-01-02T03:04:05+00:00", "seconds": 0.2, "source": "x = 1", "error": "", "cell": "id",
     "kernel": 1, "out_of_order": "again"}

`out_of_order` says why a run of the notebook from top to bottom may do something else: `gap` (IPython's counter jumps:
cells ran before the session, or were not recorded), `restart` (a new kernel), `again` (the cell has run before) or
`back` (in the notebook's file it stands before one that has run). It is absent from cells in order.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

from git_replicate.capture.probe_report import ProbeReport
from git_replicate.core.secrets import mask_text

CELLS_FILE: Final = "cells.jsonl"
_MOST_BYTES: Final = 50_000_000


class Cells(NamedTuple):
    """The file's text, how many cells it has, and how many of them ran out of order."""

    text: bytes
    total: int
    out_of_order: int


def read_cells(report: ProbeReport) -> Cells:
    """The cells of all kernels by the time they began; empty where no notebook ran."""
    notes = sorted(
        ((process.pid, note) for process, note in report.of_kind("cell")), key=lambda item: float(item[1]["time"])
    )
    order = _Order()
    lines = []
    for pid, note in notes:
        why = order.judge(pid, note)
        line = {
            "count": note.get("count"),
            "time": datetime.fromtimestamp(float(note["time"]), UTC).isoformat(),
            "seconds": note.get("seconds"),
            "source": mask_text(str(note.get("source", ""))),
            "error": mask_text(str(note.get("error", ""))),
            "cell": note.get("cell", ""),
            "kernel": order.kernel(pid),
        }
        lines.append(json.dumps({**line, "out_of_order": why} if why else line))
    text = "".join(line + "\n" for line in lines).encode()
    return Cells(text, len(lines), order.flagged)


class _Order:
    """What has run so far."""

    def __init__(self) -> None:
        self.flagged = 0
        self._counts: dict[int, int] = {}
        self._seen: set[str] = set()
        self._furthest: dict[str, int] = {}
        self._notebooks: dict[str, Mapping[str, int]] = {}

    def kernel(self, pid: int) -> int:
        return list(self._counts).index(pid) + 1

    def judge(self, pid: int, note: Mapping[str, Any]) -> str:
        """Why the next cell is out of order; "" if it is not."""
        count = note.get("count")
        count = count if isinstance(count, int) else 0
        new, before = pid not in self._counts, self._counts.get(pid, 0)
        restart = new and bool(self._counts)
        self._counts[pid] = count
        name = str(note.get("cell") or note.get("source", ""))
        again = name in self._seen
        self._seen.add(name)
        path = str(note.get("notebook", ""))
        places = self._places(path)
        place = places.get(str(note.get("cell")), places.get(str(note.get("source", "")).strip(), -1))
        back = 0 <= place < self._furthest.get(path, -1)
        self._furthest[path] = max(place, self._furthest.get(path, -1))
        why = "restart" if restart else "gap" if count != before + 1 else "again" if again else "back" if back else ""
        self.flagged += bool(why)
        return why

    def _places(self, path: str) -> Mapping[str, int]:
        """Where each cell stands in the notebook's file, by its id and by its source."""
        if path and path not in self._notebooks:
            self._notebooks[path] = _read_places(path)
        return self._notebooks.get(path, {})


def _read_places(path: str) -> Mapping[str, int]:
    """Empty for a file that is no notebook, or is not there: the order is then told by the counters alone."""
    places: dict[str, int] = {}
    try:
        with open(path, "rb") as file:
            cells = json.loads(file.read(_MOST_BYTES))["cells"]
        for place, cell in enumerate(cells):
            source = cell.get("source", "")
            source = "".join(source) if isinstance(source, list) else str(source)
            for name in (str(cell.get("id", "")), source.strip()):
                places.setdefault(name, place)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}
    places.pop("", None)
    return places
