"""Reading many records fast: those of one shape differ in their values only.

Building the index reads every record there is, and most of that time is a TOML parser's. But a program writes the
same names in the same order at every run. So a text is split into its plain values (one line each, or a list) and what
is between them, its shape. A shape that comes again is learnt: the parser reads it once, with a mark in place of
every value, and from then on it is known where in the record each value stands. A value is read as the JSON that it
is, and goes straight to its column.

Not here: texts with a shape of their own, those with multi-line strings, and those in which values are of other kinds
than a column can take at once; `read` says None, and they are read one by one. What the index does not ask for is not
checked either.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from operator import itemgetter
from typing import Any, Final, NamedTuple

import tomli

from git_replicate.core.query import Kind
from git_replicate.core.record import FORMAT
from git_replicate.store.indexing.columns import (
    BEST,
    BOOLEAN,
    NUMBER,
    OTHER,
    TABLES,
    TEXT,
    Columns,
    cell_of,
    flat,
    json_item,
    kind_of_text,
)  # fmt: skip
from git_replicate.store.indexing.schema import ATTRIBUTES, attribute_values, stored
from git_replicate.store.indexing.text import SKIPPED, UNREADABLE

_PLAIN = r'"[^"\\\x00-\x08\x0a-\x1f\x7f]*"'
_NUMBER = r"-?(?:0|[1-9]\d{0,17})(?:\.\d+)?(?:e[+-]?\d+)?"
_TIME = r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:\.\d{6})?\+00:00"
_ONE = rf"(?:{_PLAIN}|{_TIME}|{_NUMBER}|true|false)"
_KEY = rf"(?:[\w-]+|{_PLAIN})"
_INLINE = rf"\{{ {_KEY} = {_ONE}(?:, {_KEY} = {_ONE})* \}}"
_LIST = rf"\[\n(?:[ ]{{4}}(?:{_ONE}|{_INLINE}),\n)*\]"
_VALUE = re.compile(rf" = ({_PLAIN}|{_TIME}|{_NUMBER}|true|false|{_LIST})(?=\n)", re.ASCII)
_IS_TIME = re.compile(_TIME, re.ASCII).fullmatch
_SKIPPED_HEADINGS = tuple(f"{name}{end}" for name in SKIPPED for end in "].")
_MARK = "\u2063"
_IS_MARK = re.compile(f"{_MARK}(\\d+)", re.ASCII).fullmatch
_MOST_SHAPES = 1_000
_MOST_PLANS = 64
_MOST_MET = 20_000
_LARGEST = 2**63
_CLASSES: Final[Mapping[type, str]] = {str: "text", int: "number", float: "number", bool: "flag"}
_LISTS = frozenset([("params_null",), *(attribute.path for attribute in ATTRIBUTES.values())])
"""Where a list is asked for, besides the params."""
_read_json = json.JSONDecoder(strict=False).raw_decode

Path = tuple[str, ...]
Source = tuple[int, int]
"""Where a cell comes from: 0 the values, 1 what is made of some, 2 the constants; and which of them."""


class Cells(NamedTuple):
    """A record as the index keeps it: its attributes in order, and the columns and cells of params and of metrics."""

    attributes: list[Any]
    params: tuple[tuple[str, ...], Sequence[Any]]
    metrics: tuple[tuple[str, ...], Sequence[Any]]


class Shapes:
    """The shapes met so far, for the columns of one index."""

    def __init__(self, columns: Columns) -> None:
        self._columns = columns
        self._known: dict[str, _Shape | None] = {}
        self._met: set[int] = set()

    def read(self, text: bytes | None) -> Cells | None:
        """A record of a known shape, the columns for it made; None: it is to be read like any other text."""
        if text is None or b'"""' in text or b"'''" in text:  # in which a heading may be no heading
            return None
        try:
            parts = _VALUE.split(_without_skipped(text.decode()))
        except UnicodeDecodeError:
            return None
        between = "\0".join(parts[::2])
        if between not in self._known and not self._learn(between, parts):
            return None
        shape = self._known[between]
        return shape.read(parts[1::2], self._columns) if shape else None

    def _learn(self, between: str, parts: Sequence[str]) -> bool:
        """Learn a shape that has been met before: to learn one takes as long as to read a few."""
        met = hash(between)
        if met in self._met and len(self._known) < _MOST_SHAPES:
            self._known[between] = _learnt(parts)
            return True
        if len(self._met) >= _MOST_MET:
            self._met.clear()
        self._met.add(met)
        return False


def _without_skipped(text: str) -> str:
    return "\n[".join([part for part in text.split("\n[") if not part.startswith(_SKIPPED_HEADINGS)])


