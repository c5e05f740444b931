"""Keeping the repository small and quick: what is due after some hundred runs, outside of their path.

git packs only when some of its own commands think it is time, and none of those runs here. So every batch of notes
counts the runs that have ended, and after enough of them a process of its own, which nobody waits for, empties the
trash and packs the objects and refs that are ours. Killing it costs nothing; who sets `gc.auto` to 0, as one does
where maintenance must not happen by itself, has none of it.
"""

from __future__ import annotations

import os
import sys

from git_replicate.core.errors import GitError, ReplicateError, StorageError
from git_replicate.core.names import ANNOTATIONS_REF, NOTES_REF, REMOTES_PREFIX, RUNS_PREFIX, TRASH_PREFIX
from git_replicate.git.config import read_config
from git_replicate.git.opening import find_layout, repository_at, state_dir
from git_replicate.git.packing import Owned, drop_loose, pack_objects, pack_refs
from git_replicate.git.repository import Repository
from git_replicate.store.held import let_go
from git_replicate.store.lock import try_lock
from git_replicate.store.trash import expire

_OURS = Owned((RUNS_PREFIX, TRASH_PREFIX, REMOTES_PREFIX), (NOTES_REF, ANNOTATIONS_REF))
_LOCK = "maintenance.lock"
_SCRATCH = "maintenance.link"
_PACKS = "packs"


def maintain(repo: Repository) -> str:
    """Empty the trash and pack what is ours, unless somebody else is at it; what was done, in words."""
    folder = state_dir(repo.layout)
    with try_lock(os.path.join(folder, _LOCK)) as held:
        if not held:
            return "another process is at it"
        gone = len(expire(repo))
        let_go(repo)
        refs = pack_refs(repo.layout, RUNS_PREFIX, os.path.join(folder, _SCRATCH))
        packs = pack_objects(repo.layout, _OURS, _read_packs(folder))
        with open(os.path.join(folder, _PACKS), "w", encoding="ascii") as file:
            file.writelines(f"{name}\n" for name in packs)
        drop_loose(repo.layout, packs)
    return f"runs that left the trash: {gone}; refs packed: {refs}; packs: {len(packs)}"


def _read_packs(folder: str) -> list[str]:
    """The packs that maintenance has made. One that a kill kept from being listed only stays as it is."""
    try:
        with open(os.path.join(folder, _PACKS), encoding="ascii", errors="replace") as file:
            return file.read().split()
    except OSError:
        return []


def main(directory: str) -> str:
    """Do what is due in the repository at a directory; what was done or why not, in words."""
    os.nice(10)
    try:
        layout = find_layout(directory)
        if read_config(layout).get("gc.auto") == "0":
            return "gc.auto is 0: nothing is done"
        return maintain(repository_at(layout, backend="plumbing"))
    except (ReplicateError, GitError, StorageError, OSError) as error:
        return f"{type(error).__name__}: {error}"


if __name__ == "__main__":
    os.write(1, f"{main(sys.argv[1])}\n".encode())
