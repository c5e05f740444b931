"""Reading a run's output for its log and its metrics, all of it at the end or bit by bit.

An output may be longer than the disk. So once it is much longer than the log will be, whoever is there - the
recorder, or the holder that has outlived it - reads it while it comes, puts down what was found, and gives the disk
back. Whoever concludes the run goes on from there.

Not handled: what is not passed on yet, because whoever reads our own output is slow, has to wait on the disk.
"""

from __future__ import annotations

import json
import time
from collections.abc import Collection
from dataclasses import asdict
from typing import Any, Final

from git_replicate.capture.log import Log, LogAssembler
from git_replicate.capture.metrics import OutputMetrics
from git_replicate.core.known_secrets import NOTHING_KNOWN, KnownSecrets
from git_replicate.execution.plan import PLAN_FILE, Plan, load_plan
from git_replicate.execution.spool import STREAMS, Position, Spool

EARLIER_LOG: Final = "earlier.log"
"""What earlier attempts of the run printed."""
_STATE_FILE: Final = "reading.json"
_LEAST: Final = 1 << 16
_STEP: Final = 1 << 20
"""Bytes that are read at once, between looks at signals."""
_ATTEMPTS: Final = 3
_LOOK_SECONDS: Final = 0.5
_AGAIN_SECONDS: Final = 10.0


class OutputReader:
    """What was found in the output of a run up to a position."""

    def __init__(self, plan: Plan) -> None:
        self.position = Position()
        self.metrics = OutputMetrics(plan.patterns, rule=plan.stdout)
        self.unread = 0
        self._log = LogAssembler(plan.log_bytes)
        self._elapsed = plan.elapsed
        # A piece of one stream may end in the middle of a line; what is left waits for its own stream to go on.
        self._rest = dict.fromkeys(STREAMS, b"")

    @classmethod
    def resume(cls, spool: Spool, plan: Plan) -> OutputReader:
        """A reader that goes on where the last one saved what it had found."""
        reader = cls(plan)
        if state := spool.read_json(_STATE_FILE):
            reader._restore(state)
        elif plan.attempt > 1:
            earlier = spool.read(EARLIER_LOG) or b""
            reader._log.feed(earlier + b"\n" * (bool(earlier) and not earlier.endswith(b"\n")))
            reader._log.feed(b"[git replicate: attempt %d]\n" % plan.attempt)
        return reader

    @classmethod
    def of_all(cls, spool: Spool, plan: Plan, *, most: int) -> OutputReader:
        """A reader that has read the output as far as it goes; of what was not read yet, at most so many bytes."""
        for _ in range(_ATTEMPTS):
            before = released_until(spool)
            reader = cls.resume(spool, plan)
            reader.read_rest(spool, most=most)
            if released_until(spool) == before:
                return reader
        # The output comes so fast that it always goes while we read: what was found before has to do.
        return cls.resume(spool, plan)

    def read_rest(self, spool: Spool, *, most: int) -> None:
        """Read to the end of an output that has ended; of more than so many bytes only the last ones."""
        self._skip_to(spool, spool.written() - most)
        self.read(spool)

    def _skip_to(self, spool: Spool, position: int) -> None:
        while self.done < position:
            before = self.done
            self.skip(spool, position - before)
            if self.done == before:
                return

    @property
    def done(self) -> int:
        """Bytes that were read or passed over."""
        return self.position.stdout + self.position.stderr

    def read(self, spool: Spool, *, most: int | None = None, unseen: Collection[str] = STREAMS) -> int:
        """Read on, to the end or at least so many bytes; how many there were."""
        count = 0
        for stream, seconds, data in spool.output(self.position, unseen=unseen):
            self._feed(stream, None if seconds is None else seconds + self._elapsed, data)
            count += len(data)
            if most is not None and count >= most:
                break
        return count

    def skip(self, spool: Spool, length: int, *, unseen: Collection[str] = STREAMS) -> None:
        """Pass over at least so many bytes: the log says so, and metrics in them are lost."""
        count = 0
        for stream, _, data in spool.output(self.position, unseen=unseen):
            self.metrics.skip(stream)
            self._rest[stream] = b""
            count += len(data)
            if count >= length:
                break
        self._log.skip(count)
        self.unread += count

    def close(self, known: KnownSecrets = NOTHING_KNOWN) -> Log:
        """The output has ended: its log, without the known secrets. The metrics are complete then as well."""
        for rest in self._rest.values():
            self._log.feed(rest)
        self.metrics.close()
        return self._log.log(known)

    def _feed(self, stream: str, seconds: float | None, data: bytes) -> None:
        self.metrics.feed(data, time=seconds, stream=stream)
        whole, newline, rest = (self._rest[stream] + data).rpartition(b"\n")
        self._rest[stream] = rest
        self._log.feed(whole + newline)

    def save(self, spool: Spool) -> None:
        """Put down what was found, whole or not at all."""
        state = {
            "position": asdict(self.position),
            "unread": self.unread,
            "rest": {stream: rest.decode("latin-1") for stream, rest in self._rest.items()},
            "metrics": self.metrics.state(),
            "log": self._log.state(),
        }
        spool.write(_STATE_FILE, json.dumps(state).encode())

    def _restore(self, state: dict[str, Any]) -> None:
        self.position = Position(**state["position"])
        self.unread = int(state["unread"])
        self._rest = {stream: rest.encode("latin-1") for stream, rest in state["rest"].items()}
        self.metrics.restore(state["metrics"])
        self._log.restore(state["log"])


