"""The index's file: where it is, its tables, what an attribute is, and a connection that can be trusted with a query.

A file of another version is emptied and filled again; a damaged one is taken away. Where no file can be written the
index is kept in the user's cache, and where that fails too, in memory.
"""

from __future__ import annotations

import contextlib
import gc
import hashlib
import json
import os
import re
import sqlite3
import time
from collections.abc import Iterator, Mapping
from datetime import datetime
from functools import lru_cache
from typing import Any, Final

from git_replicate.core.frozen import frozen
from git_replicate.core.moments import timestamp
from git_replicate.core.query import FUNCTIONS, Column, Kind
from git_replicate.core.record import FORMAT
from git_replicate.git.opening import state_dir
from git_replicate.git.repository import Layout
from git_replicate.store.indexing import columns as index_columns
from git_replicate.store.lock import take_turn

VERSION: Final = 5 * 1_000 + FORMAT
LOCK_PATIENCE: Final = 60.0
"""Seconds to wait for another process that fills the index: it does what we would do."""
QUERY_PATIENCE: Final = 60.0
"""Seconds after which a query is given up."""
_STEPS = 100_000
_CACHE_KILOBYTES = 64_000
_LONGEST_VALUE = 50_000_000


@frozen
class Attribute:
    """Where in the record an attribute is, and what it is."""

    path: tuple[str, ...]
    kind: Kind


def _attributes(kind: Kind, names: str) -> dict[str, Attribute]:
    """`name` or `name=path.in.record`, separated by spaces."""
    pairs = [(word.partition("=")[0], word.partition("=")[2] or word) for word in names.split()]
    return {name: Attribute(tuple(path.split(".")), kind) for name, path in pairs}


ATTRIBUTES: Final[Mapping[str, Attribute]] = {
    **_attributes("attribute", "experiment id"),
    **_attributes("status", "status"),
    **_attributes("time", "started finished"),
    **_attributes("number", "seconds seed=seeds.run exit_code attempts"),
    **_attributes("attribute", "message command directory signal reason rerun_of user=user.name email=user.email"),
    **_attributes("attribute", "host=process.host boot_id=process.boot_id"),
    **_attributes("number", "pid=process.pid peak_memory_bytes=process.peak_memory_bytes"),
    **_attributes("number", "cpu_seconds=process.cpu_seconds"),
    **_attributes("attribute", "cluster=scheduler.cluster job=scheduler.job task=scheduler.task"),
    **_attributes("attribute", "snapshot=code.snapshot tree=code.tree base=code.base branch=code.branch"),
    **_attributes("flag", "dirty=code.dirty mixed=code.mixed leaked=code.leaked"),
    **_attributes("attribute", "seed_mode=seeds.mode sweep=sweep.id"),
    **_attributes("number", "trial=sweep.trial"),
    **_attributes("attribute", "verdict=verdict.outcome hybrid=hybrid.second"),
}
"""What is known of every run, besides its params and metrics."""

FOLDED: Final[Mapping[str, Kind]] = {
    "tags": "tags", "comment": "attribute", "archived": "flag", "invalid": "attribute",
    "superseded_by": "attribute", "derived_from": "attribute",
}  # fmt: skip
"""What people said of runs, from the annotations."""

FILES: Final[Mapping[str, bytes]] = {
    "environment": b"environment.toml", "data": b"data.toml", "curves": b"metrics.csv",
}  # fmt: skip
"""Object ids of the files beside the record: equal ids are equal contents."""

KINDS: Final[Mapping[str, Kind]] = {
    "ref": "attribute", "oid": "attribute", **{name: a.kind for name, a in ATTRIBUTES.items()},
    **dict.fromkeys(FILES, "attribute"), **FOLDED,
}  # fmt: skip
"""Every column of `runs` that may be asked for, in order."""

YIELDING: Final = frozenset(
    "data environment curves ref oid cluster job task trial sweep directory reason base tree branch user host email"
    " attempts seed seed_mode verdict hybrid snapshot signal".split()
)
"""Attributes whose bare name is not taken for theirs where a param or metric is called so."""

ALIASES: Final[Mapping[str, str]] = {
    "run_id": "id", "run": "id", "start_time": "started", "end_time": "finished", "user_id": "user", "commit": "oid",
    "duration": "seconds", "tag": "tags", "created": "started",
    **{".".join(a.path): name for name, a in ATTRIBUTES.items()},
}  # fmt: skip
"""Other names of attributes: those of the record, and of other trackers' queries."""

STORED: Final = ("ref", "oid", *ATTRIBUTES, *FILES, "unreadable")
_ALLOWED_TABLES = frozenset(["runs", *index_columns.TABLES])
_OURS: Final[Mapping[str, tuple[int, Any]]] = {
    "numeric": (1, index_columns.numeric), "number_of": (1, index_columns.number_of),
    "has_tag": (2, index_columns.has_tag), "tag_value": (2, index_columns.tag_value),
}  # fmt: skip
_ALLOWED_FUNCTIONS = FUNCTIONS | set(_OURS) | {"match"}


