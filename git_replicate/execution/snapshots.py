"""Snapshots that belong to no run yet, and bringing a run's code or params back."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Final

from git_replicate.capture.documents import parse_document
from git_replicate.capture.params import same_value
from git_replicate.capture.values import flatten
from git_replicate.core.errors import RefMovedError, UserError
from git_replicate.core.record import Code, Record
from git_replicate.execution.params_files import with_values
from git_replicate.git.opening import state_dir
from git_replicate.git.repository import Oid, RefUpdate, Repository
from git_replicate.git.restore import Put, check_branch_name, is_committed, put_tree

_KEPT: Final = "refs/replicate/snapshots/"


def keep_snapshot(repo: Repository, code: Code) -> None:
    """Name a snapshot, so that git keeps it until a run does."""
    snapshot = Oid(code.snapshot)
    repo.sync([snapshot])
    try:
        repo.move_refs([RefUpdate(_KEPT + snapshot, None, snapshot)], "snapshot of the working tree")
    except RefMovedError:
        return  # it has that name already


def code_commit(repo: Repository, record: Record) -> Oid:
    """The commit of a run's code; `UserError` if it was not recorded or is not here."""
    snapshot = Oid(record.code.snapshot)
    if not snapshot:
        raise UserError(f"the code of {record.id} was not recorded", f"git replicate show {record.id}")
    if not repo.exists(snapshot):
        raise UserError(f"the code of {record.id} is not in this clone", "git fetch --unshallow, or fetch the run")
    return snapshot


def apply_code(repo: Repository, record: Record) -> Put:
    """Make the files of the worktree those of a run's code; what changed, and what did not. HEAD and index stay.

    `UserError` if that would overwrite what is committed nowhere; nothing is touched then.
    """
    snapshot = code_commit(repo, record)
    scratch = state_dir(repo.layout)
    os.makedirs(scratch, exist_ok=True)
    return put_tree(repo.layout, snapshot, scratch)


def apply_params(repo: Repository, record: Record, files: Sequence[str]) -> tuple[list[str], list[str]]:
    """Give the declared params files of the worktree the run's values; the files changed, and notes.

    A file is taken from the run's code, comments and all; where the run was handed other values than stand there, they
    are written into it. `UserError`, before anything is touched, for a file with uncommitted changes.
    """
    commit, top = code_commit(repo, record), repo.layout.top or ""
    texts: dict[str, bytes] = {}
    notes: list[str] = []
    for path in files:
        text = next(iter(repo.read_many([f"{commit}:{path}"])))
        if text is None:
            notes.append(f"{path} is not in the run's code")
            continue
        wanted, commented = _with_params(path, text, record)
        if not commented:
            notes.append(f"{path}: its comments are not kept, since the run was handed other values than its file had")
        if wanted != _content(os.path.join(top, path)):
            texts[path] = wanted
    blocked = [path for path in texts if not is_committed(repo.layout, path)]
    if blocked:
        raise UserError(f"uncommitted changes would be overwritten: {', '.join(blocked)}", "commit or stash them first")
    for path, wanted in texts.items():
        whole = os.path.join(top, path)
        os.makedirs(os.path.dirname(whole), exist_ok=True)
        with open(whole, "wb") as file:
            file.write(wanted)
    return list(texts), notes


def _with_params(path: str, text: bytes, record: Record) -> tuple[bytes, bool]:
    """A params file of the run's code with the values that the run had; whether it is unchanged."""
    document, _ = parse_document(text, shown=path)
    if not isinstance(document, dict):
        return text, True
    had, there = flatten(record.params), flatten(document)
    others = {name: had[name] for name in there if name in had and not same_value(had[name], there[name])}
    return (with_values(path, document, others), False) if others else (text, True)


def _content(path: str) -> bytes | None:
    try:
        with open(path, "rb") as file:
            return file.read()
    except FileNotFoundError:
        return None


def make_branch(repo: Repository, record: Record, name: str) -> str:
    """A new branch at a run's code; its full name. `UserError` if there is one of that name, or the name is bad."""
    snapshot = code_commit(repo, record)
    check_branch_name(repo.layout, name)
    ref = f"refs/heads/{name}"
    try:
        repo.move_refs([RefUpdate(ref, None, snapshot)], f"branch: the code of {record.id}")
    except RefMovedError as error:
        raise UserError(f"there is a branch {name!r} already", f"git log -1 {name}, or choose another name") from error
    return ref
