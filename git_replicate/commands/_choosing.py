"""`sweep -i`: the results so far, the next point as it is proposed, and a person's answer."""

from __future__ import annotations

import shlex
import signal
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from git_replicate.core.errors import ReplicateError, UserError
from git_replicate.core.progress import show_point

if TYPE_CHECKING:
    from git_replicate.console import Console
    from git_replicate.core.record import Record
    from git_replicate.core.space import Point
    from git_replicate.core.sweep import Planned, Sweep

_SHOWN = 8
_METRICS = 3


class Chooser:
    """Asks for the point of each trial."""

    def __init__(self, console: Console, sweep: Sweep) -> None:
        self._console = console
        self._sweep = sweep

    def __call__(self, records: Sequence[Record], planned: Planned) -> Point | None:
        """The point that a person chooses; None to end."""
        console = self._console
        console.status("")
        for line in self._results(records):
            console.say(line)
        point = dict(planned.point)
        while True:
            # An interrupt at the question is an answer to it.
            heard = signal.signal(signal.SIGINT, signal.default_int_handler)
            try:
                console.say(f"next: {show_point(point)}")
                answer = console.ask("Enter runs it, name=value changes it, q ends")
            except (KeyboardInterrupt, UserError):
                console.say("")
                return None
            finally:
                signal.signal(signal.SIGINT, heard)
            if answer in ("q", "quit"):
                return None
            if not answer:
                return point
            try:
                point.update(self._changes(answer))
            except ReplicateError as error:
                console.fail(error)

    def _changes(self, answer: str) -> dict[str, Any]:
        from git_replicate.capture.params import parse_assignment

        try:
            changes = dict(parse_assignment(word) for word in shlex.split(answer))
        except ValueError as error:
            raise UserError(f"not params: {error}", "for example: lr=0.1") from error
        names = list(self._sweep.space.dimensions)
        if unknown := [name for name in changes if name not in names]:
            raise UserError(f"{unknown[0]} is not a param of this sweep", f"its params: {', '.join(names)}")
        for name, value in changes.items():
            self._check(name, value)
        return changes

    def _check(self, name: str, value: Any) -> None:
        """`UserError` for what is no number where the space has numbers; what is outside of it is only said."""
        from git_replicate.core.space import Range, describe

        dimension = self._sweep.space.dimensions[name]
        if not isinstance(dimension, Range):
            return
        kind = int if dimension.integer else (int, float)
        if isinstance(value, bool) or not isinstance(value, kind):
            what = "whole number" if dimension.integer else "number"
            raise UserError(f"{name}={value}: not a {what}", f"{name} is of {describe(dimension)}")
        if not dimension.low <= value <= dimension.high:
            self._console.say(f"{name}={value} is outside of {describe(dimension)}; it can be tried all the same")

    def _results(self, records: Sequence[Record]) -> list[str]:
        """The best runs, or the last where it is not said what is best, as lines of a table."""
        from git_replicate.core.sweep import planned_of
        from git_replicate.core.table import Table
        from git_replicate.render import text

        if not records:
            return []
        shown = list(records[-_SHOWN:])
        if self._sweep.objectives:
            first = self._sweep.objectives[0]
            known = [record for record in records if first.metric in record.metrics]
            known.sort(key=lambda record: record.metrics[first.metric], reverse=first.maximize)
            shown = known[:_SHOWN] or shown
        wanted = [objective.metric for objective in self._sweep.objectives]
        metrics = list(dict.fromkeys([*wanted, *(name for record in shown for name in record.metrics)]))[:_METRICS]
        names = list(self._sweep.space.dimensions)
        columns = ("run", "status", *(f"params.{n}" for n in names), *(f"metrics.{n}" for n in metrics))
        rows = []
        for record in shown:
            _, point = planned_of(record.sweep)
            cells = [*(point.get(name) for name in names), *(record.metrics.get(name) for name in metrics)]
            rows.append((record.id.rpartition("-")[2], str(record.status), *cells))
        return text.render(Table(columns, tuple(rows)), width=self._console.width).rstrip("\n").split("\n")
