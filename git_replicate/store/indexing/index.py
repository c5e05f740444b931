"""The index of runs: what records say, in SQLite, so that a question over all of them is one query.

A cache and nothing more: every row is made from one immutable commit, so it can be missing but never stale, and the
file may be deleted at any time. Readers never wait for whoever fills it, and nothing that befalls the file - damage,
another version, a full disk, a folder that cannot be written - is an error: it is made again, elsewhere or in memory.
"""

from __future__ import annotations

import difflib
import re
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final, TypeVar

from git_replicate.core.errors import UserError
from git_replicate.core.frozen import frozen
from git_replicate.core.names import RESERVED_FOLDER
from git_replicate.core.query import Column, compile_where, parse_sort
from git_replicate.core.query_names import is_plain, quote_name
from git_replicate.git.repository import Repository
from git_replicate.store.indexing import fill as index_fill
from git_replicate.store.indexing.columns import BEST, TABLES, Columns, decode, decode_more, tag_column
from git_replicate.store.indexing.listing import Field, Listing, Write, read_listing
from git_replicate.store.indexing.schema import (
    ALIASES,
    ATTRIBUTES,
    FOLDED,
    KINDS,
    YIELDING,
    attribute_column,
    connect,
    discard,
    is_damage,
    only_reading,
    places,
    transaction,
    unwatched,
)  # fmt: skip
from git_replicate.store.indexing.text import read_document

T = TypeVar("T")
Row = dict[str, Any]
"""A run, flat: attributes by name, `params.*`, `metrics.*`; what is absent is not there."""

_SIMPLE: Final = frozenset(["id", "oid", "started", "finished"])
_ALWAYS: Final = ("ref", "oid", "experiment", "id", "status")
_PREFIXES: Final[Mapping[str, str]] = {
    **dict.fromkeys(("attributes", "attribute", "attr", "runs", "run"), "runs"),
    **dict.fromkeys(("params", "param", "parameters", "parameter"), "params"),
    **dict.fromkeys(("metrics", "metric"), "metrics"), **dict.fromkeys(("tags", "tag"), "tags"),
    "metrics_best": "best",
}  # fmt: skip
_SEEN = "runs.unreadable IS NULL AND runs.removed IS NULL"
_FROM = "runs JOIN params ON params.row = runs.row JOIN metrics ON metrics.row = runs.row"


@frozen
class Names:
    """The params and metrics that any run has."""

    params: tuple[str, ...]
    metrics: tuple[str, ...]


