"""git notes on runs and on the code they tested: derived from the records, so always rebuildable.

Written after runs have ended, in batches: every ended run leaves a mark, and whoever gets the lock writes the notes
of all marks in one commit. Who does not get it does nothing, since the holder looks for marks again after it has let
the lock go: when all of N simultaneous runs have ended, all N notes are there. git's own `git notes add` overwrites
concurrent writers blindly; the next batch sees that what it left is no longer below the ref, and looks at every run
again.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from git_replicate.core.errors import GitError, StorageError
from git_replicate.core.names import NOTES_REF, RESERVED_FOLDER, RUNS_PREFIX, parse_run_ref
from git_replicate.core.sizes import count
from git_replicate.git.loose import drop_broken_ref
from git_replicate.git.opening import state_dir
from git_replicate.git.repository import Oid, RefUpdate, Repository
from git_replicate.git.trees import read_path
from git_replicate.store.due import count_runs
from git_replicate.store.lock import try_lock
from git_replicate.store.note_tree import Notes, list_notes, put_notes, read_note, tree_of
from git_replicate.store.tested import entry_of, merge_note, read_records, runs_of_tree

_PENDING = "notes-pending"
_TIP = "notes-tip"
_LOCK = "notes.lock"
_RECORD = f"{RESERVED_FOLDER}/run.toml".encode()
_WRITER = ("git replicate", "git-replicate@localhost")
_SEARCHED = 1000
"""Commits of notes that are looked through for the one that the last batch left."""


def mark_pending(common_dir: str, commits: Sequence[Oid], ref: str) -> None:
    """Leave word that a run has ended: its newest commit is last in `commits`, those it replaces come before."""
    folder = os.path.join(common_dir, "replicate", _PENDING)
    os.makedirs(folder, exist_ok=True)
    _write_whole(os.path.join(folder, ref.rpartition("/")[2]), " ".join(commits).encode())


def _write_whole(path: str, data: bytes) -> None:
    folder, name = os.path.split(path)
    temporary = os.path.join(folder, f".{name}.{os.urandom(6).hex()}")
    with open(temporary, "xb") as file:
        file.write(data)
    os.rename(temporary, path)


def write_notes(repo: Repository) -> None:
    """Write the notes that are due, unless somebody else is at it. A note that cannot be written is no error."""
    folder = state_dir(repo.layout)
    done = 0
    with contextlib.suppress(OSError, GitError, StorageError):
        while _marks(folder):
            with try_lock(os.path.join(folder, _LOCK)) as held:
                if not held:
                    break
                done += _write_healing(repo, folder)
    count_runs(repo.layout, done)


def _write_healing(repo: Repository, folder: str) -> int:
    """Write what is due; notes that cannot be read are let go, and made again from the runs."""
    marks = _marks(folder)
    try:
        return _write_batch(repo, folder, marks)
    except GitError:
        if not _let_go_if_damaged(repo):
            raise
    _forget_tip(folder)
    return _write_batch(repo, folder, marks)


def _let_go_if_damaged(repo: Repository) -> bool:
    """Remove the ref of notes if anything that it leads to is missing; nothing in it is not in the runs as well."""
    if drop_broken_ref(repo.layout.common_dir, NOTES_REF):
        return True
    try:
        for _ in list_notes(repo, tree_of(repo, NOTES_REF)):
            pass
    except GitError:
        repo.move_refs([RefUpdate(NOTES_REF, repo.read_ref(NOTES_REF), None)], "let go of damaged notes")
        return True
    return False


def rebuild_notes(repo: Repository) -> None:
    """Give every run and every tested commit its note again, whatever is there."""
    folder = state_dir(repo.layout)
    with try_lock(os.path.join(folder, _LOCK)) as held:
        if held:
            _forget_tip(folder)
            _write_batch(repo, folder, _marks(folder))


def heal_notes(repo: Repository) -> bool:
    """Make the notes again if they cannot be read or some were lost; whether that was so."""
    folder = state_dir(repo.layout)
    if not os.path.exists(os.path.join(folder, _TIP)):
        return False  # no notes were written here
    with try_lock(os.path.join(folder, _LOCK)) as held:
        if not held or (not (damaged := _let_go_if_damaged(repo)) and _all_there(repo, folder)):
            return False
        before = None if damaged else repo.read_ref(NOTES_REF)
        _forget_tip(folder)
        _write_batch(repo, folder, _marks(folder))
        return damaged or repo.read_ref(NOTES_REF) != before


def _marks(folder: str) -> dict[str, list[Oid]]:
    """The marks that wait, by name, with the commits they hold; a power cut leaves empty ones."""
    root = os.path.join(folder, _PENDING)
    found: dict[str, list[Oid]] = {}
    try:
        names = os.listdir(root)
    except OSError:
        return {}
    for name in names:
        if not name.startswith("."):
            with (
                contextlib.suppress(OSError),
                open(os.path.join(root, name), encoding="ascii", errors="replace") as file,
            ):
                found[name] = [Oid(word) for word in file.read().split()]
    return found


def _write_batch(repo: Repository, folder: str, marks: Mapping[str, Sequence[Oid]]) -> int:
    """Write the notes of these marks and take the marks away; how many. `OSError` if one cannot be taken away."""
    ended = [commits[-1] for commits in marks.values() if commits]

    def decide(tree: Oid | None) -> Notes:
        due: dict[Oid, Oid | bytes | None] = {}
        whole = _all_there(repo, folder)
        due.update(_code_notes(repo, tree, ended) if whole else _every_run(repo, tree))
        for commits in marks.values():
            due.update(dict.fromkeys(commits[:-1]))
        due.update({commit: blob for commit in ended if (blob := _record_blob(repo, commit))})
        return due

    message = f"notes of {count(len(ended), 'run')}"
    tip = put_notes(repo, NOTES_REF, decide, who=_WRITER, when=int(time.time()), message=message)
    _write_whole(os.path.join(folder, _TIP), (tip or "").encode())
    for name, commits in marks.items():
        path = os.path.join(folder, _PENDING, name)
        with open(path, encoding="ascii", errors="replace") as file:
            unchanged = file.read().split() == commits
        # A run that ended a second time meanwhile has a newer mark, which stays.
        if unchanged:
            os.unlink(path)
    return len(marks)


def _all_there(repo: Repository, folder: str) -> bool:
    """Whether what the last batch left is still there.

    `git notes` reads the notes first and the ref last: its commit may go past the last batch, or stand on it and lack
    what is in it. So what others wrote is compared.
    """
    try:
        with open(os.path.join(folder, _TIP), encoding="ascii") as file:
            left = file.read()
    except OSError:
        return False
    tip = repo.read_ref(NOTES_REF)
    if not left or tip is None:
        return not left and tip is None
    found, waiting, foreign = set[Oid](), [tip], False
    while waiting and len(found) < _SEARCHED:
        commit = waiting.pop(0)
        if commit == left:
            return not foreign or _noted(repo, Oid(left)) <= _noted(repo, tip)
        if commit not in found:
            found.add(commit)
            with contextlib.suppress(GitError):  # its history has been cut off
                read = repo.read_commit(commit)
                foreign = foreign or read.committer.email != _WRITER[1]
                waiting += read.parents
    return False


def _noted(repo: Repository, commit: Oid) -> set[Oid]:
    return {noted for noted, _ in list_notes(repo, repo.read_commit(commit).tree)}


def _forget_tip(folder: str) -> None:
    with contextlib.suppress(FileNotFoundError):
        os.unlink(os.path.join(folder, _TIP))


def _code_notes(repo: Repository, tree: Oid | None, runs: Iterable[str], *, again: bool = False) -> dict[Oid, bytes]:
    """The notes on commits of the user's own history that these runs tested as they were."""
    tested: dict[Oid, list[Mapping[str, Any]]] = {}
    for _, record in read_records(repo, runs):
        code = record.code
        if record.status.ended and code.snapshot and code.snapshot == code.base and not (code.dirty or code.mixed):
            tested.setdefault(Oid(code.base), []).append(entry_of(record))
    known = _texts(repo, tree, tested)
    return {commit: merge_note(known.get(commit), entries, again=again) for commit, entries in tested.items()}


