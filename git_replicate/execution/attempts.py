"""A job that its scheduler started again goes on with the run that its earlier attempt began.

Only if the run has not finished, and only if it is the same run still: the same code, data and params. Files that
were added since do not make other code (the earlier attempt's checkpoints and results are such). What the earlier
attempt left - a spool, if its recorder was killed - is stored first, on the run's own ref.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime
from typing import Any

from git_replicate.capture.undeclared import declared_data
from git_replicate.capture.values import flatten
from git_replicate.core.errors import FormatError, GitError, StorageError, UserError
from git_replicate.core.frozen import frozen
from git_replicate.core.names import RUNS_PREFIX
from git_replicate.core.paths import quote_path
from git_replicate.core.record import LeftOut, Record, Status
from git_replicate.execution.conclude import EARLIER_CURVES, conclude_run, outcome_of
from git_replicate.execution.jobs import JobRun
from git_replicate.execution.plan import PLAN_FILE, Plan, dump_plan, load_plan
from git_replicate.execution.reading import EARLIER_LOG
from git_replicate.execution.spool import Spool, fallback_root, spool_root
from git_replicate.git.repository import Mode, Oid, Repository
from git_replicate.store.snapshot import Snapshot
from git_replicate.store.store import read_files, read_run

_SHOWN = 5


@frozen
class Earlier:
    """A run as its last attempt left it."""

    record: Record
    commit: Oid
    data: bytes
    frozen: bool = False
    """What is to run was written down when it was queued: it is the same run, whatever lies in the worktree now."""

    @property
    def name(self) -> str:
        return f"{self.record.experiment}/{self.record.id}"


def find_earlier(repo: Repository, run: JobRun, warn: Callable[[str], None]) -> Earlier | None:
    """The run that an earlier attempt of the job began, if it has not finished; its left-over spool is stored."""
    try:
        store_left_over(repo, run.run.rpartition("/")[2])
        found = read_run(repo, RUNS_PREFIX + run.run)
        data = read_files(repo, found.commit).data or b""
    except (UserError, FormatError, GitError, StorageError, OSError) as error:
        warn(f"run {run.run} of this job's earlier attempt is not continued: {error}")
        return None
    if found.record.status in (Status.FINISHED, Status.PRUNED):
        return None
    return Earlier(found.record, found.commit, data)


def store_left_over(repo: Repository, run: str) -> None:
    """Store what a killed recorder of a run (its id) left; `UserError` if it is still there."""
    for root in (spool_root, fallback_root):
        spool = Spool(os.path.join(root(repo.layout.common_dir), run))
        if os.path.isdir(spool.folder):
            _store_rest(repo, spool)


def _store_rest(repo: Repository, spool: Spool) -> None:
    """Store what a killed recorder left; outputs are for the end of the run."""
    if spool.alive() in ("recorder", "holder", "command"):
        raise UserError("it is still running")
    plan = load_plan(spool.read(PLAN_FILE) or b'{"top": ""}')
    spool.write(PLAN_FILE, dump_plan(replace(plan, outputs=())))
    conclude_run(repo, spool, outcome=outcome_of(spool))


def difference(repo: Repository, earlier: Earlier, record: Record, data: bytes) -> str:
    """Why a new attempt is another run, in words; empty if it is the same."""
    before, now = earlier.record, record
    if earlier.frozen:
        return ""
    if before.code.tree != now.code.tree:
        if not (before.code.tree and now.code.tree):
            return "the code of one of its attempts is not recorded"
        changed = sorted(_changed(repo, Oid(before.code.tree), Oid(now.code.tree), now.code.left_out))
        if changed:
            more = f" and {len(changed) - _SHOWN} more" if len(changed) > _SHOWN else ""
            return f"the code has changed since ({', '.join(changed[:_SHOWN])}{more})"
    if repr(_known_at_start(before, before)) != repr(_known_at_start(now, before)):
        return "the params have changed since"
    return "the data have changed since" if declared_data(earlier.data) != declared_data(data) else ""


def _known_at_start(record: Record, before: Record) -> dict[str, Any]:
    """The params that a record has before its command runs, without those of which the run `before` knows better."""
    seen = {name for name, origin in before.params_source.items() if origin in ("parsed", "api")}
    passed = {"parsed", "api", "command"} if seen else {"api"}
    return {
        name: value
        for name, value in sorted(flatten(record.params).items())
        if name not in seen and record.params_source.get(name) not in passed
    }


def _changed(repo: Repository, before: Oid, now: Oid, left_out: tuple[LeftOut, ...]) -> set[str]:
    """The files of one tree that the other has not, or has otherwise, save those left out of the snapshot."""
    files = {item.path for item in left_out}
    folders = tuple(path for path in files if path.endswith("/"))
    found = {quote_path(path) for path in _differing(repo, before, now, b"")}
    return {path for path in found if path not in files and not path.startswith(folders)}


def _differing(repo: Repository, before: Oid, now: Oid | None, prefix: bytes) -> Iterator[bytes]:
    there = {entry.name: entry for entry in repo.read_tree(now)} if now else {}
    for entry in repo.read_tree(before):
        other = there.get(entry.name)
        if other == entry:
            continue
        path = prefix + entry.name
        if entry.mode == Mode.TREE:
            inner = other.oid if other is not None and other.mode == Mode.TREE else None
            yield from _differing(repo, entry.oid, inner, path + b"/")
        else:
            yield path


def continued(earlier: Earlier, record: Record) -> Record:
    """The record of the run as its new attempt, or after a time in a queue its first, begins."""
    before = earlier.record
    queued = before.status is Status.QUEUED
    return replace(
        before,
        status=Status.RUNNING,
        started=record.started if queued else before.started,
        attempts=before.attempts + (not queued),
        finished=None,
        seconds=None,
        exit_code=None,
        signal="",
        reason="",
        message=record.message or before.message,
        missing=tuple(dict.fromkeys((*before.missing, *record.missing))),
        process=replace(
            record.process,
            peak_memory_bytes=before.process.peak_memory_bytes,
            cpu_seconds=before.process.cpu_seconds,
        ),
        scheduler=record.scheduler if record.scheduler.job else before.scheduler,
    )


def continued_plan(earlier: Earlier, plan: Plan, now: datetime) -> Plan:
    """The plan of the new attempt: whatever was written since the run's start is the run's."""
    before = earlier.record
    started = before.started or now
    return replace(
        plan,
        before={},
        attempt=before.attempts + (before.status is not Status.QUEUED),
        elapsed=0.0 if before.status is Status.QUEUED else max((now - started).total_seconds(), 0.0),
        seconds=before.seconds or 0.0,
        cpu_seconds=before.process.cpu_seconds,
    )


def continued_snapshot(earlier: Earlier, snapshot: Snapshot) -> Snapshot:
    """The snapshot of the run, for the scan after the attempt."""
    code = earlier.record.code
    return replace(snapshot, commit=Oid(code.snapshot), tree=Oid(code.tree))


def keep_history(repo: Repository, earlier: Earlier, spool: Spool) -> None:
    """Put log and curves of the earlier attempts beside what the new one prints."""
    files = read_files(repo, earlier.commit)
    spool.write(EARLIER_LOG, files.log or b"")
    spool.write(EARLIER_CURVES, files.metrics_csv or b"")
