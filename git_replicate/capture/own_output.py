"""Which files our own output, and with it the command's, goes to: `> train.log`, `| tee train.log`."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from typing import Final

_PROCESSES: Final = "/proc"
_LONGEST: Final = 1024
"""Bytes of a path, with its end, where macOS is asked for it."""
_NEAR: Final = 32
"""How far the process ids of one pipeline lie apart."""


def files_of_output(top: str) -> list[bytes]:
    """The files below `top`, relative to it, that standard output and standard error go to, at once or by a `tee`."""
    inside = os.fsencode(os.path.realpath(top)) + b"/"
    found = {path for number in (1, 2) for path in _written_by(number) if path.startswith(inside)}
    paths = (path.removeprefix(inside) for path in sorted(found))
    return [path for path in paths if not path.startswith(b".git/")]


def _written_by(descriptor: int) -> Iterator[bytes]:
    try:
        status = os.fstat(descriptor)
    except OSError:
        return
    if stat.S_ISREG(status.st_mode) and status.st_nlink:
        yield _path_of(descriptor)
    elif stat.S_ISFIFO(status.st_mode):
        yield from _written_by_readers(os.fsencode(f"pipe:[{status.st_ino}]"))


def _path_of(descriptor: int) -> bytes:
    """Where a file that is open lies; empty where it cannot be told."""
    path = _link(f"{_PROCESSES}/self/fd/{descriptor}")
    if path:
        return path
    try:
        import fcntl

        return fcntl.fcntl(descriptor, fcntl.F_GETPATH, bytes(_LONGEST)).rstrip(b"\0")  # type: ignore[attr-defined]
    except (ImportError, AttributeError, OSError):
        return b""


def _written_by_readers(pipe: bytes) -> Iterator[bytes]:
    """The files that those write into which read a pipe: the next process of the shell's pipeline, a `tee`."""
    near = {base + step for base in (os.getpid(), os.getppid(), os.getpgrp()) for step in range(-_NEAR, _NEAR + 1)}
    for process in sorted(near):
        folder = f"{_PROCESSES}/{process}/fd"
        if _link(f"{folder}/0") != pipe:
            continue
        try:
            numbers = os.listdir(folder)
        except OSError:
            continue
        for number in numbers:
            path = _link(f"{folder}/{number}")
            if path.startswith(b"/") and _is_written(process, number) and os.path.isfile(path):
                yield path


def _is_written(process: int, number: str) -> bool:
    try:
        with open(f"{_PROCESSES}/{process}/fdinfo/{number}", "rb") as file:
            flags = next((line.split()[1] for line in file if line.startswith(b"flags:")), b"0")
    except OSError:
        return False
    return bool(int(flags, 8) & (os.O_WRONLY | os.O_RDWR))


def _link(name: str) -> bytes:
    try:
        return os.readlink(os.fsencode(name))
    except OSError:
        return b""
