"""The index of runs: what records say, in SQLite, so that a question over all of them is one query.

A cache and nothing more: every row is made from one immutable commit, so it can be missing but never stale, and the
file may be deleted at any time. Wide tables - `runs`, `params`, `metrics` - get columns as names appear; names that
do not fit SQLite's limit go into a column of JSON. Queries run on a connection that can only read these tables.

NaN is kept as NULL, as SQLite does it, with its metric named in `metrics.nan`, so that it is shown and counted.
"""

from __future__ import annotations

import contextlib
import difflib
import json
import math
import os
import re
import sqlite3
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import tomli

from git_replicate.core.errors import UserError
from git_replicate.core.names import ANNOTATIONS_REF, RESERVED_FOLDER, RUNS_PREFIX, parse_run_ref
from git_replicate.core.query import Column, compile_where, parse_sort, timestamp
from git_replicate.core.record import FORMAT
from git_replicate.git.opening import state_dir
from git_replicate.git.repository import Oid, Repository
from git_replicate.store.annotations import read_annotations

VERSION = 1
ATTRIBUTES: Mapping[str, str] = {
    "experiment": "experiment", "id": "id", "status": "status", "started": "started", "finished": "finished",
    "seconds": "seconds", "seed": "seeds.run", "message": "message", "command": "command", "directory": "directory",
    "exit_code": "exit_code", "signal": "signal", "reason": "reason", "attempts": "attempts", "rerun_of": "rerun_of",
    "user": "user.name", "email": "user.email", "host": "process.host", "pid": "process.pid",
    "boot_id": "process.boot_id", "peak_memory_bytes": "process.peak_memory_bytes",
    "cpu_seconds": "process.cpu_seconds", "snapshot": "code.snapshot", "tree": "code.tree", "base": "code.base",
    "branch": "code.branch", "dirty": "code.dirty", "mixed": "code.mixed", "leaked": "code.leaked",
    "sweep": "sweep.id", "verdict": "verdict.outcome",
}  # fmt: skip
"""Attribute of a run to the place in its record."""

_STORED = ("ref", "oid", *ATTRIBUTES, "environment", "data", "curves", "unreadable")
_FOLDED = ("tags", "comment", "archived", "invalid", "superseded_by", "removed")
_TABLES = ("runs", "params", "metrics")
_MOST_COLUMNS = 1_900
_RACY_SECONDS = 2.0
_FUNCTIONS = frozenset(
    [
        "like",
        "glob",
        "regexp",
        "abs",
        "round",
        "min",
        "max",
        "length",
        "lower",
        "upper",
        "substr",
        "instr",
        "coalesce",
        "ifnull",
        "nullif",
        "total",
        "sum",
        "avg",
        "count",
        "trim",
        "ltrim",
        "rtrim",
        "replace",
        "iif",
        "typeof",
        "json_extract",
        "log",
        "ln",
        "log10",
        "log2",
        "sqrt",
        "exp",
        "pow",
        "power",
        "floor",
        "ceil",
        "ceiling",
        "sign",
    ]
)

Row = dict[str, Any]
"""A run, flat: attributes by name, `params.*`, `metrics.*`; what is absent is not there."""


@dataclass(frozen=True, slots=True)
class Names:
    """The params and metrics that any run has."""

    params: tuple[str, ...]
    metrics: tuple[str, ...]


