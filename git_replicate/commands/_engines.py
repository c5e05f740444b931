"""Where the runs of `git replicate sweep` are carried out: here, on an engine, or by the jobs of a batch scheduler."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING

from git_replicate.core.errors import UsageError, UserError
from git_replicate.core.sizes import count

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from git_replicate.commands.context import Context
    from git_replicate.execution.place import Place
    from git_replicate.execution.sweeping.engine import Engine
    from git_replicate.execution.sweeping.remote import Via
    from git_replicate.execution.sweeping.sweep import Job, Known


def check_options(options: argparse.Namespace) -> None:
    """`UsageError` for options that do not go together, before any code is recorded."""
    if options.submit_option and not options.submit:
        raise UsageError("--submit-option says how to submit, and nothing is submitted", "add --submit")
    if options.submit and options.engine != "local":
        raise UsageError("--submit needs no engine: each job does one run", "leave out --engine or --submit")
    if options.submit and (options.interactive or options.gpus or options.stop_after or options.prune):
        name = "-i" if options.interactive else "--gpus" if options.gpus else "--prune" if options.prune else ""
        name = name or "--stop-after"
        raise UsageError(f"{name} needs somebody who watches, and jobs run by themselves", "leave it out, or --submit")
    if options.via and options.engine == "local":
        raise UsageError("--via says how the workers of an engine get at runs", "add --engine")
    if options.engine != "local" and options.gpus:
        raise UsageError("--gpus shares out this machine's GPUs", "give each worker of the engine its own")
    if options.engine != "local":
        from git_replicate.execution.sweeping.dask_engine import JOBQUEUE, is_engine

        if not is_engine(options.engine):
            raise UsageError(
                f"there is no engine {options.engine!r}", f"local, dask://HOST:PORT, dask:FILE, {', '.join(JOBQUEUE)}"
            )


@contextlib.contextmanager
def engine_of(options: argparse.Namespace, context: Context, job: Job, known: Known | None) -> Iterator[Engine]:
    """What carries the runs out, for as long as the block lasts."""
    if options.engine == "local" or options.dry_run:
        from git_replicate.commands._sweeping import slots
        from git_replicate.execution.sweeping.engine import LocalEngine

        with LocalEngine(slots(options)) as local:
            yield local
        return
    from git_replicate.execution.sweeping.dask_engine import connected
    from git_replicate.execution.sweeping.remote import RemoteEngine
    from git_replicate.git.opening import state_dir

    log = os.path.join(state_dir(context.repository.layout), "engine")
    begun = known.running().values() if known else ()
    via = _via(options, context) if options.via else None
    with connected(options.engine, options.jobs or 0, job.sweep.size(), context.settings.submit, log) as dask:
        if not dask.slots() and not options.quiet:
            context.console.say("there are no workers yet: runs wait for them")
        engine = RemoteEngine(place_of(context), dask.executor, dask.slots, dask.interrupt, begun, via)
        try:
            yield engine
        finally:
            engine.close()


def _via(options: argparse.Namespace, context: Context) -> Via:
    """The remote that workers use; `UserError` if nobody has agreed to publish runs there."""
    from git_replicate.commands import _sharing
    from git_replicate.execution.sweeping.remote import Via
    from git_replicate.git.remotes import find_remote
    from git_replicate.store.sharing.agreed import has_agreed

    layout = context.repository.layout
    remote = find_remote(options.via, layout, context.config)
    if not has_agreed(layout, remote):
        raise UserError(
            f"nobody has agreed to publish runs to {remote.shown} yet", f"git replicate push {remote.quoted}"
        )
    return Via(_sharing.connect(context, remote, interactive=False), _sharing.names_for(context, None))


def place_of(context: Context) -> Place:
    """Where the runs of this worktree happen."""
    from git_replicate.execution.place import Place

    console = context.console
    return Place(context.writer, context.config, context.settings, console.say, console.warn)


def submit_sweep(options: argparse.Namespace, context: Context, job: Job, known: Known | None) -> int:
    """Hand every run that is missing to the batch scheduler."""
    from git_replicate.execution.sweeping.submit import submit_many
    from git_replicate.execution.sweeping.sweep import key_of

    if not job.sweep.planned:
        strategy = job.sweep.strategy
        raise UsageError(f"{strategy} chooses points as runs end, and jobs run by themselves", "use --engine slurm")
    there = {**known.ended(), **known.running()} if known else {}
    missing = [planned for planned in job.sweep.plan() if key_of(planned) not in there]
    if options.dry_run:
        from git_replicate.commands._sweeping import show_plan

        return show_plan(context, job.sweep, missing)
    jobs = []
    if missing:
        tasks = [job.task(planned) for planned in missing]
        jobs = submit_many(tasks, job.sweep.id, place_of(context), options.submit_option, options.jobs or 0)
    if not options.quiet:
        more = f", {len(there)} there already" if there else ""
        queued = f" queued as job{'s' * (len(jobs) > 1)} {', '.join(jobs)}" if jobs else ""
        context.console.say(f"sweep {job.sweep.id}: {count(len(missing), 'run')}{queued}{more}")
    context.console.answer(job.sweep.id)
    return 0
