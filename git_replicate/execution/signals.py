"""Holding back the signals that end a run, from the moment its record exists until its command can have them.

A recorder that is interrupted while it stores the start of a run would leave one of which nobody saw the end. So these
signals wait; the launch takes them over, and gives them to the command as soon as there is one.
"""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Collection, Iterator
from typing import Any

ENDING = frozenset({signal.SIGINT, signal.SIGTERM, signal.SIGQUIT, signal.SIGHUP})
_before: list[set[int | signal.Signals]] = []
"""The mask from before they were held back; empty if they are not."""
_ignored: dict[signal.Signals, Any] = {}
"""How signals were handled that are ignored for now."""


def hold() -> None:
    """From now on they wait."""
    if not _before:
        _before.append(signal.pthread_sigmask(signal.SIG_BLOCK, ENDING))


@contextlib.contextmanager
def released_after() -> Iterator[None]:
    """Around a run, from its preparation to its record.

    What has waited, and no launch has taken over, comes when it is done; what was ignored is handled as before.
    """
    try:
        yield
    finally:
        while _ignored:
            signal.signal(*_ignored.popitem())
        if _before:
            signal.pthread_sigmask(signal.SIG_SETMASK, _before.pop())


def ignore(numbers: Collection[signal.Signals]) -> None:
    """Have signals do nothing until the run is recorded; the next one's command is to have them as they were."""
    for number in numbers:
        before = signal.signal(number, signal.SIG_IGN)
        _ignored.setdefault(number, signal.SIG_DFL if before is None else before)


def take_over(watched: Collection[signal.Signals]) -> set[int | signal.Signals]:
    """Block more signals, for whoever waits for them by itself; the mask from before any were held back."""
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, watched)
    return _before.pop() if _before else mask