class Index:
    """An open index of one repository."""

    def __init__(self, repo: Repository, connection: sqlite3.Connection, path: str) -> None:
        self._repo = repo
        self._db = connection
        self._path = path
        self._columns: dict[str, dict[str, str]] = {"params": {}, "metrics": {}}
        self._read_columns()

    @staticmethod
    def open(repo: Repository) -> Index:
        """The repository's index file, made if need be; in memory where no file can be written."""
        path = os.path.join(state_dir(repo.layout), "index.sqlite")
        for attempt in range(2):
            try:
                os.makedirs(os.path.dirname(path), exist_ok=True)
                connection = sqlite3.connect(path, timeout=20, isolation_level=None)
                connection.execute("PRAGMA journal_mode=WAL")
                connection.execute("PRAGMA synchronous=OFF")
                _prepare(connection)
                return Index(repo, connection, path)
            except (sqlite3.DatabaseError, OSError):
                if attempt == 0:
                    _discard(path)
        connection = sqlite3.connect(":memory:", isolation_level=None)
        _prepare(connection)
        return Index(repo, connection, "")

    def close(self) -> None:
        self._db.close()

    def refresh(self) -> None:
        """Bring the index up to the refs; next to nothing when they have not moved."""
        stamp = _stamp(self._repo)
        if stamp and stamp == self._meta("stamp"):
            return
        refs = dict(self._repo.list_refs(RUNS_PREFIX))
        annotations = self._repo.read_ref(ANNOTATIONS_REF) or ""
        current = {ref: oid for ref, oid in refs.items() if parse_run_ref(ref)}
        try:
            self._update(current, annotations, stamp)
        except sqlite3.OperationalError:
            # Somebody else is writing, nobody may, or the disk is full: work on a copy of our own.
            copy = sqlite3.connect(":memory:", isolation_level=None)
            self._db.backup(copy)
            self._db.close()
            self._db, self._path = copy, ""
            self._update(current, annotations, stamp)

    def _update(self, current: Mapping[str, Oid], annotations: str, stamp: str) -> None:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            self._read_columns()
            known = dict(self._db.execute("SELECT ref, oid FROM runs"))
            gone = [ref for ref in known if ref not in current]
            fresh = [(ref, oid) for ref, oid in current.items() if known.get(ref) != oid]
            self._forget([*gone, *(ref for ref, _ in fresh if ref in known)])
            self._add(fresh)
            if fresh or annotations != self._meta("annotations"):
                self._fold(annotations)
            self._set_meta("stamp", stamp)
            self._db.execute("COMMIT")
        except BaseException:
            with contextlib.suppress(sqlite3.Error):
                self._db.execute("ROLLBACK")
            raise

    def _forget(self, refs: Sequence[str]) -> None:
        for table in ("params", "metrics", "runs"):
            where = "ref = ?" if table == "runs" else "rowid IN (SELECT rowid FROM runs WHERE ref = ?)"
            self._db.executemany(f"DELETE FROM {table} WHERE {where}", [(ref,) for ref in refs])

    def _add(self, fresh: Sequence[tuple[str, Oid]]) -> None:
        """Read the records in one stream and insert them."""
        next_row = (self._db.execute("SELECT max(rowid) FROM runs").fetchone()[0] or 0) + 1
        names = (name for _, oid in fresh for name in (f"{oid}:{RESERVED_FOLDER}/run.toml", f"{oid}:{RESERVED_FOLDER}"))
        contents = self._repo.read_many(names)
        width = 32 if self._repo.layout.object_format == "sha256" else 20
        batches: dict[tuple[str, tuple[str, ...]], list[tuple[Any, ...]]] = {}
        for row, (ref, oid) in enumerate(fresh, next_row):
            text, folder = next(contents), next(contents)
            document = _read_document(text)
            attributes = _attributes(document, ref, oid, _files(folder or b"", width))
            _queue(batches, "runs", row, dict(zip(_STORED, attributes, strict=True)))
            for table in ("params", "metrics"):
                _queue(batches, table, row, self._values(table, document.get(table, {})))
            if len(batches) > 200 or (row - next_row) % 5_000 == 4_999:
                self._insert(batches)
        self._insert(batches)

    def _insert(self, batches: dict[tuple[str, tuple[str, ...]], list[tuple[Any, ...]]]) -> None:
        for (table, columns), rows in batches.items():
            marks = ", ".join("?" * (len(columns) + 1))
            names = ", ".join(f'"{column}"' for column in columns)
            self._db.executemany(f"INSERT INTO {table} (rowid{', ' if names else ''}{names}) VALUES ({marks})", rows)
        batches.clear()

    def _values(self, table: str, values: Any) -> dict[str, Any]:
        """Column to value for a record's params or metrics, with columns made as needed."""
        columns: dict[str, Any] = {}
        more: dict[str, Any] = {}
        nan: list[str] = []
        for name, found in _flat(values):
            value = found
            if isinstance(found, float) and math.isnan(found):
                nan.append(name)
                value = None
            column = self._column(table, name)
            if column:
                columns[column] = _cell(value)
            else:
                more[name] = _cell(value)
        if more:
            columns["more"] = json.dumps(more)
        if nan:
            columns["nan"] = json.dumps(nan)
        return columns

    def _column(self, table: str, name: str) -> str | None:
        known = self._columns[table]
        column = known.get(name)
        if column is None and len(known) < _MOST_COLUMNS:
            column = known[name] = f"c{len(known)}"
            self._db.execute(f'ALTER TABLE {table} ADD COLUMN "{column}"')
            self._db.execute("INSERT INTO names VALUES (?, ?, ?)", (table, name, column))
        elif column is None:
            known_more = self._columns.setdefault(f"{table}.more", {})
            if name not in known_more:
                known_more[name] = ""
                self._db.execute("INSERT INTO names VALUES (?, ?, ?)", (table, name, ""))
        return column

    def _read_columns(self) -> None:
        self._columns = {"params": {}, "metrics": {}, "params.more": {}, "metrics.more": {}}
        for table, name, column in self._db.execute("SELECT tab, name, col FROM names"):
            self._columns[table if column else f"{table}.more"][name] = column

    def _fold(self, oid: str) -> None:
        """Write what people say of runs beside them."""
        blank = ", ".join(f"{name} = NULL" for name in _FOLDED)
        self._db.execute(f"UPDATE runs SET {blank}")
        if oid:
            starts = read_annotations(self._repo)
            names = [f"{start}:{RESERVED_FOLDER}/run.toml" for start in starts]
            for text, state in zip(self._repo.read_many(names), starts.values(), strict=True):
                document = _read_document(text)
                said = {
                    "tags": json.dumps(sorted(state.tags), ensure_ascii=False) if state.tags else None,
                    "comment": state.comment or None,
                    "archived": 1 if state.archived else None,
                    "invalid": state.invalid or None,
                    "superseded_by": state.superseded_by or None,
                    "removed": 1 if state.removed else None,
                }
                sets = ", ".join(f"{name} = ?" for name in said)
                key = (document.get("experiment"), document.get("id"))
                self._db.execute(f"UPDATE runs SET {sets} WHERE experiment = ? AND id = ?", (*said.values(), *key))
        self._set_meta("annotations", oid)

    def _meta(self, key: str) -> str:
        found = self._db.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
        return str(found[0]) if found else ""

    def _set_meta(self, key: str, value: str) -> None:
        self._db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, value))

    def names(self) -> Names:
        """Every param and metric name, sorted."""
        every = {t: sorted({*self._columns[t], *self._columns[f"{t}.more"]}) for t in ("params", "metrics")}
        return Names(tuple(every["params"]), tuple(every["metrics"]))

    def unreadable(self) -> int:
        """How many runs have a record that this version cannot read."""
        return int(self._db.execute("SELECT count(*) FROM runs WHERE unreadable IS NOT NULL").fetchone()[0])

    def resolve(self, name: str) -> Column:
        """The SQL of a name as a user writes it."""
        table, _, rest = name.partition(".")
        if table in ("attributes", "attribute", "runs", "run") and rest:
            return self._attribute(rest)
        if table in ("params", "param", "parameters") and rest:
            return self._value("params", rest)
        if table in ("metrics", "metric") and rest:
            return self._value("metrics", rest)
        if table in ("tags", "tag") and rest:
            return Column(
                f"(instr(coalesce(runs.tags, ''), '{json.dumps(rest)}') > 0)".replace("'\"", "'\""), "attribute"
            )
        if name in ATTRIBUTES or name in _FOLDED or name == "ref":
            return self._attribute(name)
        homes = [t for t in ("metrics", "params") if name in self._columns[t] or name in self._columns[f"{t}.more"]]
        if len(homes) == 2:
            raise UserError(f"{name!r} is a param and a metric", f"say params.{name} or metrics.{name}")
        if not homes:
            raise self._unknown(name)
        return self._value(homes[0], name)

    def _attribute(self, name: str) -> Column:
        if name not in ATTRIBUTES and name not in _FOLDED and name != "ref":
            raise self._unknown(name)
        if name == "status":
            return Column("runs.status COLLATE NOCASE", "status")
        kind = "time" if name in ("started", "finished") else "attribute"
        return Column(f'runs."{name}"', kind)

    def _value(self, table: str, name: str) -> Column:
        kind = table.removesuffix("s")
        column = self._columns[table].get(name)
        if column:
            return Column(f'{table}."{column}"', kind)
        if name in self._columns[f"{table}.more"]:
            path = json.dumps(f'$."{name}"')[1:-1].replace("'", "''").replace('\\"', '"')
            return Column(f"json_extract({table}.more, '{path}')", kind)
        raise self._unknown(f"{table}.{name}")

    def _unknown(self, name: str) -> UserError:
        names = self.names()
        every = [
            *ATTRIBUTES,
            *_FOLDED,
            *(f"params.{n}" for n in names.params),
            *(f"metrics.{n}" for n in names.metrics),
        ]
        bare = {full.partition(".")[2]: full for full in every if "." in full}
        near = difflib.get_close_matches(name, every, 1, 0.6) or [
            bare[found] for found in difflib.get_close_matches(name, list(bare), 1, 0.6)
        ]
        hint = f"did you mean {near[0]}?" if near else "git replicate collate --columns help lists the names"
        return UserError(f"no run has {name!r}", hint)

    def select(
        self, where: str | None = None, *, sort: Sequence[str] = ("-started",), limit: int | None = None
    ) -> list[Row]:
        """The runs that an expression chooses, in order; those removed or unreadable are never among them."""
        return list(self.rows(where, sort=sort, limit=limit))

    def rows(
        self, where: str | None = None, *, sort: Sequence[str] = ("-started",), limit: int | None = None
    ) -> Iterator[Row]:
        condition = compile_where(where, self.resolve) if where is not None else "1"
        yield from self._select(condition, sort, limit)

    def matching(self, condition: str) -> list[Row]:
        """The runs for which a condition in the tables' own SQL holds, newest first."""
        return list(self._select(condition, ("-started",), None))

    @property
    def repository(self) -> Repository:
        return self._repo

    def _select(self, condition: str, sort: Sequence[str], limit: int | None) -> Iterator[Row]:
        order = []
        for name, down in map(parse_sort, sort):
            sql = self.resolve(name).sql
            order.append(f"{sql} IS NULL, {sql} {'DESC' if down else 'ASC'}")
        order.append("runs.id DESC")
        shown = [
            (name, f'runs."{name}"') for name in ("ref", "oid", *ATTRIBUTES, "environment", "data", "curves", *_FOLDED)
        ]
        for table in ("params", "metrics"):
            shown += [(f"{table}.{name}", f'{table}."{col}"') for name, col in sorted(self._columns[table].items())]
        tail = [("params.more", "params.more"), ("metrics.more", "metrics.more"), ("metrics.nan", "metrics.nan")]
        fields = ", ".join(sql for _, sql in [*shown, *tail])
        query = (
            f"SELECT {fields} FROM runs JOIN params ON params.rowid = runs.rowid"
            " JOIN metrics ON metrics.rowid = runs.rowid"
            f" WHERE runs.unreadable IS NULL AND runs.removed IS NULL AND ({condition})"
            f" ORDER BY {', '.join(order)} LIMIT {-1 if limit is None else int(limit)}"
        )
        keys = [name for name, _ in shown]
        boolean = frozenset(i for i, name in enumerate(keys) if name.startswith("params."))
        for values in self._run(query):
            yield _row(keys, values, boolean)

    def _run(self, query: str) -> Iterator[tuple[Any, ...]]:
        """Run a query that may do nothing but read our tables."""
        connection = sqlite3.connect(f"file:{_quoted(self._path)}?mode=ro", uri=True) if self._path else self._db
        connection.create_function("regexp", 2, _regexp, deterministic=True)
        connection.set_authorizer(_authorize)
        try:
            yield from connection.execute(query)
        except (sqlite3.Error, sqlite3.Warning) as error:
            raise UserError(f"--where: {error}", 'git replicate log --where "metrics.accuracy > 0.9"') from error
        finally:
            connection.set_authorizer(None)
            if self._path:
                connection.close()

    def documents(self, rows: Sequence[Row]) -> Iterator[dict[str, Any]]:
        """The whole record of each row, as its TOML document."""
        for text in self._repo.read_many(f"{row['oid']}:{RESERVED_FOLDER}/run.toml" for row in rows):
            yield _read_document(text)


