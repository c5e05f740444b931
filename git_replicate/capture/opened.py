"""Files that the processes of a run opened, united as their notes are read, and never more than memory is for.

A run of many processes can open millions of files. What is noted of one file is kept once, from its first reading;
where there are too many files, the folders that would stand for them in the record stand for them at once.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from git_replicate.capture.grouping import folders_above, group_files
from git_replicate.core.frozen import frozen

MOST_IN_FOLDER: Final = 1_000
"""Files read below one folder beyond which the folder is one entry of the record."""
_MOST_FILES: Final = 50_000
"""Files that are kept before folders are to stand for them; half a kilobyte each."""


@frozen
class Read:
    """A file that was read: its absolute path, when (seconds since 1970), and its mtime then (ns) if known."""

    path: str
    time: float = 0.0
    mtime_ns: int | None = None


@dataclass(slots=True)
class Opened:
    """The union over all processes of a run; paths are absolute."""

    reads: dict[str, Read] = field(default_factory=dict)
    folders: set[str] = field(default_factory=set)
    """Folders that stand for what was read in them."""
    written: dict[str, float] = field(default_factory=dict)
    """When a file was first opened to be written."""
    made: set[str] = field(default_factory=set)
    """Folders that were made, or would have been: the outermost ones."""
    cut: bool = False
    """Whether files were left out for which no folder could stand."""
    wide: tuple[str, ...] = ()
    """Folders that never stand for what is in them."""
    most: int = _MOST_FILES

    @classmethod
    def in_worktree(cls, top: str) -> Opened:
        """Nothing yet, for a run in the worktree at `top`."""
        return cls(wide=(*folders_above(top), *folders_above(os.path.expanduser("~"))) if top else ())

    def add(self, note: Mapping[str, Any]) -> bool:
        """Take in a probe's note; False if it is not about opened files. `ValueError` and the like for a broken one."""
        kind = note.get("kind")
        if kind == "reads":
            for path, mtime, when in _files(note):
                self._read(path, mtime, when)
        elif kind == "writes":
            for path, _, when in _files(note):
                if path in self.written or len(self.written) < self.most:
                    self.written[path] = min(when, self.written.get(path, when))
        elif kind == "folder":
            self.folders.add(os.path.normpath(str(note["path"])))
        elif kind == "made":
            self.made.add(os.path.normpath(str(note["path"])))
        else:
            return False
        return True

    def _read(self, path: str, mtime_ns: int, when: float) -> None:
        known = self.reads.get(path)
        if known is None or when < known.time:
            self.reads[path] = Read(path, when, mtime_ns)
            if len(self.reads) > self.most:
                self._group()

    def _group(self) -> None:
        """Let folders stand for files; where that does not help, the rest is cut."""
        self.reads = {path: read for path, read in self.reads.items() if not is_below(path, self.folders)}
        places = group_files(self.reads, MOST_IN_FOLDER, self.wide)
        self.folders.update(place for place in places if place not in self.reads)
        kept = [place for place in places if place in self.reads]
        self.cut |= len(kept) > self.most // 2
        self.reads = {path: self.reads[path] for path in kept[: self.most // 2]}


def _files(note: Mapping[str, Any]) -> Iterator[tuple[str, int, float]]:
    """Path, mtime (ns) and time of each file of a note."""
    folders = [str(folder).rstrip("/") for folder in note["folders"]]
    start = float(note["time"])
    for number, name, mtime, after in note["files"]:
        yield os.path.normpath(f"{folders[number]}/{name}"), int(mtime), start + float(after)


def is_below(path: str, folders: set[str]) -> bool:
    """Whether a path lies in one of the folders, at whatever depth."""
    while (above := os.path.dirname(path)) != path:
        if above in folders:
            return True
        path = above
    return False
