"""Carrying a sweep out: which runs are missing, who does them, and when to stop.

One snapshot is taken when the sweep is submitted, and every run is a checkout of it. What is known of a sweep is in
the records of its runs, so whoever has one of them can go on; this file keeps nothing of its own. Where runs are
carried out is the engine's, what a person sees is the watcher's, which point comes next the source's.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from git_replicate.capture import machine
from git_replicate.core import record as records
from git_replicate.core.errors import ReplicateError, UserError
from git_replicate.core.query import quote
from git_replicate.core.record import Code, Record, Status
from git_replicate.core.settings import ResultsSettings
from git_replicate.core.sizes import count
from git_replicate.core.sweep import Planned, Sweep, planned_of
from git_replicate.execution.claims import remove_claims
from git_replicate.execution.isolation import sweep_worktrees
from git_replicate.execution.plan import Request
from git_replicate.execution.processes import is_git
from git_replicate.execution.replication.delivery import fault, same_program
from git_replicate.execution.sweeping.engine import Engine, WorkerDiedError
from git_replicate.execution.sweeping.search import Pruning
from git_replicate.execution.sweeping.trial import Ended, Surroundings, Task, go_on, look_around, run_trial, take_over
from git_replicate.git.repository import Repository
from git_replicate.store.indexing.index import Index
from git_replicate.store.lookup import find_run
from git_replicate.store.notes import write_notes

INTERRUPTED: Final = "interrupted"
"""Why a sweep was stopped whose person, or system, wanted it to end."""
_SAME_PRESS_SECONDS = 0.5
"""The `git` that runs us hands on what it gets, and the terminal has sent us the same."""
_TICK_SECONDS = 0.5
_SEARCHED = 20
_UPKEEP_SECONDS = 15.0
_DEATHS = 2
"""How often a run may take its worker with it before it counts as failed."""
_ON_DEATH: Final = "is there enough memory? see: dmesg"


class NotRecordedError(UserError):
    """A run could not be begun, or its end not be stored; the sweep itself is as it should be."""


class Source(Protocol):
    """Where the runs to be done come from."""

    def next(self) -> Planned | None:
        """The next run to begin; None while, or when, there is none."""
        ...

    def ended(self, planned: Planned, record: Record | None) -> None:
        """A run has ended; None: it could not be begun."""
        ...

    def pruning(self) -> Pruning | None:
        """What a run that begins now is compared with while it runs."""
        ...


class Watcher(Protocol):
    """Who is told how it goes."""

    def begun(self, planned: Planned) -> None: ...
    def ended(self, planned: Planned, ended: Ended) -> None: ...
    def stopping(self, why: str, left: int) -> None: ...
    def tick(self) -> None: ...


class Listed:
    """The runs of a plan, in order."""

    def __init__(self, planned: Iterable[Planned]) -> None:
        self._left = iter(planned)

    def next(self) -> Planned | None:
        return next(self._left, None)

    def ended(self, planned: Planned, record: Record | None) -> None:
        """Nothing depends on it."""

    def pruning(self) -> None:
        """Every run of a plan runs to its end."""


@dataclass(frozen=True, slots=True)
class Job:
    """What is the same for all runs of a sweep on this machine."""

    sweep: Sweep
    code: Code
    top: str
    """Of the worktree."""
    prefix: str = ""
    """The folder in it that the command runs in, relative."""
    experiment: str = ""
    linked: tuple[str, ...] = ()
    """Paths that earlier runs of the program were seen to read in the worktree."""
    resumed: bool = False
    """Whether somebody may have begun some of its runs already."""

    def task(self, planned: Planned, pruning: Pruning | None = None) -> Task:
        """One run, as a value for whoever carries it out."""
        sweep, options = self.sweep, self.sweep.options
        request = Request(
            command=sweep.command,
            experiment=self.experiment,
            message=options.message,
            params=tuple(planned.point.items()),
            seed=planned.seed,
            data=options.data,
            outputs=options.outputs,
            metrics=options.metrics,
            tags=options.tags,
            prepare=options.prepare,
            linked=self.linked,
            quiet=True,
        )
        return Task(self.top, self.prefix, self.code, request, sweep.document(planned), options.timeout, pruning)


@dataclass(slots=True)
class _State:
    """The driver's own."""

    engine: Engine
    watcher: Watcher
    running: dict[Future[Ended], tuple[Planned, int]] = field(default_factory=dict)
    """What is being carried out, and how many workers have died of it."""
    stopped: str = ""
    fault: ReplicateError | None = None
    failures: int = 0
    presses: int = 0
    pressed: float = -1e9


