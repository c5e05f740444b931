"""What `import git_replicate` gives to a program, for what nobody can see from outside.

There is one implementation, this one: the installed package takes its functions from here, and in a run whose
interpreter has no such package `shim` makes `git_replicate` importable from here. Outside of a run nothing is noted,
and each function does only what the program itself needs of it: `param` returns the default, `output` the path, and
`seed` seeds. Inside one it appends to the files of its process, as the probe does: no git, no network.
"""

from __future__ import annotations

import os
import warnings

from git_replicate_probe.place import is_upper_rank
from git_replicate_probe.points import Points, number, numbers, whole
from git_replicate_probe.values import plain

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any, TypeVar

    from git_replicate_probe.own_run import Run
    from git_replicate_probe.session import Probe

    Value = TypeVar("Value")
    Path = TypeVar("Path", str, os.PathLike[str])

__all__ = ["log", "output", "param", "params", "run", "seed"]

PARAMS_VARIABLE = "GIT_REPLICATE_PARAMS"
STEP_NAMES = ("global_step", "step", "iter", "iteration", "epoch")
"""Without a `step`, the first of these that is a whole number is the step and no metric."""
_SEEDS = 2**32
_MOST_FOREIGN = 100


class _Recorder:
    """Where the calls of this process go."""

    def __init__(self, probe: Probe) -> None:
        self.probe = probe
        self.points = Points(probe)
        self.foreign: set[str] = set()


class _Process:
    """Whether it is known yet where the calls go, and where."""

    looked = False
    recorder: _Recorder | None = None


_process = _Process()


def attach(probe: Probe | None) -> None:
    """Have the calls noted by a probe from now on; None: by nobody."""
    _process.recorder = _Recorder(probe) if probe is not None else None
    _process.looked = True


def _current() -> _Recorder | None:
    """The recorder of this process; in a run whose probe does not observe (`-I`, `--no-probe`), one of our own."""
    if not _process.looked:
        from git_replicate_probe import session

        try:
            attach(session.own_probe())
        except Exception as error:  # settings that are none
            attach(None)
            warnings.warn(f"git replicate: nothing is recorded from here: {error!r}", RuntimeWarning, stacklevel=3)
    return _process.recorder


def log(metrics: Mapping[str, Any] | None = None, /, *, step: float | None = None, **named: Any) -> None:
    """Record numbers: `log(step=3, loss=0.2)`; names that are no words: `log({"val/acc": 0.9}, step=3)`.

    Tensors of one element and scalars of any library count, inner tables under names joined by dots. What is no
    number is left out, and the record says so once for each name. Of a parallel job only rank 0 is recorded.
    """
    recorder = _current()
    if recorder is not None and not recorder.probe.rank:
        recorder.probe.guarded("api log", _log, recorder, metrics, step, named)


def _log(recorder: _Recorder, metrics: Mapping[str, Any] | None, step: Any, named: dict[str, Any]) -> None:
    given = named if metrics is None else {**metrics, **named}
    values = numbers(given)
    if len(values) != len(given):
        _note_foreign(recorder, given)
    at = whole(step)
    if step is None:
        name = next((name for name in STEP_NAMES if whole(values.get(name)) is not None), None)
        at = whole(values.pop(name)) if name is not None else None
    if not is_upper_rank():
        recorder.points.add("api", "", at, values)


def _note_foreign(recorder: _Recorder, given: Mapping[str, Any]) -> None:
    """Note the names whose values are no numbers, each once."""
    for name, value in given.items():
        known = hasattr(value, "items") or number(value) is not None or name in recorder.foreign
        if not known and len(recorder.foreign) < _MOST_FOREIGN:
            recorder.foreign.add(name)
            recorder.probe.note("api_foreign", name=str(name), type=type(value).__name__)


def param(name: str, default: Value) -> Value:
    """The value that `start -p NAME=VALUE` asked for, else the default; it is recorded as a param of the run.

    A requested number has the default's type where nothing is lost by it. A dotted name is a nested param.
    """
    requested = _requested(name)
    value = default if requested is None else _as(default, requested[0])
    recorder = _current()
    if recorder is not None and not recorder.probe.rank:
        recorder.probe.note("api_params", values={name: plain(value)}, requested=requested is not None)
    return value


