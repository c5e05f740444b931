"""A table for a terminal: what varies in columns, what does not in a line above, cut to the width there is."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Sequence
from typing import Any

from git_replicate.core.table import Spread, Table, human

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
_GAP = "  "
_NARROWEST = 8
Paint = Callable[[str, str, Any], str]
"""(text of a cell, its column, its value) to the same text, perhaps in colour."""


def render(table: Table, *, width: int | None = None, paint: Paint | None = None, heading: str = "") -> str:
    """The table as lines; `width` None for no limit, since what does not go to a terminal must not be cut."""
    lines = [f"{heading}{_constants(table, width)}"] if table.constants else []
    columns = [short_name(name, table.columns) for name in table.columns]
    cells = [[_clean(human(value)) for value in row] for row in table.rows]
    shown, dropped = _fit(columns, cells, width)
    sizes = {i: max([_width(columns[i]), *(_width(row[i]) for row in cells)]) for i in shown}
    if width is not None:
        sizes = _shrink(sizes, width)
    right = {i for i in shown if _numeric(table.rows, i)}
    lines.append(_line([columns[i] for i in shown], shown, sizes, right))
    for row, values in zip(cells, table.rows, strict=True):
        padded = [_pad(_cut(row[i], sizes[i]), sizes[i], i in right, last=i == shown[-1]) for i in shown]
        if paint:
            padded = [paint(text, table.columns[i], values[i]) for text, i in zip(padded, shown, strict=True)]
        lines.append(_GAP.join(padded).rstrip())
    if dropped:
        names = ", ".join(table.columns[i] for i in dropped)
        lines.append(f"({len(dropped)} columns do not fit: {_cut(names, max((width or 80) - 30, 20))})")
    return "\n".join(lines) + "\n"


def _constants(table: Table, width: int | None) -> str:
    text = _GAP.join(f"{short_name(name, ())}={_clean(human(value))}" for name, value in table.constants)
    return text if width is None else _cut(text, width)


def short_name(name: str, others: Sequence[str]) -> str:
    """A column's name without `params.` or `metrics.`, unless another one would then have the same."""
    for prefix in ("params.", "metrics."):
        if name.startswith(prefix):
            short = name.removeprefix(prefix)
            twins = sum(1 for other in others if other in (short, f"params.{short}", f"metrics.{short}"))
            return _clean(short if twins < 2 else name)
    return _clean(name)


def _fit(columns: Sequence[str], cells: Sequence[Sequence[str]], width: int | None) -> tuple[list[int], list[int]]:
    """Which columns are shown and which cannot be, at their narrowest."""
    positions = list(range(len(columns)))
    if width is None:
        return positions, []
    shown: list[int] = []
    used = 0
    for i in positions:
        natural = max([_width(columns[i]), *(_width(row[i]) for row in cells)])
        needed = min(natural, _NARROWEST) + (len(_GAP) if shown else 0)
        if used + needed > width and shown:
            return shown, positions[len(shown) :]
        shown.append(i)
        used += needed
    return shown, []


def _shrink(sizes: dict[int, int], width: int) -> dict[int, int]:
    """Take room from the widest columns until the line fits."""
    sizes = dict(sizes)
    room = width - len(_GAP) * (len(sizes) - 1)
    while sum(sizes.values()) > room:
        widest = max(sizes, key=lambda i: sizes[i])
        if sizes[widest] <= _NARROWEST:
            break
        sizes[widest] -= 1
    return sizes


def _line(names: Sequence[str], shown: Sequence[int], sizes: dict[int, int], right: set[int]) -> str:
    pairs = zip(names, shown, strict=True)
    return _GAP.join(
        _pad(_cut(name, sizes[i]), sizes[i], i in right, last=i == shown[-1]) for name, i in pairs
    ).rstrip()


def _numeric(rows: Sequence[Sequence[Any]], position: int) -> bool:
    values = [row[position] for row in rows if row[position] is not None]
    return bool(values) and all(isinstance(v, int | float | Spread) and not isinstance(v, bool) for v in values)


def _pad(text: str, size: int, right: bool, *, last: bool) -> str:
    blank = " " * max(size - _width(text), 0)
    return blank + text if right else text if last else text + blank


def _clean(text: str) -> str:
    return _CONTROL.sub(lambda found: f"\\x{ord(found[0]):02x}", text)


def _cut(text: str, size: int) -> str:
    if _width(text) <= size:
        return text
    kept, used = "", 0
    for character in text:
        used += _width(character)
        if used > size - 1:
            break
        kept += character
    return kept + "…"


def _width(text: str) -> int:
    if text.isascii():
        return len(text)
    return sum(
        0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in ("W", "F") else 1 for c in text
    )
