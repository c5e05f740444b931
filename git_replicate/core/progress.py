"""How a sweep stands, as counts and lines of text; who shows them, and when, is not decided here."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from git_replicate.core.record import Record, Status
from git_replicate.core.stats import mean
from git_replicate.core.sweep import Objective, Planned

_UNITS = ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s"))


@dataclass(slots=True)
class Tally:
    """Counts of a sweep's runs, and the best of its points."""

    total: int
    """Runs that this session is to do; 0: nobody knows."""
    objectives: Sequence[Objective] = ()
    running: int = 0
    ended: Counter[str] = field(default_factory=Counter)
    stopped: bool = False
    """No further run begins."""
    odd: Counter[str] = field(default_factory=Counter)
    """For a metric, the finished runs whose value of it is no finite number."""
    _values: dict[str, dict[int, list[float]]] = field(default_factory=dict)
    """By metric and trial."""
    _points: dict[int, tuple[Mapping[str, Any], str]] = field(default_factory=dict)

    def add(self, planned: Planned, record: Record | None) -> None:
        """Take in a run that has ended; None: it could not be begun."""
        self.ended[record.status if record else Status.FAILED] += 1
        if record is not None and record.status is Status.FINISHED:
            self.remember(planned.trial, planned.point, record)

    def remember(self, trial: int, point: Mapping[str, Any], record: Record) -> None:
        """Take the values of a run into the best so far."""
        for metric in (objective.metric for objective in self.objectives):
            value = record.metrics.get(metric)
            if value is not None and not math.isfinite(value):
                self.odd[metric] += 1
            elif value is not None:
                self._values.setdefault(metric, {}).setdefault(trial, []).append(float(value))
                self._points[trial] = point, record.id

    @property
    def done(self) -> int:
        return sum(self.ended.values())

    @property
    def failed(self) -> int:
        return self.ended[Status.FAILED] + self.ended[Status.LOST]

    @property
    def left(self) -> int:
        """The runs that a resumption would do."""
        return max(self.total - self.ended[Status.FINISHED] - self.ended[Status.PRUNED], 0)

    def best(self) -> str:
        """For each objective the best mean of a point so far, and the point; "" if there is none."""
        return "; ".join(self._best(objective) for objective in self.objectives if objective.metric in self._values)

    def _best(self, objective: Objective) -> str:
        means = {trial: mean(values) for trial, values in self._values[objective.metric].items()}
        trial = (max if objective.maximize else min)(means, key=lambda each: means[each])
        point, run = self._points[trial]
        shown = show_point(point) or f"run {run.rpartition('-')[2]}"
        return f"best {objective.metric} {means[trial]:.6g} ({shown})"

    def counts(self) -> str:
        """The runs that have ended, by how."""
        kinds = [status for status in Status if self.ended[status]]
        return ", ".join(f"{self.ended[status]} {status}" for status in kinds) or "no run"

    def place(self) -> str:
        """How far it is: 3/12."""
        return f"{self.done}/{self.total}" if self.total else str(self.done)

    def line(self, seconds: float) -> str:
        """All in one line: counts, the end as it looks after so many seconds, the best."""
        words = [self.place(), f"{self.running} running"]
        words += [f"{self.failed} failed"] if self.failed else []
        if self.done and self.total > self.done and not self.stopped:
            words.append(f"{span(seconds * (self.total - self.done) / self.done)} left")
        best = self.best()
        return "  ".join([*words, *([best] if best else [])])


def show_point(point: Mapping[str, Any]) -> str:
    """A point in a line: `lr=0.1 depth=3`."""
    return " ".join(f"{name}={_shown(value)}" for name, value in point.items())


def _shown(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def span(seconds: float) -> str:
    """A time span in its largest unit: 40 s, 3 min, 2 h."""
    for size, unit in _UNITS:
        if seconds >= size * (2 if size > 1 else 1):
            return f"{round(seconds / size)} {unit}"
    return "1 s"
