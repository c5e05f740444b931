"""git notes on runs and on the code they tested: derived from the records, so always rebuildable.

Written after runs have ended, in batches: every ended run leaves a mark, and whoever gets the lock writes the notes
of all marks in one commit. Who does not get it does nothing, since the holder looks for marks again after it has let
the lock go: when all of N simultaneous runs have ended, all N notes are there. If somebody else moved the notes
(git's own `git notes add` overwrites concurrent writers), the next batch looks at every run again.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from git_replicate.core.errors import GitError, RefLockedError, RefMovedError, StorageError
from git_replicate.core.names import NOTES_REF, RESERVED_FOLDER, RUNS_PREFIX, parse_run_ref
from git_replicate.git.opening import state_dir
from git_replicate.git.repository import Commit, Oid, RefUpdate, Repository, Signature
from git_replicate.git.trees import read_path
from git_replicate.store.lock import try_lock
from git_replicate.store.note_tree import list_notes, read_note, write_notes_tree
from git_replicate.store.tested import entry_of, merge_note, read_records, runs_of_tree

_PENDING = "notes-pending"
_TIP = "notes-tip"
_LOCK = "notes.lock"
_RECORD = f"{RESERVED_FOLDER}/run.toml".encode()
_ATTEMPTS = 8
_WRITER = ("git replicate", "git-replicate@localhost")


def mark_pending(common_dir: str, commits: Sequence[Oid], ref: str) -> None:
    """Leave word that a run has ended: its newest commit is last in `commits`, those it replaces come before."""
    folder = os.path.join(common_dir, "replicate", _PENDING)
    os.makedirs(folder, exist_ok=True)
    name = ref.removeprefix(RUNS_PREFIX).replace("/", "%")
    _write_whole(os.path.join(folder, name), " ".join(commits).encode())


def _write_whole(path: str, data: bytes) -> None:
    with tempfile.NamedTemporaryFile(prefix=".", dir=os.path.dirname(path), delete=False) as file:
        file.write(data)
    os.rename(file.name, path)


def write_notes(repo: Repository) -> None:
    """Write the notes that are due, unless somebody else is at it. A note that cannot be written is no error."""
    folder = state_dir(repo.layout)
    with contextlib.suppress(OSError, GitError, StorageError):
        while _marks(folder):
            with try_lock(os.path.join(folder, _LOCK)) as held:
                if not held:
                    return
                _write_batch(repo, folder)


def rebuild_notes(repo: Repository) -> None:
    """Give every run its note again, whatever is there."""
    folder = state_dir(repo.layout)
    os.makedirs(os.path.join(folder, _PENDING), exist_ok=True)
    with contextlib.suppress(FileNotFoundError):
        os.unlink(os.path.join(folder, _TIP))
    with try_lock(os.path.join(folder, _LOCK)) as held:
        if held:
            _write_batch(repo, folder)


def _marks(folder: str) -> dict[str, list[Oid]]:
    """The marks that wait, by name, with the commits they hold."""
    root = os.path.join(folder, _PENDING)
    found: dict[str, list[Oid]] = {}
    try:
        names = os.listdir(root)
    except OSError:
        return {}
    for name in names:
        if not name.startswith("."):
            with contextlib.suppress(OSError), open(os.path.join(root, name), encoding="ascii") as file:
                found[name] = [Oid(word) for word in file.read().split()]
    return found


def _write_batch(repo: Repository, folder: str) -> None:
    marks = _marks(folder)
    tip = repo.read_ref(NOTES_REF)
    due: dict[Oid, Oid | None] = {}
    if tip != _remembered_tip(folder):
        due.update(_every_run(repo, tip))
    for commits in marks.values():
        due.update(dict.fromkeys(commits[:-1]))
        if blob := _record_blob(repo, commits[-1]):
            due[commits[-1]] = blob
    due.update(_code_notes(repo, [commits[-1] for commits in marks.values()]))
    tip = put_notes(repo, due, f"notes of {len(marks)} run{'s' * (len(marks) != 1)}")
    _write_whole(os.path.join(folder, _TIP), (tip or "").encode())
    for name, commits in marks.items():
        path = os.path.join(folder, _PENDING, name)
        # A run that ended a second time meanwhile has a newer mark, which stays.
        with contextlib.suppress(OSError), open(path, encoding="ascii") as file:
            if file.read().split() == commits:
                os.unlink(path)


def _code_notes(repo: Repository, ended: Sequence[Oid]) -> dict[Oid, Oid | None]:
    """The notes on commits of the user's own history that these runs tested as they were."""
    tested: dict[Oid, list[Mapping[str, Any]]] = {}
    for _, record in read_records(repo, ended):
        code = record.code
        if code.snapshot and code.snapshot == code.base and not code.dirty and not code.mixed:
            tested.setdefault(Oid(code.base), []).append(entry_of(record))
    known = read_notes(repo, tested)
    return {commit: repo.write_blob(merge_note(known.get(commit), runs)) for commit, runs in tested.items()}


