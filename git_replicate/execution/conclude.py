"""How a run's end becomes its final record: log, metrics, outputs, status.

Used by the recorder when the command has ended, by `finish` for sessions, and by recovery when the recorder died;
all three find the same things in the same places. It starts no process and asks nothing of a terminal.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from git_replicate.capture.cells import CELLS_FILE, read_cells
from git_replicate.capture.curves import Curves
from git_replicate.capture.echoed import without_settings
from git_replicate.capture.metric_files import Metrics, find_metrics_files, merge_metrics, read_metrics_file
from git_replicate.capture.noted_params import api_notices
from git_replicate.capture.outputs import Collected, collect_outputs, is_unwritten
from git_replicate.capture.probe_report import PROBE_FOLDER, failures, read_report
from git_replicate.capture.tensorboard import SOURCE, EventSearch, is_event_file, read_event_files
from git_replicate.capture.tracked import Tracked, read_points, trackers_of
from git_replicate.capture.unread_metrics import suggest_patterns
from git_replicate.core import record as records
from git_replicate.core.known_secrets import NOTHING_KNOWN, KnownSecrets
from git_replicate.core.names import run_ref
from git_replicate.core.record import Record, Status
from git_replicate.core.sizes import count
from git_replicate.execution.hidden import mask_metrics, secrets_with
from git_replicate.execution.keeping import keeping, nearly_full, note_and_release, store_of, wanted
from git_replicate.execution.observed import (
    files_read,
    observe_code,
    observe_data,
    other_environment,
    read_seen,
    with_folders,
    without_report,
)
from git_replicate.execution.outcome import Outcome, read_outcome
from git_replicate.execution.plan import PLAN_FILE, Plan, load_plan
from git_replicate.execution.probing import unread_requests, with_cells, with_declared, with_report
from git_replicate.execution.reading import OutputReader, most_unread
from git_replicate.execution.spool import Spool
from git_replicate.git.repository import Oid, Repository
from git_replicate.store.code import SnapshotGoneError
from git_replicate.store.notes import write_notes
from git_replicate.store.snapshot import EndScan
from git_replicate.store.store import Parts, begin, finish, read_run
from git_replicate.store.tested import remember_tree
from git_replicate.store.written import remember_written

START_FILE = "start"
RUN_FILE = "run.toml"
EARLIER_CURVES = "earlier.csv"
"""What earlier attempts of the run measured."""


class Ended(NamedTuple):
    """What is known of a run's end."""

    record: Record
    plan: Plan
    notices: tuple[str, ...]
    hint: str = ""
    """How the run could have had metrics, if it has none and its output looks like some."""


def conclude_run(
    repo: Repository,
    spool: Spool,
    *,
    outcome: Outcome | None,
    status: Status | None = None,
    scan: EndScan | None = None,
    notes: bool = True,
    events: EventSearch | None = None,
) -> Ended:
    """Store the end of a run and, once that has succeeded, let its spool go.

    `outcome` None: nobody saw the end; `status` then says what to call it. Whatever was not stored before (the disk
    was full) is stored now. `events`: a search for them that has been made since the end. `StorageError` or `GitError`
    leaves the spool as it is, for `recover`.
    """
    record = records.loads(spool.read(RUN_FILE) or b"")
    plan = load_plan(spool.read(PLAN_FILE) or b"{}")
    report = read_report(spool.path(PROBE_FOLDER), plan.top)
    plan = with_declared(plan, report)
    record = with_outcome(record, plan, outcome, status)
    known = secrets_with(spool, report)
    metrics, log, cut, notices = read_output(spool, plan, record, events, known=known)
    record, warnings = with_report(record, report)
    cells = read_cells(report)
    record, more = with_cells(record, cells)
    warnings += [*more, *unread_requests(plan, record, warnings)]
    notices += api_notices(report)
    record = replace(record, trackers=trackers_of(report, plan.top) or record.trackers)
    if scan is not None:
        record = _with_scan(record, scan)
    seen, record = read_seen(report, record)
    code_seen = observe_code(repo, record, plan, seen, scanned=scan is not None)
    read = files_read(repo, record, plan, seen)
    record = with_folders(repo, read.in_record(code_seen.record), plan, seen)
    metrics = metrics if plan.patterns else without_settings(metrics, record.params, log)
    record = replace(record, metrics=metrics.values, metrics_best=metrics.best, metrics_source=metrics.source)
    doubts = [without_report(record, plan, report), other_environment(record, plan, report)]
    notices += [*filter(None, doubts), *code_seen.notices, *read.notices]
    if cut:
        notices.append(f"the log is cut in its middle: {count(cut, 'byte')} left out")
    parts = Parts(plan.environment.encode(), plan.data.encode(), metrics.curves.csv() if metrics.curves else b"", log)
    parts = replace(parts, extra={**code_seen.extern, **({CELLS_FILE: known.mask(cells.text)} if cells.total else {})})
    record = known.mask_record(record)
    start, record = _started(repo, spool, record, parts)
    if record.status is Status.INTERRUPTED and (plan.outputs or seen.reads or seen.folders):
        # Whoever interrupts may kill soon: what is known is stored first, then data and outputs are hashed.
        start = finish(repo, record, start, parts)
    parts = replace(parts, data=observe_data(repo, record, plan, seen, read))
    record = known.mask_record(replace(record, missing=_united(record.missing, [*notices, *failures(report)])))
    record, left = _store_end(repo, plan, record, start, parts)
    notices += left
    if record.code.tree:
        remember_tree(repo.layout, record.code.tree, run_ref(record.experiment, record.id))
    remember_written(repo.layout, record.id, scan.written if scan else ())
    spool.remove()
    if notes:
        write_notes(repo)
    hint = suggest_patterns(log) if not record.metrics and plan.stdout and not plan.patterns else None
    return Ended(record, plan, (*notices, *warnings, *code_seen.warnings), str(hint or ""))