def params(values: Mapping[str, Any] | None = None, /, **named: Any) -> None:
    """Record hyperparameters that the program has from elsewhere: `params(config)`, `params(vars(args))`."""
    recorder = _current()
    if recorder is not None and not recorder.probe.rank:
        recorder.probe.note("api_params", values=plain({**(values or {}), **named}), requested=False)


def _requested(name: str) -> tuple[Any] | None:
    """The requested value in a tuple; None where there is none."""
    path = os.environ.get(PARAMS_VARIABLE, "")
    if not path:
        return None
    import json

    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as file:
            table = json.load(file)
    except (OSError, ValueError) as error:
        warnings.warn(f"git replicate: the params asked for cannot be read: {error}", RuntimeWarning, stacklevel=3)
        return None
    parts = name.replace("-", "_").split(".")
    for depth in range(len(parts)):
        rest = ".".join(parts[depth:])  # a name that is a value and a table stays dotted
        if isinstance(table, dict) and rest in table:
            return (table[rest],)
        table = table.get(parts[depth]) if isinstance(table, dict) else None
    return None


def _as(default: Any, value: Any) -> Any:
    """A requested value as the default's type, where that says the same."""
    if isinstance(default, bool):
        return bool(value) if value in (0, 1) else value
    if isinstance(default, float) and type(value) is int:
        return float(value)
    if isinstance(default, int) and isinstance(value, float) and value == value and abs(value) < 2**53:
        return int(value) if value == int(value) else value
    if isinstance(default, str) and not isinstance(value, str) and value is not None:
        import json

        return json.dumps(value)
    if isinstance(default, tuple) and isinstance(value, list):
        return tuple(value)
    if isinstance(default, os.PathLike) and isinstance(value, str):
        return type(default)(value)  # type: ignore[call-arg]
    return value


def output(path: Path) -> Path:
    """Keep a file or folder (or what a glob names) with the run as it is at the run's end; returns the path."""
    recorder = _current()
    if recorder is not None:
        recorder.probe.note("api_output", path=os.path.abspath(os.fspath(path)))
    return path


def seed(value: int | None = None) -> int:
    """Seed the generators of `random`, NumPy, PyTorch, TensorFlow and Keras, and return the seed.

    It is the one that `start --seed N` asked for, else `value`, else the run's own, else a fresh one. Libraries that
    are imported later are seeded then.
    """
    recorder = _current()
    told = recorder.probe.settings if recorder is not None else {}
    run_seed = told.get("seed")
    if run_seed is not None and (told.get("seed_mode") == "given" or value is None):
        value = int(run_seed)
    if value is None:
        value = int.from_bytes(os.urandom(4), "big")
    if isinstance(value, bool) or not 0 <= value < _SEEDS:
        raise ValueError(f"seed {value} is outside 0 to {_SEEDS - 1}")
    from git_replicate_probe import reseed

    reseed.seed_all(value, recorder.probe if recorder is not None else None)
    return value


def run(
    experiment: str = "",
    *,
    message: str = "",
    tags: Sequence[str] = (),
    seed: int | None = None,
    join: bool = False,
) -> Run:
    """Begin a run of this process's own, where nobody runs it under `start`: in a notebook, in a script.

    `with run(...):`, or `run(...)` and later `.finish()`; at the latest it ends with the process. Within a run it is
    a part of that one. With a `seed` the generators are seeded as by `seed`. `RuntimeError` where the run cannot be
    recorded: no repository, no `git replicate` on this machine.

    `join`: become a part of the session that `git replicate start --open` began in this repository, until
    `git replicate finish` ends it.
    """
    from git_replicate_probe import own_run

    if join:
        begun = own_run.join(attach)
    else:
        begun = own_run.begin(experiment, message=message, tags=tuple(tags), seed=seed, attach=attach)
    if seed is not None:
        _seed(seed)
    return begun


_seed = seed
