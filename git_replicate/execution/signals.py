"""Holding back the signals that end a run, from the moment its record exists until its command can have them.

A recorder that is interrupted while it stores the start of a run would leave one of which nobody saw the end. So these
signals wait; the launch takes them over, and gives them to the command as soon as there is one.
"""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Collection, Iterator

ENDING = frozenset({signal.SIGINT, signal.SIGTERM, signal.SIGQUIT, signal.SIGHUP})
_before: list[set[int | signal.Signals]] = []
"""The mask from before they were held back; empty if they are not."""


def hold() -> None:
    """From now on they wait."""
    if not _before:
        _before.append(signal.pthread_sigmask(signal.SIG_BLOCK, ENDING))


@contextlib.contextmanager
def released_after() -> Iterator[None]:
    """Around whatever prepares a run: what has waited, and no launch has taken over, comes when it is done."""
    try:
        yield
    finally:
        if _before:
            signal.pthread_sigmask(signal.SIG_SETMASK, _before.pop())


def take_over(watched: Collection[signal.Signals]) -> set[int | signal.Signals]:
    """Block more signals, for whoever waits for them by itself; the mask from before any were held back."""
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, watched)
    return _before.pop() if _before else mask