def _with_scan(record: Record, scan: EndScan) -> Record:
    """The record with what the worktree looked like when the run had ended."""
    changed = tuple(sorted({*record.code.changed_during_run, *scan.changed}))
    written = {file.path: file for file in (*record.files, *scan.written)}
    code = replace(record.code, changed_during_run=changed)
    return replace(record, code=code, files=tuple(written[path] for path in sorted(written)))


def _store_end(
    repo: Repository, plan: Plan, record: Record, start: Oid, parts: Parts
) -> tuple[Record, tuple[str, ...]]:
    """Keep the outputs, store the record with them, and let older outputs go; the record, and notices."""
    with keeping(repo.layout, plan):
        keep, notice = wanted(repo.layout, plan, record) if plan.outputs else ("all", "")
        collected = _outputs(plan, record, keep)
        notices = [*filter(None, [notice]), *collected.notices]
        outputs = collected.outputs or record.outputs
        record = replace(
            record,
            outputs=outputs,
            missing=_united(record.missing, notices),
            files=tuple(file for file in record.files if file.path not in outputs),
        )
        store = store_of(repo.layout, plan)
        parts = replace(parts, outputs=collected.tree, large=collected.store, store=store, pointers=plan.lfs)
        commit = finish(repo, record, start, parts)
        if collected.store and (full := nearly_full(repo.layout, plan)):
            notices.append(full)
        if collected.tree or collected.store:
            record = read_run(repo, commit).record
        try:
            notices += note_and_release(repo, plan, record)
        except (OSError, ValueError, TypeError) as error:
            notices.append(f"older outputs are still kept: {error}")
    return record, tuple(notices)


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


def outcome_of(spool: Spool) -> Outcome | None:
    """How the command ended, from the holder's own file; None if that died as well."""
    ended = spool.read_json("exit.json")
    if not ended:
        return None
    record = records.loads(spool.read(RUN_FILE) or b"")
    plan = load_plan(spool.read(PLAN_FILE) or b'{"top": ""}')
    started = (record.started or datetime.now(UTC)) + timedelta(seconds=plan.elapsed)
    return read_outcome(ended, started, trusted=True)


def with_outcome(record: Record, plan: Plan, outcome: Outcome | None, status: Status | None = None) -> Record:
    """The record with what an outcome adds, on top of the attempts before; `lost` if nobody saw the end."""
    if outcome is None:
        return replace(record, status=status or Status.LOST, seconds=plan.seconds or None)
    ended, reason = judge(outcome)
    process = replace(
        record.process,
        peak_memory_bytes=max(outcome.peak_memory_bytes, record.process.peak_memory_bytes),
        cpu_seconds=round(plan.cpu_seconds + outcome.cpu_seconds, 6),
    )
    return replace(
        record,
        status=status or ended,
        reason=reason,
        finished=outcome.finished,
        seconds=round(plan.seconds + outcome.seconds, 6),
        exit_code=outcome.exit_code,
        signal=outcome.signal or "",
        process=process,
        stdin={} if outcome.idle_input else record.stdin,
    )


