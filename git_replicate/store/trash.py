"""Removing runs: a tombstone that every clone honours, and the commits kept for a while to undo it.

The tombstone comes first, then the run's ref goes to the trash. Whoever is killed in between, or gets a tombstone
from another clone, leaves a ref that `settle` moves; a run that another clone has brought back is moved the other way.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from datetime import datetime

from git_replicate.core import record as records
from git_replicate.core.errors import FormatError, GitError, RefMovedError, UserError
from git_replicate.core.frozen import frozen
from git_replicate.core.names import (
    RESERVED_FOLDER,
    RUNS_PREFIX,
    TRASH_PREFIX,
    ExperimentName,
    RunId,
    is_run_id,
    run_ref,
    trash_ref,
)  # fmt: skip
from git_replicate.git.repository import Oid, RefUpdate, Repository
from git_replicate.store.annotations import Annotations, Change, append, read_annotations
from git_replicate.store.store import RunRef, read_run, start_of

KEPT_DAYS = 30
_ATTEMPTS = 100
"""How often a run may move forward while it is being moved to the trash."""


def remove(repo: Repository, ref: str, *, actor: tuple[str, str]) -> None:
    """Move a run to the trash and leave a tombstone. One that is still running ends in the trash."""
    run = read_run(repo, ref)
    name = f"{run.record.experiment}/{run.record.id}"
    append(repo, {start_of(repo, run.commit): [Change("remove", name)]}, actor=actor)
    _to_trash(repo, run.record.experiment, run.record.id)


def _to_trash(repo: Repository, experiment: ExperimentName, run: RunId) -> bool:
    """Move a run's ref to the trash; False if it has none."""
    source, target = run_ref(experiment, run), trash_ref(experiment, run)
    for _ in range(_ATTEMPTS):
        tip = repo.read_ref(source)
        if tip is None:
            return False
        try:
            updates = [RefUpdate(source, tip, None), RefUpdate(target, repo.read_ref(target), tip)]
            repo.move_refs(updates, f"remove {experiment}/{run}")
        except RefMovedError:
            continue
        return True
    raise RefMovedError(f"remove {experiment}/{run}", "its ref never stays still")


def settle(repo: Repository) -> list[str]:
    """Move the runs to the trash that have a tombstone and still a ref; their names."""
    removed = [start for start, state in read_annotations(repo).items() if state.removed]
    tips = dict(repo.list_refs(RUNS_PREFIX)) if removed else {}
    moved = []
    for start, text in zip(
        removed, repo.read_many(f"{start}:{RESERVED_FOLDER}/run.toml" for start in removed), strict=True
    ):
        with contextlib.suppress(FormatError, GitError):
            record = records.loads(text or b"")
            tip = tips.get(run_ref(record.experiment, record.id))
            if tip and start_of(repo, tip) == start and _to_trash(repo, record.experiment, record.id):
                moved.append(f"{record.experiment}/{record.id}")
    return moved


def follow(repo: Repository) -> tuple[list[str], list[str]]:
    """Do here what was said in other clones; the names of the runs that went to the trash, and of those that left it.

    A run that is in the trash without any word of it (the annotations are gone) stays there.
    """
    gone, back = settle(repo), []
    trash = list_removed(repo)
    said = read_annotations(repo) if trash else {}
    for run in trash:
        with contextlib.suppress(GitError, FormatError, UserError):
            if said.get(start_of(repo, run.commit), Annotations()).restored:
                _bring_back(repo, run)
                back.append(run.name)
    return gone, back


def removed_names(repo: Repository) -> set[str]:
    """`experiment/id` of the runs that have a tombstone, as far as the tombstones say it."""
    return {state.removed_run for state in read_annotations(repo).values() if state.removed and state.removed_run}


def restore(repo: Repository, run: RunRef, *, actor: tuple[str, str]) -> None:
    """Bring a run back from the trash, and say so in its annotations."""
    append(repo, {start_of(repo, run.commit): [Change("restore")]}, actor=actor)
    _bring_back(repo, run)


