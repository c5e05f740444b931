"""Uniting what two clones say of runs: for each run the union of their lines, in one commit on top of both.

The commit is a pure function of the two: clones that unite the same two at the same moment make the same commit, and
need not unite again.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable

from git_replicate.core.errors import GitError, RefLockedError, RefMovedError
from git_replicate.core.names import ANNOTATIONS_REF
from git_replicate.git.backoff import wait
from git_replicate.git.history import is_ancestor
from git_replicate.git.opening import state_dir
from git_replicate.git.repository import Commit, Oid, RefUpdate, Repository, Signature
from git_replicate.store.annotations import LOCK, PATIENCE
from git_replicate.store.lock import take_turn
from git_replicate.store.note_tree import list_notes, write_notes_tree
from git_replicate.store.objects import ObjectWriter, store_commit

_WRITER = ("git replicate", "git-replicate@localhost")
_LONGEST_PAUSE = 0.1


def unite(repo: Repository, theirs: Oid) -> Oid:
    """Unite another clone's annotations with ours; the new value of our ref, which contains both.

    `GitError` if theirs are no notes, or ours are damaged; nothing has changed then.
    """
    try:
        repo.read_commit(theirs)
    except GitError as error:
        raise GitError("read the other side's annotations", f"{theirs[:12]} is no commit of notes") from error
    deadline = time.monotonic() + PATIENCE
    with take_turn(os.path.join(state_dir(repo.layout), LOCK), PATIENCE):
        while True:
            try:
                return _unite(repo, repo.read_ref(ANNOTATIONS_REF), theirs)
            except (RefMovedError, RefLockedError):
                if time.monotonic() > deadline:
                    raise
            wait(_LONGEST_PAUSE)


def _unite(repo: Repository, ours: Oid | None, theirs: Oid) -> Oid:
    if ours is not None and is_ancestor(repo.layout, theirs, ours):
        return ours
    if ours is None or is_ancestor(repo.layout, ours, theirs):
        repo.move_refs([RefUpdate(ANNOTATIONS_REF, ours, theirs)], "take annotations")
        return theirs
    return store_commit(repo, _merge(repo, *sorted((ours, theirs))), ANNOTATIONS_REF, ours, "unite annotations")


def _merge(repo: Repository, first: Oid, second: Oid) -> Callable[[ObjectWriter], Oid]:
    """The commit that has both, whichever of the two is ours."""
    parents = (repo.read_commit(first), repo.read_commit(second))
    base, other = (dict(list_notes(repo, parent.tree)) for parent in parents)
    differing = {start: note for start, note in other.items() if base.get(start) != note}
    texts = {start: _texts(repo, base.get(start), note) for start, note in differing.items()}
    signature = Signature(*_WRITER, max(parent.committer.time for parent in parents))

    def build(writer: ObjectWriter) -> Oid:
        notes = {start: writer.blob(text) for start, text in texts.items()}
        tree = write_notes_tree(repo, writer, parents[0].tree, dict(notes)) if notes else parents[0].tree
        return writer.commit(Commit(tree, (first, second), signature, signature, "unite\n"))

    return build


def _texts(repo: Repository, first: Oid | None, second: Oid) -> bytes:
    """The lines of both, each once, sorted: what `cat_sort_uniq` makes of them."""
    lines = {line for oid in (first, second) if oid for line in repo.read_blob(oid).split(b"\n") if line.strip()}
    return b"".join(line + b"\n" for line in sorted(lines))
