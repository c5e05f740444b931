"""Where the spool of a new run goes: into the repository, or where there is room if that cannot be written."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Final

from git_replicate.core.errors import StorageError
from git_replicate.core.names import RunId
from git_replicate.execution.spool import Spool, fallback_root, spool_root
from git_replicate.git.repository import Layout

_ROOM: Final = 1 << 16
"""Bytes that a spool must have room for; less, and what the command prints would fail as well."""


def make_spool(
    layout: Layout, run: RunId, warn: Callable[[str], None], *, strict: bool
) -> tuple[Spool, tuple[str, ...]]:
    """A folder for a live run, and in words what is wrong with the repository if it had to go elsewhere.

    `StorageError` if it has to and must not (`strict`), or cannot.
    """
    try:
        return _roomy_spool(os.path.join(spool_root(layout.common_dir), run)), ()
    except OSError as error:
        problem = f"the repository cannot be written ({error.strerror})"
    if strict:
        raise StorageError(f"record the run: {problem}", "make room for it, or run without --strict")
    return make_fallback(layout, run, problem, warn), (problem,)


def make_fallback(layout: Layout, run: RunId, problem: str, warn: Callable[[str], None]) -> Spool:
    """A folder in the user's state folder, with a word on why and for how long."""
    folder = os.path.join(fallback_root(layout.common_dir), run)
    try:
        spool = _roomy_spool(folder)
    except OSError as error:
        raise StorageError(
            f"record the run: {problem}, nor can {os.path.dirname(folder)} ({error.strerror})", "df -h . ~"
        ) from error
    warn(f"{problem}; the record waits in {folder} until: git replicate recover")
    return spool


def _roomy_spool(folder: str) -> Spool:
    """A spool with some room to write in; `OSError` where there is none."""
    spool = Spool.create(folder)
    try:
        spool.write("room", bytes(_ROOM))
        os.unlink(spool.path("room"))
    except OSError:
        spool.remove()
        raise
    return spool