def _every_run(repo: Repository, tree: Oid | None) -> dict[Oid, Oid | bytes | None]:
    """The notes that are missing on runs, and all of those on the code they tested."""
    present = dict(list_notes(repo, tree))
    runs = {ref: commit for ref, commit in repo.list_refs(RUNS_PREFIX) if parse_run_ref(ref)}
    due: dict[Oid, Oid | bytes | None] = {}
    due.update(_code_notes(repo, tree, runs, again=True))
    for commit in runs.values():
        if commit not in present and (blob := _record_blob(repo, commit)):
            due[commit] = blob
    return due


def _record_blob(repo: Repository, commit: Oid) -> Oid | None:
    try:
        entry = read_path(repo, repo.read_commit(commit).tree, _RECORD)
    except GitError:
        return None
    return entry.oid if entry else None


def note_tested(repo: Repository, commit: Oid) -> int:
    """Note on a commit which ended runs tested its tree; how many there are."""
    tree = repo.read_commit(commit).tree
    records = (record for _, record in read_records(repo, runs_of_tree(repo.layout, tree)))
    found = [entry_of(record) for record in records if record.status.ended]

    def decide(tree: Oid | None) -> Notes:
        return {commit: merge_note(_texts(repo, tree, [commit]).get(commit), found)}

    if found:
        put_notes(repo, NOTES_REF, decide, who=_WRITER, when=int(time.time()), message="note on tested code")
    return len(found)


def read_notes(repo: Repository, commits: Iterable[Oid], ref: str = NOTES_REF) -> dict[Oid, bytes]:
    """The notes on these commits that have one."""
    return _texts(repo, tree_of(repo, ref), commits)


def _texts(repo: Repository, tree: Oid | None, commits: Iterable[Oid]) -> dict[Oid, bytes]:
    found = {commit: read_note(repo, tree, commit) for commit in commits}
    return {commit: repo.read_blob(blob) for commit, blob in found.items() if blob}
