"""From rows of runs to a table: columns, groups, aggregates and pivots.

A row is a run as the index gives it: a flat mapping of `experiment`, `status`, `params.lr`, `metrics.accuracy`.
Nothing here reads anything; what a table hides - NaN, mixed code, runs with equal curves - it says in its notices.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

from git_replicate.core import stats
from git_replicate.core.errors import UserError
from git_replicate.core.sizes import count
from git_replicate.core.table import Spread, Table, plain

Row = Mapping[str, Any]
Group = tuple[tuple[Any, ...], list[Row]]
"""The values of the keys, and the rows that have them."""
FIRST: Final = ("experiment", "id", "status", "started", "seed")
SEED_NAMES: Final = frozenset(["seed", "random_seed", "random_state", "manual_seed"])
"""Params that are the seed under another name."""
Spell = Callable[[Any], str]
"""A value as a text."""
NOT_GROUPED: Final = SEED_NAMES | frozenset(
    [
        "device",
        "cuda",
        "gpu",
        "gpus",
        "num_workers",
        "workers",
        "n_jobs",
        "num_threads",
        "rank",
        "local_rank",
        "world_size",
        "output",
        "out",
        "output_dir",
        "outdir",
        "out_dir",
        "save_dir",
        "log_dir",
        "logdir",
        "run_name",
        "name",
        "exp_name",
        "verbose",
    ]
)
"""Params that do not make two runs different experiments."""
AGGREGATES: Final[Mapping[str, Callable[[Sequence[float]], Any]]] = {
    "mean": stats.mean, "std": stats.std, "n": len, "ci95": stats.ci95, "min": min, "max": max, "median": stats.median,
}  # fmt: skip


def every_column(rows: Iterable[Row]) -> tuple[str, ...]:
    """The columns of a whole table: who and when, then every param and every metric, sorted."""
    names = set().union(*rows)
    params = sorted(name for name in names if name.startswith("params."))
    metrics = sorted(name for name in names if name.startswith("metrics."))
    return (*FIRST, *params, *metrics)


def plain_table(rows: Sequence[Row], columns: Sequence[str]) -> Table:
    return Table(tuple(columns), tuple(tuple(map(row.get, columns)) for row in rows))


def group_keys(
    rows: Sequence[Row], names: Sequence[str], ignore: Sequence[str], *, others: Sequence[str] = ()
) -> list[str]:
    """The columns to group by: `params` stands for all of them but the seed and those that do not matter.

    Equal params of unequal experiments are of other programs: where the experiment varies, it is one of them.
    others: what the rows are told apart by already, as the other side of a pivot.
    """
    keys: list[str] = []
    apart = "experiment" not in (*names, *others) and len({row.get("experiment") for row in rows}) > 1
    for name in names:
        if name == "params":
            keys += ["experiment"] if apart else []
            every = sorted({key for row in rows for key in row if key.startswith("params.")})
            keys += [key for key in every if not is_ignored(key.removeprefix("params."), ignore)]
        else:
            keys.append(name)
    return list(dict.fromkeys(keys))


def is_ignored(name: str, ignore: Sequence[str]) -> bool:
    """Whether a param does not make two runs different: by its name, or as configured."""
    return name in ignore or name.rpartition(".")[2].lower() in NOT_GROUPED


def group(rows: Sequence[Row], keys: Sequence[str]) -> list[Group]:
    """Rows by the values of the keys, in the order in which the groups first appear; true, 1 and "1" are three."""
    groups: dict[str, tuple[tuple[Any, ...], list[Row]]] = {}
    for row in rows:
        values = tuple(row.get(key) for key in keys)
        identity = json.dumps([f"{type(value).__name__}:{value}" for value in values])
        groups.setdefault(identity, (values, []))[1].append(row)
    return list(groups.values())


def in_order(groups: Sequence[Group], keys: Sequence[str], order: Sequence[tuple[str, bool]]) -> list[Group]:
    """Groups by names, each with whether it is to fall: a key's value, or the mean of a metric; what has none is last.

    Other names leave the order in which the groups first appear.
    """
    found = list(groups)
    for name, falls in reversed(order):
        if name in keys:
            place = keys.index(name)
            ranks = [_rank(values[place]) for values, _ in found]
        elif name.startswith("metrics."):
            ranks = [_rank(stats.mean(numbers) if (numbers := numbers_of(rows, name)) else None) for _, rows in found]
        else:
            continue
        absent = [group for group, rank in zip(found, ranks, strict=True) if rank is None]
        there = [(rank, group) for group, rank in zip(found, ranks, strict=True) if rank is not None]
        there.sort(key=lambda pair: pair[0], reverse=falls)
        found = [group for _, group in there] + absent
    return found


def _rank(value: Any) -> tuple[int, float, str] | None:
    """Where a value stands: numbers first, then texts; None for nothing and NaN."""
    if value is None or value != value:
        return None
    return (0, value, "") if isinstance(value, int | float) else (1, 0.0, plain(value))


def aggregate(
    rows: Sequence[Row],
    keys: Sequence[str],
    metrics: Sequence[str],
    functions: Sequence[str],
    *,
    compact: bool,
    order: Sequence[tuple[str, bool]] = (),
) -> Table:
    """One row a group: its keys, then each metric's aggregates (`metrics.<name>.mean`); `compact`: mean ± std (n)."""
    for name in functions:
        if name not in AGGREGATES:
            raise UserError(f"no aggregate {name!r}", f"there are: {', '.join(AGGREGATES)}")
    table = []
    for values, members in in_order(group(rows, keys), keys, order):
        cells = list(values)
        for metric in metrics:
            numbers = numbers_of(members, metric)
            if compact:
                cells.append(spread(numbers))
            else:
                cells += [AGGREGATES[f](numbers) if numbers else (0 if f == "n" else None) for f in functions]
        table.append(tuple(cells))
    heads = list(metrics) if compact else [f"{metric}.{f}" for metric in metrics for f in functions]
    return Table((*keys, *heads), tuple(table), notices=nan_notices(rows, metrics))


