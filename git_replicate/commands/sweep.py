"""`git replicate sweep`: many runs of one snapshot, over a space of params."""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
from dataclasses import replace
from typing import TYPE_CHECKING

from git_replicate.core.errors import UsageError, UserError
from git_replicate.core.sizes import count
from git_replicate.core.strategies import MANUAL, PRUNERS, SAMPLERS
from git_replicate.git.repository import Oid

if TYPE_CHECKING:
    from collections.abc import Sequence

    from git_replicate.commands.context import Context
    from git_replicate.core.record import Record
    from git_replicate.core.sweep import Planned
    from git_replicate.execution.sweeping.engine import Engine
    from git_replicate.execution.sweeping.search import Curve, Search
    from git_replicate.execution.sweeping.sweep import Job, Known, Source

    There = tuple[Planned, Record]
    """A run that a sweep asks for, and the record that there is of it."""


_ANY = 1_000_000
"""Points of a search that a person ends."""

_OF_THE_SWEEP = (
    "param", "space", "zip", "random", "search", "seeds", "metric", "maximize", "minimize", "prune", "repeat",
    "experiment", "message", "data", "output", "metrics", "tag", "prepare", "command",
)  # fmt: skip
"""Options that a sweep was given when it began."""


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
    add("-j", "--jobs", metavar="N", type=_positive, help="so many runs at the same time (default: 1, or one a GPU)")
    add("--gpus", metavar="LIST", default="", help="give each of these GPUs to one run at a time: 0,1 or all")
    add("-i", "--interactive", action="store_true", help="propose each point, show the results, take changes")
    add("--engine", metavar="ENGINE", default="local", help="local, dask://HOST:PORT, dask:FILE, slurm, pbs, lsf, ...")
    add("--via", metavar="REMOTE", default="", help="workers fetch runs from this git remote and push them back to it")
    add("--submit", action="store_true", help="hand the runs to the batch scheduler as an array of jobs, and return")
    add("--submit-option", metavar="OPTION", action="append", default=[], help="an option of the scheduler; repeatable")
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
    with contextlib.ExitStack() as stack:
        return _execute(options, context, stack)


def _execute(options: argparse.Namespace, context: Context, stack: contextlib.ExitStack) -> int:
    """Do what is asked for; the stack holds a new sweep's code until its runs do."""
    from git_replicate.commands._engines import check_options, engine_of, submit_sweep
    from git_replicate.commands._sweeping import show_plan
    from git_replicate.execution.jobs import RUN_VARIABLE
    from git_replicate.execution.sweeping.sweep import Listed

    if os.environ.get(RUN_VARIABLE):
        raise UserError("a sweep cannot begin within a run", f"env -u {RUN_VARIABLE} git replicate sweep ...")
    check_options(options)
    job, known = _resumed(options, context) if options.resume else (_new_job(options, context, stack), None)
    if options.interactive and not sys.stdin.isatty():
        raise UserError("-i asks, and standard input is not a terminal", "without -i: the points by options")
    if options.submit:
        return submit_sweep(options, context, job, known)
    with engine_of(options, context, job, known) as engine:
        if options.interactive:
            return _choose(options, context, job, known, engine)
        if job.sweep.planned:
            missing, begun, there = _missing(options, context, job, known, engine)
            if options.dry_run:
                words = _there_already([r for _, r in there], job.sweep.id, resumed=known is not None)
                return show_plan(context, job.sweep, missing, words)
            return _carry_out(options, context, job, known, engine, Listed(missing), begun, len(missing), there)
        if job.sweep.strategy == MANUAL:
            raise UsageError("the points of this sweep were chosen by hand", f"add -i: --resume {job.sweep.id} -i")
        if not job.sweep.trials:
            raise UsageError("how many points?", f"--resume {job.sweep.id} --trials 30, or -i")
        search, there = _search(context, job, known, job.sweep.trials)
        if options.dry_run:
            return show_plan(context, job.sweep, list(search.first(job.sweep.trials)))
        return _carry_out(options, context, job, known, engine, search, (), search.left, there)


