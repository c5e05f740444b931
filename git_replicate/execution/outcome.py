"""How a command ended: what the holder saw, as a value."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from git_replicate.capture import machine
from git_replicate.core.frozen import frozen

_EXECUTING = 1_000_000
"""Bytes that a process may still take between saying how large it is and executing another program."""


@frozen
class Outcome:
    """How a command ended. Both exit code and signal are None if nobody saw the end."""

    exit_code: int | None
    signal: str | None
    started: datetime
    finished: datetime
    seconds: float
    peak_memory_bytes: int = 0
    cpu_seconds: float = 0.0
    interrupted_by: str | None = None
    problem: str = ""
    idle_input: bool = False
    """Whether standard input was a pipe into which nobody writes."""
    group: int = 0
    """The process group of the command."""
    pruned: str = ""
    """Why its sweep ended it early, in words."""

    @property
    def shell_code(self) -> int:
        """The exit code as a shell tells it: 128+n for a signal; 1 if nobody saw the end."""
        if self.signal:
            return 128 + machine.signal_number(self.signal)
        return 1 if self.exit_code is None else self.exit_code


def read_outcome(
    ended: Mapping[str, Any], started: datetime, *, peak: int = 0, interrupted_by: str | None = None, problem: str = "",
    trusted: bool = False, group: int = 0,
) -> Outcome:  # fmt: skip
    """The holder's `exit.json` as an outcome; of an empty one, that nobody saw the end.

    `peak` is what was seen of the command's memory while it ran: it is believed where the holder's own figure may be
    that of the fork before the command was executed. `trusted`: nobody looked, take the holder's figure as it is.
    """
    finished = datetime.fromtimestamp(ended["finished"], UTC) if ended else datetime.now(UTC)
    number = ended.get("signal") or 0
    resident, forked = int(ended.get("peak_memory_bytes", 0)), int(ended.get("forked_bytes", 0)) + _EXECUTING
    return Outcome(
        exit_code=ended.get("exit_code"),
        signal=machine.signal_name(number) if number else None,
        started=started,
        finished=finished,
        seconds=max((finished - started).total_seconds(), 0.0),
        peak_memory_bytes=max(peak, resident if trusted or resident > forked else 0),
        cpu_seconds=float(ended.get("cpu_seconds", 0.0)),
        interrupted_by=interrupted_by or ended.get("typed"),
        problem=problem,
        group=group,
    )
