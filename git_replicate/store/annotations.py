"""What people say of runs: append-only lines, folded into the present state.

A run's lines are a git note on its start commit, in a notes ref of their own. A line is a JSON object: time, actor,
operation and value. Two clones' lines unite by `cat_sort_uniq`, so a line never depends on the ones around it, and
the fold orders them by time.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from git_replicate.core.errors import RefLockedError, RefMovedError
from git_replicate.core.names import ANNOTATIONS_REF
from git_replicate.git.repository import Commit, Oid, RefUpdate, Repository, Signature
from git_replicate.store.note_tree import list_notes, read_note, write_notes_tree

_ATTEMPTS = 20


@dataclass(frozen=True, slots=True)
class Annotations:
    """The present state of what was said of one run."""

    tags: frozenset[str] = frozenset()
    comment: str = ""
    archived: bool = False
    invalid: str = ""
    superseded_by: str = ""
    derived_from: str = ""
    removed: bool = False


@dataclass(frozen=True, slots=True)
class Change:
    """One thing said: tag, untag, comment, archive, unarchive, invalid, valid, superseded_by, derived_from, remove,
    restore."""

    operation: str
    value: str = ""


def annotate(repo: Repository, start: Oid, *, tags: Sequence[str] = (), actor: tuple[str, str] = ("", "")) -> None:
    """Tag a run, named by its start commit."""
    append(repo, {start: [Change("tag", tag) for tag in tags]}, actor=actor)


def append(
    repo: Repository, changes: Mapping[Oid, Sequence[Change]], *, actor: tuple[str, str], now: datetime | None = None
) -> None:
    """Add lines to runs, in one commit; nobody else's lines are lost, however many write at once."""
    when = (now or datetime.now(UTC)).astimezone(UTC)
    by = f"{actor[0]} <{actor[1]}>" if any(actor) else ""
    problem: Exception | None = None
    for _ in range(_ATTEMPTS):
        tip = repo.read_ref(ANNOTATIONS_REF)
        tree = repo.read_commit(tip).tree if tip else None
        notes: dict[Oid, Oid | None] = {}
        for start, said in changes.items():
            known = read_note(repo, tree, start)
            lines = [_line(when, by, change) for change in said]
            notes[start] = repo.write_blob((repo.read_blob(known) if known else b"") + b"".join(lines))
        new = write_notes_tree(repo, tree, notes)
        if new == tree:
            return
        who = Signature(actor[0] or "git replicate", actor[1] or "git-replicate@localhost", int(when.timestamp()))
        commit = repo.write_commit(Commit(new, (tip,) if tip else (), who, who, "annotate\n"))
        repo.sync([new, commit, *(blob for blob in notes.values() if blob)])
        try:
            repo.move_refs([RefUpdate(ANNOTATIONS_REF, tip, commit)], "write an annotation")
            return
        except (RefMovedError, RefLockedError) as error:
            problem = error
    raise RefMovedError("write an annotation", str(problem), "try again")


def _line(when: datetime, by: str, change: Change) -> bytes:
    entry = {
        "time": when.isoformat(timespec="microseconds"),
        "actor": by,
        "op": change.operation,
        "value": change.value,
    }
    return json.dumps(entry, ensure_ascii=False, sort_keys=True).encode(errors="replace") + b"\n"


def read_annotations(repo: Repository) -> dict[Oid, Annotations]:
    """The present state of every run that anything was said of, by start commit."""
    tip = repo.read_ref(ANNOTATIONS_REF)
    if tip is None:
        return {}
    notes = list(list_notes(repo, repo.read_commit(tip).tree))
    texts = repo.read_many(blob for _, blob in notes)
    return {start: fold((text or b"").splitlines()) for (start, _), text in zip(notes, texts, strict=True)}


def fold(lines: Iterable[bytes]) -> Annotations:
    """The state that lines lead to; those that are no line of ours are passed over."""
    said = []
    for line in lines:
        try:
            entry = json.loads(line)
            said.append((str(entry["time"]), str(entry["op"]), str(entry.get("value", ""))))
        except (ValueError, KeyError, TypeError, AttributeError):
            continue
    state = Annotations()
    for _, operation, value in sorted(said, key=lambda item: item[0]):
        state = _apply(state, operation, value)
    return state


def _apply(state: Annotations, operation: str, value: str) -> Annotations:
    if operation == "tag":
        return replace(state, tags=state.tags | {value})
    if operation == "untag":
        return replace(state, tags=state.tags - {value})
    if operation in ("archive", "unarchive"):
        return replace(state, archived=operation == "archive")
    if operation in ("remove", "restore"):
        return replace(state, removed=operation == "remove")
    if operation in ("invalid", "valid"):
        return replace(state, invalid=(value or "invalid") if operation == "invalid" else "")
    if operation == "comment":
        return replace(state, comment=value)
    if operation == "superseded_by":
        return replace(state, superseded_by=value)
    return replace(state, derived_from=value) if operation == "derived_from" else state
