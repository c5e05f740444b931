"""The next point of a search, by Optuna, with git as the study's storage.

A study is rebuilt from the runs that there are, on whatever machine they ran, and asked and told from then on; nothing
of it is kept anywhere else. A trial is a point; with several seeds it has a run for each, and its value is their mean.
What the sampler draws depends on the strategy's seed and on the runs known, so that two who begin alike go on alike.

Not kept: what a sampler remembers beyond its trials. CMA-ES begins a new generation from the best points known.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import json
import math
import warnings
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from git_replicate.capture import machine
from git_replicate.core.errors import UserError
from git_replicate.core.installing import pip_install
from git_replicate.core.record import Record, Status
from git_replicate.core.space import Choices, Point, Space, grid_values
from git_replicate.core.stats import mean
from git_replicate.core.sweep import Planned, Sweep, planned_of

if TYPE_CHECKING:
    import optuna

_PLAIN = (bool, int, float, str, type(None))
_NEEDS: Final[Mapping[str, tuple[str, ...]]] = {"gp": ("torch", "scipy"), "cmaes": ("cmaes",)}
Curve = Sequence[tuple[int, float]]
"""Step and value."""


def load_optuna() -> Any:
    """Optuna, quiet; `UserError` where it is not installed."""
    try:
        import optuna
    except ImportError as error:
        raise UserError("a search needs Optuna (--random 30 needs nothing)", pip_install("optuna")) from error
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    return optuna


def _check_libraries(sampler: str) -> None:
    """`UserError` for a sampler whose libraries, which Optuna imports when it first needs them, are not there."""
    missing = [name for name in _NEEDS.get(sampler, ()) if importlib.util.find_spec(name) is None]
    if missing:
        raise UserError(f"--search {sampler} needs {' and '.join(missing)} (tpe does not)", pip_install(*missing))


# --- spaces and points


def distributions(space: Space) -> dict[str, Any]:
    """The space as Optuna has it: a dimension an axis; what has one value only is not in it."""
    d = load_optuna().distributions
    found: dict[str, Any] = {}
    for axis in space.axes():
        name, first = ",".join(axis), space.dimensions[axis[0]]
        if len(axis) > 1:
            found[name] = d.CategoricalDistribution(range(len(grid_values(axis[0], first))))
        elif isinstance(first, Choices):
            if len(first.values) > 1:
                found[name] = d.CategoricalDistribution([_key(value) for value in first.values])
        elif first.integer:
            step = 1 if first.log else int(first.step or 1)
            high = int(first.high) - (int(first.high) - int(first.low)) % step
            found[name] = d.IntDistribution(int(first.low), high, log=first.log, step=step)
        else:
            found[name] = d.FloatDistribution(first.low, first.high, log=first.log, step=first.step)
    return found


def _key(value: Any) -> Any:
    """A choice as Optuna can hold it: lists and tables as text."""
    return value if isinstance(value, _PLAIN) else json.dumps(value, sort_keys=True)


def to_point(space: Space, params: Mapping[str, Any]) -> dict[str, Any]:
    """The point that Optuna's params mean."""
    point: dict[str, Any] = {}
    for axis in space.axes():
        name, first = ",".join(axis), space.dimensions[axis[0]]
        if len(axis) > 1:
            point.update({n: grid_values(n, space.dimensions[n])[params[name]] for n in axis})
        elif isinstance(first, Choices):
            keys = [_key(value) for value in first.values]
            point[name] = first.values[_index(keys, params[name])] if name in params else first.values[0]
        else:
            point[name] = params[name]
    return {name: point[name] for name in space.dimensions}


def to_params(space: Space, point: Point) -> dict[str, Any] | None:
    """The inverse; None for a point that is not in the space."""
    params: dict[str, Any] = {}
    for axis in space.axes():
        name, first = ",".join(axis), space.dimensions[axis[0]]
        if any(n not in point for n in axis):
            return None
        if len(axis) > 1 or isinstance(first, Choices):
            places = [_index([_key(v) for v in grid_values(n, space.dimensions[n])], _key(point[n])) for n in axis]
            if len(set(places)) > 1 or places[0] < 0:
                return None
            if len(axis) > 1:
                params[name] = places[0]
            elif isinstance(first, Choices) and len(first.values) > 1:
                params[name] = _key(first.values[places[0]])
        elif isinstance(point[name], int | float) and first.low <= point[name] <= first.high:
            params[name] = point[name]
        else:
            return None
    return params


def _index(keys: Sequence[Any], key: Any) -> int:
    """The place of a value among others; 1 is not True, and -1 is nowhere."""
    return next((n for n, other in enumerate(keys) if type(other) is type(key) and other == key), -1)


# --- the study


