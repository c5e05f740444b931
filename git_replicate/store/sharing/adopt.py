"""A run that was carried out in another repository is taken over: its ref moves forward, as if it had run here."""

from __future__ import annotations

import contextlib

from git_replicate.core.errors import GitError, RefMovedError
from git_replicate.git.repository import Oid, RefUpdate, Repository
from git_replicate.store.notes import mark_pending
from git_replicate.store.store import read_run
from git_replicate.store.tested import remember_tree

_LONGEST_CHAIN = 10_000


def adopt(repo: Repository, ref: str, old: Oid, new: Oid) -> None:
    """Move a run's ref from a commit of it to a later one whose objects are here.

    `GitError` if that is no later one. `RefMovedError` if the run has gone another way here, or was removed.
    """
    commit = new
    for _ in range(_LONGEST_CHAIN):
        if commit == old:
            break
        parents = repo.read_commit(commit).parents
        if not parents:
            break
        commit = parents[0]
    if commit != old:
        raise GitError(f"take over {ref}", f"{new[:12]} does not go on from {old[:12]}")
    repo.sync([new])
    try:
        repo.move_refs([RefUpdate(ref, old, new)], "take over a run carried out elsewhere")
    except RefMovedError:
        if repo.read_ref(ref) != new:
            raise
    record = read_run(repo, new).record
    if record.code.tree:
        remember_tree(repo.layout, record.code.tree, ref)
    with contextlib.suppress(OSError):  # a missing note is no error
        mark_pending(repo.layout.common_dir, [old, new], ref)
