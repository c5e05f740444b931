"""`git replicate sweep`: many runs of one snapshot, over a space of params."""

from __future__ import annotations

import argparse
import os
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from git_replicate.core.errors import UsageError, UserError
from git_replicate.core.strategies import PRUNERS, SAMPLERS
from git_replicate.git.repository import Oid

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from git_replicate.commands.context import Context
    from git_replicate.core.record import Record
    from git_replicate.core.sweep import Objective, Planned, Sweep
    from git_replicate.execution.engine import Engine
    from git_replicate.execution.search import Curve, Search
    from git_replicate.execution.sweep import Job, Known, Source


def configure(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("-p", "--param", metavar="NAME=VALUES", action="append", default=[], help="0.1,0.01  1..8  1e-5..1e-1:log")
    add("--space", metavar="FILE", help="a TOML file of params and their values")
    add("--zip", metavar="NAMES", action="append", default=[], help="params, with commas, that change together")
    add("--random", metavar="N", type=_positive, help="N random points of the space instead of the whole grid")
    add("--search", metavar="SAMPLER", choices=SAMPLERS, help="let Optuna choose the points: tpe, gp or cmaes")
    add("--trials", metavar="N", type=_positive, help="so many points for a search")
    add("--metric", metavar="NAME", action="append", default=[], help="what is best; NAME:max, NAME:min; repeatable")
    add("--maximize", action="store_true", help="more of the metrics is better (default: as configured)")
    add("--minimize", action="store_true", help="less of them is better")
    add("--prune", metavar="PRUNER", choices=PRUNERS, default="", help="end runs with poor curves: median, percentile")
    add("--strategy-seed", metavar="SEED", type=_seed_number, help="where random points start from (default: drawn)")
    add("--seeds", metavar="N", default="", help="run each point with seeds 0 to N-1, or with a list: 3,7,11")
    add("-j", "--jobs", metavar="N", type=_positive, default=1, help="so many runs at the same time (default: 1)")
    add("--resume", metavar="SWEEP", help="do what is missing of a sweep, and again what failed")
    add("--timeout", metavar="TIME", type=_time, default=0.0, help="end a run that takes longer: 90, 90s, 20m, 2h")
    add("--stop-after", metavar="N", type=_positive, default=0, help="begin no run once N have failed")
    add("--repeat", action="store_true", help="run also what has the same finished run already")
    add("--dry-run", action="store_true", help="show the runs, and do none")
    add("-e", "--experiment", metavar="NAME", default="", help="name of the series (default: the script's name)")
    add("-m", "--message", metavar="TEXT", default="", help="why these runs, in your words")
    add("--data", metavar="PATH", action="append", default=[], help="a file or folder the runs read; hashed first")
    add("--output", metavar="GLOB", action="append", default=[], help="files to keep with each run")
    add("--metrics", metavar="FILE", action="append", default=[], help="a JSON, TOML, YAML or CSV file of metrics")
    add("--tag", metavar="TAG", action="append", default=[], help="tag the runs; repeatable")
    add("--prepare", action="store_true", help="build the project's environment first (cached), and run in it")
    add("-q", "--quiet", action="store_true", help="say nothing but errors")
    add("command", metavar="COMMAND", nargs=argparse.REMAINDER, help="the command (default: the configured one)")


def _positive(text: str) -> int:
    if not (text.isascii() and text.isdigit()) or not 0 < int(text) <= 1_000_000:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 1 to 1000000")
    return int(text)


def _time(text: str) -> float:
    units = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
    number, unit = (text[:-1], text[-1]) if text[-1:] in units else (text, "s")
    try:
        seconds = float(number) * units[unit]
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < 1e9:
        raise argparse.ArgumentTypeError(f"{text!r} is not a time; try 90s, 20m or 2h")
    return seconds


def _seed_number(text: str) -> int:
    if not (text.isascii() and text.isdigit()) or int(text) >= 2**32:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 0 to 4294967295")
    return int(text)


def execute(options: argparse.Namespace, context: Context) -> int:
    from git_replicate.execution.engine import LocalEngine
    from git_replicate.execution.jobs import RUN_VARIABLE
    from git_replicate.execution.sweep import Listed

    if os.environ.get(RUN_VARIABLE):
        raise UserError("a sweep cannot begin within a run", f"env -u {RUN_VARIABLE} git replicate sweep ...")
    job, known = _resumed(options, context) if options.resume else (_new_job(options, context), None)
    with LocalEngine([{}] * options.jobs) as engine:
        if job.sweep.planned:
            missing, begun, there = _missing(options, context, job, known, engine)
            if options.dry_run:
                return _show_plan(context, job.sweep, missing)
            return _carry_out(options, context, job, known, engine, Listed(missing), begun, len(missing), there)
        search, there = _search(context, job, known)
        if options.dry_run:
            return _show_plan(context, job.sweep, list(search.first(job.sweep.trials)))
        return _carry_out(options, context, job, known, engine, search, (), search.left, there)


def _new_job(options: argparse.Namespace, context: Context) -> Job:
    """A new sweep of the code as it is now; `UserError` if what it asks for cannot reach the program."""
    from git_replicate.execution.delivery import check_params, with_seed
    from git_replicate.execution.prepare import Place
    from git_replicate.execution.sweep import Job, earlier_run, take_code

    sweep = _new_sweep(options, context)
    console, layout = context.console, context.repository.layout
    code = take_code(Place(context.writer, context.config, context.settings, console.say, console.warn))
    check_params(sweep, context.repository, code, context.settings)
    given = sweep.command
    sweep = with_seed(sweep, context.repository, code, earlier_run(context.index, given), layout.prefix)
    if sweep.command != given and not options.quiet:
        console.say(f"seeds are handed over in the command: {' '.join(sweep.command)}")
    return Job(sweep, code, layout.top or "", layout.prefix.rstrip("/"), options.experiment)


def _new_sweep(options: argparse.Namespace, context: Context) -> Sweep:
    """What the command line asks for."""
    from datetime import UTC, datetime

    from git_replicate.commands.start import from_top
    from git_replicate.core.names import new_run_id
    from git_replicate.core.space import parse_space, read_space
    from git_replicate.core.strategies import GRID, RANDOM
    from git_replicate.core.sweep import Options, Sweep

    words = options.command[1:] if options.command[:1] == ["--"] else options.command
    command = tuple(words) or tuple(context.settings.command)
    if not command:
        raise UsageError("no command to run", "git replicate sweep -p lr=0.1,0.01 -- python train.py --lr {lr}")
    base = read_space(_read_file(options.space)) if options.space else None
    space = parse_space(options.param, options.zip, base)
    seeds = _seeds(options.seeds)
    if not space.dimensions and not seeds:
        raise UsageError("nothing to sweep over", "-p lr=0.1,0.01, or --seeds 5")
    prefix = context.repository.layout.prefix
    drawn = int.from_bytes(os.urandom(4), "big")
    strategy = options.search or (RANDOM if options.random else GRID)
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
    )
    _check_search(options, sweep)
    return sweep


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
    if sweep.planned:
        given = [name for name in ("trials", "prune") if getattr(options, name)]
        if given:
            raise UsageError(f"--{given[0]} is for a search", "--search tpe --trials 30 --metric accuracy --maximize")
        if len(sweep.objectives) > 1:
            raise UsageError("several metrics are for a search", "--search tpe --trials 30")
        return
    if not sweep.objectives:
        raise UsageError(f"--search {sweep.strategy}: what is to be the best?", "--metric accuracy --maximize")
    if not sweep.trials:
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