@dataclass(slots=True)
class _Trial:
    """A point that is being tried."""

    number: int
    point: Point
    asked: Any
    left: int
    """Runs that have not ended."""
    values: list[list[float]] = field(default_factory=list)
    """Of each run that gave them."""
    pruned: Curve | None = None
    bad: bool = False


class Search:
    """The source of a sweep's runs whose points are chosen as results come in."""

    def __init__(self, sweep: Sweep, records: Sequence[Record], read_curve: Callable[[Record], Curve]) -> None:
        """records: the runs of the sweep there are; read_curve: of the first objective, asked only for pruning."""
        self._sweep = sweep
        self._optuna = load_optuna()
        _check_libraries(sweep.strategy)
        self._distributions = distributions(sweep.space)
        self._open: dict[int, _Trial] = {}
        self._due: deque[Planned] = deque()
        self._begun = 0
        self._read_curve = read_curve if sweep.pruner else lambda record: ()
        self._curves: list[Curve] = []
        directions = [objective.direction for objective in sweep.objectives]
        self._study = self._optuna.create_study(directions=directions)
        with _quietly():
            self._rebuild(records)

    @property
    def left(self) -> int:
        """Runs that are still to be begun."""
        trials = max(self._sweep.trials - self._begun, 0)
        return len(self._due) + trials * max(len(self._sweep.seeds), 1)

    def first(self, number: int) -> Iterator[Planned]:
        """The runs of the first points as they are before there is any result, for a person to look at."""
        while self._begun < number and (planned := self.next()) is not None:
            yield planned

    def next(self) -> Planned | None:
        if not self._due and self._begun < self._sweep.trials:
            with _quietly():
                self._ask()
        return self._due.popleft() if self._due else None

    def pruning(self) -> Pruning | None:
        """What a run that begins now is to be compared with."""
        if not self._sweep.pruner:
            return None
        first = self._sweep.objectives[0]
        return Pruning(self._sweep.pruner, first.metric, first.maximize, tuple(self._curves))

    def ended(self, planned: Planned, record: Record | None) -> None:
        trial = self._open.get(planned.trial)
        if trial is None:
            return
        self._take(trial, record)
        if not trial.left:
            del self._open[planned.trial]
            self._tell(trial)

    def instead(self, trial: int, point: Point) -> None:
        """A person tries another point than was proposed: the study learns from that one, if it is of its space."""
        known = self._open[trial]
        with _quietly():
            self._study.tell(known.asked, state=self._optuna.trial.TrialState.FAIL)
            known.point, known.asked = point, None
            params = to_params(self._sweep.space, point)
            if params is not None:
                self._study.enqueue_trial(params)
                known.asked = self._study.ask(self._distributions)

    def _rebuild(self, records: Sequence[Record]) -> None:
        """Complete trials into the study, and the runs that the others lack to be done first."""
        seeds = self._sweep.seeds or (None,)
        trials: dict[str, tuple[int, dict[str, Any], dict[int | None, Record]]] = {}
        for record in records:
            number, point = planned_of(record.sweep)
            if not record.status.ended and record.process.host != machine.host():
                self._begun = max(self._begun, number + 1)  # another machine is at it
                continue
            key = json.dumps([number, sorted(point.items())], default=str)
            _, _, runs = trials.setdefault(key, (number, point, {}))
            seed = record.seeds.run if self._sweep.seeds else None
            if seed not in runs or not _is_done(runs[seed]):
                runs[seed] = record
        for number, point, runs in trials.values():
            self._begun = max(self._begun, number + 1)
            done = {seed: record for seed, record in runs.items() if _is_done(record)}
            params = to_params(self._sweep.space, point)
            if params is None:
                continue
            trial = _Trial(number, point, None, len(seeds))
            for record in done.values():
                self._take(trial, record)
            if trial.left <= 0 or trial.pruned is not None:
                self._study.add_trial(self._frozen(trial, params))
            elif number not in self._open:
                self._study.enqueue_trial(params)
                trial.asked = self._study.ask(self._distributions)
                self._open[number] = trial
                self._due.extend(Planned(number, point, seed) for seed in seeds if seed not in done)

    def _ask(self) -> None:
        self._study.sampler = self._sampler()
        asked = self._study.ask(self._distributions)
        number = self._begun
        self._begun += 1
        point = to_point(self._sweep.space, asked.params)
        runs = list(self._sweep.runs_of(number, point))
        self._open[number] = _Trial(number, point, asked, len(runs))
        self._due.extend(runs)

    def _sampler(self) -> Any:
        """A sampler that draws what depends on the seed and the trials known, and on nothing else."""
        samplers, name = self._optuna.samplers, self._sweep.strategy
        known = len(self._study.trials)
        digest = hashlib.sha256(f"{self._sweep.strategy_seed}/{known}".encode()).digest()
        seed = int.from_bytes(digest[:4], "big")
        if name == "gp":
            return samplers.GPSampler(seed=seed)
        if name == "cmaes":
            return self._cmaes(seed)
        return samplers.TPESampler(seed=seed, multivariate=True, group=True, constant_liar=True)

    def _cmaes(self, seed: int) -> Any:
        """One sampler for the session, since it remembers its generations, begun from the trials known before."""
        if isinstance(self._study.sampler, self._optuna.samplers.CmaEsSampler):
            return self._study.sampler
        complete = [t for t in self._study.trials if t.state == self._optuna.trial.TrialState.COMPLETE]
        return self._optuna.samplers.CmaEsSampler(seed=seed, source_trials=complete or None)

    def _take(self, trial: _Trial, record: Record | None) -> None:
        """Take one run of a trial in."""
        trial.left -= 1
        curve = self._read_curve(record) if record is not None else ()
        if record is not None and record.status is Status.PRUNED:
            trial.pruned = curve
            return
        values = objective_values(self._sweep, record) if record is not None else None
        if values is None:
            trial.bad = True
            return
        trial.values.append(values)
        if curve:
            self._curves.append(curve)

    def _tell(self, trial: _Trial) -> None:
        states = self._optuna.trial.TrialState
        state, values = self._result(trial)
        if trial.asked is None:
            return
        with _quietly():
            for step, value in dict(trial.pruned or ()).items():
                if len(self._sweep.objectives) == 1:
                    trial.asked.report(value, step)
            self._study.tell(trial.asked, values if state == states.COMPLETE else None, state)

    def _result(self, trial: _Trial) -> tuple[Any, list[float] | None]:
        states = self._optuna.trial.TrialState
        if trial.pruned is not None and len(self._sweep.objectives) == 1:
            return states.PRUNED, None
        if trial.bad or not trial.values:
            return states.FAIL, None
        return states.COMPLETE, [mean(column) for column in zip(*trial.values, strict=True)]

    def _frozen(self, trial: _Trial, params: Mapping[str, Any]) -> Any:
        state, values = self._result(trial)
        return self._optuna.trial.create_trial(
            state=state,
            params=dict(params),
            distributions={name: self._distributions[name] for name in params},
            values=values,
            intermediate_values=dict(trial.pruned or ()),
        )


