"""A table for a terminal: what varies in columns, what does not in a line above, cut to the width there is."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Sequence
from typing import Any

from git_replicate.core.sizes import count
from git_replicate.core.table import Spread, Table, human, same

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
_GAP = "  "
_NARROWEST = 11
"""Columns to which a text may be cut: the longest status still fits."""
_HEADLINE = 4
"""Metrics shown before any param is."""
_WHOLE = frozenset({"id", "run", "started", "finished", "status"})
"""Columns that are never cut: what is in them is copied, or is one word with a mark that matters."""
_OF_RUNS = frozenset("experiment id run status started finished age seconds seed tags message".split())
"""Names that mean something of the run itself: a param or metric that is called so is shown with its prefix."""
Paint = Callable[[str, str, Any], str]
"""(text of a cell, its column, its value) to the same text, perhaps in colour."""


def render(table: Table, *, width: int | None = None, paint: Paint | None = None, heading: str = "") -> str:
    """The table as lines; `width` None for no limit, since what does not go to a terminal must not be cut."""
    lines = [f"{heading}{_constants(table, width)}"] if table.constants else []
    columns = [short_name(name, table.columns) for name in table.columns]
    params = [name.startswith("params.") for name in table.columns]
    cells = [[_cell(*pair) for pair in zip(row, params, strict=True)] for row in table.rows]
    shown = _fit(table, columns, cells, width)
    dropped = [i for i in range(len(columns)) if i not in shown]
    sizes = {i: max([width_of(columns[i]), *(width_of(row[i]) for row in cells)]) for i in shown}
    if width is not None:
        sizes = _shrink(sizes, {i: min(_narrowest(table, columns, cells, i), width) for i in shown}, width)
    right = {i for i in shown if _numeric(table.rows, i)}
    lines.append(_line([columns[i] for i in shown], shown, sizes, right))
    for row, values in zip(cells, table.rows, strict=True):
        padded = [_pad(_cut(row[i], sizes[i]), sizes[i], i in right, last=i == shown[-1]) for i in shown]
        if paint:
            padded = [paint(text, table.columns[i], values[i]) for text, i in zip(padded, shown, strict=True)]
        lines.append(_GAP.join(padded).rstrip())
    if dropped:
        names = ", ".join(columns[i] for i in dropped)
        head, tail = f"({count(len(dropped), 'column')} hidden: ", "; all of them: | less -S)"
        lines.append(f"{head}{_cut(names, max((width or 80) - len(head) - len(tail), 8))}{tail}")
    return "\n".join(lines) + "\n"


def _constants(table: Table, width: int | None) -> str:
    """What is the same in every row, as much as fits in one line, and how much more there is."""
    pairs = [f"{short_name(name, ())}={_cell(value, name.startswith('params.'))}" for name, value in table.constants]
    text = _GAP.join(pairs)
    if width is None or width_of(text) <= width:
        return text
    shown, used = 0, len(f"… {len(pairs)} more")
    while shown < len(pairs) - 1 and used + width_of(pairs[shown]) + len(_GAP) <= width:
        used += width_of(pairs[shown]) + len(_GAP)
        shown += 1
    if not shown:
        return _cut(text, width)
    return _GAP.join([*pairs[:shown], f"… {len(pairs) - shown} more"])


def short_name(name: str, others: Sequence[str]) -> str:
    """A column's name without `params.` or `metrics.`, unless another one, or what a run itself has, is called so."""
    for prefix in ("params.", "metrics."):
        if name.startswith(prefix):
            short = name.removeprefix(prefix)
            twins = sum(1 for other in others if other in (short, f"params.{short}", f"metrics.{short}"))
            return _clean(short if twins < 2 and short not in _OF_RUNS else name)
    return _clean(name)


def _fit(table: Table, columns: Sequence[str], cells: Sequence[Sequence[str]], width: int | None) -> list[int]:
    """Which columns are shown: as many as fit at their narrowest, those that say most before the others."""
    positions = list(range(len(columns)))
    if width is None:
        return positions
    shown: list[int] = []
    used = 0
    for i in sorted(positions, key=lambda i: (*_emptiness(table, i), _rank(table.columns, i))):
        needed = _narrowest(table, columns, cells, i) + (len(_GAP) if shown else 0)
        if used + needed <= width or not shown:
            shown.append(i)
            used += needed
        elif i == 0 or used + _NARROWEST > width:
            break
    return sorted(shown)


