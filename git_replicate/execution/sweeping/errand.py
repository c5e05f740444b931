"""One queued run, carried out by a process that may be on another machine: all that it needs is in the errand.

Where the repository is there under the same path, the run takes place in it as everywhere else. Where it is not, the
worker has a repository of its own, filled from what the errand carries - a pack of the snapshot, asked for once - and
its answer carries back what the run added; or, where the errand names a remote, it fetches from there and pushes the
run's ref to it. An errand that is done twice, for its first worker died, goes on with the
same run.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import shutil
import tempfile
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from git_replicate import __version__
from git_replicate.core.errors import GitError, ReplicateError, UserError
from git_replicate.core.names import RUNS_PREFIX
from git_replicate.core.record import Record, Status
from git_replicate.core.settings import Settings
from git_replicate.core.sizes import count
from git_replicate.execution.conclude import conclude_run, outcome_of
from git_replicate.execution.guard import Guard
from git_replicate.execution.place import Place
from git_replicate.execution.spool import Spool, list_spools, spool_root
from git_replicate.execution.sweeping.engine import LocalEngine
from git_replicate.execution.sweeping.queued import carry_out, find_queued
from git_replicate.execution.sweeping.search import Pruning
from git_replicate.execution.sweeping.trial import Ended, pruned_by
from git_replicate.execution.sweeping.worker import interrupted
from git_replicate.execution.ticket import Asked
from git_replicate.git.config import read_config
from git_replicate.git.opening import find_layout, repository_at
from git_replicate.git.parcel import let_end_at, make_repository, pack_added, unpack
from git_replicate.git.remotes import Remote
from git_replicate.git.repository import Layout, Oid, RefUpdate, Repository
from git_replicate.git.transport import Transport
from git_replicate.store import blobs
from git_replicate.store.store import read_run

_LOOK_SECONDS = 0.2
MOST_CARRIED = 1_000_000_000
"""Bytes of one run's big outputs that an answer carries; what does not fit stays with the worker, and that is said."""


@dataclass(frozen=True, slots=True)
class Errand:
    """A queued run to be carried out."""

    asked: Asked
    top: str
    """Of the worktree, where it was queued."""
    commit: Oid
    """The run's commit then."""
    snapshot: Oid
    object_format: str
    identity: tuple[str, str]
    token: str
    """A file that lies in the very repository, and in no copy of it, for as long as the sweep goes on."""
    added: bytes = b""
    """What the run's commit adds to the snapshot; a small pack, sent with every errand."""
    pruning: Pruning | None = None
    remote: str = ""
    """The address of a repository through which the run goes and comes back; "": it is carried."""
    theirs: str = ""
    """The run's ref over there."""
    version: str = __version__
    pack: bytes = b""
    """The snapshot with its files and without its history, for a worker that has asked for it."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of an errand."""

    ended: Ended
    wants_pack: bool = False
    commit: str = ""
    """The run's newest commit in the worker's own repository, and what it adds; empty where that is ours as well."""
    pack: bytes = b""
    pushed: bool = False
    """The run's ref is at the remote."""
    large: Mapping[str, bytes] = field(default_factory=dict)
    """Big outputs that are in no commit, by sha256."""


_own: dict[str, Layout] = {}
"""This process's own repository, by object format."""
_threads = threading.local()
_engines: list[LocalEngine] = []


def carry(errand: Errand) -> Answer:
    """Do an errand from any thread of any process: a run needs a process of its own, for its signals and its output."""
    engine: LocalEngine | None = getattr(_threads, "engine", None)
    if engine is None:
        engine = _threads.engine = LocalEngine([{}])
        _engines.append(engine)
    answer: Answer = engine.submit(do_errand, errand).result()
    return answer


def interrupt_all(number: int) -> int:
    """Send a signal to every run that this process has under way; how many there are."""
    for engine in _engines:
        engine.interrupt(number)
    return sum(engine.busy for engine in _engines)


def do_errand(errand: Errand) -> Answer:
    """Do an errand in this process, which does nothing else meanwhile."""
    warnings: list[str] = []
    try:
        if getattr(errand, "version", "") != __version__:
            raise UserError(
                f"a worker has git replicate {__version__}, and the sweep another version",
                "install the same version for both",
            )
        shared = _shared(errand)
        layout = shared or _filled(errand)
        if layout is None:
            return Answer(Ended(None), wants_pack=True)
        repo = repository_at(layout)
        place = Place(repo, read_config(layout), Settings(), _silent, warnings.append)
        record = _carried_out(errand, place)
        answer = Answer(Ended(record, tuple(dict.fromkeys(warnings))))
        return answer if shared else _brought_back(errand, repo, answer)
    except (ReplicateError, OSError) as error:
        hint = error.hint if isinstance(error, ReplicateError) else "df -h . /tmp"
        return Answer(Ended(None, tuple(warnings), problem=f"{error} (on {os.uname().nodename})", hint=hint))


