"""How a run's end becomes its final record: log, metrics, outputs, status.

Used by the recorder when the command has ended, by `finish` for sessions, and by recovery when the recorder died;
all three find the same things in the same places. It starts no process and asks nothing of a terminal.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from typing import NamedTuple

from git_replicate.capture.log import assemble_log
from git_replicate.capture.metric_files import Metrics, find_metrics_files, merge_metrics, read_metrics_file
from git_replicate.capture.metrics import OutputMetrics
from git_replicate.capture.outputs import Collected, collect_outputs, is_unwritten
from git_replicate.core import record as records
from git_replicate.core.names import run_ref
from git_replicate.core.record import Record, Status
from git_replicate.execution.launch import Outcome
from git_replicate.execution.plan import PLAN_FILE, Plan, load_plan
from git_replicate.execution.spool import Spool
from git_replicate.git.repository import Oid, Repository
from git_replicate.store.notes import write_notes
from git_replicate.store.snapshot import EndScan, remember_written
from git_replicate.store.store import Parts, SnapshotGoneError, begin, finish
from git_replicate.store.tested import remember_tree

START_FILE = "start"
RUN_FILE = "run.toml"


class Ended(NamedTuple):
    """What is known of a run's end."""

    record: Record
    plan: Plan
    notices: tuple[str, ...]


def conclude_run(
    repo: Repository,
    spool: Spool,
    *,
    outcome: Outcome | None,
    status: Status | None = None,
    scan: EndScan | None = None,
) -> Ended:
    """Store the end of a run and, once that has succeeded, let its spool go.

    `outcome` None: nobody saw the end; `status` then says what to call it. Whatever was not stored before (the disk
    was full) is stored now. `StorageError` or `GitError` leaves the spool as it is, for `recover`.
    """
    record = records.loads(spool.read(RUN_FILE) or b"")
    plan = load_plan(spool.read(PLAN_FILE) or b"{}")
    metrics, log, cut, notices = _read_output(spool, plan, record)
    record = with_outcome(record, outcome, status)
    record = replace(record, metrics=metrics.values, metrics_best=metrics.best, metrics_source=metrics.source)
    if scan is not None:
        code = replace(record.code, changed_during_run=scan.changed)
        record = replace(record, code=code, files=scan.written)
    if cut:
        notices.append(f"the log is cut in its middle: {cut} bytes are left out")
    parts = Parts(plan.environment.encode(), plan.data.encode(), metrics.curves.csv() if metrics.curves else b"", log)
    start, record = _started(repo, spool, record, parts)
    if record.status is Status.INTERRUPTED and plan.outputs:
        # Whoever interrupts may kill soon: what is known is stored first, then the outputs are hashed.
        start = finish(repo, record, start, parts)
    collected = _outputs(plan, record)
    notices += collected.notices
    record = replace(record, outputs=collected.outputs, missing=_united(record.missing, notices))
    record = replace(record, files=tuple(f for f in record.files if f.path not in collected.outputs))
    finish(repo, record, start, replace(parts, outputs=collected.tree, large=collected.store, pointers=plan.lfs))
    if record.code.tree:
        remember_tree(repo.layout, record.code.tree, run_ref(record.experiment, record.id))
    remember_written(repo, record.id, scan.written if scan else ())
    spool.remove()
    write_notes(repo)
    return Ended(record, plan, tuple(notices))


def _started(repo: Repository, spool: Spool, record: Record, parts: Parts) -> tuple[Oid, Record]:
    """The start commit: the one stored then, or else stored now, without the code if that has gone meanwhile."""
    text = (spool.read(START_FILE) or b"").decode(errors="replace").strip()
    if text and repo.exists(Oid(text)):
        return Oid(text), record
    code = record.code
    running = replace(records.loads(spool.read(RUN_FILE) or b""), status=Status.RUNNING)
    snapshot = (Oid(code.snapshot), Oid(code.tree)) if code.snapshot else (None, None)
    before = Parts(parts.environment, parts.data)
    try:
        start = begin(repo, running, snapshot[0], snapshot[1], before)
    except SnapshotGoneError as error:
        code = replace(code, missing=str(error))
        record = replace(record, code=code)
        start = begin(repo, replace(running, code=code), None, None, before)
    spool.write(START_FILE, start.encode())
    return start, record


def with_outcome(record: Record, outcome: Outcome | None, status: Status | None = None) -> Record:
    """The record with what an outcome adds; None if nobody saw the end."""
    if outcome is None:
        return replace(record, status=status or Status.LOST)
    ended, reason = judge(outcome)
    process = replace(
        record.process, peak_memory_bytes=outcome.peak_memory_bytes, cpu_seconds=round(outcome.cpu_seconds, 6)
    )
    return replace(
        record,
        status=status or ended,
        reason=reason,
        finished=outcome.finished,
        seconds=round(outcome.seconds, 6),
        exit_code=outcome.exit_code,
        signal=outcome.signal or "",
        process=process,
    )


def judge(outcome: Outcome) -> tuple[Status, str]:
    """The status that an outcome means, and the reason in words."""
    if outcome.problem:
        return Status.FAILED, outcome.problem
    if outcome.exit_code is None and outcome.signal is None:
        return Status.LOST, "nobody saw the end"
    if outcome.interrupted_by or outcome.signal in ("SIGINT", "SIGTERM"):
        if outcome.exit_code == 0:
            return Status.FINISHED, ""
        return Status.INTERRUPTED, f"interrupted by {outcome.interrupted_by or outcome.signal}"
    if outcome.signal:
        return Status.FAILED, f"killed by {outcome.signal}"
    return (Status.FINISHED, "") if outcome.exit_code == 0 else (Status.FAILED, f"exit {outcome.exit_code}")


def _read_output(spool: Spool, plan: Plan, record: Record) -> tuple[Metrics, bytes, int, list[str]]:
    """Metrics and log from one pass over the output, and from the declared files."""
    found = OutputMetrics(plan.patterns, rule=plan.stdout)

    def watched() -> Iterator[bytes]:
        # A piece of one stream may end in the middle of a line; what is left waits for its own stream to go on.
        rest = {"stdout": b"", "stderr": b""}
        for stream, seconds, data in spool.output():
            found.feed(data, time=seconds, stream=stream)
            whole, newline, rest_of_line = (rest[stream] + data).rpartition(b"\n")
            rest[stream] = rest_of_line
            yield whole + newline
        yield from rest.values()

    log = assemble_log(watched(), limit=plan.log_bytes)
    found.close()
    notices: list[str] = [*found.notices()]
    since = record.started.timestamp() if record.started else None
    sources = []
    for path in find_metrics_files(plan.metrics, plan.top):
        if is_unwritten(path, plan.top, plan.before):
            notices.append(f"metrics {path}: not written by this run")
            continue
        curves, notice = read_metrics_file(os.path.join(plan.top, path), shown=path, since=since)
        sources.append((path, curves))
        if notice:
            notices.append(f"metrics {notice}")
    output = found.curves() if plan.stdout or plan.patterns else None
    merged = merge_metrics(sources, output, always_output=bool(plan.patterns))
    return merged, log.data, log.cut, notices


def _outputs(plan: Plan, record: Record) -> Collected:
    if not plan.outputs:
        return Collected()
    since = record.started.timestamp() if record.started else None
    return collect_outputs(
        plan.outputs, plan.top, before=plan.before, large_bytes=plan.large_bytes, keep=plan.keep, since=since
    )


def _united(first: tuple[str, ...], second: list[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys((*first, *second)))
