"""Removing runs: a tombstone that every clone honours, and the commits kept for a while to undo it."""

from __future__ import annotations

import time

from git_replicate.core.errors import UserError
from git_replicate.core.names import TRASH_PREFIX, ExperimentName, RunId, is_run_id, run_ref, trash_ref
from git_replicate.git.repository import Oid, RefUpdate, Repository
from git_replicate.store.annotations import Change, append
from git_replicate.store.store import RunRef, read_run, start_of

KEPT_DAYS = 30


def remove(repo: Repository, ref: str, *, actor: tuple[str, str]) -> None:
    """Move a run to the trash and leave a tombstone. `UserError` for a run that is still running."""
    run = read_run(repo, ref)
    record = run.record
    start = start_of(repo, run.commit)
    append(repo, {start: [Change("remove", _today())]}, actor=actor)
    target = trash_ref(record.experiment, record.id)
    known = repo.read_ref(target)
    updates = [RefUpdate(ref, run.commit, None), RefUpdate(target, known, run.commit)]
    repo.move_refs(updates, f"remove {record.experiment}/{record.id}")


def restore(repo: Repository, run: RunRef, *, actor: tuple[str, str]) -> None:
    """Bring a run back from the trash, and say so in its annotations."""
    append(repo, {start_of(repo, run.commit): [Change("restore")]}, actor=actor)
    updates = [RefUpdate(run.ref, run.commit, None), RefUpdate(run_ref(run.experiment, run.id), None, run.commit)]
    repo.move_refs(updates, f"bring back {run.name}")


def list_removed(repo: Repository) -> list[RunRef]:
    """The runs in the trash; `ref` is where they are there."""
    found = []
    for ref, commit in repo.list_refs(TRASH_PREFIX):
        experiment, _, run = ref.removeprefix(TRASH_PREFIX).rpartition("/")
        if experiment and is_run_id(run):
            found.append(RunRef(ExperimentName(experiment), RunId(run), ref, commit))
    return found


def find_removed(repo: Repository, name: str) -> RunRef:
    """The removed run of this name, or part of its id."""
    part = name.rpartition("/")[2]
    runs = [run for run in list_removed(repo) if run.id.startswith(part) or run.id.endswith(part)]
    if "/" in name:
        runs = [run for run in runs if run.name.startswith(name.rpartition("/")[0] + "/")]
    if not runs:
        raise UserError(f"no removed run is called {name!r}", f"removed runs are kept for {KEPT_DAYS} days")
    if len(runs) > 1:
        raise UserError(f"{name} is ambiguous: {'; '.join(run.name for run in runs)}", "give more of the id")
    return runs[0]


def expire(repo: Repository, *, now: float | None = None) -> list[RunRef]:
    """Let go of what was removed longer ago than it is kept; git's own gc then frees the room."""
    limit = (time.time() if now is None else now) - KEPT_DAYS * 86_400
    gone = [run for run in list_removed(repo) if _removed_at(repo, run.commit, limit) < limit]
    if gone:
        repo.move_refs([RefUpdate(run.ref, run.commit, None) for run in gone], "empty the trash")
    return gone


def _removed_at(repo: Repository, commit: Oid, limit: float) -> float:
    """When a run was removed, by its tombstone; just now if nobody says."""
    from git_replicate.core.names import ANNOTATIONS_REF
    from git_replicate.store.note_tree import read_note

    if repo.read_commit(commit).committer.time > limit:
        return time.time()
    tip = repo.read_ref(ANNOTATIONS_REF)
    note = read_note(repo, repo.read_commit(tip).tree, start_of(repo, commit)) if tip else None
    import json
    from datetime import datetime

    for line in reversed(repo.read_blob(note).splitlines() if note else []):
        entry = json.loads(line)
        if entry.get("op") == "remove":
            return datetime.fromisoformat(entry["time"]).timestamp()
    return time.time()


def _today() -> str:
    return time.strftime("%Y-%m-%d", time.gmtime())
