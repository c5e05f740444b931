"""Copies of the worktree's own code: what `pip install .` put into an environment, which the snapshot need not be.

Told from a distribution's list of files (`RECORD`). An editable install is none: there the worktree itself runs.
"""

from __future__ import annotations

import csv
import os
import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any, Final

from git_replicate.capture.environment.naming import normalized
from git_replicate.core.frozen import frozen

_MOST_BYTES: Final = 8_000_000
"""Of a list of files that is still read."""
_MOST_FILES: Final = 2_000


@frozen
class InstalledCopy:
    """A distribution that was installed from a folder of the worktree, and its modules where they lie now."""

    name: str
    folder: str
    """Relative to the top of the worktree, `.` for the top itself."""
    site: str
    files: tuple[str, ...]
    """Of Python, relative to `site`."""

    def sources(self, file: str) -> tuple[str, ...]:
        """Where a file may have come from, relative to the top: setuptools' and its like's two layouts."""
        return tuple(os.path.normpath(os.path.join(self.folder, inner, file)) for inner in ("", "src", "lib"))


def is_copy(origin: Any) -> bool:
    """Whether an entry of `origins` is that of a copy."""
    return isinstance(origin, Mapping) and "folder" in origin and not origin.get("editable")


def content_of(info: str) -> str:
    """A hash of what a distribution has installed, its own metadata and scripts apart; "" if it does not tell."""
    import blake3

    hasher = blake3.blake3()
    lines = sorted(f"{path}\0{digest}\n" for path, digest in _listed(info))
    hasher.update("".join(lines).encode("utf-8", "surrogateescape"))
    return f"blake3:{hasher.hexdigest()}" if lines else ""


def copies_in(sites: Collection[str], origins: Mapping[str, Any]) -> list[InstalledCopy]:
    """The copies of the worktree's code in these folders, by what `origins` of an environment says."""
    wanted = {name: str(origin["folder"]) for name, origin in origins.items() if is_copy(origin)}
    found: list[InstalledCopy] = []
    for site in sorted(sites) if wanted else ():
        for entry in sorted(_entries(site)):
            name = normalized(re.split(r"-\d", entry.removesuffix(".dist-info"))[0])
            if entry.endswith(".dist-info") and name in wanted:
                files = [path for path, _ in _listed(os.path.join(site, entry)) if path.endswith(".py")]
                found.append(InstalledCopy(name, wanted.pop(name), site, tuple(sorted(files)[:_MOST_FILES])))
    return found


def _entries(folder: str) -> list[str]:
    try:
        return os.listdir(folder)
    except OSError:
        return []


def _listed(info: str) -> Iterator[tuple[str, str]]:
    """The files in a distribution's list that have a hash there, but for its metadata and what lies elsewhere."""
    path = os.path.join(info, "RECORD")
    try:
        if os.path.getsize(path) > _MOST_BYTES:
            return
        with open(path, encoding="utf-8", errors="surrogateescape", newline="") as file:
            rows = list(csv.reader(file))
    except (OSError, csv.Error):
        return
    own = os.path.basename(info) + "/"
    for row in rows:
        if len(row) == 3 and row[1] and not row[0].startswith((own, "/", "../")):
            yield row[0], row[1]
