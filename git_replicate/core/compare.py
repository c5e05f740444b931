"""What differs between runs in params, seeds and metrics."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from git_replicate.core.collate import SEED_NAMES
from git_replicate.core.table import Table, same

_FRAME = ("status", "seed")


def difference_table(rows: Sequence[Mapping[str, Any]], labels: Sequence[str], *, everything: bool) -> Table:
    """A line a name and a column a run: the params, the seed and the metrics that are not the same in all of them."""
    names = sorted({name for row in rows for name in row if name.startswith("params.")})
    metrics = sorted({name for row in rows for name in row if name.startswith("metrics.")})
    lines = []
    for name in (*names, *_FRAME, *metrics):
        values = [row.get(name) for row in rows]
        if everything or any(not same(value, values[0]) for value in values[1:]):
            lines.append((name, *values, *([_change(name, values)] if len(rows) == 2 else [])))
    return Table(("name", *labels, *(["change"] if len(rows) == 2 else [])), tuple(lines))


def _is_seed(name: str) -> bool:
    return name.startswith("params.") and name.rpartition(".")[2] in SEED_NAMES


def _change(name: str, values: Sequence[Any]) -> float | int | None:
    """The second less the first, where both are numbers of which one is more than the other; seeds only differ."""
    first, second = values
    if (
        name in _FRAME
        or _is_seed(name)
        or any(isinstance(value, bool) or not isinstance(value, int | float) for value in values)
    ):
        return None
    change: float | int = second - first
    return change
