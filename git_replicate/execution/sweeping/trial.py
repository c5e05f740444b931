"""One run of a sweep: a small value that any process with git, Python and a clone can carry out.

`run_trial` is the whole of what a worker does. It keeps the checkout it has used for the next run of the same
snapshot, with nothing carried over, and lets it go when the process ends. Deciding which runs there are to be, and
what a failed one means, is the sweep's.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from git_replicate.capture.config import load_settings
from git_replicate.capture.curves import Curves
from git_replicate.core.errors import ReplicateError
from git_replicate.core.names import run_ref
from git_replicate.core.query import quote
from git_replicate.core.record import Code, Document, Record, Status, from_document
from git_replicate.core.sweep import planned_of
from git_replicate.execution.claims import claimed, is_claimed
from git_replicate.execution.conclude import conclude_run, curves_so_far, outcome_of
from git_replicate.execution.guard import Guard
from git_replicate.execution.isolation import Worktree, reuse, worktree
from git_replicate.execution.place import Place
from git_replicate.execution.plan import Request
from git_replicate.execution.prepare import capture_all
from git_replicate.execution.recover import LiveRun, live_runs
from git_replicate.execution.replication.missed import hint_at_missing
from git_replicate.execution.replication.replay import furnish, inside
from git_replicate.execution.run import run_at
from git_replicate.execution.spool import Spool, is_alive
from git_replicate.execution.sweeping.search import Curve, Pruning
from git_replicate.execution.sweeping.worker import interrupted
from git_replicate.git.config import read_config
from git_replicate.git.opening import find_layout, repository_at
from git_replicate.git.repository import Oid, Repository
from git_replicate.store.indexing.index import Index
from git_replicate.store.store import read_run

_LOOK_SECONDS = 0.2


@dataclass(frozen=True, slots=True)
class Task:
    """A run to be carried out."""

    top: str
    """Of a worktree of the repository."""
    prefix: str
    """The folder in it, relative: the command runs in the same folder of a checkout."""
    code: Code
    request: Request
    sweep: Document
    """The record's `[sweep]` table, with trial and point."""
    timeout: float = 0.0
    """Seconds; 0: none."""
    pruning: Pruning | None = None


@dataclass(frozen=True, slots=True)
class Ended:
    """What became of a task; without a record nothing ran, and `problem` says why."""

    record: Record | None
    warnings: tuple[str, ...] = ()
    problem: str = ""
    hint: str = ""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """Blob ids of a run's environment and data, "" for none; or the problem, and a hint."""

    environment: str
    data: str
    problem: str = ""
    hint: str = ""


@dataclass(slots=True)
class _Bench:
    """What a process keeps from one task to the next."""

    held: Worktree
    place: Place
    inner: Place
    code: Code
    prefix: str
    used: bool = False
    warnings: list[str] = field(default_factory=list)


_benches: dict[str, tuple[_Bench, contextlib.ExitStack]] = {}
"""By worktree: one at a time, so that a process never holds more than one checkout."""


def run_trial(task: Task) -> Ended:
    """Carry a task out, in a checkout of its snapshot."""
    try:
        with claimed(find_layout(task.top), task.sweep, task.request.seed):
            bench = _bench(task)
            bench.warnings.clear()
            record = _run(bench, task)
        return Ended(record, tuple(dict.fromkeys(bench.warnings)))
    except (ReplicateError, OSError) as error:
        _leave()
        return Ended(None, problem=_told(error), hint=_hint(error))


def go_on(task: Task) -> Ended:
    """Carry out a task of a sweep that was stopped: conclude the run there is once it ends, or do it, or do it again.

    Of a run that was killed with all that watched it nothing is known but that it began.
    """
    ended = take_over(task)
    lost = ended.record is not None and ended.record.status is Status.LOST
    return run_trial(task) if lost and not interrupted else ended


def take_over(task: Task) -> Ended:
    """Carry on where somebody else may have begun: conclude the run there is once it ends, or carry the task out."""
    try:
        repo = repository_at(find_layout(task.top))
        while (live := left_run(repo, task)) is None and _is_in_hand(repo, task) and not interrupted:
            time.sleep(_LOOK_SECONDS)  # a worker that was told of it has not begun it yet
        if live:
            return _concluded(repo, live)
        done = _finished(repo, task)
        return Ended(done) if done else run_trial(task)
    except (ReplicateError, OSError) as error:
        return Ended(None, problem=_told(error), hint="git replicate recover")


def _is_in_hand(repo: Repository, task: Task) -> bool:
    return is_claimed(repo.layout, task.sweep, task.request.seed)