def _resumed(options: argparse.Namespace, context: Context) -> tuple[Job, Known]:
    """The job of a sweep that exists, and its runs."""
    from git_replicate.core.secrets import MASK
    from git_replicate.core.sweep import read_sweep
    from git_replicate.execution.sweep import Job, code_again, find_sweep

    if options.param or options.space or options.command or options.seeds or options.random or options.search:
        raise UsageError("--resume takes command, params and seeds from the sweep", "git replicate sweep --resume ID")
    known = find_sweep(context.index, options.resume, context.settings.results)
    last = known.records[-1]
    sweep = read_sweep(last)
    if options.trials:
        if sweep.planned:
            raise UsageError("--trials is for a search", f"git replicate sweep --resume {sweep.id}")
        sweep = replace(sweep, trials=options.trials)
    if any(MASK in word for word in sweep.command):
        raise UserError(f"the command of sweep {sweep.id} had a secret, which is not recorded", "begin a new sweep")
    if not last.code.snapshot or not context.repository.exists(Oid(last.code.snapshot)):
        raise UserError(f"the code of sweep {sweep.id} is not in this clone", "git fetch --unshallow, or fetch the run")
    top = context.repository.layout.top or ""
    return Job(sweep, code_again(last.code), top, last.directory, last.experiment), known


