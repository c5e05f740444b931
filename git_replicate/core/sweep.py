"""What a sweep is: a command, a space and a strategy, as a value and as the `[sweep]` table of its runs' records.

No other object holds a sweep: `Sweep.document` writes all of it into every run, and `read_sweep` is its inverse, so
that any one run is enough to go on. Which runs exist, and carrying them out, is not known here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from git_replicate.core.errors import FormatError, UsageError
from git_replicate.core.record import Document, Record
from git_replicate.core.secrets import mask_command
from git_replicate.core.space import Point, Space, describe, grid, grid_size, parse_space, random_point
from git_replicate.core.strategies import GRID, RANDOM


@dataclass(frozen=True, slots=True)
class Objective:
    """A metric, and whether more of it is better."""

    metric: str
    maximize: bool = False

    @property
    def direction(self) -> str:
        return "maximize" if self.maximize else "minimize"


@dataclass(frozen=True, slots=True)
class Options:
    """What of the command line holds for every run of a sweep."""

    message: str = ""
    data: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()
    metrics: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    prepare: bool = False
    timeout: float = 0.0
    """Seconds; 0: none."""


@dataclass(frozen=True, slots=True)
class Planned:
    """One run that a sweep asks for: its trial, the point, and the seed (None: a fresh one)."""

    trial: int
    point: Point
    seed: int | None = None


@dataclass(frozen=True, slots=True)
class Sweep:
    """Many runs of one command from one snapshot."""

    id: str
    command: tuple[str, ...]
    space: Space
    strategy: str = GRID
    strategy_seed: int = 0
    trials: int = 0
    """Points; of a grid, as many as it has."""
    seeds: tuple[int, ...] = ()
    """Each point runs once with each of them; none: once, with a seed of its own."""
    objectives: tuple[Objective, ...] = ()
    pruner: str = ""
    options: Options = field(default_factory=Options)
    repeat: bool = False
    """Whether its runs are done whatever earlier sweeps have finished."""

    @property
    def planned(self) -> bool:
        """Whether the points are known beforehand."""
        return self.strategy in (GRID, RANDOM)

    def plan(self) -> Iterator[Planned]:
        """Every run of a sweep whose points are known beforehand, trial by trial."""
        for trial, point in enumerate(self._points()):
            yield from self.runs_of(trial, point)

    def runs_of(self, trial: int, point: Point) -> Iterator[Planned]:
        """The runs of one point, one a seed."""
        for seed in self.seeds or (None,):
            yield Planned(trial, point, seed)

    def _points(self) -> Iterator[Point]:
        if self.strategy == GRID:
            yield from grid(self.space)
            return
        for trial in range(self.trials):
            yield random_point(self.space, self.strategy_seed, trial)

    def size(self) -> int:
        """How many runs there are to be."""
        points = grid_size(self.space) if self.strategy == GRID else self.trials
        return points * max(len(self.seeds), 1)

    def document(self, planned: Planned) -> Document:
        """The `[sweep]` table of the record of one run."""
        null = [name for name, value in planned.point.items() if value is None]
        first = self.objectives[0] if self.objectives else None
        document: Document = {
            "id": self.id,
            "command": list(mask_command(self.command)),
            "space": {name: describe(dimension) for name, dimension in self.space.dimensions.items()},
            "zip": [list(group) for group in self.space.zipped],
            "strategy": self.strategy,
            "strategy_seed": self.strategy_seed if self.strategy != GRID else None,
            "trials": self.trials,
            "seeds": list(self.seeds),
            "objectives": [{"metric": o.metric, "direction": o.direction} for o in self.objectives],
            "metric": first.metric if first else "",
            "direction": first.direction if first else "",
            "pruner": self.pruner,
            "options": _options_document(self.options),
            "repeat": self.repeat,
            "trial": planned.trial,
            "point": {name: value for name, value in planned.point.items() if value is not None},
            "point_null": null,
        }
        kept = ("id", "trial", "strategy", "space", "point", "command")
        return {name: value for name, value in document.items() if name in kept or value not in (None, "", [], {}, 0)}


def _options_document(options: Options) -> Document:
    plain = Options()
    names = ("data", "outputs", "metrics", "tags", "prepare", "timeout")
    values = {name: getattr(options, name) for name in names if getattr(options, name) != getattr(plain, name)}
    return {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}


def read_sweep(record: Record) -> Sweep:
    """The sweep that a run belongs to; `FormatError` if it belongs to none, or to one this version cannot read."""
    table = record.sweep
    try:
        zipped = tuple(tuple(group) for group in table.get("zip", ()))
        space = parse_space([f"{name}={text}" for name, text in table["space"].items()])
        options: dict[str, Any] = {
            key: tuple(v) if isinstance(v, list | tuple) else v for key, v in table.get("options", {}).items()
        }
        return Sweep(
            id=str(table["id"]),
            command=tuple(table["command"]),
            space=Space(space.dimensions, zipped),
            strategy=str(table["strategy"]),
            strategy_seed=int(table.get("strategy_seed", 0)),
            trials=int(table.get("trials", 0)),
            seeds=tuple(table.get("seeds", ())),
            objectives=tuple(
                Objective(str(o["metric"]), o["direction"] == "maximize") for o in table.get("objectives", ())
            ),
            pruner=str(table.get("pruner", "")),
            options=Options(message=record.message, **options),
            repeat=bool(table.get("repeat", False)),
        )
    except (KeyError, TypeError, ValueError, UsageError) as error:
        raise FormatError(f"run {record.id}: its [sweep] table cannot be read ({error})") from error


def planned_of(table: Mapping[str, Any]) -> tuple[int, dict[str, Any]]:
    """Trial and point of a run, from the `[sweep]` table of its record."""
    point = {**table.get("point", {}), **dict.fromkeys(table.get("point_null", ()))}
    return int(table.get("trial", 0)), point
