"""Imported code from outside the worktree that no commit holds: it is kept with the run, or the run cannot be redone.

Asked when a run has ended and the files that it imported are known. Code of an interpreter or of an installed package
is the environment's; code that its own repository has committed is named there by its commit.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Final

from git_replicate.core.frozen import frozen
from git_replicate.core.sizes import count
from git_replicate.git.state import SourceState, find_top, source_state

FOLDER: Final = "extern"
"""Below the reserved folder of a run's tree."""
_INSTALLED: Final = frozenset({"site-packages", "dist-packages"})
_MOST_BYTES: Final = 1_000_000
_MOST_TOTAL: Final = 20_000_000


@frozen
class Extern:
    """Files to keep, by their path below the reserved folder, and in words what could not be kept."""

    files: dict[str, bytes]
    notices: tuple[str, ...] = ()


def collect_extern(imported: Iterable[str], top: str, prefixes: Iterable[str]) -> Extern:
    """The imported files that are changed, untracked or in no repository.

    imported: absolute paths of the files that were loaded as code; top: the worktree; prefixes: of the interpreter.
    Files are called `extern/<folder of the repository>/<path in it>`; of two repositories of one name the second gets
    a number.
    """
    inside = [os.path.realpath(path) for path in (top, *prefixes) if path]
    files: dict[str, bytes] = {}
    notices: list[str] = []
    states: dict[str, SourceState | None] = {}
    names: dict[str, str] = {}
    total = 0
    for path in sorted({os.path.realpath(path) for path in imported}):
        if any(path.startswith(f"{folder}/") for folder in inside) or _INSTALLED & set(path.split("/")):
            continue
        root = find_top(os.path.dirname(path))
        if root and root not in states:
            states[root] = source_state(root)
        state = states.get(root)
        if state is not None and os.path.relpath(path, root) not in state.changed and state.commit:
            continue
        root = root or os.path.dirname(path)
        try:
            size = os.path.getsize(path)
            if size > _MOST_BYTES or total + size > _MOST_TOTAL:
                notices.append(f"imported code is too big to be kept: {os.path.basename(path)}, {count(size, 'byte')}")
                continue
            with open(path, "rb") as file:
                data = file.read()
        except OSError as error:
            notices.append(f"imported code could not be read: {os.path.basename(path)} ({error.strerror})")
            continue
        total += len(data)
        files[f"{FOLDER}/{_name(root, names)}/{os.path.relpath(path, root)}"] = data
    return Extern(files, tuple(notices))


def _name(root: str, names: dict[str, str]) -> str:
    """What to call a repository: its folder's name, with a number if another has it already."""
    if root not in names:
        base = os.path.basename(root) or "root"
        taken = set(names.values())
        numbered = (base if number == 1 else f"{base}-{number}" for number in range(1, len(taken) + 2))
        names[root] = next(name for name in numbered if name not in taken)
    return names[root]