def attribute_values(document: Mapping[str, Any]) -> list[Any]:
    """The attributes of a record in order, as SQLite keeps them; a value of the wrong kind is not one."""
    tables = [_table(document, path) for path in _TABLES]
    values: list[Any] = []
    for table, key, kind in _PLACES:
        value = tables[table].get(key)
        if value is not None and (type(value) is not str or kind == "time"):
            value = stored(value, kind)
        values.append(value)
    return values


_json = json.JSONEncoder(ensure_ascii=False, default=str).encode
_TABLES: Final = tuple(dict.fromkeys(attribute.path[:-1] for attribute in ATTRIBUTES.values()))
"""The record's tables that hold attributes, each looked up once a record."""
_PLACES: Final = tuple((_TABLES.index(a.path[:-1]), a.path[-1], a.kind) for a in ATTRIBUTES.values())


def _table(document: Mapping[str, Any], path: tuple[str, ...]) -> Mapping[str, Any]:
    value: Any = document
    for part in path:
        value = value.get(part) if isinstance(value, dict) else None
    return value if isinstance(value, dict) else {}


def stored(value: Any, kind: Kind) -> Any:
    """An attribute that is not plainly a text as SQLite keeps it; None for a value of the wrong kind."""
    if kind == "time":
        return timestamp(value) if isinstance(value, datetime) else None
    if kind == "flag":
        return b"true" if value is True else None
    if kind == "number":
        return value if type(value) in (int, float) and abs(value) < 2**63 else None
    return _json(value)


def attribute_column(name: str) -> Column:
    """A known attribute as a query sees it; a flag is never null unless that is asked."""
    kind = KINDS[name]
    sql = f'runs."{name}"'
    if kind == "flag":
        return Column(name, kind, f"({sql} IS NOT NULL)", raw=sql)
    return Column(name, kind, f"{sql} COLLATE NOCASE" if kind == "status" else sql, raw=sql)


def places(layout: Layout) -> Iterator[str]:
    """Where the index of a repository may be kept, best first; "" is in memory."""
    yield os.path.join(state_dir(layout), "index.sqlite")
    cache = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    name = hashlib.sha256(os.fsencode(layout.common_dir)).hexdigest()[:16]
    yield os.path.join(cache, "git-replicate", name, "index.sqlite")
    yield ""


def connect(path: str) -> sqlite3.Connection:
    """Open and prepare the index at a path, for reading and writing; `sqlite3.Error` or `OSError` if that fails."""
    for attempt in (1, 2):
        db = _open(path)
        try:
            _prepare(db)
            return db
        except sqlite3.Error as error:
            db.close()
            if attempt == 2 or not is_damage(error):
                raise
            discard(path)
    raise AssertionError("unreachable")


def _open(path: str) -> sqlite3.Connection:
    if path:
        os.makedirs(os.path.dirname(path), exist_ok=True)
    db = sqlite3.connect(path or ":memory:", timeout=LOCK_PATIENCE, isolation_level=None)
    for name, (arguments, function) in _OURS.items():
        db.create_function(name, arguments, function, deterministic=True)
    db.create_function("regexp", 2, _regexp, deterministic=True)
    db.create_function("match", 2, _ilike, deterministic=True)
    db.create_function("match", 3, _ilike, deterministic=True)
    return db


def _prepare(db: sqlite3.Connection) -> None:
    """Make the tables, in place of another version's."""
    db.execute("PRAGMA case_sensitive_like = ON")
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("PRAGMA synchronous = NORMAL")
    db.execute(f"PRAGMA cache_size = -{_CACHE_KILOBYTES}")
    if db.execute("PRAGMA user_version").fetchone()[0] == VERSION:
        db.execute("SELECT tab, name, place, kinds FROM names LIMIT 1")
        return
    with transaction(db):
        if db.execute("PRAGMA user_version").fetchone()[0] == VERSION:
            return  # another process was faster
        for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
            db.execute(f'DROP TABLE "{name}"')
        columns = ", ".join(f'"{name}"' for name in (*STORED, *FOLDED, "removed"))
        db.execute(f"CREATE TABLE runs (row INTEGER PRIMARY KEY, {columns})")
        db.execute("CREATE UNIQUE INDEX runs_ref ON runs (ref)")
        db.execute("CREATE INDEX runs_id ON runs (id)")
        db.execute("CREATE INDEX runs_started ON runs (started, id)")
        db.execute("CREATE INDEX runs_unreadable ON runs (unreadable) WHERE unreadable IS NOT NULL")
        db.execute("CREATE TABLE params (row INTEGER PRIMARY KEY, more)")
        db.execute("CREATE TABLE metrics (row INTEGER PRIMARY KEY, more, best)")
        db.execute("CREATE TABLE names (tab, name, place, kinds, PRIMARY KEY (tab, name))")
        folded = ", ".join((*FOLDED, "removed"))
        db.execute(f"CREATE TABLE said (start PRIMARY KEY, note, experiment, id, {folded})")
        db.execute("CREATE INDEX said_id ON said (id)")
        db.execute("CREATE TABLE meta (key PRIMARY KEY, value)")
        db.execute(f"PRAGMA user_version = {VERSION}")


