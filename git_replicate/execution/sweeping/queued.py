"""Beginning a queued run, in the job that it waited for; and going on with it when that is started again.

What is to run was frozen when it was queued: neither the worktree as it is now nor its configuration is looked at.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import replace

from git_replicate.capture import machine
from git_replicate.core.errors import UserError
from git_replicate.core.names import RUNS_PREFIX
from git_replicate.core.record import Record, Status
from git_replicate.core.settings import Settings
from git_replicate.execution.attempts import Earlier, store_left_over
from git_replicate.execution.guard import Guard
from git_replicate.execution.isolation import sweep_worktrees
from git_replicate.execution.place import Place
from git_replicate.execution.replication.missed import hint_at_missing
from git_replicate.execution.replication.rerun import in_checkout
from git_replicate.execution.run import Ran, run_at
from git_replicate.execution.ticket import Asked, find_asked
from git_replicate.store.store import StoredRun, read_files, read_run


def run_queued(name: str, place: Place) -> int:
    """Begin a queued run here and now, or go on with it; the exit code is the command's own.

    name: of the run, or ticket and number. One that has finished is left alone, and that is no error: its job may be
    started again for another's sake. `UserError` for one that was removed, or that has begun otherwise.
    """
    _, asked = find_asked(place.repository.layout, name)
    found = find_queued(asked, place)
    if found.record.status in (Status.FINISHED, Status.PRUNED):
        place.say(f"run {asked.run} has {found.record.status} already: nothing is run")
        return 0
    guard = Guard(asked.timeout) if asked.timeout else None
    return carry_out(asked, found, place, check=_check_restarted, guard=guard).outcome.shell_code


def find_queued(asked: Asked, place: Place) -> StoredRun:
    """The run as it stands; `UserError` if it was removed meanwhile."""
    if place.repository.read_ref(RUNS_PREFIX + asked.run) is None:
        raise UserError(f"run {asked.run} was removed while it was queued: nothing is run", "submit it again")
    return read_run(place.repository, RUNS_PREFIX + asked.run)


def carry_out(
    asked: Asked, found: StoredRun, place: Place, *, check: Callable[[Record], None], guard: Guard | None
) -> Ran:
    """Run what was asked for, as the first attempt of the run or its next.

    check: raises if a run that has begun already is not to be continued.
    """
    repo = place.repository
    again = found.record.status is not Status.QUEUED
    if again:
        check(found.record)
        store_left_over(repo, found.record.id)
        sweep_worktrees(repo.layout, restarted=found.record.id)
        found = read_run(repo, found.ref)
    earlier = Earlier(found.record, found.commit, read_files(repo, found.commit).data or b"", frozen=True)
    code = found.record.code.again()
    outside = replace(place, settings=Settings())
    with in_checkout(outside, asked.request, code, asked.prefix, found.record.id) as there:
        ran = run_at(there.site, asked.request, there.place, there.held, there.links, earlier=earlier, guard=guard)
        hint_at_missing(ran.record, there.site, place)
        return ran


def _check_restarted(record: Record, environ: Mapping[str, str] = os.environ) -> None:
    """`UserError` unless it is the run's own job that runs again."""
    job = machine.scheduler(environ)
    known = record.scheduler
    same = bool(job.job) and (job.cluster, job.job, job.task) == (known.cluster, known.job, known.task)
    if not (same or job.restart):
        state = "has begun already" if record.status is Status.RUNNING else f"has ended already ({record.status})"
        raise UserError(
            f"run {record.experiment}/{record.id} {state}: nothing is run", f"git replicate rerun {record.id}"
        )