def _prepare(db: sqlite3.Connection) -> None:
    version = db.execute("PRAGMA user_version").fetchone()[0]
    if version not in (0, VERSION):
        raise sqlite3.DatabaseError("an index of another version")
    if version == VERSION:
        return
    db.execute("BEGIN IMMEDIATE")
    if db.execute("PRAGMA user_version").fetchone()[0] == 0:
        columns = ", ".join(f'"{name}"' for name in (*_STORED, *_FOLDED))
        db.execute(f"CREATE TABLE runs ({columns})")
        db.execute("CREATE UNIQUE INDEX runs_ref ON runs (ref)")
        db.execute("CREATE INDEX runs_id ON runs (id)")
        db.execute("CREATE INDEX runs_started ON runs (started)")
        db.execute("CREATE TABLE params (more, nan)")
        db.execute("CREATE TABLE metrics (more, nan)")
        db.execute("CREATE TABLE names (tab TEXT, name TEXT, col TEXT)")
        db.execute("CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT)")
        db.execute(f"PRAGMA user_version = {VERSION}")
    db.execute("COMMIT")


def _discard(path: str) -> None:
    for name in (path, f"{path}-wal", f"{path}-shm"):
        with contextlib.suppress(OSError):
            os.unlink(name)


def _queue(
    batches: dict[tuple[str, tuple[str, ...]], list[tuple[Any, ...]]], table: str, row: int, values: Mapping[str, Any]
) -> None:
    batches.setdefault((table, tuple(values)), []).append((row, *values.values()))


