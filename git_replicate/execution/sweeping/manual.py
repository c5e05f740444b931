"""Points that a person chooses: what is proposed, and what becomes of a proposal that was changed."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Sequence
from typing import Protocol

from git_replicate.core.errors import UsageError
from git_replicate.core.record import Record
from git_replicate.core.space import Point, grid, grid_size, random_point
from git_replicate.core.sweep import Planned, Sweep, planned_of
from git_replicate.execution.sweeping.search import Pruning


class Proposer(Protocol):
    """A source of runs whose points can be replaced before they begin."""

    def next(self) -> Planned | None: ...
    def ended(self, planned: Planned, record: Record | None) -> None: ...
    def pruning(self) -> Pruning | None: ...
    def instead(self, trial: int, point: Point) -> None:
        """Another point is tried in this trial."""
        ...


class Manual:
    """Proposes the points of a finite space that were not tried, in the grid's order; of another, random ones."""

    def __init__(self, sweep: Sweep, records: Sequence[Record]) -> None:
        self._sweep = sweep
        known = [planned_of(record.sweep) for record in records]
        self._number = max((trial for trial, _ in known), default=-1) + 1
        self._tried = {_key(point) for _, point in known}
        self._due: deque[Planned] = deque()
        self._proposed: dict[int, Point] = {}
        try:
            grid_size(sweep.space)
            self._finite = True
        except UsageError:
            self._finite = False

    def next(self) -> Planned | None:
        if not self._due:
            self._proposed[self._number] = point = self._proposal()
            self._due.extend(self._sweep.runs_of(self._number, point))
            self._number += 1
        return self._due.popleft()

    def _proposal(self) -> Point:
        space = self._sweep.space
        left = (point for point in grid(space) if _key(point) not in self._tried) if self._finite else iter(())
        point = next(left, None) or random_point(space, self._sweep.strategy_seed, self._number)
        self._tried.add(_key(point))
        return point

    def instead(self, trial: int, point: Point) -> None:
        self._tried.discard(_key(self._proposed[trial]))
        self._tried.add(_key(point))

    def ended(self, planned: Planned, record: Record | None) -> None:
        """What comes next is the person's."""

    def pruning(self) -> None:
        """A person's runs run to their end."""


def _key(point: Point) -> str:
    return json.dumps(sorted(point.items()), default=str)


class Chosen:
    """The proposals of another source, as a person takes or changes them.

    choose: shows the runs that have ended and the proposal; None: no more runs.
    """

    def __init__(
        self,
        proposer: Proposer,
        choose: Callable[[Sequence[Record], Planned], Point | None],
        records: Sequence[Record] = (),
    ) -> None:
        self._proposer = proposer
        self._choose = choose
        self._records = list(records)
        self._points: dict[int, Point] = {}
        self._over = False

    def next(self) -> Planned | None:
        planned = None if self._over else self._proposer.next()
        if planned is None:
            return None
        if planned.trial not in self._points:
            point = self._choose(self._records, planned)
            if point is None:
                self._over = True
                return None
            self._points[planned.trial] = point
            if point != planned.point:
                self._proposer.instead(planned.trial, point)
        return Planned(planned.trial, self._points[planned.trial], planned.seed)

    def ended(self, planned: Planned, record: Record | None) -> None:
        if record is not None:
            self._records.append(record)
        self._proposer.ended(planned, record)

    def pruning(self) -> Pruning | None:
        return self._proposer.pruning()
