"""Runs that wait for their job, or whose job runs on another machine: what their scheduler says of them.

Only a scheduler that answers is believed, and only about its own cluster: job numbers are the same elsewhere. A run
whose job has ended before it began is finalised; one that is silent stays queued.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from git_replicate.capture import machine
from git_replicate.core.errors import GitError, StorageError, UserError
from git_replicate.core.names import RUNS_PREFIX
from git_replicate.core.record import Record, Status
from git_replicate.execution.environment import clean_environment
from git_replicate.execution.schedulers import find_scheduler, scheduler_named
from git_replicate.execution.schedulers.kinds import JobState, Kind, Task
from git_replicate.execution.ticket import QueuedRun, drop_old_tickets, queued_runs, ticketed_runs
from git_replicate.git.repository import Repository
from git_replicate.store.store import Parts, finish, read_run


@dataclass(frozen=True, slots=True)
class Waiting:
    """A queued run and how its job stands; None where nobody says."""

    run: QueuedRun
    state: JobState | None

    @property
    def job(self) -> str:
        """Scheduler and number of the job, in words."""
        task = self.run.task
        if not task.job:
            return "its job is not known"
        return f"{self.run.handed.scheduler} job {task.job}" + (f"_{task.task}" if task.task else "")

    @property
    def words(self) -> str:
        """Why it waits, or that it will wait for ever."""
        if self.state is None:
            return "does not say how it stands" if self.run.task.job else ""
        if self.state.state == "ended":
            return f"ended before the run began{f': {self.state.why}' if self.state.why else ''}"
        return self.state.why

    @property
    def cancel(self) -> str:
        """The command that ends the job, "" if there is none to end."""
        kind = scheduler_named(self.run.handed.scheduler)
        over = self.state is not None and self.state.state == "ended"
        return kind.cancel(self.run.task) if kind and self.run.task.job and not over else ""


def waiting_runs(repo: Repository) -> list[Waiting]:
    """Every run that is queued here, oldest first, and how its job stands."""
    runs = queued_runs(repo)
    states = _states(runs)
    return [Waiting(run, states.get((run.handed.scheduler, run.task))) for run in runs]


def _states(runs: Sequence[QueuedRun]) -> dict[tuple[str, Task], JobState]:
    found: dict[tuple[str, Task], JobState] = {}
    for name in dict.fromkeys(run.handed.scheduler for run in runs):
        if kind := scheduler_named(name):
            tasks = [run.task for run in runs if run.handed.scheduler == name and run.task.job]
            found.update({(name, task): state for task, state in _ask(kind, tasks).items()})
    return found


def _ask(kind: Kind, tasks: Sequence[Task]) -> Mapping[Task, JobState]:
    """How jobs stand, those of other clusters left out."""
    if not tasks:
        return {}
    environ = clean_environment(os.environ)
    here = kind.cluster(environ)
    own = [task for task in tasks if task.cluster == here]
    return kind.states(own, environ) if own else {}


def end_abandoned(repo: Repository, *, dry_run: bool = False) -> Iterator[tuple[str, str, str]]:
    """Finalise the queued runs whose job has ended without them: name, what became of it, error."""
    ended = [item for item in waiting_runs(repo) if item.state is not None and item.state.state == "ended"]
    for item in ended:
        name = item.run.name
        if dry_run:
            yield name, f"would be ended: {item.job} {item.words}", ""
            continue
        try:
            # It may have begun, and ended, between the two questions.
            found = read_run(repo, RUNS_PREFIX + name)
            if found.record.status is Status.QUEUED:
                finish(repo, _without_beginning(item, found.record), found.commit, Parts())
                yield name, f"never began: {item.job} {item.words}", ""
        except (GitError, StorageError, OSError, UserError) as error:
            yield name, "still queued", str(error)
    if not dry_run:
        going = [run for run in ticketed_runs(repo) if not run.record.status.ended]
        drop_old_tickets(repo, going)


def _without_beginning(item: Waiting, record: Record) -> Record:
    cancelled = item.state is not None and item.state.why.startswith("CANCELLED")
    logs = item.run.ticket.logs()
    reason = f"{item.job} {item.words}" + (f"; see {logs[-1]}" if logs else "")
    status = Status.INTERRUPTED if cancelled else Status.LOST
    return replace(record, status=status, reason=reason, finished=datetime.now(UTC))


def is_forsaken(record: Record) -> bool:
    """Whether a run was queued for an engine by a process of this machine that has gone; it has no ticket."""
    import psutil

    process = record.process
    if record.status is not Status.QUEUED or process.host != machine.host() or record.started is None:
        return False
    if process.boot_id != machine.boot_id():
        return True
    try:
        # A process that is younger than the run has got a number that was free again.
        return psutil.Process(process.pid).create_time() > record.started.timestamp() + 1
    except psutil.Error:
        return True


def job_has_ended(record: Record) -> bool:
    """Whether the job of a run on another machine is over, and its scheduler, asked here, is sure of that."""
    job = record.scheduler
    if not job.job:
        return False
    task = Task(job.job, job.task, job.cluster)
    try:
        kind = find_scheduler("", os.environ)
    except UserError:
        return False
    state = _ask(kind, [task]).get(task)
    return state is not None and state.state == "ended"
