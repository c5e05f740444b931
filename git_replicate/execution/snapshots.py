"""Snapshots that belong to no run yet, and bringing a run's code or params back."""

from __future__ import annotations

import os
from typing import Final

from git_replicate.core.errors import RefMovedError, UserError
from git_replicate.core.record import Code, Record
from git_replicate.git.opening import state_dir
from git_replicate.git.repository import Oid, RefUpdate, Repository
from git_replicate.git.restore import check_branch_name, put_tree

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


def apply_code(repo: Repository, record: Record) -> int:
    """Make the tracked files of the worktree those of a run; how many changed. HEAD and index stay.

    `UserError` if that would overwrite what is committed nowhere; nothing is touched then.
    """
    snapshot = code_commit(repo, record)
    scratch = state_dir(repo.layout)
    os.makedirs(scratch, exist_ok=True)
    return put_tree(repo.layout, snapshot, scratch)


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
