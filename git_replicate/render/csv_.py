"""CSV as RFC 4180 has it, with numbers in full; absent cells are empty, NaN is `nan`."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from functools import lru_cache
from typing import Any

from git_replicate.core.table import Spread, Table, plain

_AS_IT_IS = frozenset([int, float, type(None)])
"""Types that the writer itself writes as we would: in full, `nan`, nothing for None."""


def render(table: Table) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(table.columns)
    columns = [_column(values) for values in zip(*table.rows, strict=True)]
    writer.writerows(zip(*columns, strict=True) if columns else table.rows)
    return text.getvalue()


def _column(values: tuple[Any, ...]) -> Iterable[Any]:
    """A column's cells as the writer is to have them; one of numbers only stays as it is."""
    kinds = set(map(type, values))
    if kinds <= _AS_IT_IS:
        return values
    return map(_text, values) if kinds == {str} else [v if type(v) in _AS_IT_IS else _cell(v) for v in values]


@lru_cache(4_096)
def _text(value: str) -> str:
    return _cell(value)


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