def _remembered_tip(folder: str) -> str | None:
    try:
        with open(os.path.join(folder, _TIP), encoding="ascii") as file:
            return file.read() or None
    except OSError:
        return ""


def _every_run(repo: Repository, tip: Oid | None) -> dict[Oid, Oid | None]:
    """What is missing or wrong in the notes, of all runs that have ended."""
    present = dict(list_notes(repo, repo.read_commit(tip).tree)) if tip else {}
    due: dict[Oid, Oid | None] = {}
    for ref, commit in repo.list_refs(RUNS_PREFIX):
        if parse_run_ref(ref) and commit not in present and (blob := _record_blob(repo, commit)):
            due[commit] = blob
    return due


def _record_blob(repo: Repository, commit: Oid) -> Oid | None:
    try:
        entry = read_path(repo, repo.read_commit(commit).tree, _RECORD)
    except GitError:
        return None
    return entry.oid if entry else None


def put_notes(repo: Repository, notes: Mapping[Oid, Oid | None], message: str, ref: str = NOTES_REF) -> Oid | None:
    """Set notes (object to blob, None removes) in one commit on top of whatever is there; the new tip.

    The notes of other writers stay: the ref moves only from the value that was read. Nothing is written when nothing
    changes. `RefMovedError` when others keep winning.
    """
    problem: Exception | None = None
    for _ in range(_ATTEMPTS):
        tip = repo.read_ref(ref)
        base = repo.read_commit(tip) if tip else None
        tree = write_notes_tree(repo, base.tree if base else None, notes)
        if base is not None and base.tree == tree:
            return tip
        if base is None and not notes:
            return None
        when = max(_now(), base.committer.time if base else 0)
        who = Signature(*_WRITER, when)
        commit = repo.write_commit(Commit(tree, (tip,) if tip else (), who, who, message + "\n"))
        try:
            repo.move_refs([RefUpdate(ref, tip, commit)], "move the notes")
            return commit
        except (RefMovedError, RefLockedError) as error:
            problem = error
    raise RefMovedError("write notes", str(problem))


def _now() -> int:
    import time

    return int(time.time())


def note_code(repo: Repository, commit: Oid, text: bytes) -> None:
    """Set the note on a commit of the user's own history: which runs tested it."""
    put_notes(repo, {commit: repo.write_blob(text)}, "note on tested code")


def note_tested(repo: Repository, commit: Oid) -> int:
    """Note on a commit which ended runs tested its tree; how many there are."""
    tree = repo.read_commit(commit).tree
    records = (record for _, record in read_records(repo, runs_of_tree(repo.layout, tree)))
    found = [entry_of(record) for record in records if record.status.ended]
    if found:
        note_code(repo, commit, merge_note(read_notes(repo, [commit]).get(commit), found))
    return len(found)


def read_notes(repo: Repository, commits: Iterable[Oid], ref: str = NOTES_REF) -> dict[Oid, bytes]:
    """The notes on these commits that have one."""
    tip = repo.read_ref(ref)
    tree = repo.read_commit(tip).tree if tip else None
    found = {commit: read_note(repo, tree, commit) for commit in commits}
    return {commit: repo.read_blob(blob) for commit, blob in found.items() if blob}