def _read_document(text: bytes | None) -> dict[str, Any]:
    """A record's document; with `unreadable` instead where there is none that this version reads."""
    if text is None:
        return {"unreadable": "no record"}
    try:
        document = tomli.loads(text.decode())
    except (tomli.TOMLDecodeError, UnicodeDecodeError) as error:
        return {"unreadable": str(error)}
    return document if document.get("format") == FORMAT else {"unreadable": f"format {document.get('format')}"}


def _attributes(document: Mapping[str, Any], ref: str, oid: Oid, files: Mapping[bytes, str]) -> list[Any]:
    values: list[Any] = [ref, oid]
    for path in ATTRIBUTES.values():
        value: Any = document
        for part in path.split("."):
            value = value.get(part) if isinstance(value, Mapping) else None
        if isinstance(value, datetime):
            value = timestamp(value)
        values.append(
            json.dumps(value) if isinstance(value, list | dict) else int(value) if isinstance(value, bool) else value
        )
    values += [files.get(name) for name in (b"environment.toml", b"data.toml", b"metrics.csv")]
    return [*values, document.get("unreadable")]


def _files(tree: bytes, width: int) -> dict[bytes, str]:
    """Name to object id of a raw tree's entries."""
    found: dict[bytes, str] = {}
    position = 0
    while position < len(tree):
        space = tree.index(b" ", position)
        end = tree.index(b"\0", space)
        found[tree[space + 1 : end]] = tree[end + 1 : end + 1 + width].hex()
        position = end + 1 + width
    return found