def _learnt(parts: Sequence[str]) -> _Shape | None:
    """The shape of a text; None if something that looks like a value is none, or the text is no TOML."""
    try:
        marked = "".join(f'{part} = "{_MARK}{number}"' for number, part in enumerate(parts[:-1:2]))
        document = tomli.loads(marked + parts[-1])
    except (tomli.TOMLDecodeError, ValueError, RecursionError):
        return None
    marks, values = list(_marks(document)), parts[1::2]
    if sorted(number for number, _ in marks) != list(range(len(values))) or UNREADABLE in document:
        return None
    return _Shape(document, dict(marks), values)


def _marks(value: Any, path: Path = ()) -> Iterator[tuple[int, Path]]:
    """The number of every mark, and the path at which it is."""
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from _marks(inner, (*path, name))
    elif isinstance(value, list):
        for position, inner in enumerate(value):
            yield from _marks(inner, (*path, f"[{position}]"))
    elif (number := _marked(value)) is not None:
        yield number, path


def _marked(value: Any) -> int | None:
    found = _IS_MARK(value) if isinstance(value, str) else None
    return int(found[1]) if found else None


def _getter(places: Sequence[int]) -> Callable[[Sequence[Any]], tuple[Any, ...]]:
    """What picks items out of a sequence, as a tuple whatever their number."""
    if len(places) > 1:
        return itemgetter(*places)
    return (lambda items: (items[places[0]],)) if places else (lambda items: ())


class _Shape:
    """A document with marks in place of values, and how values of given kinds become cells."""

    def __init__(self, document: dict[str, Any], places: Mapping[int, Path], values: Sequence[str]) -> None:
        self._document = document
        self._count = len(values)
        self._times = [number for number in range(len(values)) if _IS_TIME(values[number])]
        lists = [number for number in range(len(values)) if values[number][0] == "["]
        self._lists = [n for n in lists if places[n] in _LISTS or places[n][0] in TABLES]
        plain = [number for number in range(len(values)) if number not in {*self._times, *lists}]
        self._take = _getter(plain)
        self._order = {number: place for place, number in enumerate([*plain, *self._times, *self._lists])}
        self._plans: dict[tuple[str | None, ...], _Plan | None] = {}

    def read(self, texts: Sequence[str], columns: Columns) -> Cells | None:
        """The cells of a record, from the texts of its values; None if one is of an unforeseen kind."""
        if len(texts) != self._count:
            return None
        try:
            values = _read_json(f"[{','.join(self._take(texts))}]")[0]
            times = [_time(texts[number]) for number in self._times]
            lists = [_items(texts[number]) for number in self._lists]
        except ValueError:
            return None
        kinds = tuple(map(_CLASSES.get, map(type, values)))
        if kinds not in self._plans and len(self._plans) < _MOST_PLANS:
            self._plans[kinds] = self._plan((*kinds, *("time" for _ in times), *("list" for _ in lists)), columns)
        plan = self._plans.get(kinds)
        return plan.read([*values, *times, *lists], texts, columns) if plan else None

    def _plan(self, kinds: Sequence[str | None], columns: Columns) -> _Plan | None:
        try:
            return _Plan(self._document, self._order, kinds, columns)
        except _UnusualError:
            return None


def _time(text: str) -> str:
    """A written time as `core.moments.timestamp` has it."""
    if not _IS_TIME(text):
        raise ValueError(text)
    datetime.fromisoformat(text)  # there may be no such day
    return f"{text[:10]}T{text[11:19]}.{text[20:-6] or '000000'}Z"


def _items(text: str) -> list[Any]:
    if text[0] != "[":
        raise ValueError(text)
    items: list[Any] = _read_json(text.replace(",\n]", "]"))[0]
    return items


class _UnusualError(Exception):
    """Something in a shape is better read in the general way."""