def carry_out(
    job: Job,
    source: Source,
    engine: Engine,
    watcher: Watcher,
    *,
    stop_after: int = 0,
    begun: Iterable[Planned] = (),
    upkeep: Callable[[], None] = lambda: None,
) -> str:
    """Have the runs of a source carried out; why that was stopped before its end, or "".

    begun: runs that somebody began and nobody may have ended. stop_after: failures after which no run begins; 0: any.
    upkeep: called now and then, for what is not done after each run.
    What a run tells of the sweep as a whole (its params reach nothing, code leaks) is raised once all have ended.
    """
    state = _State(engine, watcher)
    kept_up = time.monotonic()
    with _signals(state):
        for planned in begun:
            _submit(state, go_on, job, planned)
        while True:
            while not state.stopped and len(state.running) < engine.slots:
                following = source.next()
                if following is None:
                    break
                # Of a sweep that was killed, any run may be there still.
                _submit(state, go_on if job.resumed else run_trial, job, following, pruning=source.pruning())
            if not state.running:
                break
            done, _ = wait(state.running, timeout=_TICK_SECONDS, return_when=FIRST_COMPLETED)
            for future in done:
                _ended(state, job, source, future, stop_after)
            watcher.tick()
            if time.monotonic() - kept_up > _UPKEEP_SECONDS:
                upkeep()
                kept_up = time.monotonic()
    if state.fault is not None:
        raise state.fault
    return state.stopped


def tidy(repo: Repository) -> None:
    """What is due after many runs: their notes, and the checkouts and claims that killed workers left."""
    sweep_worktrees(repo.layout)
    remove_claims(repo.layout)
    write_notes(repo)


def _submit(
    state: _State,
    function: Callable[[Task], Ended],
    job: Job,
    planned: Planned,
    *,
    deaths: int = 0,
    pruning: Pruning | None = None,
) -> None:
    """Have a run carried out; `deaths`: of the workers that were at it before, which nobody need be told of again."""
    state.running[state.engine.submit(function, job.task(planned, pruning))] = planned, deaths
    if not deaths:
        state.watcher.begun(planned)


def _ended(state: _State, job: Job, source: Source, future: Future[Ended], stop_after: int) -> None:
    """Take in what became of one run."""
    planned, deaths = state.running.pop(future)
    try:
        ended = future.result()
    except WorkerDiedError as error:
        if deaths + 1 < _DEATHS:
            # Stopped or not: the command that it left may still run.
            _submit(state, take_over, job, planned, deaths=deaths + 1)
            return
        ended = Ended(None, problem=str(error), hint=_ON_DEATH)
    record = ended.record
    source.ended(planned, record)
    state.watcher.ended(planned, ended)
    if record is None:
        state.fault = state.fault or NotRecordedError(ended.problem, ended.hint)
        _stop(state, "an error of the sweep")
        return
    if found := fault(job.sweep, planned, record, job.top):
        state.fault = state.fault or found
        _stop(state, "an error of the sweep")
        state.engine.interrupt(signal.SIGINT)
    if record.status in (Status.FAILED, Status.LOST):
        state.failures += 1
        if stop_after and state.failures >= stop_after:
            _stop(state, f"{count(state.failures, 'run')} failed")


def _stop(state: _State, why: str) -> None:
    if not state.stopped:
        state.stopped = why
        state.watcher.stopping(why, len(state.running))


