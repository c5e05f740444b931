"""The options of `git replicate sweep` as values: the sweep, its objectives and seeds, the slots of its workers."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from git_replicate.core.errors import UsageError, UserError
from git_replicate.core.sizes import count
from git_replicate.core.strategies import GRID, MANUAL, RANDOM

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping, Sequence

    from git_replicate.commands.context import Context
    from git_replicate.core.settings import Settings
    from git_replicate.core.space import Space
    from git_replicate.core.sweep import Objective, Planned, Sweep

_SHOWN = 10_000
"""Runs that a dry run shows."""


def new_sweep(options: argparse.Namespace, context: Context) -> Sweep:
    """What the command line asks for."""
    from datetime import UTC, datetime

    from git_replicate.commands.start import from_top
    from git_replicate.core.names import new_run_id
    from git_replicate.core.space import LARGEST_GRID, parse_space, read_space
    from git_replicate.core.sweep import Options, Sweep

    words = options.command[1:] if options.command[:1] == ["--"] else options.command
    command = tuple(words) or tuple(context.settings.command)
    if not command:
        raise UsageError("no command to run", "git replicate sweep -p lr=0.1,0.01 -- python train.py --lr {lr}")
    base = read_space(_read_file(options.space)) if options.space else None
    space = parse_space(options.param, options.zip, base)
    _check_secrets(space)
    seeds = _seeds(options.seeds)
    if not space.dimensions and not seeds:
        raise UsageError("nothing to sweep over", "-p lr=0.1,0.01, or --seeds 5")
    prefix = context.repository.layout.prefix
    drawn = int.from_bytes(os.urandom(4), "big")
    strategy = options.search or (MANUAL if options.interactive else RANDOM if options.random else GRID)
    sweep = Sweep(
        id=new_run_id(datetime.now(UTC), os.urandom(4)),
        command=command,
        space=space,
        strategy=strategy,
        strategy_seed=drawn if options.strategy_seed is None else options.strategy_seed,
        trials=options.random or options.trials or 0,
        seeds=seeds,
        objectives=_objectives(options, context),
        pruner=options.prune,
        options=Options(
            message=options.message,
            data=tuple(from_top(prefix, path) for path in options.data),
            outputs=tuple(from_top(prefix, path) for path in options.output),
            metrics=tuple(from_top(prefix, path) for path in options.metrics),
            tags=tuple(options.tag),
            prepare=options.prepare,
            timeout=options.timeout,
        ),
        # What a worker elsewhere, or a job, has for an environment is not known here.
        repeat=options.repeat or options.engine != "local" or options.submit,
    )
    _check_search(options, sweep)
    if sweep.size() > LARGEST_GRID:
        raise UsageError(f"{sweep.size():,} runs: {LARGEST_GRID:,} are the most", "fewer values, seeds or points")
    return sweep


def check_command(command: Sequence[str], settings: Settings) -> None:
    """`UserError` if there is no such command here, unless it may be there only in an environment yet to be built."""
    from git_replicate.execution.environment import clean_environment, current_directory, find_command

    if settings.environment.prepare or ("{" in command[0] and " " not in command[0]):
        return
    try:
        find_command(command[0], clean_environment(os.environ), current_directory())
    except UserError as error:
        raise UserError(str(error), error.hint) from error  # as an error of the sweep, whose exit code is its own


def _check_secrets(space: Space) -> None:
    """`UsageError` for a secret: every run's record holds the space, and a secret must be in none."""
    from git_replicate.core.secrets import is_secret_name, mask_command
    from git_replicate.core.space import describe

    for name, dimension in space.dimensions.items():
        word = f"--{name}={describe(dimension)}"
        if is_secret_name(name) or mask_command((word,)) != (word,):
            raise UsageError(
                f"-p {name}: a secret is recorded nowhere, so nothing can be swept over it",
                f"export {name.upper()}=...",
            )


def _objectives(options: argparse.Namespace, context: Context) -> tuple[Objective, ...]:
    """The metrics of the command line, or the first that is configured; each with its direction."""
    from git_replicate.core.stats import smaller_is_better
    from git_replicate.core.sweep import Objective

    if options.maximize and options.minimize:
        raise UsageError("--maximize and --minimize: one of them", "for each metric: --metric accuracy:max")
    results = context.settings.results
    found = []
    for text in options.metric or (*results.maximize, *results.minimize)[:1]:
        name, colon, direction = text.rpartition(":")
        if not colon or direction not in ("max", "min"):
            name, direction = text, "max" if options.maximize else "min" if options.minimize else ""
        larger = direction == "max" or (
            not direction and not smaller_is_better(name, results.maximize, results.minimize)
        )
        found.append(Objective(name, larger))
    return tuple(found)