class Index:
    """An open index of one repository. What it answers is as of the last `refresh`, or later."""

    def __init__(self, repo: Repository, db: sqlite3.Connection, path: str) -> None:
        self._repo = repo
        self._db = db
        self._path = path
        self._columns = Columns(db)

    @staticmethod
    def open(repo: Repository) -> Index:
        """The repository's index, made if need be; in the user's cache or in memory where it cannot be written."""
        problem: Exception | None = None
        for path in places(repo.layout):
            try:
                return Index(repo, connect(path), path)
            except (sqlite3.Error, OSError) as error:
                problem = error
        raise AssertionError("SQLite cannot even open a database in memory") from problem

    def close(self) -> None:
        self._db.close()

    @property
    def repository(self) -> Repository:
        return self._repo

    @property
    def path(self) -> str:
        """The index's file; "" in memory."""
        return self._path

    def refresh(self) -> None:
        """Bring the index up to the refs; next to nothing when they have not moved."""
        try:
            index_fill.refresh(self._db, self._repo)
        except sqlite3.Error as error:
            self._elsewhere(error)
        self._columns = Columns(self._db)

    def _elsewhere(self, error: sqlite3.Error) -> None:
        """Go on with an index that can be filled: a damaged file made again, else the next place."""
        self._db.close()
        left = list(places(self._repo.layout))
        left = left[left.index(self._path) :] if self._path in left else [""]
        if self._path and is_damage(error):
            discard(self._path)
        elif len(left) > 1:
            left = left[1:]
        for path in left:
            try:
                self._db, self._path = connect(path), path
                index_fill.refresh(self._db, self._repo)
                return
            except (sqlite3.Error, OSError):
                if not path:
                    raise

    def names(self) -> Names:
        """Every param and metric name, sorted."""
        return Names(*(tuple(self._columns.names(table)) for table in TABLES))

    def unreadable(self) -> int:
        """How many runs have a record that this version cannot read."""
        return int(self._db.execute("SELECT count(*) FROM runs WHERE unreadable IS NOT NULL").fetchone()[0])

    def resolve(self, name: str) -> Column:
        """A name as a user writes it; `UserError` with the nearest one if no run has it."""
        prefix, _, rest = name.partition(".")
        table = _PREFIXES.get(prefix, "") if rest else ""
        if table == "tags":
            return tag_column(rest)
        if table == "best":
            return self._best(name, rest)
        if table in TABLES:
            if rest in self._columns.places[table]:
                return self._columns.column(table, rest)
            raise self._unknown(f"{table}.{rest}")
        attribute = rest if table == "runs" and (rest in KINDS or rest in ALIASES) else name
        homes = [table for table in TABLES if name in self._columns.places[table]]
        if attribute in KINDS:
            if attribute == name and homes and name in YIELDING:
                raise UserError(
                    f"{name!r} is an attribute and a {homes[0][:-1]}", f"say attributes.{name} or {homes[0]}.{name}"
                )
            return attribute_column(attribute)
        if len(homes) == 2:
            raise UserError(f"{name!r} is a param and a metric", f"say params.{name} or metrics.{name}")
        if homes:
            return self._columns.column(homes[0], name)
        if attribute in ALIASES:
            return attribute_column(ALIASES[attribute])
        raise self._unknown(name)

    def _odd(self) -> Iterator[str]:
        """The params and metrics whose names are no plain words."""
        return (
            full for table in TABLES for name in self._columns.places[table] if not is_plain(full := f"{table}.{name}")
        )

    def _best(self, name: str, rest: str) -> Column:
        metric, _, key = rest.rpartition(".")
        if key not in BEST or metric not in self._columns.places["best"]:
            raise self._unknown(name)
        return self._columns.best(metric, key)

    def _unknown(self, name: str) -> UserError:
        every = [f"{table}.{known}" for table in TABLES for known in self._columns.places[table]]
        every += [f"metrics_best.{known}.{key}" for known in self._columns.places["best"] for key in ("min", "max")]
        bare = {full.partition(".")[2]: full for full in reversed(every)}
        bare.update({known: known for known in (*ALIASES, *ATTRIBUTES, *FOLDED)})
        table, _, rest = name.partition(".")
        if table in TABLES:  # which every name of it begins with, however little it is like the rest
            known = list(self._columns.places[table])
            near = [f"{table}.{found}" for found in difflib.get_close_matches(rest, known, 1, 0.6)]
        else:
            near = difflib.get_close_matches(name, every, 1, 0.6)
        near = near or [bare[found] for found in difflib.get_close_matches(name.rpartition(".")[2], list(bare), 1, 0.6)]
        near = near or [full for full in every if full.startswith(f"{name}/")][:1]
        hint = f"did you mean {quote_name(near[0])}?" if near else "git replicate collate --format csv | head -1"
        return UserError(f"no run has {name!r}", hint)

    def select(
        self,
        where: str | None = None,
        *,
        sort: Sequence[str] = ("-started",),
        limit: int | None = None,
        columns: Sequence[str] | None = None,
    ) -> list[Row]:
        """The runs that an expression chooses, in order; those removed or unreadable are never among them.

        A row holds every attribute, param and metric, or only the columns named (and who the run is): a table of
        few columns is made faster so, and `metrics_best.*` come only if named. `params` and `metrics` name them all.
        """
        return self._asked(lambda: self._select(where, None, sort, limit, columns), where or " ".join(sort))

    def listing(
        self,
        write: Write,
        where: str | None = None,
        *,
        columns: Sequence[str],
        sort: Sequence[str] = ("-started",),
        limit: int | None = None,
        reason: str = "NULL",
    ) -> Listing | None:
        """The runs that an expression chooses as the text that `write` makes of their cells; None: only `select` can.

        The columns come in the order given, `params` and `metrics` as all of those that any run shown has a value of.
        reason: in the tables' own SQL, why a run is left out; NULL for one that is not.
        """

        def ask() -> Listing | None:
            with transaction(self._db, "DEFERRED"):
                self._columns = Columns(self._db)
                if any(_has_more(self._columns, table) for table in TABLES):
                    return None
                fields = [field for name in columns for field in self._fields(name)]
                chosen = compile_where(where, self.resolve, self._odd()) if where is not None else "1"
                with only_reading(self._db), unwatched():
                    return read_listing(
                        self._db,
                        fields,
                        f"FROM {_FROM} WHERE {_SEEN} AND ({chosen})",
                        reason=f"({reason})",
                        order=self._ordered(sort),
                        limit=limit,
                        write=write,
                    )

        return self._asked(ask, where or " ".join(sort))

    def _fields(self, name: str) -> Iterator[Field]:
        for full, sql, coded in self._shown_of(name):
            table, _, known = full.partition(".")
            simple = self._columns.is_number(table, known) if table in TABLES else full in _SIMPLE
            yield Field(full, sql, coded, simple, name in TABLES)

    def matching(self, condition: str) -> list[Row]:
        """The runs for which a condition in the tables' own SQL holds, newest first."""
        return self._asked(lambda: self._select(None, condition, ("-started",), None, None), condition)

    def _asked(self, ask: Callable[[], T], text: str) -> T:
        """The answer, from an index made again if this one turns out to be damaged."""
        try:
            return ask()
        except sqlite3.Error as error:
            if not is_damage(error):
                raise _refused(error) from error
            self._elsewhere(error)
        try:
            return ask()
        except sqlite3.Error as error:
            raise _refused(error) from error

    def _select(
        self,
        where: str | None,
        condition: str | None,
        sort: Sequence[str],
        limit: int | None,
        columns: Sequence[str] | None,
    ) -> list[Row]:
        with transaction(self._db, "DEFERRED"):  # names and rows of one state, whoever writes meanwhile
            self._columns = Columns(self._db)
            chosen = compile_where(where, self.resolve, self._odd()) if where is not None else condition or "1"
            shown = self._shown(columns)
            more = [f"{table}.more" for table in TABLES if _has_more(self._columns, table)]
            fields = ", ".join([*(sql for _, sql, _ in shown), *more])
            query = (
                f"SELECT {fields} FROM {_FROM} WHERE {_SEEN} AND ({chosen}) ORDER BY {self._ordered(sort)}"
                f" LIMIT {-1 if limit is None else max(int(limit), 0)}"
            )
            with only_reading(self._db), unwatched():
                return self._rows(self._db.execute(query), shown, columns is None or bool(more), more)

    def _ordered(self, sort: Sequence[str]) -> str:
        return ", ".join([*(part for name in sort for part in self._order(name)), "runs.id DESC"])

    def _order(self, name: str) -> Iterator[str]:
        """A name to sort by as SQL: what is no number comes last, and what is absent after that, either way."""
        bare, down = parse_sort(name)
        column = self.resolve(bare)
        sql = (column.number or column.sql) if column.kind == "metric" else column.sql
        if not column.number and column.raw in ("", column.sql):
            yield f"{sql} {'DESC' if down else 'ASC NULLS LAST'}"  # as it is, for an index to serve
            return
        yield f"{sql} IS NULL"
        yield f"{sql} {'DESC' if down else 'ASC'}"
        if column.raw:
            yield f"{column.raw} IS NULL"

    def _shown(self, columns: Sequence[str] | None) -> list[tuple[str, str, bool]]:
        """What to read: the key in a row, its SQL, and whether it may be a blob."""
        names = [
            *_ALWAYS,
            *(KINDS if columns is None else ()),
            *(("params", "metrics") if columns is None else columns),
        ]
        return list({shown[0]: shown for name in names for shown in self._shown_of(name)}.values())

    def _shown_of(self, name: str) -> Iterator[tuple[str, str, bool]]:
        if name in TABLES:
            for known, place in sorted(self._columns.places[name].items()):
                if place[0] == "c":
                    yield f"{name}.{known}", f"{name}.{place}", self._columns.coded(name, known)
            return
        column = self.resolve(name) if name not in KINDS else attribute_column(name)
        mixed = column.kind in ("param", "metric") and bool(column.raw)  # numbers only, or texts only, are no blobs
        yield column.name, column.raw or column.sql, mixed or column.kind == "flag"

    def _rows(
        self,
        found: Iterator[tuple[Any, ...]],
        shown: Sequence[tuple[str, str, bool]],
        widely: bool,
        more: Sequence[str],
    ) -> list[Row]:
        keys = [key for key, _, _ in shown]
        coded = [key for key, _, blob in shown if blob and key not in _ALWAYS]
        overflow = {
            table: {place: name for name, place in self._columns.places[table].items() if place[0] == "j"}
            for table in TABLES
        }
        rows: list[Row] = []
        for values in found:
            if None in values:
                row = {key: value for key, value in zip(keys, values, strict=False) if value is not None}
            else:
                row = dict(zip(keys, values, strict=False))
            for key in coded:
                if type(row.get(key)) is bytes:
                    row[key] = decode(row[key])
            if widely:
                for name, text in zip(more, values[len(keys) :], strict=True):
                    table = name.partition(".")[0]
                    if text:
                        names = overflow[table]
                        row.update({f"{table}.{names[key]}": value for key, value in decode_more(text, table).items()})
            rows.append(row)
        return rows

    def documents(self, rows: Sequence[Row]) -> Iterator[dict[str, Any]]:
        """The whole record of each row, as its TOML document."""
        for text in self._repo.read_many([f"{row['oid']}:{RESERVED_FOLDER}/run.toml" for row in rows]):
            yield read_document(text)

    def curves(self, rows: Sequence[Row]) -> Iterator[bytes | None]:
        """The curves of each row as CSV text (step,time,metric,value); None where a run has none."""
        having = [row["curves"] for row in rows if row.get("curves")]
        texts = iter(self._repo.read_many(having))
        for row in rows:
            yield next(texts) if row.get("curves") else None


def _has_more(columns: Columns, table: str) -> bool:
    return any(place[0] == "j" for place in columns.places[table].values())


def _refused(error: sqlite3.Error) -> UserError:
    if getattr(error, "sqlite_errorcode", 0) == sqlite3.SQLITE_INTERRUPT:
        return UserError("--where: the query takes too long", "choose runs by simpler conditions")
    if found := re.fullmatch(r'near "(.*)": syntax error|incomplete input', str(error), re.DOTALL):
        where = f"near {found[1]!r}" if found[1] and found[1] != ")" else "to its end"
        return UserError(f"--where: cannot read it {where}", 'git replicate log --where "metrics.accuracy > 0.9"')
    return UserError(f"--where: {error}", 'git replicate log --where "metrics.accuracy > 0.9"')
