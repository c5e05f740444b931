"""What state another repository is in: its commit, where it comes from, and what in it is not committed.

Reads only, with no lock taken; the caller's own repository variables do not reach it.
"""

from __future__ import annotations

import os
import subprocess

from git_replicate.core.frozen import frozen
from git_replicate.git.command import LOCAL_VARIABLES, Git

_SECONDS = 20


@frozen
class SourceState:
    """A repository's working tree: its top, its commit ("" if unborn), its remote's address, its changed files."""

    top: str
    commit: str
    url: str
    changed: tuple[str, ...]
    """Paths relative to the top of files that are not as committed: modified, added, untracked; deleted ones too."""


def find_top(path: str) -> str:
    """The top of the repository that a folder is in; "" if it is in none."""
    folder = os.path.realpath(path)
    while not os.path.exists(os.path.join(folder, ".git")):
        parent = os.path.dirname(folder)
        if parent == folder:
            return ""
        folder = parent
    return folder


def source_state(path: str) -> SourceState | None:
    """The state of the repository around a folder; None if there is none, or git refuses to say."""
    top = find_top(path)
    if not top:
        return None
    head = _ask(top, "rev-parse", "--verify", "--quiet", "HEAD")
    status = _ask(top, "status", "--porcelain=v1", "-z", "--untracked-files=all", "--no-renames")
    if status is None:
        return None
    url = _ask(top, "config", "--get", "remote.origin.url") or b""
    changed = sorted({os.fsdecode(entry[3:]) for entry in status.split(b"\0") if len(entry) > 3})
    return SourceState(top, (head or b"").decode().strip(), url.decode(errors="replace").strip(), tuple(changed))


def _ask(top: str, *words: str) -> bytes | None:
    git = Git(top)
    env = {name: value for name, value in git.environment().items() if name not in LOCAL_VARIABLES}
    try:
        done = subprocess.run(
            git.command(*words), cwd=top, env=env, stdin=subprocess.DEVNULL, capture_output=True, timeout=_SECONDS,
            check=False,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout if done.returncode == 0 else None
