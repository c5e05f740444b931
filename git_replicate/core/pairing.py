"""Runs of two code bases, matched by what they were asked to do: experiment, params and seed.

Where both sides have a run with the same params and the same seed, the two are a pair. Runs of the same params
that find no partner of their own seed are matched as groups, whose results can only be compared as samples.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from git_replicate.core.collate import SEED_NAMES, is_ignored

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Match:
    """Runs of the first code base and of the second that were asked to do the same; one each if the seeds are equal."""

    first: tuple[Row, ...]
    second: tuple[Row, ...]
    same_seed: bool


@dataclass(frozen=True, slots=True)
class Matches:
    pairs: tuple[Match, ...]
    alone: tuple[tuple[Row, ...], tuple[Row, ...]]
    """Runs of either side whose params the other side has not run."""


def pair_runs(
    first: Sequence[Row], second: Sequence[Row], *, ignore: Sequence[str] = (), rank: Callable[[Row], Any]
) -> Matches:
    """Match the runs of two code bases; of several alike the one of the highest rank stands for them.

    Rows are as the index gives them: `experiment`, `seed`, `params.*`.
    """
    groups: dict[str, tuple[dict[str, Row], dict[str, Row]]] = {}
    for side, rows in enumerate((first, second)):
        for row in sorted(rows, key=rank):
            asked, seed = _asked(row, ignore), _seed(row)
            groups.setdefault(asked, ({}, {}))[side][seed] = row
    pairs: list[Match] = []
    alone: tuple[list[Row], list[Row]] = ([], [])
    for one, two in groups.values():
        common = [seed for seed in one if seed in two]
        pairs += [Match((one[seed],), (two[seed],), True) for seed in common]
        left = [[row for seed, row in side.items() if seed not in common] for side in (one, two)]
        if common:
            continue  # what has no partner of its own seed is no news beside runs that have
        if all(left):
            pairs.append(Match(tuple(left[0]), tuple(left[1]), False))
        else:
            for rows, kept in zip(left, alone, strict=True):
                kept.extend(rows)
    return Matches(tuple(pairs), (tuple(alone[0]), tuple(alone[1])))


def alike(run: Row, rows: Iterable[Row], *, ignore: Sequence[str] = ()) -> list[Row]:
    """The runs of the same code, data and params as one, one for each seed, itself among them."""
    asked = _asked(run, ignore)
    by_seed = {_seed(run): run}
    for row in rows:
        same = all(row.get(name) == run.get(name) for name in ("tree", "data"))
        if same and _asked(row, ignore) == asked:
            by_seed.setdefault(_seed(row), row)
    return list(by_seed.values())


def _asked(row: Row, ignore: Sequence[str]) -> str:
    names = sorted(name for name in row if name.startswith("params.") and row[name] is not None)
    kept = [name for name in names if not is_ignored(name.removeprefix("params."), ignore)]
    return json.dumps([str(row.get("experiment")), [[n, type(row[n]).__name__, str(row[n])] for n in kept]])


def _seed(row: Row) -> str:
    """The seed that counts: the one that the program takes as a param, else the run's own."""
    names = [n for n in row if n.startswith("params.") and n.rpartition(".")[2].lower() in SEED_NAMES]
    params = sorted((name, str(row[name])) for name in names if row[name] is not None)
    return json.dumps(params or [row.get("seed")])


def values_of(rows: Iterable[Row], metric: str) -> list[float]:
    """The values of a metric, of the runs that have it."""
    found = (row.get(f"metrics.{metric}") for row in rows)
    return [float(value) for value in found if isinstance(value, int | float) and not isinstance(value, bool)]