def _finished(repo: Repository, task: Task) -> Record | None:
    """The run of this very task that has finished since somebody asked for it again."""
    condition = (
        f"runs.sweep = {quote(str(task.sweep['id']))} AND runs.status = 'finished'"
        " AND runs.invalid IS NULL AND runs.superseded_by IS NULL"
    )
    with contextlib.closing(Index.open(repo)) as index:
        index.refresh()
        found = map(from_document, index.documents(index.matching(condition)))
        return next((record for record in found if _is_of(record, task)), None)


def _is_of(record: Record, task: Task) -> bool:
    """Whether a run is what a task asks for."""
    table, seed = record.sweep, task.request.seed
    if table.get("id") != task.sweep["id"] or planned_of(table) != planned_of(task.sweep):
        return False
    return seed is None or record.seeds.run == seed


def _concluded(repo: Repository, live: LiveRun) -> Ended:
    """The run that somebody began, once it has ended."""
    while os.path.isdir(live.spool.folder) and live.spool.alive() != "none":
        _hand_on(live.spool)
        time.sleep(_LOOK_SECONDS)
    if os.path.isdir(live.spool.folder):
        ended = conclude_run(repo, live.spool, outcome=outcome_of(live.spool))
        return Ended(ended.record, ended.notices)
    return Ended(read_run(repo, run_ref(live.record.experiment, live.record.id)).record)


def _hand_on(spool: Spool) -> None:
    """Give a command that has no recorder any more what this process was told."""
    command = spool.read_json("process.json").get("command")
    while interrupted and command:
        number = interrupted.pop(0)
        if spool.alive() != "recorder" and is_alive(command["pid"], command["start"]):
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(command["pid"], number)


def look_around(task: Task) -> Surroundings:
    """The environment and the data that the task would have; built and brought up to date if they are not."""
    try:
        bench = _bench(task)
        site, _ = furnish(bench.held, bench.inner, task.request, os.environ, task.code)
        bench.used = True
        captured = capture_all(task.request, bench.inner, None, site)
        environment, data = captured.environment, captured.data
        write = bench.inner.repository.write_blob
        return Surroundings(write(environment) if environment else "", write(data) if data else "")
    except (ReplicateError, OSError) as error:
        _leave()
        return Surroundings("", "", _told(error), _hint(error))


def _told(error: ReplicateError | OSError) -> str:
    """What went wrong, without the number that the system has for it."""
    if isinstance(error, ReplicateError):
        return str(error)
    named = f" ({os.fsdecode(error.filename)})" if isinstance(error.filename, str | bytes) else ""
    return f"a run could not be recorded: {error.strerror or error}{named}"


def _hint(error: ReplicateError | OSError) -> str:
    return error.hint if isinstance(error, ReplicateError) else "df -h .git"


def left_run(repo: Repository, task: Task) -> LiveRun | None:
    """The run of this very task that somebody began and nobody has concluded."""
    return next((run for run in live_runs(repo) if _is_of(run.record, task)), None)


def _bench(task: Task) -> _Bench:
    """The checkout for a task: the one held, or a new one where that is of another snapshot."""
    known = _benches.get(task.top)
    if known is not None and (known[0].code, known[0].prefix) == (task.code, task.prefix):
        return known[0]
    _leave()
    layout = find_layout(task.top)
    config = read_config(layout)
    warnings: list[str] = []
    place = Place(repository_at(layout), config, load_settings(layout, config), _silent, warnings.append)
    stack = contextlib.ExitStack()
    held = stack.enter_context(worktree(layout, Oid(task.code.snapshot), task.code))
    bench = _Bench(held, place, inside(place, held, task.prefix), task.code, task.prefix, warnings=warnings)
    _benches[task.top] = bench, stack
    return bench


def _silent(line: str) -> None:
    """What a run would say of itself is said by the sweep."""


@atexit.register
def _leave() -> None:
    """Let go of the checkouts held."""
    while _benches:
        _, (_, stack) = _benches.popitem()
        stack.close()


def _run(bench: _Bench, task: Task) -> Record:
    held, request = bench.held, task.request
    if bench.used:
        reuse(held, Oid(task.code.snapshot), task.code)
    bench.used = True
    site, links = furnish(held, bench.inner, request, os.environ, task.code)
    site = replace(site, sweep=task.sweep)
    guard = Guard(task.timeout, pruned_by(task.pruning), told=interrupted)
    record = run_at(site, request, bench.inner, held, links, guard=guard, batch=True).record
    hint_at_missing(record, site, bench.inner)
    return record


def pruned_by(pruning: Pruning | None) -> Callable[[Spool], str] | None:
    """What a guard asks about the curves of a run."""
    if pruning is None or not pruning.curves:
        return None
    return lambda spool: pruning.why(curve_of(curves_so_far(spool), pruning.metric))


def curve_of(curves: Curves, metric: str) -> Curve:
    """The steps of one metric with their values; without steps of its own, their number."""
    points = [point for point in curves if point.metric == metric]
    return [(n if point.step is None else point.step, float(point.value)) for n, point in enumerate(points)]
