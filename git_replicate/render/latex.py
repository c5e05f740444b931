"""A LaTeX table for papers, in the booktabs style."""

from __future__ import annotations

import re
from typing import Any

from git_replicate.core.table import Spread, Table, human

_SPECIAL = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}", ">": r"\textgreater{}",
}  # fmt: skip


def render(table: Table) -> str:
    layout = "".join("r" if _numeric(table, i) else "l" for i in range(len(table.columns)))
    lines = [
        rf"\begin{{tabular}}{{{layout}}}",
        r"\toprule",
        _line([escape(name) for name in table.columns]),
        r"\midrule",
    ]
    lines += [_line([_cell(value) for value in row]) for row in table.rows]
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", ""])


def _line(cells: list[str]) -> str:
    return " & ".join(cells) + r" \\"


def _cell(value: Any) -> str:
    if isinstance(value, Spread):
        mean, _, rest = human(value).partition(" ± ")
        deviation = rest.partition(" (")[0]
        return f"${mean} \\pm {deviation}$" if rest else escape(human(value).partition(" (")[0])
    return escape(human(value))


def _numeric(table: Table, position: int) -> bool:
    values = [row[position] for row in table.rows if row[position] is not None]
    return bool(values) and all(isinstance(v, int | float | Spread) and not isinstance(v, bool) for v in values)


def escape(text: str) -> str:
    text = re.sub(r"[\x00-\x1f\x7f-\x9f]+", " ", text)
    return "".join(_SPECIAL.get(character, character) for character in text)
