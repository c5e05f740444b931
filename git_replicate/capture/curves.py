"""Metrics over time: points in the order in which they came, their last values, extremes and CSV text."""

from __future__ import annotations

import csv
import io
import math
from array import array
from collections.abc import Collection, Iterator, Mapping
from typing import Any, Final, NamedTuple

from git_replicate.core.record import Best

HEADER: Final = "step,time,metric,value\n"
STEP_NAMES: Final = ("global_step", "step", "iter", "iteration", "epoch")
"""Names that number the points and are no metrics; the first of them that a line or row has counts."""
_NO_STEP: Final = -(2**63)
_EXACT: Final = 2**63


class Point(NamedTuple):
    """One value of one metric; time is in seconds since the run's start."""

    step: int | None
    time: float | None
    metric: str
    value: float | int


class Curves:
    """Points of at most `names` metrics; `overflow` counts the points of metrics beyond that.

    A point costs about 60 bytes; beyond `points` of them a metric keeps only its last value and its extremes.
    """

    def __init__(self, *, names: int = 5_000, points: int = 2_000_000) -> None:
        self.overflow = 0
        self.thinned = 0
        self._most_names = names
        self._most_points = points
        self._index: dict[str, int] = {}
        self._metrics = array("I")
        self._steps = array("q")
        self._times = array("d")
        self._values: list[float | int] = []
        self._last: dict[str, float | int] = {}
        self._best: dict[str, list[Any]] = {}  # as Best's fields: a Best is made anew where every point is one

    def __bool__(self) -> bool:
        return bool(self._last)

    def __len__(self) -> int:
        return len(self._values)

    def __iter__(self) -> Iterator[Point]:
        names = list(self._index)
        for metric, step, time, value in zip(self._metrics, self._steps, self._times, self._values, strict=True):
            yield Point(None if step == _NO_STEP else step, None if math.isnan(time) else time, names[metric], value)

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self._last)

    def add(self, metric: str, value: float | int, step: int | None = None, time: float | None = None) -> None:
        """Add a point; an integer beyond 64 bits becomes a float."""
        if metric not in self._index and len(self._index) >= self._most_names:
            self.overflow += 1
            return
        if isinstance(value, int) and not -_EXACT <= value < _EXACT:
            value = float(value) if abs(value) < 10**308 else math.copysign(math.inf, value)
        if step is not None and not -_EXACT < step < _EXACT:
            step = None
        index = self._index.setdefault(metric, len(self._index))
        self._last[metric] = value
        self._widen(metric, value, step)
        if len(self._values) >= self._most_points:
            self.thinned += 1
            return
        self._metrics.append(index)
        self._steps.append(_NO_STEP if step is None else step)
        self._times.append(math.nan if time is None else time)
        self._values.append(value)

    def _widen(self, metric: str, value: float | int, step: int | None) -> None:
        best = self._best.get(metric)
        if best is None or (best[0] != best[0] and value == value):  # NaN at first
            self._best[metric] = [value, step, value, step]
        elif value < best[0]:
            best[:2] = value, step
        elif value > best[2]:
            best[2:] = value, step

    def last(self) -> dict[str, float | int]:
        """The last value of each metric."""
        return dict(self._last)

    def best(self) -> dict[str, Best]:
        """The extremes of each metric, with the step of the first point that has them; NaN only if all are.

        A metric whose every point is its last value, without a step, is not there: its last value says it all.
        """
        return {
            metric: Best(*best)
            for metric, best in self._best.items()
            if not (best[1] is best[3] is None and best[0] == best[2] == self._last[metric])
        }

    def without(self, metrics: Collection[str]) -> Curves:
        """The points of all other metrics; the very same object if that is all."""
        if not any(metric in self._last for metric in metrics):
            return self
        rest = Curves(names=self._most_names, points=self._most_points)
        rest.overflow, rest.thinned = self.overflow, self.thinned
        rest._take(self, [metric for metric in self._last if metric not in metrics])
        return rest

    def unite(self, other: Curves) -> None:
        """Add the points of `other`, whose metrics are none of ours."""
        self.overflow += other.overflow
        self.thinned += other.thinned
        if self._last or len(other._index) > self._most_names or len(other) > self._most_points:
            self._take(other, list(other._last))
            return
        self._index, self._last = dict(other._index), dict(other._last)
        self._best = {metric: [*best] for metric, best in other._best.items()}
        self._metrics, self._steps, self._times = other._metrics[:], other._steps[:], other._times[:]
        self._values = other._values[:]

    def _take(self, other: Curves, metrics: Collection[str]) -> None:
        wanted = set(metrics)
        for point in other:
            if point.metric in wanted:
                self.add(point.metric, point.value, point.step, point.time)
        for metric in metrics:  # points beyond the limit are not there, but count in the summary
            if metric in self._index:
                self._last[metric], self._best[metric] = other._last[metric], [*other._best[metric]]

    def csv(self) -> bytes:
        """The text of `metrics.csv`: RFC 4180 with \\n; an absent step or time is an empty cell."""
        if not self._values:
            return b""
        names = [_cell(name) for name in self._index]
        lines = [
            f"{'' if step == _NO_STEP else step},{'' if time != time else f'{time:.3f}'},{names[metric]},{value!r}\n"
            for metric, step, time, value in zip(self._metrics, self._steps, self._times, self._values, strict=True)
        ]
        return "".join([HEADER, *lines]).encode()

    def state(self) -> dict[str, Any]:
        """All that is here, as JSON can hold it (times to the millisecond); `restore` is its inverse."""
        best = {name: [*best] for name, best in self._best.items()}
        return {
            "csv": self.csv().decode(), "last": self._last, "best": best,
            "overflow": self.overflow, "thinned": self.thinned,
        }  # fmt: skip

    def restore(self, state: Mapping[str, Any]) -> None:
        """Become what `state` was taken of; the limits stay ours."""
        for point in Curves.from_csv(state["csv"].encode()):
            self.add(point.metric, point.value, point.step, point.time)
        for name in state["last"]:  # of a metric whose points are all beyond the limit
            self._index.setdefault(name, len(self._index))
        self._last = dict(state["last"])
        self._best = {name: [*values] for name, values in state["best"].items()}
        self.overflow, self.thinned = int(state["overflow"]), int(state["thinned"])

    @classmethod
    def from_csv(cls, data: bytes) -> Curves:
        """The inverse of `csv`; lines that are no points (a torn last line) are passed over."""
        curves = cls()
        for row in csv.reader(io.StringIO(data.decode(errors="replace"))):
            if len(row) != 4 or row == HEADER.strip().split(","):
                continue
            value = number(row[3])
            if value is not None:
                step, time = number(row[0]), number(row[1])
                curves.add(row[2], value, int(step) if step is not None else None, time)
        return curves


def _cell(text: str) -> str:
    """A text as a cell of a CSV row."""
    written = io.StringIO()
    csv.writer(written, lineterminator="").writerow(("", text))
    return written.getvalue()[1:]


def number(text: str) -> float | int | None:
    """A number as programs print it, nan and inf included; None for anything else."""
    text = text.strip()
    try:
        return int(text) if text.lstrip("+-").isdigit() and len(text) < 400 and text.isascii() else _float(text)
    except ValueError:
        return None


def _float(text: str) -> float:
    if "_" in text or not text.isascii():  # Python reads 1_000 and other scripts' digits, but no program prints them
        raise ValueError(text)
    return float(text)
