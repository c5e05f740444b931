"""Filling the index from git: which runs are new, moved or gone, their records in one stream, and what people say."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from operator import itemgetter
from typing import Any

from git_replicate.core.names import ANNOTATIONS_REF, RESERVED_FOLDER, RUNS_PREFIX, parse_run_ref
from git_replicate.git.repository import Oid, Repository
from git_replicate.store.annotations import Annotations, fold
from git_replicate.store.indexing.columns import TABLES, Columns
from git_replicate.store.indexing.schema import (
    ATTRIBUTES,
    FILES,
    FOLDED,
    STORED,
    attribute_values,
    transaction,
    unwatched,
)
from git_replicate.store.indexing.shapes import Cells, Shapes
from git_replicate.store.indexing.stamp import still_holds, take_stamp
from git_replicate.store.indexing.text import NO_RECORD, UNREADABLE, read_document, read_head
from git_replicate.store.note_tree import list_notes

_identity = itemgetter([*ATTRIBUTES].index("experiment"), [*ATTRIBUTES].index("id"))
_FLUSH_BATCHES = 200
_FLUSH_ROWS = 2_000

Batches = dict[tuple[str, tuple[str, ...]], list[tuple[Any, ...]]]
"""Table and columns to the rows to insert there."""


def refresh(db: sqlite3.Connection, repo: Repository) -> None:
    """Bring the index up to the refs; next to nothing when they have not moved."""
    if still_holds(repo.layout, _meta(db, "stamp")):
        return
    stamp = take_stamp(repo.layout)
    refs = {ref: oid for ref, oid in repo.list_refs(RUNS_PREFIX) if parse_run_ref(ref)}
    tip = repo.read_ref(ANNOTATIONS_REF) or ""
    if stamp == _meta(db, "stamp") and tip == _meta(db, "annotations") and refs == _known(db):
        return  # whoever refreshed meanwhile saw the same; nobody's lock is waited for
    with transaction(db), unwatched():
        _Filler(db, repo).fill(refs, tip)
        db.execute("INSERT OR REPLACE INTO meta VALUES ('stamp', ?)", (stamp,))


def _meta(db: sqlite3.Connection, key: str) -> str:
    found = db.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
    return str(found[0]) if found else ""


def _known(db: sqlite3.Connection) -> dict[str, str]:
    """Ref to commit of the runs that need not be read again: a record that was missing may have come since."""
    return dict(db.execute(f"SELECT ref, oid FROM runs WHERE unreadable IS NULL OR unreadable <> '{NO_RECORD}'"))


class _Filler:
    """One transaction's work."""

    def __init__(self, db: sqlite3.Connection, repo: Repository) -> None:
        self._db = db
        self._repo = repo
        self._columns = Columns(db)
        self._shapes = Shapes(self._columns)
        self._batches: Batches = {}

    def fill(self, refs: Mapping[str, Oid], tip: str) -> None:
        known = _known(self._db)
        every = {ref for (ref,) in self._db.execute("SELECT ref FROM runs")}
        fresh = [(ref, oid) for ref, oid in refs.items() if known.get(ref) != oid]
        self._forget([*(every - refs.keys()), *(ref for ref, _ in fresh if ref in every)])
        first = (self._db.execute("SELECT max(row) FROM runs").fetchone()[0] or 0) + 1
        self._add(fresh, first)
        self._fold(tip, first)

    def _forget(self, refs: Sequence[str]) -> None:
        rows = [(ref,) for ref in refs]
        for table in TABLES:
            self._db.executemany(f"DELETE FROM {table} WHERE row = (SELECT row FROM runs WHERE ref = ?)", rows)
        self._db.executemany("DELETE FROM runs WHERE ref = ?", rows)

    def _add(self, fresh: Sequence[tuple[str, Oid]], first: int) -> None:
        for row, (ref, oid, text, files) in enumerate(self._read(fresh), first):
            cells = self._shapes.read(text)
            beside = [files.get(name) for name in FILES.values()]
            if cells and _is_of(cells, ref):
                self._queue("runs", row, STORED, (ref, oid, *cells.attributes, *beside, None))
                for table, (columns, values) in zip(TABLES, cells[1:], strict=True):
                    self._queue(table, row, columns, values)
            else:
                self._add_any(row, ref, oid, read_document(text), beside)
            if len(self._batches) > _FLUSH_BATCHES or row % _FLUSH_ROWS == 0:
                self._flush()
        self._flush()

    def _add_any(self, row: int, ref: str, oid: Oid, document: Mapping[str, Any], beside: Sequence[str | None]) -> None:
        """A record whose text is not of a known shape."""
        self._queue("runs", row, STORED, _run_values(document, ref, oid, beside))
        for table in TABLES:
            cells = self._columns.encode(table, document.get(table))
            if table == "metrics":
                best = self._columns.encode_best(document.get("metrics_best"), document.get(table))
                if best:
                    cells["best"] = best
            self._queue(table, row, tuple(cells), list(cells.values()))
        self._columns.note_nulls(document.get("params_null"))

    def _read(self, fresh: Sequence[tuple[str, Oid]]) -> Iterator[tuple[str, Oid, bytes | None, Mapping[bytes, str]]]:
        """Each run with its record's text and the ids of the files beside it, in one stream."""
        width = 32 if self._repo.layout.object_format == "sha256" else 20
        names = (name for _, oid in fresh for name in (f"{oid}:{RESERVED_FOLDER}", f"{oid}:{RESERVED_FOLDER}/run.toml"))
        contents = iter(self._repo.read_many(names))
        for ref, oid in fresh:
            folder, text = next(contents, None), next(contents, None)
            yield ref, oid, text, _entries(folder or b"", width)

    def _queue(self, table: str, row: int, columns: tuple[str, ...], values: Sequence[Any]) -> None:
        self._batches.setdefault((table, columns), []).append((row, *values))

    def _flush(self) -> None:
        for (table, columns), rows in self._batches.items():
            names = "".join(f', "{column}"' for column in columns)
            marks = ", ?" * len(columns)
            self._db.executemany(f"INSERT INTO {table} (row{names}) VALUES (?{marks})", rows)
        self._batches.clear()

    def _fold(self, tip: str, first: int) -> None:
        """Write what people say beside the runs: the lines that are new, and the runs that are."""
        changed = self._read_said(tip) if tip != _meta(self._db, "annotations") else set()
        rows = self._db.execute(
            "SELECT s.experiment, s.id FROM said s JOIN runs r ON r.id = s.id AND r.experiment = s.experiment"
            " WHERE r.row >= ?",
            (first,),
        )
        changed.update(rows.fetchall())
        if any(True for _ in self._db.execute("SELECT 1 FROM said WHERE id IS NULL LIMIT 1")):
            changed |= self._name_said()
        names = (*FOLDED, "removed")
        sets = ", ".join(
            f"{name} = (SELECT s.{name} FROM said s WHERE s.id = ?1 AND s.experiment = ?2)" for name in names
        )
        self._db.executemany(
            f"UPDATE runs SET {sets} WHERE id = ?1 AND experiment = ?2", [(run, name) for name, run in changed]
        )
        self._db.execute("INSERT OR REPLACE INTO meta VALUES ('annotations', ?)", (tip,))

    def _read_said(self, tip: str) -> set[tuple[str, str]]:
        """Read the notes that are new or changed; the runs (experiment, id) that they are of."""
        notes = dict(list_notes(self._repo, self._repo.read_commit(Oid(tip)).tree)) if tip else {}
        known = {start: (note, experiment, run) for start, note, experiment, run in self._db.execute(
            "SELECT start, note, experiment, id FROM said"
        )}  # fmt: skip
        stale = [start for start in known if known[start][0] != notes.get(Oid(start))]
        fresh = [start for start, note in notes.items() if start not in known or known[start][0] != note]
        self._db.executemany("DELETE FROM said WHERE start = ?", [(start,) for start in stale])
        texts = self._repo.read_many([notes[start] for start in fresh])
        for start, text in zip(fresh, texts, strict=True):
            _, experiment, run = known.get(start, (None, None, None))
            said = _said(fold((text or b"").splitlines()))
            marks = ", ?" * len(said)
            self._db.execute(
                f"INSERT INTO said VALUES (?, ?, ?, ?{marks})", (start, notes[start], experiment, run, *said)
            )
        return {(known[start][1], known[start][2]) for start in stale}

    def _name_said(self) -> set[tuple[str, str]]:
        """Find out which runs notes are on, whose start commits have become readable."""
        starts = [start for (start,) in self._db.execute("SELECT start FROM said WHERE id IS NULL")]
        texts = self._repo.read_many([f"{start}:{RESERVED_FOLDER}/run.toml" for start in starts])
        named = set()
        for start, text in zip(starts, texts, strict=True):
            document = read_head(text)
            experiment, run = document.get("experiment"), document.get("id")
            if isinstance(experiment, str) and isinstance(run, str):
                self._db.execute("UPDATE said SET experiment = ?, id = ? WHERE start = ?", (experiment, run, start))
                named.add((experiment, run))
        return named


