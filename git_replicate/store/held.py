"""Code that nothing but this process needs yet: a ref holds it while it works, whatever is collected meanwhile.

The snapshot of a sweep, or of a run in a checkout, belongs to no run for a second or more, and `git gc --prune=now`
takes what no ref leads to. A process that is killed leaves its ref, which maintenance removes: runs have refs of their
own by then.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

from git_replicate.core.errors import GitError, StorageError
from git_replicate.core.names import HELD_PREFIX, new_run_id
from git_replicate.core.record import Code
from git_replicate.git.collecting import await_collection
from git_replicate.git.repository import Oid, RefUpdate, Repository
from git_replicate.store.code import missing_code, snapshot_gone

_ATTEMPTS = 5
_KEPT = timedelta(days=7)


@contextlib.contextmanager
def held(repo: Repository, take: Callable[[], Code]) -> Iterator[Code]:
    """The code that `take` records, held for as long as the block lasts.

    `take` is called again if the objects have gone before the ref held them; `SnapshotGoneError` if they always do.
    """
    ref = HELD_PREFIX + new_run_id(datetime.now(UTC), os.urandom(4))
    for _ in range(_ATTEMPTS):
        code = take()
        snapshot = Oid(code.snapshot)
        gone = _hold(repo, ref, snapshot)
        if gone is None:
            break
    else:
        raise snapshot_gone(gone or snapshot)
    try:
        yield code
    finally:
        with contextlib.suppress(GitError, StorageError):
            repo.move_refs([RefUpdate(ref, snapshot, None)], "let go of the code")


def _hold(repo: Repository, ref: str, snapshot: Oid) -> Oid | None:
    """Make the ref; or an object that is gone, and no ref."""
    try:
        repo.move_refs([RefUpdate(ref, None, snapshot)], "hold the code")
    except GitError:
        if repo.absent([snapshot]):
            return snapshot
        raise
    await_collection(repo.layout)
    gone = missing_code(repo, snapshot)
    if gone is not None:
        repo.move_refs([RefUpdate(ref, snapshot, None)], "let go of the code")
    return gone


def let_go(repo: Repository, now: datetime | None = None) -> int:
    """Remove the refs that killed processes left a week ago; how many."""
    limit = new_run_id((now or datetime.now(UTC)) - _KEPT, b"\0\0\0\0")
    old = [(ref, oid) for ref, oid in repo.list_refs(HELD_PREFIX) if ref.removeprefix(HELD_PREFIX) < limit]
    repo.move_refs([RefUpdate(ref, oid, None) for ref, oid in old], "let go of the code")
    return len(old)
