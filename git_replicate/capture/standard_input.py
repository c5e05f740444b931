"""What a command's standard input is: a file is told with its hash, of a pipe nothing is kept but that there was one.

A terminal, `/dev/null` and a closed one are nothing to tell of. Nothing is read from a pipe: that is the command's.
"""

from __future__ import annotations

import os
import select
import stat
from typing import Any, Final

_MOST_BYTES: Final = 1_000_000_000
"""Of a file that is hashed before the command starts."""


def describe_input(top: str) -> dict[str, Any]:
    """Of ours, which the command gets: kind (pipe or file), and of a file path and hash; empty for nothing to tell.

    The path is relative to `top` where it lies below it.
    """
    try:
        status = os.fstat(0)
    except OSError:
        return {}
    if stat.S_ISFIFO(status.st_mode) or stat.S_ISSOCK(status.st_mode):
        return {"kind": "pipe"}
    if not stat.S_ISREG(status.st_mode):
        return {}
    if not status.st_nlink:  # a shell's here-document
        return {"kind": "pipe"}
    try:
        path = os.readlink("/proc/self/fd/0")
    except OSError:
        return {"kind": "file"}
    inner = os.path.relpath(path, os.path.realpath(top))
    shown = path if inner == ".." or inner.startswith("../") else inner
    return {"kind": "file", "path": shown, **_content(path, status.st_size)}


def _content(path: str, size: int) -> dict[str, Any]:
    if size > _MOST_BYTES:
        return {"bytes": size}
    import blake3

    hasher = blake3.blake3()
    try:
        with open(path, "rb") as file:
            while piece := file.read(1 << 20):
                hasher.update(piece)
    except OSError:
        return {"bytes": size}
    return {"hash": f"blake3:{hasher.hexdigest()}", "bytes": size}


def is_idle() -> bool:
    """Whether ours is a pipe that somebody holds open and writes nothing into: one that was only inherited."""
    try:
        if not (stat.S_ISFIFO(mode := os.fstat(0).st_mode) or stat.S_ISSOCK(mode)):
            return False
    except OSError:
        return False
    poll = select.poll()
    poll.register(0, select.POLLIN | select.POLLHUP)
    return not poll.poll(0)
