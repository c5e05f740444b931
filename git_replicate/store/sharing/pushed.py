"""What a push of commits has to do with runs: which runs tested them, and whether any has.

git tells a pre-push hook of each ref in a line: its name and value here, its name and value over there.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from git_replicate.core.names import RUNS_PREFIX, parse_run_ref
from git_replicate.core.record import Status
from git_replicate.git.history import added_commits
from git_replicate.git.remotes import Remote
from git_replicate.git.repository import Oid, Repository
from git_replicate.store.annotations import Annotations, read_annotations
from git_replicate.store.indexing.index import Index
from git_replicate.store.store import start_of
from git_replicate.store.tested import read_records, runs_of_tree

_HEADS = "refs/heads/"


@dataclass(frozen=True, slots=True)
class PushedRef:
    """A ref that is pushed; `old` None where it is not there yet."""

    name: str
    new: Oid
    old: Oid | None


def read_pushed(text: str) -> list[PushedRef]:
    """The refs of git's lines; deleted ones are left out."""
    found = []
    for line in text.splitlines():
        words = line.split(" ")
        if len(words) == 4 and words[1].strip("0"):
            found.append(PushedRef(words[2], Oid(words[1]), Oid(words[3]) if words[3].strip("0") else None))
    return found


def runs_of_pushed(index: Index, remote: Remote, pushed: Sequence[PushedRef]) -> set[str]:
    """The refs of the runs whose code is that of a pushed commit, or is based on one."""
    repo = index.repository
    refs = [ref for ref in pushed if parse_run_ref(ref.name) is None]
    if not refs:
        return set()
    known = [ref.old for ref in refs if ref.old is not None and repo.exists(ref.old)]
    tracked = [oid for _, oid in repo.list_refs(f"refs/remotes/{remote.name}/")] if remote.configured else []
    commits = {ref.new for ref in refs} | set(added_commits(repo.layout, [ref.new for ref in refs], [*known, *tracked]))
    trees = {tree for commit in commits if (tree := _tree(repo, commit))}
    rows = index.select(None, columns=("base", "snapshot", "tree"))
    return {
        str(row["ref"])
        for row in rows
        if row.get("base") in commits or row.get("snapshot") in commits or row.get("tree") in trees
    }


def _tree(repo: Repository, commit: Oid) -> str:
    found = repo.resolve(commit)  # a pushed tag
    return repo.read_commit(found).tree if found else ""


def untested(repo: Repository, pushed: Iterable[PushedRef]) -> list[PushedRef]:
    """The branches whose newest commit no finished, valid run has tested."""
    return [ref for ref in pushed if ref.name.startswith(_HEADS) and not _is_tested(repo, _tree(repo, ref.new))]


def _is_tested(repo: Repository, tree: str) -> bool:
    finished = [ref for ref, r in read_records(repo, runs_of_tree(repo.layout, tree)) if r.status is Status.FINISHED]
    if not finished:
        return False
    said = read_annotations(repo)
    tips = dict(repo.list_refs(RUNS_PREFIX))
    starts = (start_of(repo, tips[ref]) for ref in finished if ref in tips)
    return any(not said.get(start, Annotations()).invalid for start in starts)
