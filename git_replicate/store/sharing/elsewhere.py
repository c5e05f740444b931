"""Which unfinished runs came from another clone: only there can anybody know whether they go on.

A mark for each, in the private folder. Without it, a fetched run of this very host (another clone on it) would look
like one whose machine went down.
"""

from __future__ import annotations

import contextlib
import os

from git_replicate.git.opening import state_dir
from git_replicate.git.repository import Layout

_FOLDER = "elsewhere"


def mark_elsewhere(layout: Layout, run: str, *, live: bool) -> None:
    """Note that a run was fetched while it was live, or that it has ended since."""
    path = os.path.join(state_dir(layout), _FOLDER, run)
    with contextlib.suppress(OSError):
        if not live:
            os.unlink(path)
            return
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb"):
            pass


def elsewhere(layout: Layout) -> set[str]:
    """The ids of the runs that go on in another clone, as far as is known here."""
    try:
        return set(os.listdir(os.path.join(state_dir(layout), _FOLDER)))
    except OSError:
        return set()