def _is_of(cells: Cells, ref: str) -> bool:
    """Whether a record is of the run that it is found at."""
    experiment, run = _identity(cells.attributes)
    return f"{RUNS_PREFIX}{experiment}/{run}" == ref and "/" not in run


def _run_values(document: Mapping[str, Any], ref: str, oid: Oid, beside: Sequence[str | None]) -> list[Any]:
    parsed = parse_run_ref(ref)
    unreadable = document.get(UNREADABLE)
    if parsed and not unreadable and (document.get("experiment"), document.get("id")) != parsed:
        unreadable = "the record is of another run"
    if parsed and unreadable:
        document = {"experiment": parsed[0], "id": parsed[1], "status": ""}
    elif not isinstance(document.get("status"), str):
        unreadable = "no status"
    return [ref, oid, *attribute_values(document), *beside, unreadable]


def _said(state: Annotations) -> tuple[Any, ...]:
    """The state in the order of the columns, null for what is not said."""
    tags = json.dumps(sorted(state.tags), ensure_ascii=False) if state.tags else None
    flags = tuple(b"true" if flag else None for flag in (state.archived, state.removed))
    return (
        tags, state.comment or None, flags[0], state.invalid or None, state.superseded_by or None,
        state.derived_from or None, flags[1],
    )  # fmt: skip


def _entries(tree: bytes, width: int) -> dict[bytes, str]:
    """Name to object id of a raw tree's entries."""
    found: dict[bytes, str] = {}
    position = 0
    while position < len(tree):
        space = tree.index(b" ", position)
        end = tree.index(b"\0", space)
        found[tree[space + 1 : end]] = tree[end + 1 : end + 1 + width].hex()
        position = end + 1 + width
    return found
