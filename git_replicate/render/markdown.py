"""A GitHub-flavoured Markdown table."""

from __future__ import annotations

import html
import re

from git_replicate.core.table import Table, human


def render(table: Table) -> str:
    lines = [list(map(_escape, table.columns)), ["---"] * len(table.columns)]
    lines += [[_escape(human(value)) for value in row] for row in table.rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _escape(text: str) -> str:
    text = re.sub(r"[\x00-\x1f\x7f-\x9f]+", " ", html.escape(text, quote=False))
    return re.sub(r"([\\|`*_\[\]~])", r"\\\1", text)
