"""Groups, aggregates and what a table must not hide."""

from __future__ import annotations

import math
import statistics
from typing import Any

import pytest

from git_replicate.core import collate, stats
from git_replicate.core.compare import difference_table
from git_replicate.core.table import Spread, Table, fold_constants, human

ROWS: list[dict[str, Any]] = [
    {"id": str(i), "seed": i, "params.lr": lr, "params.seed": i, "params.device": f"cuda:{i}", "metrics.acc": acc}
    for i, (lr, acc) in enumerate([(0.1, 0.5), (0.1, 0.7), (0.01, 0.9), (0.01, math.nan), (0.01, 0.8)])
]


def test_groups_by_every_param_but_the_seed_and_the_device() -> None:
    assert collate.group_keys(ROWS, ["params"], []) == ["params.lr"]
    assert collate.group_keys(ROWS, ["params"], ["lr"]) == []


def test_equal_params_of_other_experiments_are_apart() -> None:
    rows = [{**row, "experiment": name} for row in ROWS[:2] for name in ("train", "other")]
    assert collate.group_keys(rows, ["params"], []) == ["experiment", "params.lr"]
    assert collate.group_keys(rows, ["params", "experiment"], []) == ["params.lr", "experiment"]
    assert collate.group_keys(rows, ["params"], [], others=["experiment"]) == ["params.lr"]
    assert collate.group_keys(rows, ["params.lr"], []) == ["params.lr"]
    assert collate.group_keys(rows[::2], ["params"], []) == ["params.lr"]


def test_aggregates_use_n_minus_one_and_count_nan() -> None:
    table = collate.aggregate(ROWS[:2], ["params.lr"], ["metrics.acc"], ["mean", "std", "n", "ci95"], compact=False)
    assert table.columns == ("params.lr", "metrics.acc.mean", "metrics.acc.std", "metrics.acc.n", "metrics.acc.ci95")
    (row,) = table.rows
    assert row[1] == pytest.approx(0.6)
    assert row[2] == pytest.approx(statistics.stdev([0.5, 0.7]))
    assert row[3] == 2
    assert row[4] == pytest.approx(12.7062 * statistics.stdev([0.5, 0.7]) / math.sqrt(2))
    whole = collate.aggregate(ROWS, ["params.lr"], ["metrics.acc"], ["mean", "n"], compact=False)
    assert math.isnan(whole.rows[1][1])
    assert whole.rows[1][2] == 3
    assert whole.notices == ("acc is NaN in 1 of 5 runs",)


def test_groups_are_in_the_order_of_their_means_and_keys() -> None:
    rows = [
        {"params.lr": lr, "metrics.acc": acc}
        for lr, acc in [(0.1, 0.99), (0.2, 0.8), (0.2, 0.9), (0.1, 0.1), (None, 0.7), ("auto", None)]
    ]

    def found(*order: tuple[str, bool]) -> list[object]:
        table = collate.aggregate(rows, ["params.lr"], ["metrics.acc"], ["mean"], compact=False, order=order)
        return [row[0] for row in table.rows]

    assert found(("metrics.acc", True)) == [0.2, None, 0.1, "auto"]
    assert found(("metrics.acc", False)) == [0.1, None, 0.2, "auto"]
    assert found(("params.lr", True)) == ["auto", 0.2, 0.1, None]
    assert found(("started", True)) == [0.1, 0.2, None, "auto"]


def test_one_run_has_no_deviation() -> None:
    assert stats.std([1.0]) is None
    assert collate.spread([0.5]) == Spread(0.5, None, 1)


@pytest.mark.parametrize(("freedom", "quantile"), [(1, 12.7062), (30, 2.04227), (60, 2.00030), (1000, 1.96234)])
def test_students_t(freedom: int, quantile: float) -> None:
    assert stats.student_t(freedom) == pytest.approx(quantile, abs=2e-5)


def test_booleans_and_numbers_are_different_groups() -> None:
    rows: list[dict[str, Any]] = [{"params.x": True}, {"params.x": 1}, {"params.x": "1"}, {}]
    assert len(collate.group(rows, ["params.x"])) == 4


