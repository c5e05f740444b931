"""How the values of params and metrics lie in SQLite, and how a query sees them.

Each of the two has a wide table, with a column for every name. A number is a number and a text a text; what SQLite has
no type for is a blob of its word: `true`, `false`, `nan` (SQLite itself would make NaN NULL), a list as its JSON. What
kinds of value a column has ever held is kept beside its name, so that the usual column, numbers only, is queried as
it is, and only a mixed one pays for being looked at closely. Names beyond SQLite's limit share one column of JSON.
"""

from __future__ import annotations

import json
import math
import re
import sqlite3
from collections.abc import Iterator, Mapping
from datetime import date, datetime, time
from functools import lru_cache
from typing import Any, Final

from git_replicate.core.moments import timestamp
from git_replicate.core.query import Column, Kind, quote

TABLES: Final = ("params", "metrics")
MOST_COLUMNS: Final = 900
"""Columns of one table; SQLite reads at most 2,000 in one query, of two such tables and the attributes."""

NUMBER, TEXT, DIGITS, BOOLEAN, NAN, OTHER = 1, 2, 4, 8, 16, 32
_CODED = BOOLEAN | NAN | OTHER
_EVERY = NUMBER | TEXT | DIGITS | _CODED
_WORDS: Final[Mapping[bytes, Any]] = {b"true": True, b"false": False, b"nan": math.nan}
_NUMBER = re.compile(r"\s*[+-]?(?:(?:\d+(?:\.\d*)?|\.\d+)(?:e[+-]?\d+)?|inf(?:inity)?)\s*", re.IGNORECASE)
_LARGEST = 2**63
_NUMBERS = frozenset([int, float])
_ENCODER = json.JSONEncoder(separators=(",", ":"))
_encode = json.JSONEncoder(ensure_ascii=False, default=str).encode


