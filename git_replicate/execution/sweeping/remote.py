"""Any `Executor` as the engine of a sweep: its runs are queued here, and carried out wherever it has workers.

Each run that is submitted exists as `queued` first, so that whoever carries it out twice goes on with one run. What
comes back from a worker that has a repository of its own is taken over into ours.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
import threading
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import CancelledError, Executor, Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from git_replicate.core.errors import GitError, ReplicateError, StorageError
from git_replicate.core.names import RUNS_PREFIX, new_run_id
from git_replicate.core.record import Record
from git_replicate.core.sweep import planned_of
from git_replicate.execution.place import Place
from git_replicate.execution.replication.rerun import Furnished, in_checkout
from git_replicate.execution.sweeping.engine import WorkerDiedError
from git_replicate.execution.sweeping.errand import Answer, Errand, carry
from git_replicate.execution.sweeping.submit import enqueue
from git_replicate.execution.sweeping.trial import Ended, Task
from git_replicate.execution.ticket import Asked
from git_replicate.git.opening import state_dir
from git_replicate.git.parcel import pack_added, pack_alone, unpack
from git_replicate.git.repository import Oid, Repository
from git_replicate.git.transport import Transport
from git_replicate.store import blobs
from git_replicate.store.sharing.adopt import adopt
from git_replicate.store.sharing.remote import Names, advice

_MOST_THREADS = 1000


@dataclass(frozen=True, slots=True)
class Via:
    """A remote through which runs go to workers and come back."""

    transport: Transport
    names: Names

    def sent(self, errand: Errand) -> Errand:
        """The errand, once its run is at the remote; `GitError` if that does not take it."""
        theirs = self.names.theirs(RUNS_PREFIX + errand.asked.run)
        done = self.transport.push([f"{errand.commit}:{theirs}"])
        if refused := next((ref.refusal for ref in done.refs if ref.refusal), ""):
            remote = self.transport.remote
            raise GitError(f"push a run to {remote.shown}", refused, advice(refused, remote))
        return replace(errand, remote=self.transport.remote.urls[0], theirs=theirs)

    def fetch(self, errand: Errand) -> None:
        """What a worker has pushed, on our own ref; as it is where that has gone another way."""
        self.transport.fetch([f"{self.names.theirs(RUNS_PREFIX + errand.asked.run)}:{RUNS_PREFIX}{errand.asked.run}"])


class RemoteEngine:
    """Carries out the runs of one sweep by an executor.

    slots: how many runs it has workers for, asked again and again. interrupt: sends a signal to all that run, and says
    how many these are.
    """

    def __init__(
        self,
        place: Place,
        executor: Executor,
        slots: Callable[[], int],
        interrupt: Callable[[int], int],
        begun: Iterable[Record] = (),
        via: Via | None = None,
    ) -> None:
        """begun: runs of the sweep that exist and have not ended; via: the remote that workers fetch from."""
        self._via = via
        self._place = place
        self._executor = executor
        self._slots = slots
        self._interrupt = interrupt
        self._threads = ThreadPoolExecutor(_MOST_THREADS, thread_name_prefix="errand")
        self._stack = contextlib.ExitStack()
        self._there: Furnished | None = None
        folder = os.path.join(state_dir(place.repository.layout), "engine")
        os.makedirs(folder, exist_ok=True)
        self._token = _make_token(folder)
        self._stack.callback(os.unlink, self._token)
        self._errands: dict[str, Errand] = {}
        self._packs: dict[Oid, bytes] = {}
        self._packing = threading.Lock()
        self._waiting: set[Future[Answer]] = set()
        self._interrupted = False
        self._begun = {_key(record.sweep, record.seeds.run): record for record in begun}

    @property
    def slots(self) -> int:
        return max(min(self._slots(), _MOST_THREADS), 1)

    def submit(self, function: Callable[..., Any], /, *arguments: Any) -> Future[Any]:
        """Have a run carried out, whichever of a sweep's functions is named: doing it again goes on with it."""
        (task,) = arguments
        return self._threads.submit(self._carried_out, replace(self._errand(task), pruning=task.pruning))

    def interrupt(self, number: int) -> None:
        """Interrupt what runs; where nothing does, no worker is there, and what waits for one is given up."""
        self._interrupted = True
        if not self._interrupt(number):
            for waiting in list(self._waiting):
                waiting.cancel()

    def close(self) -> None:
        """Once all runs have ended."""
        self._threads.shutdown()
        self._stack.close()

    def _errand(self, task: Task) -> Errand:
        """The run of a task, which is queued the first time."""
        key = _key(task.sweep, task.request.seed)
        if key not in self._errands:
            layout = self._place.repository.layout
            asked, commit = self._begun_before(task) or self._queued(task)
            snapshot = Oid(task.code.snapshot)
            added = pack_added(layout, commit, snapshot)
            identity = self._place.config.identity()
            errand = Errand(
                asked, layout.top or "", commit, snapshot, layout.object_format, identity, self._token, added
            )
            self._errands[key] = self._via.sent(errand) if self._via else errand
        return self._errands[key]

    def _begun_before(self, task: Task) -> tuple[Asked, Oid] | None:
        """The run of a task that exists, and its newest commit."""
        record = self._begun.get(_key(task.sweep, task.request.seed))
        if record is None:
            return None
        name = f"{record.experiment}/{record.id}"
        commit = self._place.repository.read_ref(RUNS_PREFIX + name)
        asked = Asked(name, replace(task.request, experiment=record.experiment), task.prefix, task.timeout)
        return (asked, commit) if commit else None

    def _queued(self, task: Task) -> tuple[Asked, Oid]:
        """A new run of a task, and its first commit."""
        if self._there is None:
            there = in_checkout(self._place, task.request, task.code, task.prefix, str(task.sweep["id"]))
            self._there = self._stack.enter_context(there)
        run = new_run_id(datetime.now(UTC), os.urandom(4))
        there_now = self._there.anew(task.request)
        queued = enqueue(task.request, there_now, run, sweep=task.sweep, timeout=task.timeout)
        return queued.asked, queued.start

    def _carried_out(self, errand: Errand) -> Ended:
        """Send an errand, with what its worker lacks if it says so, and take its answer in."""
        if self._interrupted:
            return _not_begun(errand)
        answer = self._ask(errand)
        if answer.wants_pack:
            answer = self._ask(replace(errand, pack=self._pack(errand.snapshot)))
            if answer.wants_pack:
                problem = f"the worker of {errand.asked.run} does not take the snapshot"
                return Ended(None, problem=problem, hint="has it the same version of git replicate?")
        if not answer.commit:
            return answer.ended
        try:
            if answer.pushed and self._via:
                self._via.fetch(errand)
            take_in(self._place.repository, errand, answer)
        except (GitError, StorageError, OSError) as error:
            hint = error.hint if isinstance(error, ReplicateError) else "df -h .git"
            return Ended(None, problem=f"what run {errand.asked.run} came to is not stored: {error}", hint=hint)
        return answer.ended

    def _pack(self, snapshot: Oid) -> bytes:
        """The snapshot for workers that lack it, made once."""
        with self._packing:
            if snapshot not in self._packs:
                self._packs[snapshot] = pack_alone(self._place.repository.layout, snapshot)
            return self._packs[snapshot]

    def _ask(self, errand: Errand) -> Answer:
        future: Future[Answer] = self._executor.submit(carry, errand)
        self._waiting.add(future)
        if self._interrupted:
            future.cancel()
        try:
            answer = future.result()
        except WorkerDiedError:
            raise
        except CancelledError:
            if not self._interrupted:
                raise WorkerDiedError("the engine gave the run up") from None
            answer = Answer(_not_begun(errand))
        except Exception as error:  # every executor has its own words for a worker that has gone
            raise WorkerDiedError(f"the engine gave the run up: {type(error).__name__}: {error}") from error
        finally:
            self._waiting.discard(future)
        return answer


