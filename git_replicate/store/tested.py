"""Which runs tested which code: by tree, so that a commit made after the run is known to be tested as well.

A file for each tree of a snapshot names the runs that ran it, so that a hook sees without starting anything that a
commit was never run. The note on a commit of the user's own history is a list of tables, `[[run]]`, with id,
experiment, status and metrics; past the newest few only their number is kept.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from git_replicate.core import record as records
from git_replicate.core.errors import FormatError
from git_replicate.core.names import RESERVED_FOLDER, RUNS_PREFIX, parse_run_ref
from git_replicate.core.patterns import lazy
from git_replicate.core.record import Record
from git_replicate.git.opening import state_dir
from git_replicate.git.repository import Layout, Repository

_FOLDER = "trees"
_OID = lazy(r"[0-9a-f]{40}|[0-9a-f]{64}")
_MOST_RUNS = 50


def remember_tree(layout: Layout, tree: str, ref: str) -> None:
    """Note that a run tested a tree; failing to is no loss that `hooks install` does not mend."""
    if not _OID.fullmatch(tree):
        return  # a record that was fetched may say anything, and this becomes a path
    folder = os.path.join(state_dir(layout), _FOLDER)
    with contextlib.suppress(OSError):
        os.makedirs(folder, exist_ok=True)
        with open(os.path.join(folder, tree), "a", encoding="utf-8", errors="surrogateescape") as file:
            file.write(ref.removeprefix(RUNS_PREFIX) + "\n")


def runs_of_tree(layout: Layout, tree: str) -> list[str]:
    """The refs of the runs that tested a tree, oldest first."""
    path = os.path.join(state_dir(layout), _FOLDER, tree if _OID.fullmatch(tree) else "none")
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as file:
            return [RUNS_PREFIX + line for line in dict.fromkeys(file.read().splitlines()) if line]
    except OSError:
        return []


def remember_every_tree(repo: Repository) -> None:
    """Make the files of all trees from the records: runs of other clones, and those from before."""
    for ref, record in read_records(repo, [ref for ref, _ in repo.list_refs(RUNS_PREFIX) if parse_run_ref(ref)]):
        if record.code.tree and ref not in runs_of_tree(repo.layout, record.code.tree):
            remember_tree(repo.layout, record.code.tree, ref)


def read_records(repo: Repository, refs: Iterable[str]) -> Iterable[tuple[str, Record]]:
    """The records of these runs, less those that are gone or cannot be read."""
    names = list(refs)
    for ref, text in zip(names, repo.read_many(f"{ref}:{RESERVED_FOLDER}/run.toml" for ref in names), strict=True):
        if text is not None:
            with contextlib.suppress(FormatError):
                yield ref, records.loads(text)


def entry_of(record: Record) -> dict[str, Any]:
    """What the note on a commit says of one run."""
    metrics = dict(sorted(record.metrics.items()))
    entry = {"id": record.id, "experiment": record.experiment, "status": str(record.status)}
    return {**entry, "metrics": metrics} if metrics else entry


def merge_note(text: bytes | None, entries: Sequence[Mapping[str, Any]], *, again: bool = False) -> bytes:
    """A commit's note with these runs added; a run that is there already is replaced.

    `again`: the runs are all there are, those included that the note has counted as older before.
    """
    import tomli
    import tomli_w

    try:
        document = tomli.loads(text.decode()) if text else {}
    except (tomli.TOMLDecodeError, UnicodeDecodeError):
        document = {}  # somebody's own words; the notes ref is ours alone, so they are not kept
    listed, counted = document.get("run"), document.get("older_runs")
    known = [run for run in listed if isinstance(run, dict) and "id" in run] if isinstance(listed, list) else []
    older = counted if isinstance(counted, int) else 0
    runs = {str(entry["id"]): entry for entry in (*known, *entries)}
    newest = [runs[run] for run in sorted(runs)]
    dropped = max(len(newest) - _MOST_RUNS, 0)
    older = max(older, dropped) if again else older + dropped
    head = {"older_runs": older} if older else {}
    return tomli_w.dumps({**head, "run": newest[-_MOST_RUNS:]}).encode()