def _missing(
    options: argparse.Namespace, context: Context, job: Job, known: Known | None, engine: Engine
) -> tuple[list[Planned], list[Planned], int]:
    """The runs still to be done, those that somebody began, and how many there are already."""
    from git_replicate.execution.sweep import alike, key_of

    plan = list(job.sweep.plan())
    if known is None:
        there = {} if options.repeat else alike(context.index, job, engine, plan)
        return [planned for planned in plan if key_of(planned) not in there], [], len(there)
    ended, running = known.ended(), known.running()
    left = [planned for planned in plan if key_of(planned) not in ended]
    begun = [planned for planned in left if key_of(planned) in running]
    return [planned for planned in left if key_of(planned) not in running], begun, len(plan) - len(left)


def _show_plan(context: Context, sweep: Sweep, missing: Sequence[Planned]) -> int:
    from git_replicate.core.table import Table
    from git_replicate.render import text

    names = list(sweep.space.dimensions)
    seed = ("seed",) if sweep.seeds else ()
    columns = ("trial", *(f"params.{name}" for name in names), *seed)
    rows = tuple(
        (planned.trial, *(planned.point[name] for name in names), *((planned.seed,) if seed else ()))
        for planned in missing
    )
    context.console.answer(text.render(Table(columns, rows), width=context.console.width), page=True)
    return 0


def _search(context: Context, job: Job, known: Known | None) -> tuple[Search, int]:
    """The search, from the runs that there are, and how many of them need not be done again."""
    from git_replicate.capture.curves import Curves
    from git_replicate.core.names import run_ref
    from git_replicate.execution.search import Search
    from git_replicate.execution.trial import curve_of
    from git_replicate.store.store import read_curves

    def read_curve(record: Record) -> Curve:
        text = read_curves(context.repository, run_ref(record.experiment, record.id))
        return curve_of(Curves.from_csv(text), job.sweep.objectives[0].metric)

    records = known.records if known else ()
    return Search(job.sweep, records, read_curve), len(known.ended()) if known else 0


def _carry_out(
    options: argparse.Namespace,
    context: Context,
    job: Job,
    known: Known | None,
    engine: Engine,
    source: Source,
    begun: Sequence[Planned],
    missing: int,
    there: int,
) -> int:
    from git_replicate.commands._watching import Progress
    from git_replicate.core.progress import Tally
    from git_replicate.core.sweep import planned_of
    from git_replicate.execution.sweep import carry_out, tidy
    from git_replicate.store.notes import write_notes

    number = missing + len(begun)
    tally = Tally(number, next(iter(job.sweep.objectives), None))
    for record in known.ended().values() if known else ():
        tally.remember(*planned_of(record.sweep), record)
    progress = Progress(context.console, context.repository, tally, quiet=options.quiet)
    more = f", {there} there already" + (" (again: --repeat)" if not known else "") if there else ""
    progress.say(f"sweep {job.sweep.id}: {number} run{'s' * (number != 1)}{more}")
    stopped = ""
    try:
        stopped = carry_out(
            job,
            source,
            engine,
            progress,
            stop_after=options.stop_after,
            begun=begun,
            upkeep=lambda: write_notes(context.writer),
        )
    finally:
        tidy(context.writer)
        progress.close(job.sweep.id)
    context.console.answer(job.sweep.id)
    return 130 if stopped == "interrupted" else 1 if tally.failed else 0