def _check_search(options: argparse.Namespace, sweep: Sweep) -> None:
    """`UsageError` for options that do not go together."""
    if sum(map(bool, (options.random, options.search))) > 1:
        raise UsageError("--random and --search: one of them", "--search tpe --trials 30")
    if sweep.strategy == MANUAL and (options.random or options.trials or options.prune):
        raise UsageError("-i asks for every point", "without --random, --trials and --prune; or --search tpe")
    if sweep.planned or sweep.strategy == MANUAL:
        given = [name for name in ("trials", "prune") if getattr(options, name)]
        if given:
            raise UsageError(f"--{given[0]} is for a search", "--search tpe --trials 30 --metric accuracy --maximize")
        if len(sweep.objectives) > 1:
            raise UsageError("several metrics are for a search", "--search tpe --trials 30")
        return
    if not sweep.objectives:
        raise UsageError(f"--search {sweep.strategy}: what is to be the best?", "--metric accuracy --maximize")
    if not sweep.trials and not options.interactive:
        raise UsageError(f"--search {sweep.strategy}: how many points?", "--trials 30")
    if not sweep.space.dimensions:
        raise UsageError(f"--search {sweep.strategy}: over what?", "-p lr=1e-5..1e-1:log")
    if sweep.pruner and (len(sweep.objectives) > 1 or len(sweep.seeds) > 1):
        raise UsageError("--prune goes with one metric and one run a point", "leave --prune out")


def _read_file(path: str) -> Mapping[str, Any]:
    from git_replicate.capture.documents import read_document

    document, notice = read_document(path, shown=path)
    if notice or not isinstance(document, dict):
        raise UserError(notice or f"{path}: not a table of params", "a space file is TOML: [params] and lr = [0.1]")
    return document


def _seeds(text: str) -> tuple[int, ...]:
    """`5`: 0 to 4; `3,7,11` and `10..14`: these."""
    if not text:
        return ()
    from git_replicate.core.space import grid_values, parse_dimension

    if text.isascii() and text.isdigit():
        if not 0 < int(text) <= 10_000:
            raise UsageError(f"--seeds {text}: not a number from 1 to 10000", "try: --seeds 5")
        return tuple(range(int(text)))
    values = grid_values("seeds", parse_dimension("seeds", text))
    if not all(isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**32 for value in values):
        raise UsageError(f"--seeds {text}: not seeds from 0 to 4294967295", "try: --seeds 5, or --seeds 3,7,11")
    return tuple(values)


def slots(options: argparse.Namespace) -> list[dict[str, str]]:
    """What each worker has of its own: a GPU, if they are shared out."""
    if not options.gpus:
        return [{}] * (options.jobs or 1)
    from git_replicate.capture.environment.gpu import visible_devices

    if options.gpus == "all":
        devices = visible_devices(os.environ)
        if not devices:
            raise UserError("--gpus all: no GPU is seen here", "without --gpus, or name them: --gpus 0,1")
    else:
        devices = [device.strip() for device in options.gpus.split(",")]
        if not all(devices) or len(set(devices)) < len(devices):
            raise UsageError(f"--gpus {options.gpus}: not a list of GPUs, each once", "try: --gpus 0,1")
    return [{"CUDA_VISIBLE_DEVICES": devices[n % len(devices)]} for n in range(options.jobs or len(devices))]


def show_plan(context: Context, sweep: Sweep, missing: Sequence[Planned], there: str = "") -> int:
    """The runs that would be done, as a table; what of them is there already, as words to follow others, is said."""
    from git_replicate.core.table import Table
    from git_replicate.render import text

    if not missing:
        context.console.say(f"nothing to do{there}")
        return 0
    names = list(sweep.space.dimensions)
    seed = ("seed",) if sweep.seeds else ()
    columns = ("trial", *(f"params.{name}" for name in names), *seed)
    rows = tuple(
        (planned.trial, *(planned.point[name] for name in names), *((planned.seed,) if seed else ()))
        for planned in missing[:_SHOWN]
    )
    context.console.answer(text.render(Table(columns, rows), width=context.console.width), page=True)
    if len(missing) > _SHOWN:
        context.console.say(f"and {len(missing) - _SHOWN:,} more runs")
    if there:
        context.console.say(f"{count(len(missing), 'run')} to do{there}")
    return 0