def released_until(spool: Spool) -> Position:
    """The position before which a spool may be empty."""
    state = spool.read_json(_STATE_FILE)
    return Position(**state["position"]) if state else Position()


class Shortener:
    """Reads a long output while it comes, and gives its disk back; nothing that fails here is anybody's concern.

    An output up to four times as long as its log will be is left alone. Of a longer one, what was read goes whenever
    it is as long as the log. What waits to be read is passed over when it is too long (see `most_unread`).
    """

    def __init__(self, spool: Spool) -> None:
        self._spool = spool
        self._next = 0.0
        self._useless = False  # the file system gives nothing back
        self._plan: Plan | None = None
        self._reader: OutputReader | None = None
        self._released = 0

    def step(self, unseen: Collection[str] = STREAMS, *, busy: bool = False) -> bool:
        """Do a little, if there is something to do; whether there is more.

        `unseen`: see `Spool.output`. `busy`: whoever calls has more urgent things to do.
        """
        now = time.monotonic()
        if now < self._next or self._useless:
            return False
        try:
            more = self._step(unseen, busy)
        except (OSError, ValueError):
            more, self._reader, self._next = False, None, now + _AGAIN_SECONDS
        else:
            self._next = now if more or busy else now + _LOOK_SECONDS
        return more

    def _step(self, unseen: Collection[str], busy: bool) -> bool:
        spool, written = self._spool, self._spool.written()
        if self._plan is None:
            self._plan = load_plan(spool.read(PLAN_FILE) or b'{"top": ""}')
        span = _span(self._plan)
        if self._reader is None:
            if written < 4 * span:
                return False
            self._reader = OutputReader.resume(spool, self._plan)
            self._released = self._reader.done
        reader, before = self._reader, self._reader.done
        if written - before > most_unread(self._plan):
            reader.skip(spool, span, unseen=unseen)
        elif not busy:
            reader.read(spool, most=_STEP, unseen=unseen)
        if reader.done - self._released >= span:
            reader.save(spool)
            self._useless = not spool.release(reader.position)
            self._released = reader.done
        return reader.done > before and not self._useless


def most_unread(plan: Plan, *, hurry: bool = False) -> int:
    """Bytes of output that may wait to be read, which takes seconds; in a hurry, fewer seconds."""
    return (2 if hurry else 16) * _span(plan)


def _span(plan: Plan) -> int:
    return max(plan.log_bytes, _LEAST)
