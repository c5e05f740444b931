"""Beginning a queued run, in the job that it waited for; and going on with it when the scheduler starts that again.

What is to run was frozen when it was queued: neither the worktree as it is now nor its configuration is looked at.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from git_replicate.capture import machine
from git_replicate.core.errors import UserError
from git_replicate.core.names import RUNS_PREFIX
from git_replicate.core.record import Record, Status
from git_replicate.core.settings import Settings
from git_replicate.execution.attempts import Earlier, store_left_over
from git_replicate.execution.isolation import sweep_worktrees
from git_replicate.execution.prepare import Place
from git_replicate.execution.rerun import in_checkout
from git_replicate.execution.run import run_at
from git_replicate.execution.ticket import find_asked
from git_replicate.store.store import read_files, read_run

_OVER: Final = frozenset({Status.FINISHED, Status.PRUNED})


def run_queued(name: str, place: Place) -> int:
    """Begin a queued run here and now, or go on with it; the exit code is the command's own.

    name: of the run, or ticket and number. One that has finished is left alone, and that is no error: its job may be
    started again for another's sake. `UserError` for one that was removed, or that has begun otherwise.
    """
    repo = place.repository
    _, asked = find_asked(repo.layout, name)
    if repo.read_ref(RUNS_PREFIX + asked.run) is None:
        raise UserError(f"run {asked.run} was removed while it was queued: nothing is run", "submit it again")
    found = read_run(repo, RUNS_PREFIX + asked.run)
    if found.record.status in _OVER:
        place.say(f"run {asked.run} has {found.record.status} already: nothing is run")
        return 0
    again = found.record.status is not Status.QUEUED
    if again:
        _check_restarted(found.record, os.environ)
        store_left_over(repo, found.record.id)
        sweep_worktrees(repo.layout, restarted=found.record.id)
        found = read_run(repo, found.ref)
    earlier = Earlier(found.record, found.commit, read_files(repo, found.commit).data or b"", frozen=True)
    code = replace(found.record.code, changed_during_run=(), mixed=False, leaked=False, executed=())
    request = replace(asked.request, quiet=False)
    outside = replace(place, settings=Settings())
    with in_checkout(outside, request, code, asked.prefix, found.record.id) as there:
        ran = run_at(there.site, request, there.place, there.held, there.links, earlier=earlier)
    return ran.outcome.shell_code


def _check_restarted(record: Record, environ: Mapping[str, str]) -> None:
    """`UserError` unless it is the run's own job that runs again."""
    job = machine.scheduler(environ)
    known = record.scheduler
    same = bool(job.job) and (job.cluster, job.job, job.task) == (known.cluster, known.job, known.task)
    if not (same or job.restart):
        state = "has begun already" if record.status is Status.RUNNING else f"has ended already ({record.status})"
        raise UserError(
            f"run {record.experiment}/{record.id} {state}: nothing is run", f"git replicate rerun {record.id}"
        )