def _flat(values: Any, prefix: str = "") -> Iterable[tuple[str, Any]]:
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def _cell(value: Any) -> Any:
    """A value as SQLite keeps it: booleans as the words, lists as JSON."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime):
        return timestamp(value)
    if isinstance(value, int | float | str) or value is None:
        return value
    return json.dumps(value, ensure_ascii=False, default=str)


def _row(keys: Sequence[str], values: Sequence[Any], boolean: frozenset[int]) -> Row:
    row: Row = {}
    for position, (key, value) in enumerate(zip(keys, values, strict=False)):
        if value is None:
            continue
        row[key] = value == "true" if position in boolean and value in ("true", "false") else value
    params_more, metrics_more, nan = values[len(keys) :]
    for table, more in (("params", params_more), ("metrics", metrics_more)):
        if more:
            row.update({f"{table}.{name}": value for name, value in json.loads(more).items() if value is not None})
    if nan:
        row.update({f"metrics.{name}": math.nan for name in json.loads(nan)})
    return row


def _regexp(pattern: str, value: Any) -> bool:
    return value is not None and re.search(pattern, str(value)) is not None


def _authorize(action: int, first: str | None, second: str | None, *_: object) -> int:
    if action == sqlite3.SQLITE_SELECT:
        return sqlite3.SQLITE_OK
    if action == sqlite3.SQLITE_READ and first in _TABLES:
        return sqlite3.SQLITE_OK
    if action == sqlite3.SQLITE_FUNCTION and (second or "").lower() in _FUNCTIONS:
        return sqlite3.SQLITE_OK
    return sqlite3.SQLITE_DENY


def _quoted(path: str) -> str:
    from urllib.parse import quote

    return quote(os.fsencode(path))


def _stamp(repo: Repository) -> str:
    """A value that changes when refs move; empty when it could not be trusted: something changed just now."""
    common = repo.layout.common_dir
    if repo.layout.ref_format == "reftable":
        places = [os.path.join(common, "reftable", "tables.list")]
    else:
        places = [os.path.join(common, "packed-refs"), os.path.join(common, "refs", "notes")]
        places += [folder for folder, _, _ in os.walk(os.path.join(common, *RUNS_PREFIX.rstrip("/").split("/")))]
    newest = 0
    stamps = []
    for place in places:
        try:
            status = os.stat(place)
        except OSError:
            stamps.append("-")
            continue
        newest = max(newest, status.st_mtime_ns)
        stamps.append(f"{status.st_mtime_ns}.{status.st_size}.{status.st_ino}")
    return "" if time.time() - newest / 1e9 < _RACY_SECONDS else f"{len(places)}:{hash_of(stamps)}"


def hash_of(parts: Sequence[str]) -> str:
    import hashlib

    return hashlib.sha256("\n".join(parts).encode()).hexdigest()
