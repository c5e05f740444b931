"""CSV as RFC 4180 has it, with numbers in full; absent cells are empty, NaN is `nan`."""

from __future__ import annotations

import csv
import io
from typing import Any

from git_replicate.core.table import Spread, Table, plain


def render(table: Table) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(table.columns)
    writer.writerows([_cell(value) for value in row] for row in table.rows)
    return text.getvalue()


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