class _Plan:
    """Where each cell comes from: one of the values, what is made of one, or something that is always the same."""

    def __init__(
        self, document: dict[str, Any], order: Mapping[int, int], kinds: Sequence[str | None], columns: Columns
    ) -> None:
        self._document = document
        self._order = order
        self._kinds = kinds
        self._specials: list[tuple[Callable[[Any], Any], int]] = []
        self._constants: list[Any] = []
        self._bounded: list[int] = []
        self._texts: list[tuple[str, str, int]] = []
        self._format = self._place(document.get("format"), "number")
        self._nulls = self._place(document["params_null"], "list") if "params_null" in document else None
        sources = self._attributes()
        tables = {table: self._table(table, columns) for table in TABLES}
        self._best, best = self._extremes(columns)
        self._take_best = _getter(best)
        # What cells come from stands in one sequence, in the order of `Source`.
        begins = (0, len(kinds), len(kinds) + len(self._specials))
        self._take, self._take_params, self._take_metrics = (
            _getter([begins[which] + place for which, place in found])
            for found in (sources, *(list(cells.values()) for cells in tables.values()))
        )
        self._params, self._metrics = (tuple(tables[table]) for table in TABLES)
        if self._best:
            self._metrics = (*self._metrics, "best")

    def read(self, values: list[Any], texts: Sequence[str], columns: Columns) -> Cells | None:
        """The cells; values: those that are asked for, texts: all of them as written."""
        if values[self._format] != FORMAT:
            return None
        for place in self._bounded:
            if not -_LARGEST < values[place] < _LARGEST:
                return None
        for table, name, place in self._texts:
            columns.note(table, name, kind_of_text(values[place]))
        if self._nulls is not None:
            columns.note_nulls(values[self._nulls])
        cells = [*values, *[make(values[place]) for make, place in self._specials], *self._constants]
        metrics = self._take_metrics(cells)
        if self._best:
            metrics = (*metrics, self._best % self._take_best(texts))
        return Cells(list(self._take(cells)), (self._params, self._take_params(cells)), (self._metrics, metrics))

    def _place(self, value: Any, kind: str) -> int:
        """Which value stands at a mark, if it is of a kind."""
        number = _marked(value)
        if number is None or number not in self._order or self._kinds[self._order[number]] != kind:
            raise _UnusualError
        return self._order[number]

    def _constant(self, cell: Any) -> Source:
        self._constants.append(cell)
        return 2, len(self._constants) - 1

    def _special(self, make: Callable[[Any], Any], place: int) -> Source:
        self._specials.append((make, place))
        return 1, len(self._specials) - 1

    def _attributes(self) -> list[Source]:
        """The source of each attribute."""
        found = []
        for (name, attribute), constant in zip(ATTRIBUTES.items(), attribute_values(self._document), strict=True):
            value: Any = self._document
            for part in attribute.path:
                value = value.get(part) if isinstance(value, dict) else None
            number = _marked(value)
            if name in ("experiment", "id", "status"):
                found.append((0, self._place(value, "text")))
            elif number is None:
                found.append(self._constant(constant))
            elif number not in self._order:
                raise _UnusualError
            else:
                found.append(self._attribute(attribute.kind, self._order[number]))
        return found

    def _attribute(self, wanted: Kind, place: int) -> Source:
        """The source of an attribute of one kind that is a value of another, as `stored` has it."""
        kind = self._kinds[place]
        if (kind == "text" and wanted != "time") or kind == wanted == "time":
            return 0, place
        if kind == wanted == "number":
            self._bounded.append(place)
            return 0, place
        if kind == "time":
            raise _UnusualError
        if kind == "text" or (wanted != "attribute" and (kind, wanted) != ("flag", "flag")):
            return self._constant(None)
        return self._special(lambda value: stored(value, wanted), place)

    def _table(self, table: str, columns: Columns) -> dict[str, Source]:
        """Column to source for every param, or metric."""
        found: dict[str, Source] = {}
        for name, value in flat(self._document.get(table)):
            column = columns.place(table, name)
            number = _marked(value)
            if column[0] != "c" or column in found or (number is not None and number not in self._order):
                raise _UnusualError
            if number is None:
                cell, kind = cell_of(value, table)
                source = self._constant(cell)
            else:
                source, kind = self._cell(table, name, self._order[number])
            columns.note(table, name, kind)
            found[column] = source
        return found

    def _cell(self, table: str, name: str, place: int) -> tuple[Source, int]:
        kind = self._kinds[place]
        if kind == "text":
            self._texts.append((table, name, place))
            return (0, place), TEXT
        if kind == "number":
            return (0, place), NUMBER
        if kind == "time":
            return (0, place), TEXT
        code = OTHER if kind == "list" else NUMBER if table == "metrics" else BOOLEAN
        return self._special(lambda value: cell_of(value, table)[0], place), code

    def _extremes(self, columns: Columns) -> tuple[str, list[int]]:
        """The extremes' JSON (see `Columns.encode_best`), `%s` for every value in it, and which texts go there."""
        best, last = (self._document.get(table, {}) for table in ("metrics_best", "metrics"))
        if not isinstance(best, dict) or not isinstance(last, dict):
            raise _UnusualError
        rows = {name: [value, None, value, None] for name, value in last.items() if self._is_number(value)}
        rows = {name: row for name, row in rows.items() if name not in best}
        rows |= {name: [*map(entry.get, BEST)] for name, entry in best.items() if isinstance(entry, dict)}
        used: list[int] = []
        parts = []
        for name, row in rows.items():
            numbers = [value if self._is_number(value) else None for value in row]
            used += [number for value in numbers if (number := _marked(value)) is not None]
            items = ("%s" if isinstance(value, str) else json_item(value) for value in numbers)
            parts.append(f'"{columns.place("best", name)}":[{",".join(items)}]')
        return f"{{{','.join(parts)}}}" if parts else "", used

    def _is_number(self, value: Any) -> bool:
        number = _marked(value)
        if number is None:
            return type(value) in (int, float)
        return number in self._order and self._kinds[self._order[number]] == "number"
