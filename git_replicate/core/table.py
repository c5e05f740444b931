"""A table: what every reading command makes and every renderer draws."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import field
from typing import Any

from git_replicate.core.frozen import frozen


@frozen
class Spread:
    """A mean over runs with its standard deviation (n - 1; None for one run) and how many runs."""

    mean: float
    std: float | None
    n: int


@frozen
class Table:
    """Columns by name, and rows as long as there are columns; None is an absent cell."""

    columns: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...]
    constants: tuple[tuple[str, Any], ...] = ()
    """Names whose value is the same in every row; a person's table shows them above itself."""
    notices: tuple[str, ...] = field(default=())


def fold_constants(table: Table, *, keep: Sequence[str] = ()) -> Table:
    """The table less the columns that do not vary (or hold nothing); those named by `keep` stay."""
    if len(table.rows) < 2:
        return _without_empty(table, keep)
    varies, constants = [], list(table.constants)
    for position, name in enumerate(table.columns):
        values = [row[position] for row in table.rows]
        if name in keep or any(not same(value, values[0]) for value in values[1:]):
            varies.append(position)
        elif values[0] is not None:
            constants.append((name, values[0]))
    return _pick(table, varies, tuple(constants))


def _without_empty(table: Table, keep: Sequence[str]) -> Table:
    chosen = [
        i for i, name in enumerate(table.columns) if name in keep or any(row[i] is not None for row in table.rows)
    ]
    return _pick(table, chosen, table.constants)


def _pick(table: Table, positions: Sequence[int], constants: tuple[tuple[str, Any], ...]) -> Table:
    return Table(
        tuple(table.columns[i] for i in positions),
        tuple(tuple(row[i] for i in positions) for row in table.rows),
        constants,
        table.notices,
    )


def same(first: Any, second: Any) -> bool:
    """Equality by which NaN is NaN, and 1 is not true."""
    if isinstance(first, bool) != isinstance(second, bool):
        return False
    return bool(first == second) or (first != first and second != second)


def plain(value: Any) -> str:
    """A cell for machines: numbers in full, `nan`, `inf` and `-inf`, booleans in lower case, nothing for None."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return repr(value) if isinstance(value, float) else str(value)


def human(value: Any) -> str:
    """A cell for people: floats to five digits."""
    if isinstance(value, float):
        return f"{value:.5g}"
    if isinstance(value, Spread):
        spread = "" if value.std is None else f" ± {value.std:.2g}"
        return f"{_like(value.mean, value.std)}{spread} ({value.n})"
    return plain(value)


def _like(mean: float, std: float | None) -> str:
    """The mean to as many decimals as its deviation has."""
    if not std or std != std or abs(std) in (0.0, float("inf")) or mean != mean:
        return f"{mean:.5g}"
    import math

    decimals = max(0, 1 - math.floor(math.log10(std)))
    return f"{mean:.{decimals}f}" if decimals < 10 and abs(mean) < 1e10 else f"{mean:.5g}"
