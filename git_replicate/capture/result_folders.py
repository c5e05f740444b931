"""The folders that results are written to and that git does not hold: a checkout of the code lacks them.

git keeps no empty folder, and ignores most of those that results are in. A program that finds its own there need not
make it, so a run in a checkout would fail where the one in the worktree did not.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable

_GLOB = re.compile(r"[*?\[]")


def folders_of_results(patterns: Iterable[str], top: str) -> list[str]:
    """The folders of declared results (paths and globs relative to `top`) that are there now, outermost first."""
    found: set[str] = set()
    for pattern in patterns:
        fixed = re.split(r"/[^/]*[*?\[]", pattern, maxsplit=1)[0] if _GLOB.search(pattern) else pattern
        path = os.path.normpath(fixed)
        if os.path.isabs(path) or path.startswith("..") or _GLOB.search(path):
            continue
        parts = path.split("/")
        found.update("/".join(parts[:count]) for count in range(1, len(parts) + 1))
    return sorted(path for path in found if path != "." and os.path.isdir(os.path.join(top, path)))


def make_folders(paths: Iterable[str], top: str) -> None:
    """Make folders that a record names in a checkout, in no other place; what is there stays as it is."""
    inside = os.path.realpath(top)
    for path in paths:
        whole = os.path.join(inside, os.path.normpath(path))
        safe = not os.path.isabs(path) and ".git" not in path.split("/") and os.path.realpath(whole) == whole
        if safe and whole.startswith(f"{inside}/") and not os.path.lexists(whole):
            os.makedirs(whole)
