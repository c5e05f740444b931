"""CSV as RFC 4180 has it, with numbers in full; absent cells are empty, NaN is `nan`."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Container, Iterable, Sequence
from typing import Any

from git_replicate.core.table import Spread, Table, plain

Cells = Sequence[Any]
_AS_IT_IS = frozenset([int, float, type(None)])
"""Types that the writer itself writes as we would: in full, `nan`, nothing for None."""
_TEXTS = frozenset([str])
_USUAL = _AS_IT_IS | _TEXTS
_ODD = re.compile(r"\r|^[=+\-@\t]", re.MULTILINE)
"""What a text may have in it that is written in another way than it stands; texts are looked at many at a time."""
_BATCH = 256


def render(table: Table) -> str:
    return write(table.columns, (table.rows[i : i + _BATCH] for i in range(0, len(table.rows), _BATCH)))


def write(columns: Sequence[str], batches: Iterable[Sequence[Cells]], simple: Container[int] = ()) -> str:
    """The text of rows that come in batches; simple: positions of columns known to hold but numbers, times and ids."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    others = [position for position in range(len(columns)) if position not in simple]
    for rows in batches:
        odd = [position for position in others if not _is_plain([row[position] for row in rows])]
        if odd:
            cells: list[Iterable[Any]] = list(zip(*rows, strict=True))
            for position in odd:
                cells[position] = [value if type(value) in _AS_IT_IS else _cell(value) for value in cells[position]]
            writer.writerows(zip(*cells, strict=True))
        else:
            writer.writerows(rows)
    return text.getvalue()


def _is_plain(values: Sequence[Any]) -> bool:
    """Whether the writer itself writes all of these as we would."""
    kinds = set(map(type, values))
    if kinds == _TEXTS:
        return not _ODD.search("\n".join(set(values)))
    if kinds <= _AS_IT_IS:
        return True
    return kinds <= _USUAL and not _ODD.search("\n".join({value for value in values if type(value) is str}))


def _cell(value: Any) -> str:
    """A cell that no spreadsheet takes for a formula; numbers stay numbers."""
    if isinstance(value, Spread):
        return plain(value.mean)
    text = plain(value)
    if "\r" in text:  # csv.writer quotes only what is in its own line ending
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    if isinstance(value, str) and text[:1] in ("=", "+", "-", "@", "\t", "\r") and not _number(text):
        return "'" + text
    return text


def _number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