def _emptiness(table: Table, position: int) -> tuple[int, int]:
    """How late a param or metric comes for having nothing to say.

    Later is one that is the same wherever there is one, where some rows have none; last those that more than half of
    the rows have none of, the emptiest of them at the end.
    """
    if not table.columns[position].startswith(("params.", "metrics.")):
        return 0, 0
    values = [row[position] for row in table.rows if row[position] is not None]
    empty = len(table.rows) - len(values)
    if empty > len(values):
        return 2, empty
    return int(empty > 0 and all(same(value, values[0]) for value in values)), 0


def _rank(columns: Sequence[str], position: int) -> tuple[int, int]:
    """What a run is comes first, then the first metrics, the params, the other metrics, and what is beside them."""
    name = columns[position]
    if name.startswith("metrics."):
        before = sum(1 for other in columns[:position] if other.startswith("metrics."))
        return (1 if before < _HEADLINE else 3), position
    if name.startswith("params."):
        return 2, position
    follows = any(other.startswith(("params.", "metrics.")) for other in columns[:position])
    return (4 if follows else 0), position


def _narrowest(table: Table, columns: Sequence[str], cells: Sequence[Sequence[str]], position: int) -> int:
    """The least width of a column: a number is never cut, a text and a heading may be."""
    widest = max((width_of(row[position]) for row in cells), default=0)
    if table.columns[position] in _WHOLE:
        return max(widest, width_of(columns[position]))
    if _numeric(table.rows, position):
        return max(widest, min(width_of(columns[position]), _NARROWEST))
    return min(max(widest, width_of(columns[position])), _NARROWEST)


def _shrink(sizes: dict[int, int], least: dict[int, int], width: int) -> dict[int, int]:
    """Take room from the widest columns until the line fits."""
    sizes = dict(sizes)
    room = width - len(_GAP) * (len(sizes) - 1)
    while sum(sizes.values()) > room:
        larger = [i for i in sizes if sizes[i] > least[i]]
        if not larger:
            break
        sizes[max(larger, key=lambda i: sizes[i])] -= 1
    return sizes


def _middle(text: str, size: int) -> str:
    """A heading cut in its middle: names that begin alike often differ at their ends."""
    if width_of(text) <= size or not text.isascii():
        return _cut(text, size)
    tail = (size - 1) // 2
    return f"{text[: size - 1 - tail]}…{text[len(text) - tail :]}"


def _line(names: Sequence[str], shown: Sequence[int], sizes: dict[int, int], right: set[int]) -> str:
    pairs = zip(names, shown, strict=True)
    return _GAP.join(
        _pad(_middle(name, sizes[i]), sizes[i], i in right, last=i == shown[-1]) for name, i in pairs
    ).rstrip()


def _numeric(rows: Sequence[Sequence[Any]], position: int) -> bool:
    values = [row[position] for row in rows if row[position] is not None]
    return bool(values) and all(isinstance(v, int | float | Spread) and not isinstance(v, bool) for v in values)


def _pad(text: str, size: int, right: bool, *, last: bool) -> str:
    blank = " " * max(size - width_of(text), 0)
    return blank + text if right else text if last else text + blank


def _cell(value: Any, is_param: bool) -> str:
    """A value as it is shown: nothing is an empty cell, so a param that is an empty text shows its quotes."""
    return '""' if is_param and value == "" else _clean(human(value))


def _clean(text: str) -> str:
    return _CONTROL.sub(lambda found: f"\\x{ord(found[0]):02x}", text)


def _cut(text: str, size: int) -> str:
    if width_of(text) <= size:
        return text
    kept, used = "", 0
    for character in text:
        used += width_of(character)
        if used > size - 1:
            break
        kept += character
    return kept + "…"


def width_of(text: str) -> int:
    """The columns of a terminal that a text takes."""
    if text.isascii():
        return len(text)
    return sum(
        0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in ("W", "F") else 1 for c in text
    )