class Columns:
    """Which column every name has, and what kinds of value it has held; read from and written to the index."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db
        self.places: dict[str, dict[str, str]] = {"params": {}, "metrics": {}, "best": {}}
        """Table to name to column: `c3`, or `j3` for a key of the JSON."""
        self.kinds: dict[str, dict[str, int]] = {"params": {}, "metrics": {}}
        for table, name, place, kinds in db.execute("SELECT tab, name, place, kinds FROM names"):
            self.places[table][name] = place
            self.kinds.setdefault(table, {})[name] = kinds

    def encode(self, table: str, values: object) -> dict[str, Any]:
        """A record's params or metrics as column to SQL value; new columns are made as needed."""
        places, kinds = self.places[table], self.kinds[table]
        cells: dict[str, Any] = {}
        more: dict[str, Any] = {}
        for name, value in flat(values):
            kind_of = type(value)
            if (kind_of is float and value == value) or (kind_of is int and -_LARGEST <= value < _LARGEST):
                cell, kind = value, NUMBER
            elif kind_of is str:
                cell, kind = value, kind_of_text(value)
            else:
                cell, kind = cell_of(value, table)
            place = places.get(name) or self._new(table, name)
            if kind & ~kinds[name]:
                self.note(table, name, kind)
            if place[0] == "c":
                cells[place] = cell
            else:
                more[place] = value if kind == BOOLEAN else cell.decode() if isinstance(cell, bytes) else cell
        if more:
            cells["more"] = _json(more)
        return cells

    def encode_best(self, values: object, last: object) -> str | None:
        """A record's extremes as JSON: key of the metric to [min, min_step, max, max_step].

        The extremes of a metric that has but its last value are that.
        """
        values = values if isinstance(values, dict) else {}
        found: dict[str, Any] = {}
        for name, value in last.items() if isinstance(last, dict) else ():
            if name not in values and type(value) in _NUMBERS:
                found[self.place("best", name)] = [value, None, value, None]
        for name, best in values.items():
            if isinstance(best, dict):
                place = self.place("best", name)
                numbers = [*map(best.get, BEST)]
                plain = _NUMBERS.issuperset(map(type, numbers))
                found[place] = numbers if plain else [n if type(n) in _NUMBERS else None for n in numbers]
        return _json(found) if found else None

    def note_nulls(self, names: object) -> None:
        """Make known the params whose value is None, so that a query may ask for them."""
        for name in names if isinstance(names, list) else ():
            if isinstance(name, str) and name not in self.places["params"]:
                self._new("params", name)

    def place(self, table: str, name: str) -> str:
        """The column of a name, a new one if it has none."""
        return self.places[table].get(name) or self._new(table, name)

    def note(self, table: str, name: str, kind: int) -> None:
        """Remember that a column holds a kind of value."""
        kinds = self.kinds[table]
        if kind & ~kinds[name]:
            kinds[name] |= kind
            self._db.execute("UPDATE names SET kinds = ? WHERE tab = ? AND name = ?", (kinds[name], table, name))

    def _new(self, table: str, name: str) -> str:
        places = self.places[table]
        place = f"{'c' if table != 'best' and len(places) < MOST_COLUMNS else 'j'}{len(places)}"
        if place[0] == "c":
            self._db.execute(f"ALTER TABLE {table} ADD COLUMN {place}")
        self._db.execute("INSERT INTO names VALUES (?, ?, ?, 0)", (table, name, place))
        places[name] = place
        self.kinds.setdefault(table, {})[name] = 0
        return place

    def names(self, table: str) -> list[str]:
        return sorted(self.places[table])

    def column(self, table: str, name: str) -> Column:
        """A known name of a table as a query sees it."""
        place = self.places[table][name]
        kind: Kind = "param" if table == "params" else "metric"
        if place[0] == "c":
            return _seen(f"{table}.{name}", kind, f"{table}.{place}", self.kinds[table][name])
        return _seen(f"{table}.{name}", kind, f"json_extract({table}.more, '$.{place}')", _EVERY)

    def best(self, name: str, key: str) -> Column:
        path = f"$.{self.places['best'][name]}[{BEST.index(key)}]"
        return Column(f"metrics_best.{name}.{key}", "metric", f"json_extract(metrics.best, '{path}')")

    def coded(self, table: str, name: str) -> bool:
        """Whether a column may hold a blob, to be decoded."""
        return bool(self.kinds[table][name] & _CODED)

    def is_number(self, table: str, name: str) -> bool:
        """Whether a column holds numbers, SQL's own, wherever it holds anything."""
        return not self.kinds[table][name] & ~NUMBER


BEST: Final = ("min", "min_step", "max", "max_step")


