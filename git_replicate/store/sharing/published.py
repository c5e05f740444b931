"""What publishing runs publishes: commits and files of the user's that the other side does not have.

A run's snapshot holds what was never committed, and leads to commits that were never pushed. Both are named before
the first push. What the runs themselves add (records, logs, kept outputs) is not counted here.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from git_replicate.core.names import RESERVED_FOLDER
from git_replicate.git.history import added_by, kinds_and_sizes, subjects
from git_replicate.git.repository import Oid, Repository
from git_replicate.store.tested import read_records

SHOWN = 20


@dataclass(frozen=True, slots=True)
class Published:
    """The user's commits and files that would be seen: how many, how large in all versions, and the first of them."""

    commits: int = 0
    files: int = 0
    bytes: int = 0
    first_commits: tuple[str, ...] = ()
    first_files: tuple[str, ...] = ()


def published(repo: Repository, runs: Collection[Oid], known: Iterable[Oid]) -> Published:
    """What these runs' commits lead to and the known commits (those that are here) do not."""
    present = set(known)
    present -= repo.absent(present)
    added = added_by(repo.layout, runs, present)
    inside = f"{RESERVED_FOLDER}/"
    commits = [oid for oid, path in added if not path]
    paths = [(oid, path) for oid, path in added if path and path != RESERVED_FOLDER and not path.startswith(inside)]
    facts = kinds_and_sizes(repo.layout, [oid for oid, _ in paths])
    blobs = [(path, size) for (_, path), (kind, size) in zip(paths, facts, strict=True) if kind == "blob"]
    files = sorted({path for path, _ in blobs})
    own = _without_runs(repo, commits, runs)
    return Published(
        len(own),
        len(files),
        sum(size for _, size in blobs),
        tuple(subjects(repo.layout, own[:SHOWN])),
        tuple(files[:SHOWN]),
    )


def _without_runs(repo: Repository, listed: list[Oid], runs: Iterable[Oid]) -> list[Oid]:
    """The commits that are neither a run's own nor a snapshot of uncommitted code; trees without a path go as well."""
    kinds = kinds_and_sizes(repo.layout, listed)
    commits = [oid for oid, (kind, _) in zip(listed, kinds, strict=True) if kind == "commit"]
    records = kinds_and_sizes(repo.layout, [f"{oid}:{RESERVED_FOLDER}/run.toml" for oid in commits])
    snapshots = {
        record.code.snapshot for _, record in read_records(repo, runs) if record.code.snapshot != record.code.base
    }
    return [oid for oid, (kind, _) in zip(commits, records, strict=True) if kind != "blob" and oid not in snapshots]