def _choose(options: argparse.Namespace, context: Context, job: Job, known: Known | None, engine: Engine) -> int:
    """A sweep whose points a person takes or changes."""
    from git_replicate.commands._choosing import Chooser
    from git_replicate.execution.sweeping.manual import Chosen, Manual

    records = known.records if known else ()
    manual = job.sweep.strategy == MANUAL
    proposer = Manual(job.sweep, records) if manual else _search(context, job, known, _ANY)[0]
    source = Chosen(proposer, Chooser(context.console, job.sweep), records)
    return _carry_out(options, context, job, known, engine, source, (), 0, _there(known))


def _new_job(options: argparse.Namespace, context: Context, stack: contextlib.ExitStack) -> Job:
    """A new sweep of the code as it is now; `UserError` if what it asks for cannot reach the program."""
    from git_replicate.commands._engines import place_of
    from git_replicate.commands._sweeping import check_command, new_sweep
    from git_replicate.execution.replication.delivery import check_params, check_program, with_seed
    from git_replicate.execution.replication.missed import needs_of_program
    from git_replicate.execution.replication.rerun import frozen_code
    from git_replicate.execution.sweeping.sweep import Job, earlier_run
    from git_replicate.store.held import held

    sweep = new_sweep(options, context)
    console, layout = context.console, context.repository.layout
    if not options.submit and options.engine == "local" and not sweep.options.prepare:
        check_command(sweep.command, context.settings)
    code = stack.enter_context(held(context.writer, lambda: frozen_code(place_of(context))))
    check_program(sweep, context.repository, code, context.settings, layout.prefix)
    check_params(sweep, context.repository, code, context.settings)
    given = sweep.command
    sweep = with_seed(sweep, context.repository, code, earlier_run(context.index, given), layout.prefix)
    if sweep.command != given and not options.quiet:
        console.say(f"seeds are handed over in the command: {' '.join(sweep.command)}")
    needs = needs_of_program(context.index, given)
    prefix = layout.prefix.rstrip("/")
    return Job(sweep, needs.with_folders(code), layout.top or "", prefix, options.experiment, needs.linked)


def _resumed(options: argparse.Namespace, context: Context) -> tuple[Job, Known]:
    """The job of a sweep that exists, and its runs."""
    from git_replicate.core.secrets import MASK
    from git_replicate.core.sweep import read_sweep
    from git_replicate.execution.replication.missed import needs_of_program
    from git_replicate.execution.sweeping.sweep import Job, find_sweep

    given = [name for name in _OF_THE_SWEEP if getattr(options, name)]
    if given or options.strategy_seed is not None:
        name = given[0] if given else "strategy-seed"
        shown = {"param": "-p", "command": "the command"}.get(name, f"--{name}")
        raise UsageError(f"{shown}: --resume takes it from the sweep", "git replicate sweep --resume ID")
    known = find_sweep(context.index, options.resume, context.settings.results)
    last = known.records[-1]
    sweep = read_sweep(last)
    if options.trials:
        if sweep.planned:
            raise UsageError("--trials is for a search", f"git replicate sweep --resume {sweep.id}")
        sweep = replace(sweep, trials=options.trials)
    if options.timeout:
        sweep = replace(sweep, options=replace(sweep.options, timeout=options.timeout))
    if any(MASK in word for word in sweep.command):
        raise UserError(f"the command of sweep {sweep.id} had a secret, which is not recorded", "begin a new sweep")
    if not last.code.snapshot or not context.repository.exists(Oid(last.code.snapshot)):
        raise UserError(f"the code of sweep {sweep.id} is not in this clone", "git fetch --unshallow, or fetch the run")
    top = context.repository.layout.top or ""
    needs = needs_of_program(context.index, sweep.command)
    code = needs.with_folders(last.code.again())
    return Job(sweep, code, top, last.directory, last.experiment, needs.linked, resumed=True), known


