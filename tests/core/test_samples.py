"""Whether two sets of results come from the same distribution."""

from __future__ import annotations

import math

import pytest

from git_replicate.core.samples import compare_sets, describe_sets


def test_sets_that_overlap_are_alike_and_sets_that_do_not_are_apart() -> None:
    alike = compare_sets([0.91, 0.93, 0.92], [0.92, 0.90, 0.94, 0.93])
    assert (alike["outcome"], alike["difference"]) == ("alike", pytest.approx(0.0025))
    assert alike["ci95"][0] < 0 < alike["ci95"][1]
    apart = compare_sets([0.91, 0.93, 0.92], [0.72, 0.70, 0.74, 0.73])
    assert apart["outcome"] == "apart"
    assert apart["effect"] < -5


def test_one_result_is_held_against_what_other_seeds_give() -> None:
    assert compare_sets([0.92], [0.91, 0.93, 0.92, 0.90])["outcome"] == "alike"
    assert compare_sets([0.5], [0.91, 0.93, 0.92, 0.90])["outcome"] == "apart"


@pytest.mark.parametrize("values", [[], [0.5], [0.5, math.nan]])
def test_too_little_decides_nothing(values: list[float]) -> None:
    assert compare_sets([0.5, 0.6], values)["outcome"] == "undecided"


def test_two_seeds_are_too_few_for_an_interval() -> None:
    found = compare_sets([0.91], [0.91, 0.93])
    assert (found["outcome"], "prediction" in found, "ci95" in found) == ("undecided", False, False)
    assert describe_sets({"accuracy": found}) == [
        "  accuracy: 0.91 before, 0.920 ± 0.014 (2) now: too few to compare (--seeds 3 or more)"
    ]


def test_equal_results_of_all_seeds_are_said() -> None:
    lines = describe_sets({"accuracy": compare_sets([0.5], [0.5, 0.5, 0.5])})
    assert lines[-1].strip() == "the same for every seed: does the program use its seed?"


def test_scipys_test_is_used_where_it_is_installed() -> None:
    pytest.importorskip("scipy", reason="SciPy is not installed here")
    found = compare_sets([1.0, 2.0, 3.0], [4.0, 5.0, 6.0])
    assert found["mann_whitney_p"] == pytest.approx(0.1)