def spread(numbers: Sequence[float]) -> Spread | None:
    return Spread(stats.mean(numbers), stats.std(numbers), len(numbers)) if numbers else None


def numbers_of(rows: Iterable[Row], metric: str) -> list[float]:
    values = (row.get(metric) for row in rows)
    return [value for value in values if isinstance(value, int | float) and not isinstance(value, bool)]


def pivot(
    rows: Sequence[Row], row_keys: Sequence[str], column_keys: Sequence[str], cell: str, spell: Spell = plain
) -> Table:
    """One line per combination of `row_keys`, one column per combination of `column_keys`, mean ± std in between.

    spell: how values stand in the headings; in full where two would be spelt alike.
    """
    heads = [values for values, _ in group(rows, column_keys)]
    lines = []
    for values, members in group(rows, row_keys):
        by_text = {_label(column_keys, key): part for key, part in group(members, column_keys)}
        cells = [spread(numbers_of(by_text.get(_label(column_keys, head), []), cell)) for head in heads]
        lines.append((*values, *cells))
    labels = [_label(column_keys, head, spell) for head in heads]
    if len({*labels}) < len(labels):
        labels = [_label(column_keys, head) for head in heads]
    names = (*row_keys, *labels)
    return Table(names, tuple(lines), notices=nan_notices(rows, [cell]))


def _label(keys: Sequence[str], values: Sequence[Any], spell: Spell = plain) -> str:
    return ", ".join(
        f"{key.rpartition('.')[2]}={'none' if value is None else spell(value)}"
        for key, value in zip(keys, values, strict=True)
    )


def nan_notices(rows: Sequence[Row], metrics: Sequence[str]) -> tuple[str, ...]:
    notices = []
    for metric in metrics:
        number = sum(1 for value in numbers_of(rows, metric) if value != value)
        if number:
            notices.append(f"{metric.removeprefix('metrics.')} is NaN in {number} of {count(len(rows), 'run')}")
    return tuple(notices)


def doubts(rows: Sequence[Row]) -> tuple[str, ...]:
    """What makes runs in one table hard to compare: other code, data, environment; equal curves of unequal seeds."""
    notices = []
    for name, words in (
        ("tree", "snapshots of the code"),
        ("data", "states of the data"),
        ("environment", "environments"),
    ):
        count = len({row.get(name) for row in rows})
        if count > 1:
            notices.append(f"the runs have {count} different {words}")
    curves: dict[str, set[Any]] = {}
    for row in rows:
        if row.get("curves") and row.get("seed") is not None:
            curves.setdefault(row["curves"], set()).add(_seed(row))
    twins = sum(1 for seeds in curves.values() if len(seeds) > 1)
    if twins:
        are = "curve is" if twins == 1 else "curves are"
        notices.append(f"{twins} {are} identical in runs of different seeds: does the program use its seed?")
    return tuple(notices)


def alike(rows: Sequence[Row]) -> list[Any]:
    """The runs that have curves and ended with the very metrics of a run of another seed."""
    ends: dict[str, list[Row]] = {}
    for row in rows:
        if row.get("curves"):
            metrics = sorted((name, repr(value)) for name, value in row.items() if name.startswith("metrics."))
            ends.setdefault(repr(metrics), []).append(row)
    return [row for same in ends.values() if len({_seed(row) for row in same}) > 1 for row in same]


def _seed(row: Row) -> Any:
    return row.get("params.seed", row.get("seed"))
