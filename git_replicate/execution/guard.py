"""Ending a command before it ends itself: a time limit, a curve that leads nowhere.

A guard is asked all the while a command runs. When it has had enough the command is asked to end, and after some
seconds of grace it is killed; what it wrote until then is recorded as ever. What a person sends from outside is no
matter of the guard, except that a process may have been told before there was a command to tell.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from dataclasses import replace

from git_replicate.execution.outcome import Outcome
from git_replicate.execution.spool import Spool

GRACE_SECONDS = 10.0
"""From the request to end to the kill."""
_LOOK_SECONDS = 1.0
"""How often the curves are looked at,"""
_SHARE = 20
"""and so many times longer apart than a look takes."""


class Guard:
    """The limits of one command.

    seconds: its time; 0: any. pruned: asked about once a second, answers in words why the command is to end, or "".
    told: the signals that this process got while it ran no command, which the command gets instead.
    """

    def __init__(
        self, seconds: float = 0.0, pruned: Callable[[Spool], str] | None = None, told: list[int] | None = None
    ) -> None:
        self._seconds = seconds
        self._pruned = pruned
        self._told = told
        self._next_look = _LOOK_SECONDS
        self._timeout = ""
        self._why_pruned = ""
        self._asked: float | None = None

    def signal_due(self, elapsed: float, spool: Spool) -> int:
        """The signal to send to the command now, `elapsed` seconds after its start; 0: none."""
        if self._told:
            # To this very thread, which waits for signals: so it is recorded as from outside.
            signal.raise_signal(self._told.pop(0))
        if self._asked is not None:
            return signal.SIGKILL if elapsed - self._asked > GRACE_SECONDS else 0
        if self._seconds and elapsed > self._seconds:
            self._timeout = f"timeout after {self._seconds:g} s"
        elif self._pruned is not None and elapsed > self._next_look:
            before = time.monotonic()
            self._why_pruned = self._pruned(spool)
            self._next_look = elapsed + max(_LOOK_SECONDS, _SHARE * (time.monotonic() - before))
        if not (self._timeout or self._why_pruned):
            return 0
        self._asked = elapsed
        return signal.SIGTERM

    def judged(self, outcome: Outcome) -> Outcome:
        """The outcome with the guard's reason, if that is what ended the command."""
        if self._timeout:
            return replace(outcome, problem=self._timeout)
        return replace(outcome, pruned=self._why_pruned) if self._why_pruned else outcome
