"""An HTML table, everything in it escaped."""

from __future__ import annotations

import re
from html import escape

from git_replicate.core.table import Table, human


def render(table: Table) -> str:
    head = "".join(f"<th>{_text(name)}</th>" for name in table.columns)
    lines = ["<table>", f"<thead><tr>{head}</tr></thead>", "<tbody>"]
    lines += [f"<tr>{''.join(f'<td>{_text(human(value))}</td>' for value in row)}</tr>" for row in table.rows]
    return "\n".join([*lines, "</tbody>", "</table>", ""])


def _text(text: str) -> str:
    return escape(re.sub(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]+", " ", text))
