"""Records to git and back: a run is one ref, its start and its finish are commits, its record lies in their trees.

    snapshot <- start <- [checkpoints] <- finish        refs/.../<experiment>/<run id> names the newest

`begin` makes the ref, only if it is absent; `finish` moves it forward, only from what it was. All objects are
flushed before a ref names them. The commits are pure functions of the record and its parts: who and when are the
record's own user and times. Nothing here starts or knows a process, and nothing here writes notes: `finish` only
leaves a mark that `notes.write_notes` finds.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from dataclasses import field, replace
from datetime import datetime

from git_replicate.core import record as records
from git_replicate.core.errors import FormatError, GitError, RefMovedError, StorageError, UserError
from git_replicate.core.frozen import frozen
from git_replicate.core.names import (
    RESERVED_FOLDER,
    RUNS_PREFIX,
    TRASH_PREFIX,
    ExperimentName,
    RunId,
    parse_run_ref,
    run_ref,
    trash_ref,
)  # fmt: skip
from git_replicate.core.record import Record, Status
from git_replicate.git.repository import Commit, Mode, Oid, RefUpdate, Repository, TreeEntry
from git_replicate.store import blobs
from git_replicate.store.code import missing_code, read_code, snapshot_gone
from git_replicate.store.messages import commit_message, signature
from git_replicate.store.notes import mark_pending
from git_replicate.store.objects import (
    Folder,
    ObjectWriter,
    blobs_of,
    find_entry,
    place,
    read_folder,
    store_commit,
    tree_path,
)  # fmt: skip
from git_replicate.store.segments import join_segments, with_segments

RUN_FILE = "run.toml"
ENVIRONMENT_FILE = "environment.toml"
DATA_FILE = "data.toml"
CURVES_FILE = "metrics.csv"
LOG_FILE = "output.log"
OUTPUTS_FOLDER = "outputs"
ATTRIBUTES = b"* -text -ident -filter !eol !working-tree-encoding -export-ignore -export-subst\n"
"""`.gitattributes` of the reserved folder: what is there is checked out as the bytes that were stored."""

_FOLDER = os.fsencode(RESERVED_FOLDER)
_LONGEST_CHAIN = 10_000


@frozen
class Parts:
    """The files that go with a record. Empty, or None, leaves what an earlier commit of the run holds."""

    environment: bytes = b""
    data: bytes = b""
    metrics_csv: bytes | str = b""  # the text, or the path of a file that holds it
    log: bytes | str | None = None  # the same
    outputs: Mapping[str, str] = field(default_factory=dict)  # path in the record -> file to keep in the tree
    large: Mapping[str, str] = field(default_factory=dict)  # the same, to keep in the store of big files
    store: str = ""  # folder of that store; default: git-lfs's own, in the common git directory
    pointers: bool = False  # put git-lfs pointers of the big files into the tree as well
    extra: Mapping[str, bytes] = field(default_factory=dict)  # path under the reserved folder -> content


@frozen
class RunRef:
    experiment: ExperimentName
    id: RunId
    ref: str
    commit: Oid

    @property
    def name(self) -> str:
        return f"{self.experiment}/{self.id}"


@frozen
class StoredRun:
    ref: str
    commit: Oid
    record: Record


@frozen
class RunFiles:
    """The files beside a record; None for one that the run has not."""

    environment: bytes | None
    data: bytes | None
    metrics_csv: bytes | None
    log: bytes | None


def begin(
    repo: Repository, record: Record, snapshot_commit: Oid | None, snapshot_tree: Oid | None, parts: Parts
) -> Oid:
    """Store the start of a run and make its ref; the start commit.

    Without a snapshot (it could not be taken) the commit has no parent and holds the record alone. `RefMovedError`:
    the id is taken, draw another. `SnapshotGoneError`: take the snapshot again.
    """
    own = snapshot_commit is not None and snapshot_commit == record.code.base

    def build(writer: ObjectWriter) -> Oid:
        code = read_code(repo, snapshot_tree) if snapshot_tree else []
        folder, stored = _folder(repo, writer, record, {}, parts)
        parents = (snapshot_commit,) if snapshot_commit else ()
        return _write_commit(writer, stored, code, folder, parents)

    ref = run_ref(record.experiment, record.id)
    commit = store_commit(repo, build, ref, None, "record the start of the run")
    if snapshot_commit and not own and (gone := missing_code(repo, snapshot_commit)):
        repo.move_refs([RefUpdate(ref, commit, None)], "take back the start of the run")
        raise snapshot_gone(gone)
    return commit


def finish(repo: Repository, record: Record, start: Oid, parts: Parts) -> Oid:
    """Store a later state of the run (its end, or a checkpoint) on top of the newest, and move its ref there.

    If somebody else moved the ref forward meanwhile (a checkpoint, a recovery) the new commit goes on top of theirs,
    except that a `lost` record never covers one that has ended, nor a `queued` one a run that has begun. If the run
    was removed meanwhile, it stays removed and its commit in the trash goes forward. A ref that somebody deleted by
    hand is made again. `RefMovedError` if the ref leads to another run altogether.
    """
    for _ in range(_LONGEST_CHAIN):
        ref, tip = _newest(repo, record, start)
        stored = _stored_record(repo, tip) if tip not in (None, start) else None
        if stored is not None and tip is not None and _is_overtaken(record.status, stored.status):
            commit = tip
        else:
            ended = stored if stored is not None and stored.status.ended else None
            try:
                commit = _advance(repo, _with_scan(record, ended), ref, tip, start, parts)
            except RefMovedError:
                if _newest(repo, record, start) == (ref, tip):
                    raise
                continue
        _mark(repo, record, ref, tip, commit)
        return commit
    raise RefMovedError("record the end of the run", "its ref never stays still")


def checkpoint(repo: Repository, record: Record, start: Oid, parts: Parts, when: datetime) -> Oid | None:
    """Store how far a live run has come, on top of its newest commit; None if it has ended, or was removed.

    Whoever moves the ref at the same moment wins: the next checkpoint has the rest.
    """
    ref, tip = _newest(repo, record, start)
    stored = _stored_record(repo, tip)
    if tip is None or ref.startswith(TRASH_PREFIX) or stored is None or stored.status is not Status.RUNNING:
        return None
    try:
        return _advance(repo, record, ref, tip, start, parts, when)
    except RefMovedError:
        return None


def _stored_record(repo: Repository, tip: Oid | None) -> Record | None:
    """The record at a run's newest commit, if it can be read."""
    try:
        return read_run(repo, tip or "").record
    except FormatError:
        return None