def _bring_back(repo: Repository, run: RunRef) -> None:
    target = run_ref(run.experiment, run.id)
    there = repo.read_ref(target)
    updates = [RefUpdate(run.ref, run.commit, None)]
    if there is None or _is_below(repo, there, run.commit):
        updates.append(RefUpdate(target, there, run.commit))
    elif not _is_below(repo, run.commit, there):
        raise UserError(f"{run.name} leads to another run now", f"git log {target}")
    repo.move_refs(updates, f"bring back {run.name}")


def _is_below(repo: Repository, ancestor: Oid, commit: Oid) -> bool:
    """Whether a commit of a run's line comes before, or is, another."""
    return ancestor in _line_of(repo, commit)


def _line_of(repo: Repository, commit: Oid) -> Iterator[Oid]:
    start = start_of(repo, commit)
    yield commit
    while commit != start:
        commit = repo.read_commit(commit).parents[0]
        yield commit


def list_removed(repo: Repository) -> list[RunRef]:
    """The runs in the trash; `ref` is where they are there."""
    found = []
    for ref, commit in repo.list_refs(TRASH_PREFIX):
        experiment, _, run = ref.removeprefix(TRASH_PREFIX).rpartition("/")
        if experiment and is_run_id(run):
            found.append(RunRef(ExperimentName(experiment), RunId(run), ref, commit))
    return found


@frozen
class Removed:
    """A run in the trash: when it went there (RFC 3339; "" where nobody said it), and its message."""

    run: RunRef
    removed_on: str
    message: str


def removed_runs(repo: Repository) -> list[Removed]:
    """The runs that can be brought back, the last removed first."""
    settle(repo)
    runs = list_removed(repo)
    said = read_annotations(repo) if runs else {}
    found = []
    for run in runs:
        message, removed_on = "", ""
        with contextlib.suppress(FormatError, GitError, UserError):
            removed_on = said.get(start_of(repo, run.commit), Annotations()).removed_on
            message = read_run(repo, run.commit).record.message
        found.append(Removed(run, removed_on, message))
    return sorted(found, key=lambda each: (each.removed_on, each.run.id), reverse=True)


def find_removed(repo: Repository, name: str) -> RunRef:
    """The removed run of this name, or part of its id; `latest` is the last removed."""
    if name.strip() == "latest" and (last := removed_runs(repo)):
        return last[0].run
    settle(repo)
    experiment, _, part = name.strip().removeprefix(RUNS_PREFIX).removeprefix("experiments/").rpartition("/")
    runs = [run for run in list_removed(repo) if part and (run.id.startswith(part) or run.id.endswith(part))]
    if experiment:
        runs = [run for run in runs if run.experiment == experiment]
    if not runs:
        raise UserError(
            f"no removed run is called {name!r} (they are kept for {KEPT_DAYS} days)",
            "git replicate rm --undo lists them",
        )
    if len(runs) > 1:
        raise UserError(f"{name} is ambiguous: {'; '.join(run.name for run in runs)}", "give more of the id")
    return runs[0]


def expire(repo: Repository, *, now: float | None = None) -> list[RunRef]:
    """Let go of what was removed longer ago than it is kept; git's own gc then frees the room.

    What has no tombstone (somebody began to bring it back, or the annotations are gone) is kept.
    """
    settle(repo)
    runs = list_removed(repo)
    said = read_annotations(repo) if runs else {}
    limit = (time.time() if now is None else now) - KEPT_DAYS * 86_400
    gone = []
    for run in runs:
        removed = _removed_at(said.get(start_of(repo, run.commit), Annotations()))
        if removed is not None and removed < limit:
            gone.append(run)
    if gone:
        repo.move_refs([RefUpdate(run.ref, run.commit, None) for run in gone], "empty the trash")
    return gone


def _removed_at(state: Annotations) -> float | None:
    try:
        return datetime.fromisoformat(state.removed_on).timestamp()
    except (ValueError, OverflowError):
        return None
