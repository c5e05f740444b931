"""Waiting for a `git gc` that is under way.

With `--prune=now` it removes every object that no ref led to when it looked. A ref that is made after it looked, and
before it removes, loses what it leads to. So whoever has moved a ref waits for it, and looks for the objects then.
`git gc` says in `gc.pid` that it runs; a bare `git prune` says nothing.
"""

from __future__ import annotations

import os
import time

from git_replicate.git.backoff import wait
from git_replicate.git.repository import Layout

PATIENCE = 10.0
"""Seconds: a command waits to be started. The collection of a large repository may take longer."""
_ABANDONED = 12 * 3600.0
"""Seconds after which git itself takes `gc.pid` for one that was left behind."""
_ELSEWHERE = 60.0
"""The same for one of another machine, where nobody here can see whether it runs."""
_PAUSE = 0.05


def await_collection(layout: Layout, patience: float = PATIENCE) -> bool:
    """Wait until the `git gc` that is under way has ended; False if it still is. A later one sees today's refs."""
    path = os.path.join(layout.common_dir, "gc.pid")
    first = _collector(path)
    deadline = time.monotonic() + patience
    while first and _collector(path) == first:
        if time.monotonic() > deadline:
            return False
        wait(_PAUSE)
    return True


def _collector(path: str) -> bytes:
    """Who collects, as git wrote it: process and machine; nothing if nobody does."""
    try:
        with open(path, "rb") as file:
            text = file.read()
            age = time.time() - os.fstat(file.fileno()).st_mtime
    except OSError:
        return b""
    pid, _, host = text.decode(errors="replace").partition(" ")
    if not pid.isdigit() or age > _ABANDONED:
        return b""
    if host.strip() != os.uname().nodename:
        return text if age < _ELSEWHERE else b""
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return b""
    except PermissionError:
        return text
    return text