def judge(outcome: Outcome) -> tuple[Status, str]:
    """The status that an outcome means, and the reason in words."""
    if outcome.problem:
        return Status.FAILED, outcome.problem
    if outcome.pruned:
        return Status.PRUNED, outcome.pruned
    if outcome.exit_code is None and outcome.signal is None:
        return Status.LOST, "nobody saw the end"
    if outcome.interrupted_by or outcome.signal in ("SIGINT", "SIGTERM"):
        if outcome.exit_code == 0:
            return Status.FINISHED, ""
        return Status.INTERRUPTED, f"interrupted by {outcome.interrupted_by or outcome.signal}"
    if outcome.signal:
        return Status.FAILED, f"killed by {outcome.signal}"
    return (Status.FINISHED, "") if outcome.exit_code == 0 else (Status.FAILED, f"exit {outcome.exit_code}")


def curves_so_far(spool: Spool) -> Curves:
    """What a run that goes on has measured until now."""
    record = records.loads(spool.read(RUN_FILE) or b"")
    return read_output(spool, load_plan(spool.read(PLAN_FILE) or b"{}"), record)[0].curves


def read_output(
    spool: Spool,
    plan: Plan,
    record: Record,
    search: EventSearch | None = None,
    *,
    known: KnownSecrets = NOTHING_KNOWN,
) -> tuple[Metrics, bytes, int, list[str]]:
    """Metrics and log from one pass over the output, and from the declared files; known secrets are masked."""
    hurry = record.status is Status.INTERRUPTED  # whoever interrupts may kill soon
    reader = OutputReader.of_all(spool, plan, most=most_unread(plan, hurry=hurry))
    log = reader.close(known)
    found = reader.metrics
    notices: list[str] = [*found.notices()]
    if reader.unread:
        notices.append(f"the output came too fast to be read; no metrics are from {count(reader.unread, 'byte')} of it")
    since = record.started.timestamp() if record.started else None
    declared = find_metrics_files(plan.metrics, plan.top)
    tracked = read_points(spool.path(PROBE_FOLDER), since=since)
    events, lines = _event_curves(plan, declared, since, tracked, search or EventSearch(plan.top))
    notices += lines
    sources = [*tracked.sources, (SOURCE, events)]
    for path in declared:
        if is_event_file(path):
            continue
        if is_unwritten(path, plan.top, plan.before):
            notices.append(f"metrics {path}: not written by this run")
            continue
        curves, notice = read_metrics_file(os.path.join(plan.top, path), shown=path, since=since)
        sources.append((path, curves))
        if notice:
            notices.append(f"metrics {notice}")
    output = found.curves() if plan.stdout or plan.patterns else None
    merged = merge_metrics(sources, output, always_output=bool(plan.patterns))
    if plan.attempt > 1:
        merged = _after_earlier(merged, Curves.from_csv(spool.read(EARLIER_CURVES) or b""), record)
    return mask_metrics(merged, known), log.data, log.cut, notices


def _event_curves(
    plan: Plan, declared: Sequence[str], since: float | None, tracked: Tracked, search: EventSearch
) -> tuple[Curves, list[str]]:
    """The curves that the run wrote for TensorBoard, wherever in the worktree, and notices."""
    known = [os.path.join(plan.top, path) for path in declared if is_event_file(path)]
    found = search.files(since=since, known=known)
    written = [path for path in found if not is_unwritten(os.path.relpath(path, plan.top), plan.top, plan.before)]
    return read_event_files(written, top=plan.top, since=since, seen=tracked.writers)


def _after_earlier(metrics: Metrics, earlier: Curves, record: Record) -> Metrics:
    """The curves of earlier attempts and then this one's, which replace those of the same step."""
    again = {(p.metric, p.step) for p in metrics.curves if p.step is not None}
    # A file that the command only lengthens holds the earlier points still.
    again_in_file = {(p.metric, p.value) for p in metrics.curves if metrics.source.get(p.metric) != "stdout"}
    united = Curves()
    for p in earlier:
        if (p.metric, p.step) in again if p.step is not None else (p.metric, p.value) in again_in_file:
            continue
        united.add(p.metric, p.value, p.step, p.time)
    for p in metrics.curves:
        united.add(p.metric, p.value, p.step, p.time)
    values = {**record.metrics, **united.last(), **metrics.values}
    seen = set(united.names)
    best = {**{name: b for name, b in record.metrics_best.items() if name not in seen}, **united.best()}
    source = {**record.metrics_source, **metrics.source}
    return Metrics(
        values={name: values[name] for name in sorted(values)},
        best={name: best[name] for name in sorted(best)},
        source={name: source[name] for name in sorted(source)},
        curves=united,
    )


def _outputs(plan: Plan, record: Record, keep: str) -> Collected:
    if not plan.outputs:
        return Collected()
    since = record.started.timestamp() if record.started else None
    return collect_outputs(
        plan.outputs, plan.top, before=plan.before, large_bytes=plan.large_bytes, keep=keep, since=since
    )


def _united(first: tuple[str, ...], second: list[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys((*first, *second)))