@contextlib.contextmanager
def _signals(state: _State) -> Iterator[None]:
    """Once: no new runs. Twice: the runs are interrupted; once more, or asked to end: they are asked to end."""

    def heard(number: int, frame: object) -> None:
        now = time.monotonic()
        if number == signal.SIGINT and now - state.pressed < _SAME_PRESS_SECONDS and is_git(os.getppid()):
            return
        state.pressed = now
        state.presses += 1 if number == signal.SIGINT else 2
        if state.presses == 1:
            _stop(state, INTERRUPTED)
        else:
            state.stopped = state.stopped or INTERRUPTED
            state.watcher.stopping("the runs are interrupted", len(state.running))
            state.engine.interrupt(signal.SIGINT if state.presses == 2 and number == signal.SIGINT else signal.SIGTERM)

    # What is ignored stays so: the caller (`nohup`, a shell's background) wants it.
    heeded = [n for n in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP) if signal.getsignal(n) != signal.SIG_IGN]
    before = {n: signal.signal(n, heard) for n in heeded}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


# --- what there is already


@dataclass(frozen=True, slots=True)
class Known:
    """The runs of a sweep that exist, newest last."""

    records: tuple[Record, ...] = ()

    def ended(self) -> dict[tuple[int, int | None], Record]:
        """The runs that need not be done again, by trial and seed."""
        return {_key(record): record for record in self.records if record.status in (Status.FINISHED, Status.PRUNED)}

    def running(self) -> dict[tuple[int, int | None], Record]:
        return {_key(record): record for record in self.records if not record.status.ended}

    def elsewhere(self) -> set[tuple[int, int | None]]:
        """The runs that another machine had begun when they were last heard of."""
        return {key for key, record in self.running().items() if record.process.host != machine.host()}


def _key(record: Record) -> tuple[int, int | None]:
    trial, _ = planned_of(record.sweep)
    return trial, record.seeds.run if record.sweep.get("seeds") else None


def key_of(planned: Planned) -> tuple[int, int | None]:
    return planned.trial, planned.seed


def prepare_once(job: Job, engine: Engine, planned: Planned) -> Surroundings:
    """Stages run and the environment built before several workers want them; `UserError` if that fails."""
    try:
        around: Surroundings = engine.submit(look_around, job.task(planned)).result()
    except WorkerDiedError as error:
        raise UserError(str(error), _ON_DEATH) from error
    if around.problem:
        raise UserError(around.problem, around.hint)
    return around


def earlier_run(index: Index, command: Sequence[str]) -> Record | None:
    """The newest run of the same script among the last few, if there is one."""
    rows = index.select(None, limit=_SEARCHED)
    found = (records.from_document(document) for document in index.documents(rows))
    return next((record for record in found if same_program(record.command, command)), None)


def runs_of_sweep(index: Index, name: str) -> Known:
    """Every run of a sweep."""
    rows = index.matching(f"runs.sweep = {quote(name)}")
    documents: Sequence[Mapping[str, Any]] = list(index.documents(rows))
    return Known(tuple(records.from_document(document) for document in reversed(documents)))


def find_sweep(index: Index, name: str, results: ResultsSettings) -> Known:
    """The runs of the sweep that a name means: its id, a part of it, or any of its runs; `UserError` if none does."""
    part = name.rpartition("/")[2]
    alike = f"(runs.sweep LIKE {quote(part + '%')} OR runs.sweep LIKE {quote('%' + part)})"
    rows = index.matching("runs.sweep IS NOT NULL" + (f" AND {alike}" if name != "latest" else ""))
    names = list(dict.fromkeys(str(row["sweep"]) for row in rows))
    if name == "latest":
        names = names[:1]
    if len(names) > 1:
        raise UserError(f"{name} may be any of {', '.join(names[:5])}", f"git replicate sweep --resume {names[0]}")
    if names:
        return runs_of_sweep(index, names[0])
    if name == "latest":
        raise UserError("there is no sweep yet", "git replicate sweep -h")
    row = find_run(index, name, maximize=results.maximize, minimize=results.minimize)
    if not row.get("sweep"):
        raise UserError(f"run {row['id']} is not of a sweep", "git replicate log --where 'sweep is not null'")
    return runs_of_sweep(index, str(row["sweep"]))
