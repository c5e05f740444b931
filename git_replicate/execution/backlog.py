"""How far a command is ahead of what we have passed on, and making it wait when that is too far.

A command that writes into a pipe waits for its reader. Ours writes into a spool file, which would grow without end
while our own reader is slow. So the holder is told to stop the command's group until most is passed on: to the
command that is a write that takes long. A signal for the command ends that for good, and so does our death.
"""

from __future__ import annotations

import contextlib
import os

LIMIT = 512 << 20
"""Bytes that may wait in the spool to be passed on."""
HOLD, GO_ON = b"h", b"g"
"""Orders for the holder."""


class Backlog:
    """The output of a command that nobody has passed on yet."""

    def __init__(self, orders: int, limit: int = LIMIT) -> None:
        self._orders = orders
        self._limit = limit
        self._off = False
        self.held = False

    def check(self, ahead: int) -> None:
        """Have the command wait or go on, when it is so many bytes ahead."""
        if not self.held and ahead > self._limit and not self._off:
            self._order(HOLD)
        elif self.held and ahead < self._limit // 4:
            self._order(GO_ON)

    def release(self) -> None:
        """Let the command go on, whatever waits; it is not held again."""
        self._off = True
        if self.held:
            self._order(GO_ON)

    def _order(self, order: bytes) -> None:
        with contextlib.suppress(BrokenPipeError):  # the holder has gone
            os.write(self._orders, order)
        self.held = order == HOLD