def _is_overtaken(status: Status, stored: Status) -> bool:
    """Whether a run has gone further than one who knows it at a status would think."""
    return stored.ended if status is Status.LOST else status is Status.QUEUED and stored is not Status.QUEUED


def _with_scan(record: Record, stored: Record | None) -> Record:
    """The record with what only the one who saw the end could see: the worktree then, if it was stored before."""
    if stored is None:
        return record
    code = record.code
    if not code.changed_during_run:
        code = replace(code, changed_during_run=stored.code.changed_during_run)
    return replace(record, code=code, files=record.files or stored.files)


def _newest(repo: Repository, record: Record, start: Oid) -> tuple[str, Oid | None]:
    """The ref that holds the run and its value: the run's own, the trash's, or the run's own that must be made."""
    for ref in (run_ref(record.experiment, record.id), trash_ref(record.experiment, record.id)):
        tip = repo.read_ref(ref)
        if tip is None:
            continue
        if not _descends(repo, tip, start):
            raise RefMovedError("record the end of the run", f"{ref} leads to another run ({tip[:12]})")
        return ref, tip
    return run_ref(record.experiment, record.id), None


def _descends(repo: Repository, tip: Oid, start: Oid) -> bool:
    commit: Oid | None = tip
    for _ in range(_LONGEST_CHAIN):
        if commit is None or commit == start:
            break
        parents = repo.read_commit(commit).parents
        commit = parents[0] if parents else None
    return commit == start


def _advance(
    repo: Repository, record: Record, ref: str, tip: Oid | None, start: Oid, parts: Parts, when: datetime | None = None
) -> Oid:
    parent = tip or start

    def build(writer: ObjectWriter) -> Oid:
        entries = repo.read_tree(repo.read_commit(parent).tree)
        held = find_entry(entries, _FOLDER)
        base = read_folder(repo, held.oid) if held is not None and held.mode == Mode.TREE else {}
        folder, stored = _folder(repo, writer, record, base, parts)
        if tip not in (None, start) and held is not None and writer.folder(folder) == held.oid:
            return parent  # stored before, by one who was killed then
        return _write_commit(writer, stored, entries, folder, (parent,), when)

    return store_commit(repo, build, ref, tip, "record the end of the run")


def _mark(repo: Repository, record: Record, ref: str, tip: Oid | None, commit: Oid) -> None:
    """Leave word for the next batch of notes: the new commit, and the one it replaces."""
    if not record.status.ended or ref.startswith(TRASH_PREFIX):
        return
    replaced = [tip] if tip not in (None, commit) else []
    with contextlib.suppress(OSError):  # a missing note is no error
        mark_pending(repo.layout.common_dir, [oid for oid in (*replaced, commit) if oid is not None], ref)


def _folder(
    repo: Repository, writer: ObjectWriter, record: Record, base: Folder, parts: Parts
) -> tuple[Folder, Record]:
    """The reserved folder, and the record with what became of its outputs."""
    folder: Folder = {**base, b".gitattributes": writer.blob(ATTRIBUTES)}
    files: Mapping[str, bytes | str | None] = {
        ENVIRONMENT_FILE: parts.environment or None,
        DATA_FILE: parts.data or None,
        CURVES_FILE: parts.metrics_csv or None,
        LOG_FILE: parts.log,
    }
    for name, content in files.items():
        if content is not None:
            folder[name.encode()] = writer.blob_from(content) if isinstance(content, str) else writer.blob(content)
    for path, data in blobs_of(parts.extra).items():
        place(folder, path, writer.blob(data))
    if record.status.ended:
        join_segments(repo, writer, folder, [name for name, content in files.items() if content is not None])
    if parts.outputs or parts.large:
        folder[OUTPUTS_FOLDER.encode()], record = _outputs(repo, writer, record, parts)
    folder[RUN_FILE.encode()] = writer.blob(records.dumps(record))
    return folder, record