def flat(values: object, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """The leaves of nested tables by dotted name."""
    for name, value in values.items() if isinstance(values, dict) else ():
        if type(value) is dict:
            yield from flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def decode(cell: bytes) -> Any:
    """What a blob stands for: a boolean, NaN, or a list as JSON text."""
    return _WORDS[cell] if cell in _WORDS else cell.decode(errors="replace")


def decode_more(text: str, table: str) -> dict[str, Any]:
    """Key to value of a row's JSON; metrics hold no texts, so the word there is NaN."""
    values: dict[str, Any] = json.loads(text)
    if table == "metrics":
        return {key: math.nan if value == "nan" else value for key, value in values.items()}
    return values


def numeric(value: Any) -> Any:
    """A text that is written like a number as that number, anything else as it is."""
    if isinstance(value, str) and _NUMBER.fullmatch(value):
        return _bounded(int(value)) if value.strip().lstrip("+-").isdigit() else float(value)
    return value


def number_of(value: Any) -> Any:
    """The number that a text is written like, or None."""
    found = numeric(value)
    return None if isinstance(found, str | bytes) else found


def cell_of(value: Any, table: str) -> tuple[Any, int]:
    """A value as SQLite keeps it, and its kind."""
    if isinstance(value, bool):
        return (int(value), NUMBER) if table == "metrics" else (b"true" if value else b"false", BOOLEAN)
    if isinstance(value, int):
        return (value, NUMBER) if -_LARGEST <= value < _LARGEST else (str(value), TEXT | DIGITS)
    if isinstance(value, float):
        return (b"nan", NAN) if math.isnan(value) else (value, NUMBER)
    if isinstance(value, str):
        return value, kind_of_text(value)
    if isinstance(value, datetime):
        return timestamp(value), TEXT
    if isinstance(value, date | time):
        return value.isoformat(), TEXT
    return _encode(value).encode(errors="replace"), OTHER


@lru_cache(4_096)
def kind_of_text(value: str) -> int:
    """The kinds that a text is of."""
    return TEXT | DIGITS if _NUMBER.fullmatch(value) else TEXT


def _bounded(value: int) -> int | float:
    return value if -_LARGEST <= value < _LARGEST else float(value)


def _json(value: Mapping[str, Any]) -> str:
    """JSON that SQLite reads: infinity as a number too large for it, NaN as null."""
    text = _ENCODER.encode(value)
    if "Infinity" not in text and "NaN" not in text:
        return text
    return "{" + ",".join(f'"{key}":{json_item(item)}' for key, item in value.items()) + "}"


def json_item(value: Any) -> str:
    """A number, text, or list of them as JSON that SQLite reads."""
    if isinstance(value, list):
        return f"[{','.join(map(json_item, value))}]"
    if isinstance(value, float) and not math.isfinite(value):
        return "null" if math.isnan(value) else "9e999" if value > 0 else "-9e999"
    return json.dumps(value)


def _seen(name: str, kind: Kind, sql: str, kinds: int) -> Column:
    """A column as a query sees it, looked at no more closely than the kinds it has held need."""
    meant = f"CASE {sql} WHEN 1 THEN 'true' WHEN 0 THEN 'false' ELSE lower({sql}) END"
    if not kinds & ~NUMBER:
        return Column(name, kind, sql, word=meant)
    if kinds == TEXT:
        return Column(name, kind, sql, number="NULL", word=f"lower({sql})")
    blob = f"WHEN 'blob' THEN CASE {sql} WHEN x'74727565' THEN 1 WHEN x'66616c7365' THEN 0 WHEN x'6e616e' THEN NULL"
    text = f"number_of({sql})" if kinds & DIGITS else "NULL"
    same = f"WHEN 'text' THEN numeric({sql}) " if kinds & DIGITS else ""
    if kinds == _EVERY:  # of the JSON, where NaN is its word
        same = f"WHEN 'text' THEN nullif(numeric({sql}), 'nan') "
    words = f"CASE lower(CAST({sql} AS TEXT)) WHEN '1' THEN 'true' WHEN '0' THEN 'false'"
    return Column(
        name,
        kind,
        f"CASE typeof({sql}) {blob} ELSE CAST({sql} AS TEXT) END {same}ELSE {sql} END",
        raw=sql,
        number=f"CASE typeof({sql}) {blob} END WHEN 'text' THEN {text} ELSE {sql} END",
        text=f"CAST({sql} AS TEXT)",
        word=f"{words} ELSE lower(CAST({sql} AS TEXT)) END",
    )


def has_tag(tags: str | None, tag: str) -> int:
    return int(tags is not None and tag in json.loads(tags))


def tag_value(tags: str | None, name: str) -> Any:
    """1 for a plain tag, the value of one written `name=value`, 0 where there is none."""
    for tag in json.loads(tags) if tags else ():
        if tag == name:
            return 1
        if tag.startswith(f"{name}="):
            return numeric(tag[len(name) + 1 :])
    return 0


def tag_column(name: str) -> Column:
    sql = f"tag_value(runs.tags, {quote(name)})"
    word = f"CASE {sql} WHEN 1 THEN 'true' WHEN 0 THEN 'false' ELSE {sql} END"
    return Column(f"tags.{name}", "param", sql, raw=f"nullif({sql}, 0)", word=word)
