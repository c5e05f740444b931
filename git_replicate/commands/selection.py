"""`at(test_acc, argmax(val_acc))`: a metric at the step that another one chooses."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from git_replicate.core.errors import UsageError
from git_replicate.core.sizes import count

if TYPE_CHECKING:
    from git_replicate.capture.curves import Point
    from git_replicate.commands.context import Context
    from git_replicate.store.indexing.index import Row

_AT = re.compile(r"at\(\s*([^,()]+?)\s*,\s*(argmax|argmin)\(\s*([^,()]+?)\s*\)\s*\)")


def fill_selection(context: Context, rows: Sequence[Row], expression: str) -> None:
    """Put the value of an `at(…)` expression into every row whose curves have it, as a metric of that name.

    How many rows have none is said.
    """
    found = _AT.fullmatch(expression)
    if not found:
        raise UsageError(f"cannot read {expression!r}", "try: at(test_acc, argmax(val_acc))")
    wanted, choice, chooser = (part.removeprefix("metrics.").strip("`") for part in found.groups())
    from git_replicate.capture.curves import Curves

    names = [f"{row['oid']}:.replicate/metrics.csv" for row in rows]
    without = 0
    for row, text in zip(rows, context.repository.read_many(names), strict=True):
        value = value_at(list(Curves.from_csv(text or b"")), wanted, choice, chooser)
        if value is None:
            without += 1
        else:
            row[f"metrics.{expression}"] = value
    if without:
        context.console.say(
            f"note: no {wanted} at the step of {choice}({chooser}) in {without} of {count(len(rows), 'run')}"
        )


def value_at(points: Sequence[Point], wanted: str, choice: str, chooser: str) -> float | None:
    """The value of `wanted` at the step where `chooser` is largest or smallest (the first such step; NaN never is)."""
    choosing = [p for p in points if p.metric == chooser and p.step is not None and p.value == p.value]
    if not choosing:
        return None
    best = max(choosing, key=lambda p: p.value) if choice == "argmax" else min(choosing, key=lambda p: p.value)
    values = [p.value for p in points if p.metric == wanted and p.step == best.step]
    return values[-1] if values else None