def _silent(line: str) -> None:
    """What a run would say of itself is said by whoever sent the errand."""


def _shared(errand: Errand) -> Layout | None:
    """The very repository in which the run was queued, if it is here."""
    if not (os.path.isdir(errand.top) and os.path.exists(errand.token)):
        return None
    try:
        layout = find_layout(errand.top)
        known = repository_at(layout, backend="plumbing").exists(errand.commit)
    except ReplicateError:
        return None
    return layout if known else None


def _filled(errand: Errand) -> Layout | None:
    """Our own repository with the run in it; None if that needs the pack."""
    key = f"{errand.object_format} {errand.remote}"
    layout = _own.get(key)
    if layout is None:
        folder = os.path.join(tempfile.mkdtemp(prefix="git-replicate-worker-"), "repository")
        layout = _own[key] = make_repository(folder, errand.object_format, errand.identity)
    repo = repository_at(layout)
    ref = RUNS_PREFIX + errand.asked.run
    if errand.remote:
        if repo.read_ref(ref) is None:
            _transport(errand, layout).fetch([f"{errand.theirs}:{ref}"])
        return layout
    if not repo.exists(errand.snapshot):
        if not errand.pack:
            return None
        let_end_at(layout, errand.snapshot)
        unpack(layout, errand.pack)
    if not repo.exists(errand.commit):
        unpack(layout, errand.added)
    repo = repository_at(layout)
    if repo.read_ref(ref) is None:
        repo.move_refs([RefUpdate(ref, None, errand.commit)], "a run to be carried out")
    return layout


def _transport(errand: Errand, layout: Layout) -> Transport:
    return Transport(layout, Remote(errand.remote, (errand.remote,)), interactive=False)


@atexit.register
def _leave() -> None:
    """Let our own repositories go, unless one holds a run whose end is not stored."""
    for layout in _own.values():
        if not list_spools(spool_root(layout.common_dir)):
            shutil.rmtree(os.path.dirname(layout.top or layout.git_dir), ignore_errors=True)


def _carried_out(errand: Errand, place: Place) -> Record:
    found = find_queued(errand.asked, place)
    if found.record.status is not Status.QUEUED:
        _let_end(place.repository, found.record)
        found = find_queued(errand.asked, place)
        if found.record.status in (Status.FINISHED, Status.FAILED, Status.PRUNED):
            return found.record
    guard = Guard(errand.asked.timeout, pruned_by(errand.pruning), told=interrupted)
    return carry_out(errand.asked, found, place, check=lambda record: None, guard=guard).record


def _let_end(repo: Repository, record: Record) -> None:
    """Wait for what an earlier worker of this machine left running, and store how that ended."""
    spool = Spool(os.path.join(spool_root(repo.layout.common_dir), record.id))
    while os.path.isdir(spool.folder) and spool.alive() in ("recorder", "holder", "command"):
        time.sleep(_LOOK_SECONDS)
    if os.path.isdir(spool.folder) and (outcome := outcome_of(spool)) is not None:
        conclude_run(repo, spool, outcome=outcome)


def _brought_back(errand: Errand, repo: Repository, answer: Answer) -> Answer:
    """The answer with all that the run added to our own repository."""
    record = answer.ended.record
    assert record is not None
    tip = read_run(repo, RUNS_PREFIX + errand.asked.run).commit
    large: dict[str, bytes] = {}
    left: list[str] = []
    room = MOST_CARRIED
    for path, output in record.outputs.items():
        if output.kept != "store":
            continue
        digest = output.hash.partition(":")[2]
        file = blobs.path_of(blobs.default_store(repo.layout.common_dir), digest)
        if output.bytes > room:
            left.append(f"{path} ({count(output.bytes, 'byte')}) stays on {os.uname().nodename}: {file}")
            continue
        with contextlib.suppress(OSError), open(file, "rb") as opened:
            large[digest] = opened.read()
            room -= output.bytes
    pushed, why = _pushed(errand, repo.layout)
    if why:
        left.append(f"{errand.asked.run} came back with the answer, for the remote did not take it: {why}")
    ended = replace(answer.ended, warnings=(*answer.ended.warnings, *left))
    pack = b"" if pushed else pack_added(repo.layout, tip, errand.commit)
    return Answer(ended, commit=tip, pack=pack, pushed=pushed, large=large)


def _pushed(errand: Errand, layout: Layout) -> tuple[bool, str]:
    """Push the run's ref, if there is a remote; whether it is there now, and why it is not."""
    if not errand.remote:
        return False, ""
    try:
        done = _transport(errand, layout).push([f"{RUNS_PREFIX}{errand.asked.run}:{errand.theirs}"])
    except GitError as error:
        return False, str(error)
    refused = next((ref.refusal for ref in done.refs if ref.refusal), "")
    return not refused, refused