def _not_begun(errand: Errand) -> Ended:
    problem = f"run {errand.asked.run} is queued, and no worker had begun it when the sweep was interrupted"
    return Ended(
        None, problem=problem, hint="git replicate sweep --resume latest --engine ..., or git replicate recover"
    )


def _make_token(folder: str) -> str:
    descriptor, path = tempfile.mkstemp(dir=folder, prefix="token-")
    os.close(descriptor)
    return path


def _key(sweep: Mapping[str, Any], seed: int | str | None) -> str:
    """What tells one run of a sweep from the others; a drawn seed does not."""
    return repr((planned_of(sweep), seed if sweep.get("seeds") else None))


def take_in(repo: Repository, errand: Errand, answer: Answer) -> None:
    """Make what a worker's own repository holds of a run ours."""
    if answer.pack:
        unpack(repo.layout, answer.pack)
    store = blobs.default_store(repo.layout.common_dir)
    for digest, content in answer.large.items():
        with tempfile.NamedTemporaryFile(dir=repo.layout.common_dir, prefix="replicate-large-") as file:
            file.write(content)
            file.flush()
            if blobs.keep(store, file.name).sha256 != digest:
                raise StorageError(f"keep an output of {errand.asked.run}: it came damaged", "git replicate rerun")
    adopt(repo, RUNS_PREFIX + errand.asked.run, errand.commit, Oid(answer.commit))