@contextlib.contextmanager
def transaction(db: sqlite3.Connection, kind: str = "IMMEDIATE") -> Iterator[None]:
    """All of the body or nothing."""
    db.execute(f"BEGIN {kind}")
    try:
        yield
        db.execute("COMMIT")
    except BaseException:
        with contextlib.suppress(sqlite3.Error):  # SQLite has rolled back by itself after some errors
            db.execute("ROLLBACK")
        raise


@contextlib.contextmanager
def unwatched() -> Iterator[None]:
    """Making a hundred thousand rows would set off the collector a hundred times, and there is nothing to collect."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.freeze()  # nor will there be: rows stay for as long as the command runs
            gc.enable()


def is_damage(error: sqlite3.Error) -> bool:
    """Whether the file is no good database: damaged, no database, or one with other tables than ours."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    return code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB) or "no such" in str(error)


def discard(path: str) -> None:
    """Take a damaged file away, unless somebody has made it again: of two at once, one would take the other's."""
    with take_turn(f"{path}.lock", LOCK_PATIENCE):
        if _is_sound(path):
            return
        for name in (path, f"{path}-wal", f"{path}-shm"):
            with contextlib.suppress(OSError):  # where it cannot be taken away, another place is found
                os.unlink(name)


def _is_sound(path: str) -> bool:
    db = _open(path)
    try:
        known = db.execute("PRAGMA user_version").fetchone()[0] == VERSION
        return known and db.execute("PRAGMA quick_check(1)").fetchone()[0] == "ok" and _has_every_table(db)
    except sqlite3.Error:
        return False
    finally:
        db.close()


def _has_every_table(db: sqlite3.Connection) -> bool:
    named = ", ".join(f'runs."{name}"' for name in (*STORED, *FOLDED, "removed"))
    for sql in (f"SELECT {named} FROM runs", "SELECT row, more FROM params", "SELECT row, more, best FROM metrics"):
        db.execute(f"{sql} LIMIT 0")
    db.execute("SELECT start, note, experiment, id FROM said LIMIT 0")
    db.execute("SELECT key, value FROM meta LIMIT 0")
    return True


@contextlib.contextmanager
def only_reading(db: sqlite3.Connection) -> Iterator[None]:
    """While the body runs, the connection can do nothing but read our tables, and not for ever."""
    deadline = time.monotonic() + QUERY_PATIENCE
    db.execute("PRAGMA query_only = ON")
    previous = db.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, _LONGEST_VALUE)
    db.set_progress_handler(lambda: time.monotonic() > deadline, _STEPS)
    db.set_authorizer(_authorize)
    try:
        yield
    finally:
        db.set_authorizer(None)
        db.set_progress_handler(None, 0)
        db.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, previous)
        db.execute("PRAGMA query_only = OFF")


def _authorize(action: int, first: str | None, second: str | None, *_: object) -> int:
    if action == sqlite3.SQLITE_SELECT:
        return sqlite3.SQLITE_OK
    if action == sqlite3.SQLITE_READ and first in _ALLOWED_TABLES:
        return sqlite3.SQLITE_OK
    if action == sqlite3.SQLITE_FUNCTION and (second or "").lower() in _ALLOWED_FUNCTIONS:
        return sqlite3.SQLITE_OK
    return sqlite3.SQLITE_DENY


def _regexp(pattern: Any, value: Any) -> bool | None:
    return None if value is None else _compiled(str(pattern)).search(_text(value)) is not None


def _ilike(pattern: Any, value: Any, escape: str = "") -> bool | None:
    """`value ilike pattern`, in any script; SQLite's own knows ASCII only."""
    if value is None or pattern is None:
        return None
    return _like(str(pattern), escape).fullmatch(_text(value)) is not None


def _text(value: Any) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)


@lru_cache
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern)


@lru_cache
def _like(pattern: str, escape: str) -> re.Pattern[str]:
    parts, position = [], 0
    while position < len(pattern):
        character = pattern[position]
        if character == escape and position + 1 < len(pattern):
            position += 1
            parts.append(re.escape(pattern[position]))
        else:
            parts.append({"%": ".*", "_": "."}.get(character) or re.escape(character))
        position += 1
    return re.compile("".join(parts), re.IGNORECASE | re.DOTALL)