def _is_done(record: Record) -> bool:
    return record.status in (Status.FINISHED, Status.PRUNED)


def objective_values(sweep: Sweep, record: Record) -> list[float] | None:
    """The metrics that the sweep looks at; None for a run without one of them, or with one that is no number."""
    if record.status is not Status.FINISHED:
        return None
    values = [record.metrics.get(objective.metric) for objective in sweep.objectives]
    known = [float(value) for value in values if value is not None and math.isfinite(value)]
    return known if len(known) == len(values) else None


@contextlib.contextmanager
def _quietly() -> Iterator[None]:
    """Without Optuna's warnings of what is experimental: what a person must know is said by us."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


# --- pruning


@dataclass(frozen=True, slots=True)
class Pruning:
    """What tells whether a run leads nowhere: the curves of the runs before it; for the run's own process."""

    pruner: str
    metric: str
    maximize: bool
    curves: tuple[Curve, ...]

    def why(self, curve: Curve) -> str:
        """Why a run with this curve so far is to end, in words; "" if it is not."""
        if not curve or not self.curves:
            return ""
        optuna = load_optuna()
        with _quietly():
            study = optuna.create_study(direction="maximize" if self.maximize else "minimize", study_name="sweep")
            states = optuna.trial.TrialState
            for other in self.curves:
                study.add_trial(_with_curve(optuna, states.COMPLETE, other))
            trial = _with_curve(optuna, states.RUNNING, curve)
            trial.number = len(self.curves)
            if not self._make(optuna).prune(study, trial):
                return ""
        step, value = curve[-1]
        return f"pruned at step {step}: {self.metric} {value:g}"

    def _make(self, optuna: Any) -> optuna.pruners.BasePruner:
        pruners = optuna.pruners
        if self.pruner == "percentile":
            return pruners.PercentilePruner(25.0, n_startup_trials=4)  # type: ignore[no-any-return]
        return pruners.MedianPruner(n_startup_trials=4)  # type: ignore[no-any-return]


def _with_curve(optuna: Any, state: Any, curve: Curve) -> Any:
    """A trial whose value is its curve's last."""
    values = dict(curve)
    value = curve[-1][1] if state == optuna.trial.TrialState.COMPLETE else None
    return optuna.trial.create_trial(state=state, value=value, intermediate_values=values)
