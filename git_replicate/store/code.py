"""The snapshot that a run's commits stand on, as long as no ref holds it: it may vanish under `git gc --prune=now`."""

from __future__ import annotations

from git_replicate.core.errors import GitError, StorageError
from git_replicate.git.loose import config_mentions
from git_replicate.git.repository import Oid, Repository, TreeEntry
from git_replicate.store.objects import added_objects


class SnapshotGoneError(StorageError):
    """The snapshot's objects were taken away before a ref could hold them: take it again."""


def read_code(repo: Repository, tree: Oid) -> list[TreeEntry]:
    """The top level of a snapshot's tree; `SnapshotGoneError` if that has vanished."""
    try:
        return repo.read_tree(tree)
    except GitError as error:
        if repo.exists(tree):
            raise
        raise snapshot_gone(tree) from error


def missing_code(repo: Repository, snapshot: Oid) -> Oid | None:
    """An object that the snapshot adds to its parent and that is gone; now that a ref holds it, none goes any more."""
    if config_mentions(repo.layout, b"promisor", b"partialclone"):
        return None  # what is missing may be meant to be
    try:
        commit = repo.read_commit(snapshot)
        base = repo.read_commit(commit.parents[0]).tree if commit.parents else None
        missing = repo.absent([snapshot, *added_objects(repo, commit.tree, base)])
    except GitError:
        return snapshot
    return min(missing, default=None)


def snapshot_gone(oid: Oid) -> SnapshotGoneError:
    return SnapshotGoneError(
        f"record the start of the run: the snapshot's object {oid[:12]} is gone",
        "is a git gc --prune=now running here? try again when it has ended",
    )
