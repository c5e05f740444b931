"""Who has a run of a sweep in hand, from before the run begins: locks, which the kernel lets go with their holder.

A sweep that is killed leaves workers that have been told of a run and not begun it yet. Whoever goes on with the
sweep would find no trace of them, and do their runs a second time.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from typing import Any

from git_replicate.core.sweep import planned_of
from git_replicate.git.opening import state_dir
from git_replicate.git.repository import Layout


@contextlib.contextmanager
def claimed(layout: Layout, sweep: Mapping[str, Any], seed: int | str | None) -> Iterator[None]:
    """Hold the claim on a run for the body, beside whoever else has one; without it where no lock can be made.

    sweep: the `[sweep]` table of the run's record.
    """
    path = _path(layout, sweep, seed)
    with contextlib.ExitStack() as stack:
        with contextlib.suppress(OSError):
            os.makedirs(os.path.dirname(path), exist_ok=True)
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
            stack.callback(os.close, descriptor)
            stack.callback(_remove, path)
            fcntl.flock(descriptor, fcntl.LOCK_SH)
        yield


def is_claimed(layout: Layout, sweep: Mapping[str, Any], seed: int | str | None) -> bool:
    """Whether a process of this machine has the run in hand."""
    return _is_held(_path(layout, sweep, seed))


def remove_claims(layout: Layout) -> None:
    """Remove the claims whose holders have died."""
    folder = _folder(layout)
    for name in os.listdir(folder) if os.path.isdir(folder) else []:
        _is_held(os.path.join(folder, name))


def _is_held(path: str) -> bool:
    """Whether somebody holds a claim; one that nobody holds is removed."""
    try:
        descriptor = os.open(path, os.O_RDWR)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False  # no locks here, so nobody holds any
    else:
        _remove(path)
        return False
    finally:
        os.close(descriptor)


def _folder(layout: Layout) -> str:
    return os.path.join(state_dir(layout), "claims")


def _path(layout: Layout, sweep: Mapping[str, Any], seed: int | str | None) -> str:
    text = json.dumps([str(sweep["id"]), *planned_of(sweep), seed], sort_keys=True, default=str)
    return os.path.join(_folder(layout), hashlib.sha256(text.encode()).hexdigest()[:32])


def _remove(path: str) -> None:
    with contextlib.suppress(OSError):
        os.unlink(path)
