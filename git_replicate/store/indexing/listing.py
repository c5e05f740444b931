"""A table of runs straight from the index: cells in rows, as SQLite gives them.

What `Index.select` makes of a run - a mapping, to be asked by name - costs more than reading it. A table of a hundred
thousand runs that is only written down again needs none of that. Not here: which runs, in which order and under which
names, which is the index's to say; and what a cell looks like, which is the writer's.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from typing import Any, Final

from git_replicate.core.frozen import frozen
from git_replicate.store.indexing.columns import decode

Cells = tuple[Any, ...]
Write = Callable[[Sequence[str], Iterator[Sequence[Cells]], Container[int]], str]
"""From the columns, the rows in batches, and the positions of the columns that are simple, to a text."""

_BATCH: Final = 256
"""Rows at a time: few enough to stay in the processor's cache."""
_SAMPLE: Final = 100
"""Runs that are looked at first for which columns hold anything: nearly always it is all of them."""


@frozen
class Field:
    """A column: its name and the SQL of its value."""

    name: str
    sql: str
    coded: bool
    """Whether a value may be a blob, to be decoded."""
    simple: bool
    """Whether every value is a number, a time or an id: nothing that could be taken for something else."""
    optional: bool
    """Whether the column is left away where no run has a value."""


@frozen
class Listing:
    """A table as it was written, how many runs are in it, and how many are not, by reason."""

    text: str
    count: int
    left_out: Mapping[str, int]


def read_listing(
    db: sqlite3.Connection,
    fields: Sequence[Field],
    source: str,
    *,
    reason: str,
    order: str,
    limit: int | None,
    write: Write,
) -> Listing:
    """Write the rows of a source (FROM and WHERE) but those that have a reason to be left out (SQL; NULL: none).

    The reasons are counted over all of the source, whatever the limit.
    """
    left_out: Counter[str] = Counter()
    if reason != "NULL":
        left_out.update(str(why) for (why,) in db.execute(f"SELECT {reason} {source} AND {reason} IS NOT NULL"))
    kept = f"{source} AND {reason} IS NULL"

    def first(most: int | None) -> str:
        """The kept rows, or so many of them: those that the table will have where it has a limit."""
        most = min((number for number in (most, limit) if number is not None), default=-1)
        return f"{kept}{'' if limit is None else f' ORDER BY {order}'} LIMIT {most}"

    empty = _empty(db, [field for field in fields if field.optional], (first(_SAMPLE), first(None)))
    shown = [field for field in fields if field.name not in empty]
    values = ", ".join(field.sql for field in shown)
    found = db.execute(f"SELECT {values} {kept} ORDER BY {order} LIMIT {-1 if limit is None else limit}")
    count = 0

    def batches() -> Iterator[Sequence[Cells]]:
        nonlocal count
        coded = [position for position, field in enumerate(shown) if field.coded]
        while rows := found.fetchmany(_BATCH):
            count += len(rows)
            yield _decoded(rows, coded) if coded else rows

    simple = frozenset(position for position, field in enumerate(shown) if field.simple)
    text = write([field.name for field in shown], batches(), simple)
    return Listing(text, count, left_out)


def _empty(db: sqlite3.Connection, fields: Sequence[Field], sources: Sequence[str]) -> set[str]:
    """The columns in which no row has a value, asked of ever more rows as long as there are any."""
    for source in sources:
        if fields:
            values = ", ".join(f"{field.sql} AS v{i}" for i, field in enumerate(fields))
            flags = ", ".join(f"max(v{i} IS NOT NULL)" for i in range(len(fields)))
            held = db.execute(f"SELECT {flags} FROM (SELECT {values} {source})").fetchone()
            fields = [field for field, flag in zip(fields, held, strict=True) if not flag]
    return {field.name for field in fields}


def _decoded(rows: Sequence[Cells], coded: Sequence[int]) -> Sequence[Cells]:
    columns: list[Sequence[Any]] = list(zip(*rows, strict=True))
    for position in coded:
        column = columns[position]
        if bytes in set(map(type, column)):
            columns[position] = [decode(value) if type(value) is bytes else value for value in column]
    return list(zip(*columns, strict=True))
