"""Locks between processes of one machine, which the kernel lets go when their holder dies."""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator

from git_replicate.git.backoff import wait

_LONGEST_PAUSE = 0.02
"""Seconds between two looks at a lock that somebody else holds."""


@contextlib.contextmanager
def try_lock(path: str) -> Iterator[bool]:
    """Hold a lock for the body if nobody else has it; whether it is held."""
    with _opened(path) as descriptor:
        yield _take(descriptor)


@contextlib.contextmanager
def take_turn(path: str, patience: float) -> Iterator[bool]:
    """Hold a lock for the body, waiting some seconds for it; whether it is held.

    For work that is safe without the lock, and only goes faster when not everybody tries at once: where no lock
    can be made (a read-only folder), the body says what is wrong.
    """
    deadline = time.monotonic() + patience
    with contextlib.ExitStack() as stack:
        try:
            descriptor = stack.enter_context(_opened(path))
        except OSError:
            yield False
            return
        held = _take(descriptor)
        while not held and time.monotonic() < deadline:
            wait(_LONGEST_PAUSE)
            held = _take(descriptor)
        yield held


@contextlib.contextmanager
def _opened(path: str) -> Iterator[int]:
    os.makedirs(os.path.dirname(path), exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def wait_lock(path: str) -> Iterator[None]:
    """Hold a lock for the body, waiting for whoever has it; a dead holder has none."""
    with _opened(path) as descriptor:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield


def _take(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
