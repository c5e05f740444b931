"""Runs that nobody records any more: found, and finished with what they left.

A run is lost to its recorder when the recorder's process is gone. If its command goes on, so does the run, and there
is nothing to do yet; if the command has ended, the spool says how, and what it printed and wrote is still there.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from git_replicate.capture import machine
from git_replicate.core import record as records
from git_replicate.core.errors import FormatError, GitError, StorageError, UserError
from git_replicate.core.record import Record, Status
from git_replicate.execution.claims import remove_claims
from git_replicate.execution.conclude import RUN_FILE, conclude_run, outcome_of
from git_replicate.execution.isolation import sweep_worktrees
from git_replicate.execution.outcome import Outcome
from git_replicate.execution.plan import PLAN_FILE, load_plan
from git_replicate.execution.ranks import RANK_FILE, merge_ranks
from git_replicate.execution.spool import Alive, Spool, fallback_root, list_spools, spool_root
from git_replicate.execution.ticket import queued_runs
from git_replicate.execution.waiting import end_abandoned, is_forsaken, job_has_ended
from git_replicate.git.repository import Repository
from git_replicate.store.notes import heal_notes, write_notes
from git_replicate.store.sharing.elsewhere import elsewhere
from git_replicate.store.store import Parts, finish, list_runs, read_run


@dataclass(frozen=True, slots=True)
class LiveRun:
    """A run that has not been concluded, and who is still there."""

    record: Record
    spool: Spool
    alive: Alive
    session: bool

    @property
    def name(self) -> str:
        return f"{self.record.experiment}/{self.record.id}"

    @property
    def state(self) -> str:
        """In words: open, running, running without recorder, ended without recorder."""
        if self.session:
            return "open"
        words = {"recorder": "running", "holder": "running, recorder gone", "command": "running, recorder gone"}
        return words.get(self.alive, "on another machine" if self.alive == "elsewhere" else "recorder gone")


@dataclass(frozen=True, slots=True)
class Recovered:
    """What became of one run, in words; `error` if it could not be stored."""

    name: str
    outcome: str
    error: str = ""


def live_runs(repo: Repository) -> list[LiveRun]:
    """Every run of this repository that has a spool on this machine, oldest first."""
    common_dir = repo.layout.common_dir
    found = []
    for spool in (*list_spools(spool_root(common_dir)), *list_spools(fallback_root(common_dir))):
        text = spool.read(RUN_FILE)
        if text is None:
            continue
        try:
            record = records.loads(text)
        except FormatError:
            continue
        plan = load_plan(spool.read(PLAN_FILE) or b'{"top": ""}')
        found.append(LiveRun(record, spool, spool.alive(), plan.session))
    return found


def recover_runs(repo: Repository, *, dry_run: bool = False) -> Iterator[Recovered]:
    """Conclude every run whose processes have gone; those still running are only named."""
    for run in live_runs(repo):
        if run.session or run.alive == "recorder" or (run.alive == "elsewhere" and not job_has_ended(run.record)):
            continue
        if run.alive in ("holder", "command"):
            yield Recovered(run.name, "still running, without its recorder; recover it when it has ended")
            continue
        if dry_run:
            yield Recovered(run.name, "would be recovered")
            continue
        try:
            ended = conclude_run(repo, run.spool, outcome=outcome_of(run.spool))
        except (GitError, StorageError, OSError, UserError) as error:
            yield Recovered(run.name, f"kept in {run.spool.folder}", str(error))
            continue
        yield Recovered(run.name, f"recovered: {ended.record.status}")
    yield from _without_spool(repo, dry_run=dry_run)
    for item in end_abandoned(repo, dry_run=dry_run):
        yield Recovered(*item)
    for rank in merge_ranks(repo, dry_run=dry_run):
        yield Recovered(*rank)
    if not dry_run:
        _remove_leftovers(repo)
        sweep_worktrees(repo.layout)
        remove_claims(repo.layout)
        write_notes(repo)
        if heal_notes(repo):
            yield Recovered("notes", "made again from the runs")


def _without_spool(repo: Repository, *, dry_run: bool) -> Iterator[Recovered]:
    """Runs of this machine that are `running` in git while nothing is left of them: the machine went down."""
    known = {run.record.id for run in live_runs(repo)} | elsewhere(repo.layout)
    known |= {run.record.id for run in queued_runs(repo)}
    for run in list_runs(repo):
        if run.id in known:
            continue
        try:
            record = read_run(repo, run.ref).record
        except (FormatError, GitError, UserError):
            continue
        left = record.status is Status.RUNNING and record.process.host == machine.host()
        if not (left or is_forsaken(record)):
            continue
        if dry_run:
            yield Recovered(run.name, "would be recorded as lost")
            continue
        lost = replace(
            record, status=Status.LOST, reason="nothing was left of it" if left else "whoever queued it has gone"
        )
        finish(repo, lost, run.commit, Parts())
        yield Recovered(run.name, "recorded as lost")


def _remove_leftovers(repo: Repository) -> None:
    """Folders of runs that were killed before there was anything to record."""
    for spool in list_spools(spool_root(repo.layout.common_dir)):
        known = spool.read(RUN_FILE) is not None or spool.read(RANK_FILE) is not None
        if not known and spool.alive() == "none" and _is_old(spool):
            spool.remove()


def _is_old(spool: Spool) -> bool:
    try:
        return datetime.now(UTC).timestamp() - os.stat(spool.folder).st_mtime > 3600
    except OSError:
        return False


def finish_session(repo: Repository, name: str | None, *, failed: str | None, warn: Callable[[str], None]) -> Record:
    """Close an open session: the one named, or the only one there is."""
    sessions = [run for run in live_runs(repo) if run.session]
    if name is not None:
        sessions = [
            run
            for run in sessions
            if name == run.name or run.record.id.startswith(name) or run.record.id.endswith(name)
        ]
    if not sessions:
        wanted = f"no open session {name}" if name else "no session is open"
        raise UserError(wanted, "git replicate status lists them; git replicate start --open begins one")
    if len(sessions) > 1:
        names = ", ".join(run.name for run in sessions)
        raise UserError(f"several sessions are open: {names}", f"git replicate finish {sessions[-1].name}")
    run = sessions[0]
    started = run.record.started or datetime.now(UTC)
    now = datetime.now(UTC)
    seconds = (now - started).total_seconds()
    outcome = Outcome(1 if failed is not None else 0, None, started, now, seconds, problem=failed or "")
    ended = conclude_run(repo, run.spool, outcome=outcome)
    for notice in ended.notices:
        warn(notice)
    return ended.record