def _missing(
    options: argparse.Namespace, context: Context, job: Job, known: Known | None, engine: Engine
) -> tuple[list[Planned], list[Planned], list[There]]:
    """The runs still to be done, those that somebody began, and those that there are already, here or elsewhere."""
    from git_replicate.execution.sweeping.reuse import alike
    from git_replicate.execution.sweeping.sweep import Known, key_of
    from git_replicate.execution.ticket import queued_runs

    plan = list(job.sweep.plan())
    known = known or Known()
    there, running = known.ended(), known.running()
    waiting = {run.record.id for run in queued_runs(context.repository)} if running else set()
    waits = {key for key, record in running.items() if record.id in waiting}
    if waits:
        context.console.say(
            f"{count(len(waits), 'run waits for its job', 'runs wait for their jobs')}: git replicate status"
        )
    elsewhere = known.elsewhere() - waits
    if elsewhere:
        name, are = running[min(elsewhere, key=str)].id, "is" if len(elsewhere) == 1 else "are"
        context.console.say(
            f"{len(elsewhere)} of its runs, begun on another machine, {are} left to it "
            f"(what is lost there is done here after: git replicate rm {name})"
        )
    left = [planned for planned in plan if key_of(planned) not in there]
    ours = running.keys() - waits - elsewhere
    begun = [planned for planned in left if key_of(planned) in ours]
    left = [planned for planned in left if key_of(planned) not in running]
    if options.engine == "local":
        say = (lambda line: None) if options.quiet else context.console.say
        there |= alike(context.index, job, engine, left, say)
    return (
        [planned for planned in left if key_of(planned) not in there],
        begun,
        [(planned, there[key_of(planned)]) for planned in plan if key_of(planned) in there],
    )


def _search(context: Context, job: Job, known: Known | None, trials: int) -> tuple[Search, list[There]]:
    """The search, from the runs that there are, and those of them that need not be done again."""
    from git_replicate.capture.curves import Curves
    from git_replicate.core.names import run_ref
    from git_replicate.execution.sweeping.search import Search
    from git_replicate.execution.sweeping.trial import curve_of
    from git_replicate.store.store import read_curves

    def read_curve(record: Record) -> Curve:
        text = read_curves(context.repository, run_ref(record.experiment, record.id))
        return curve_of(Curves.from_csv(text), job.sweep.objectives[0].metric)

    search = Search(replace(job.sweep, trials=trials), known.records if known else (), read_curve)
    return search, _there(known)


def _there(known: Known | None) -> list[There]:
    """What a sweep that goes on has done of itself."""
    from git_replicate.core.sweep import Planned, planned_of

    return [(Planned(*planned_of(record.sweep)), record) for record in known.ended().values()] if known else []


def _there_already(records: Sequence[Record], sweep: str, *, resumed: bool) -> str:
    """The runs that are not done again, in words."""
    if not records:
        return ""
    others = sum(record.sweep.get("id") != sweep for record in records)
    return f", {len(records)} there already" + (
        " (again: --repeat)" if not resumed else f" ({others} of other sweeps)" if others else ""
    )


def _carry_out(
    options: argparse.Namespace,
    context: Context,
    job: Job,
    known: Known | None,
    engine: Engine,
    source: Source,
    begun: Sequence[Planned],
    missing: int,
    there: Sequence[There],
) -> int:
    from git_replicate.commands._watching import Progress, finished_in
    from git_replicate.core.progress import Tally
    from git_replicate.core.sweep import Planned
    from git_replicate.execution.sweeping.sweep import INTERRUPTED, NotRecordedError, carry_out, prepare_once, tidy
    from git_replicate.store.notes import write_notes

    number = missing + len(begun)
    open_ended = options.interactive
    tally = Tally(0 if open_ended else number, job.sweep.objectives)
    for planned, record in there:
        tally.remember(planned.trial, planned.point, record)
    progress = Progress(context.console, context.repository, tally, quiet=options.quiet)
    before = [record for _, record in there]
    more = _there_already(before, job.sweep.id, resumed=known is not None)
    if not number and not open_ended:
        # A new sweep of which there is no run is nowhere: what there is, is of others.
        sweeps = [job.sweep.id] if known else finished_in(before)
        best = tally.best()
        progress.say(f"{f'sweep {job.sweep.id}: ' if known else ''}nothing to do{more}" + (f"; {best}" if best else ""))
        progress.compare(finished_in(before))
        context.console.answer("\n".join(sweeps))
        return 0
    runs = "as many runs as you like" if open_ended else count(number, "run")
    progress.say(f"sweep {job.sweep.id}: {runs}{more}")
    stopped = ""
    if job.sweep.options.prepare or context.settings.environment.prepare or context.settings.stage:
        prepare_once(job, engine, Planned(0, {}))
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
    except NotRecordedError as error:
        stopped = str(error)
        raise
    finally:
        tidy(context.writer)
        progress.close(job.sweep.id, before, stopped=bool(stopped))
    context.console.answer(job.sweep.id)
    return 130 if stopped == INTERRUPTED else 1 if tally.failed else 0