def test_pivot() -> None:
    rows = [{"params.m": m, "params.d": d, "metrics.a": float(m) * d} for m in (1, 2) for d in (3, 4)]
    table = collate.pivot(rows, ["params.m"], ["params.d"], "metrics.a")
    assert table.columns == ("params.m", "d=3", "d=4")
    assert table.rows[1] == (2, Spread(6.0, None, 1), Spread(8.0, None, 1))


def test_the_headings_of_a_pivot_are_spelt_as_its_cells_unless_two_would_be_alike() -> None:
    def heads(*values: float) -> tuple[str, ...]:
        rows = [{"params.m": 1, "params.b": value, "metrics.a": 1.0} for value in values]
        return collate.pivot(rows, ["params.m"], ["params.b"], "metrics.a", human).columns[1:]

    assert heads(0.0, 0.5) == ("b=0", "b=0.5")
    assert heads(0.1234567, 0.1234568) == ("b=0.1234567", "b=0.1234568")


def test_a_seed_has_no_change_whatever_it_is_called() -> None:
    names = ("params.seed", "params.data.random_state", "params.seeds_n", "metrics.seed")
    table = difference_table([dict.fromkeys(names, 1), dict.fromkeys(names, 3)], ["x", "y"], everything=False)
    assert [(row[0], row[3]) for row in table.rows] == [
        ("params.data.random_state", None), ("params.seed", None), ("params.seeds_n", 2), ("metrics.seed", 2),
    ]  # fmt: skip


def test_equal_curves_of_unequal_seeds_are_doubted() -> None:
    rows = [{"curves": "c", "seed": 1, "tree": "t"}, {"curves": "c", "seed": 2, "tree": "u"}]
    assert collate.doubts(rows) == (
        "the runs have 2 different snapshots of the code",
        "1 curve is identical in runs of different seeds: does the program use its seed?",
    )


def test_constants_are_folded_and_nan_is_nan() -> None:
    table = Table(("a", "b", "c"), ((1, math.nan, "x"), (1, math.nan, "y")))
    folded = fold_constants(table)
    assert folded.columns == ("c",)
    assert [name for name, _ in folded.constants] == ["a", "b"]


def test_differences_are_those_that_differ() -> None:
    rows = [{"params.a": 1, "params.b": 2, "metrics.m": 0.5}, {"params.a": 1, "params.b": 3, "metrics.m": math.nan}]
    table = difference_table(rows, ["x", "y"], everything=False)
    assert [row[0] for row in table.rows] == ["params.b", "metrics.m"]
    assert table.rows[0] == ("params.b", 2, 3, 1)


@pytest.mark.parametrize(
    ("value", "text"),
    [(Spread(0.91234, 0.0123, 3), "0.912 ± 0.012 (3)"), (1e-7, "1e-07"), (True, "true"), (math.inf, "inf"), (None, "")],
)
def test_cells_for_people(value: Any, text: str) -> None:
    assert human(value) == text


def test_runs_that_ended_alike_with_other_seeds_are_looked_at() -> None:
    rows: list[dict[str, Any]] = [
        {"id": "a", "curves": "1", "seed": 1, "metrics.m": 0.5},
        {"id": "b", "curves": "2", "seed": 2, "metrics.m": 0.5},
        {"id": "c", "curves": "3", "seed": 3, "metrics.m": 0.6},
        {"id": "d", "seed": 4, "metrics.m": 0.5},
    ]
    assert [row["id"] for row in collate.alike(rows)] == ["a", "b"]


def test_an_absent_value_is_a_column_of_a_pivot() -> None:
    rows: list[dict[str, Any]] = [
        {"params.m": 1, "metrics.a": 1.0},
        {"params.m": 1, "params.d": True, "metrics.a": 2.0},
    ]
    assert collate.pivot(rows, ["params.m"], ["params.d"], "metrics.a").columns == ("params.m", "d=none", "d=true")
