"""What people say of runs: append-only lines, folded into the present state.

A run's lines are a git note on its start commit, in a notes ref of their own. A line is a JSON object: time, actor,
operation and value. Two clones' lines unite by `cat_sort_uniq`, so a line never depends on the ones around it, and
the fold orders them by time.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from git_replicate.core.frozen import frozen
from git_replicate.core.names import ANNOTATIONS_REF
from git_replicate.git.opening import state_dir
from git_replicate.git.repository import Oid, Repository
from git_replicate.store.lock import take_turn
from git_replicate.store.note_tree import Notes, list_notes, put_notes, read_note, tree_of

LOCK = "annotations.lock"
PATIENCE = 20.0
"""Seconds to wait for the other writers of this machine; then the ref's own compare-and-swap has to do."""


@frozen
class Annotations:
    """The present state of what was said of one run."""

    tags: frozenset[str] = frozenset()
    comment: str = ""
    archived: bool = False
    invalid: str = ""
    superseded_by: str = ""
    derived_from: str = ""
    removed: bool = False
    removed_on: str = ""  # RFC 3339, UTC
    removed_run: str = ""  # `experiment/id` of a removed run, so that a clone that never had it knows it
    restored: bool = False  # it was removed, and brought back


@frozen
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
    lines = {start: b"".join(_lines(when, by, said)) for start, said in changes.items() if said}

    def decide(tree: Oid | None) -> Notes:
        known = {start: read_note(repo, tree, start) for start in lines}
        texts = {start: repo.read_blob(blob) if blob else b"" for start, blob in known.items()}
        return {start: text + b"\n" * (text[-1:] not in (b"", b"\n")) + lines[start] for start, text in texts.items()}

    if lines:
        who = (actor[0] or "git replicate", actor[1] or "git-replicate@localhost")
        with take_turn(os.path.join(state_dir(repo.layout), LOCK), PATIENCE):
            put_notes(repo, ANNOTATIONS_REF, decide, who=who, when=int(when.timestamp()), message="annotate")


def _lines(when: datetime, by: str, said: Sequence[Change]) -> Iterator[bytes]:
    """The lines of changes made together: each a microsecond later, so that their order outlives any sorting."""
    for number, change in enumerate(said):
        moment = (when + timedelta(microseconds=number)).isoformat(timespec="microseconds")
        entry = {"time": moment, "actor": by, "op": change.operation, "value": change.value}
        yield json.dumps(entry, ensure_ascii=False, sort_keys=True).encode(errors="replace") + b"\n"


def read_annotations(repo: Repository) -> dict[Oid, Annotations]:
    """The present state of every run that anything was said of, by start commit."""
    notes = list(list_notes(repo, tree_of(repo, ANNOTATIONS_REF)))
    texts = repo.read_many(blob for _, blob in notes)
    return {start: fold((text or b"").splitlines()) for (start, _), text in zip(notes, texts, strict=True)}


def fold(lines: Iterable[bytes]) -> Annotations:
    """The state that lines lead to; those that are no line of ours are passed over."""
    said = []
    for line in lines:
        try:
            entry = json.loads(line)
            said.append((str(entry["time"]), str(entry["op"]), str(entry.get("value", ""))))
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            continue
    state = Annotations()
    for time, operation, value in sorted(said):
        state = _apply(state, time, operation, value)
    return state


def _apply(state: Annotations, time: str, operation: str, value: str) -> Annotations:
    if operation == "tag":
        return replace(state, tags=state.tags | {value})
    if operation == "untag":
        return replace(state, tags=state.tags - {value})
    if operation in ("archive", "unarchive"):
        return replace(state, archived=operation == "archive")
    if operation == "remove":
        return replace(state, removed=True, removed_on=time, removed_run=value, restored=False)
    if operation == "restore":
        return replace(state, removed=False, removed_on="", removed_run="", restored=True)
    if operation in ("invalid", "valid"):
        return replace(state, invalid=(value or "invalid") if operation == "invalid" else "")
    if operation == "comment":
        return replace(state, comment=value)
    if operation == "superseded_by":
        return replace(state, superseded_by=value)
    return replace(state, derived_from=value) if operation == "derived_from" else state