def _outputs(repo: Repository, writer: ObjectWriter, record: Record, parts: Parts) -> tuple[Folder, Record]:
    """Keep the outputs; one that cannot be read is not kept, and the record says so."""
    folder: Folder = {}
    outputs, missing = dict(record.outputs), list(record.missing)
    for path, file in (*parts.outputs.items(), *parts.large.items()):
        entry = outputs.get(path, records.Output())
        try:
            if path in parts.outputs:
                place(folder, tree_path(path), writer.blob_from(file))
                outputs[path] = replace(entry, kept="tree")
            else:
                kept = blobs.keep(parts.store or blobs.default_store(repo.layout.common_dir), file)
                outputs[path] = replace(entry, kept="store", hash=f"sha256:{kept.sha256}", bytes=kept.bytes)
                if parts.pointers:
                    place(folder, tree_path(path), writer.blob(blobs.pointer(kept)))
        except (OSError, FormatError) as error:
            if isinstance(error, OSError) and error.errno in blobs.DISK_ERRORS:
                raise StorageError(f"keep output {path}: {error.strerror}", "df -h .git") from error
            outputs[path] = replace(entry, kept="no")
            missing.append(f"output {path}: {getattr(error, 'strerror', None) or error}")
    return folder, replace(record, outputs=outputs, missing=tuple(dict.fromkeys(missing)))


def _write_commit(
    writer: ObjectWriter,
    record: Record,
    code: list[TreeEntry],
    folder: Folder,
    parents: tuple[Oid, ...],
    when: datetime | None = None,
) -> Oid:
    entries = [entry for entry in code if entry.name != _FOLDER]
    tree = writer.tree([*entries, TreeEntry(_FOLDER, Mode.TREE, writer.folder(folder))])
    when = when or (record.finished if record.status.ended else None) or record.started
    who = signature(record, when)
    return writer.commit(Commit(tree, parents, who, who, commit_message(record)))


def read_run(repo: Repository, name: str) -> StoredRun:
    """The run at a ref or a commit; `UserError` if there is none, `FormatError` if it is not readable."""
    commit = repo.read_ref(name) if name.startswith("refs/") else repo.resolve(name)
    if commit is None:
        raise UserError(f"no such run: {name}", "git replicate log")
    text = next(iter(repo.read_many([f"{commit}:{RESERVED_FOLDER}/{RUN_FILE}"])))
    if text is None:
        raise UserError(f"not a run: {name} ({commit[:12]} has no record)", "git replicate log")
    record = records.loads(text)
    ref = name if name.startswith(RUNS_PREFIX) else run_ref(record.experiment, record.id)
    return StoredRun(ref, commit, record)


def list_runs(repo: Repository) -> list[RunRef]:
    """Every run that has a ref, by experiment and id; opens no object, so tombstones are not looked at."""
    runs = []
    for ref, commit in repo.list_refs(RUNS_PREFIX):
        parsed = parse_run_ref(ref)
        if parsed is not None:
            runs.append(RunRef(*parsed, ref, commit))
    return runs


def read_files(repo: Repository, commit: Oid) -> RunFiles:
    """The files beside the record; of a live run, log and curves as far as they are stored."""
    names = (ENVIRONMENT_FILE, DATA_FILE, CURVES_FILE, LOG_FILE)
    found = RunFiles(*repo.read_many([f"{commit}:{RESERVED_FOLDER}/{name}" for name in names]))
    log, curves = with_segments(repo, commit, found.log, found.metrics_csv)
    return replace(found, log=log, metrics_csv=curves)


def read_log(repo: Repository, name: str) -> str:
    """What a run printed; "" for one that printed nothing, or that is not there."""
    data = next(iter(repo.read_many([f"{name}:{RESERVED_FOLDER}/{LOG_FILE}"])))
    return (data or b"").decode(errors="replace")


def read_curves(repo: Repository, name: str) -> bytes:
    """A run's curves as CSV text; empty for one that has none, or that is not there."""
    return next(iter(repo.read_many([f"{name}:{RESERVED_FOLDER}/{CURVES_FILE}"]))) or b""


def start_of(repo: Repository, commit: Oid) -> Oid:
    """The start commit of the run that has this commit: the oldest of its line that holds a record."""
    for _ in range(_LONGEST_CHAIN):
        parents = repo.read_commit(commit).parents
        if not parents or not _holds_record(repo, parents[0]):
            return commit
        commit = parents[0]
    raise FormatError(f"not a run's commit: {commit[:12]} has too long a line of records")


def _holds_record(repo: Repository, commit: Oid) -> bool:
    try:
        entry = find_entry(repo.read_tree(repo.read_commit(commit).tree), _FOLDER)
        return entry is not None and find_entry(repo.read_tree(entry.oid), RUN_FILE.encode()) is not None
    except GitError:  # a shallow clone ends here
        return False
