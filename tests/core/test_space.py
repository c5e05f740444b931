"""Spaces: texts to dimensions and back, grids, random points."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from git_replicate.core.errors import UsageError
from git_replicate.core.space import (
    Choices,
    Dimension,
    Range,
    Space,
    describe,
    grid,
    grid_size,
    grid_values,
    parse_dimension,
    parse_space,
    random_point,
    read_space,
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0.1,0.01", Choices((0.1, 0.01))),
        ("adam,sgd", Choices(("adam", "sgd"))),
        ("adam", Choices(("adam",))),
        ("[64, 64],[128]", Choices(([64, 64], [128]))),
        ('"a,b",c', Choices(("a,b", "c"))),
        ("don't,do", Choices(("don't", "do"))),
        ("None,0.5,true", Choices((None, 0.5, True))),
        ("../a,../b", Choices(("../a", "../b"))),
        ('"1..8"', Choices(("1..8",))),
        ("1..8", Range(1, 8)),
        ("0..1", Range(0.0, 1.0)),
        ("0..1:int", Range(0, 1)),
        ("1..8:float", Range(1.0, 8.0)),
        ("0.5..8", Range(0.5, 8.0)),
        ("-3..3", Range(-3, 3)),
        ("1e-5..1e-1:log", Range(1e-5, 0.1, log=True)),
        ("1..64:log", Range(1, 64, log=True)),
        ("0..1:5", Range(0.0, 1.0, count=5)),
        ("16..64:step=16", Range(16, 64, step=16)),
        ("0..1:step=0.25", Range(0.0, 1.0, step=0.25)),
    ],
)
def test_a_text_is_choices_or_a_range(text: str, expected: Dimension) -> None:
    found = parse_dimension("x", text)
    assert found == expected
    assert repr(found) == repr(expected)  # 1 is not 1.0, nor True


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("8..1", "the lower end comes first"),
        ("1..1", "the lower end comes first"),
        ("0..1:log", "a logarithm needs ends above zero"),
        ("1..8:loud", "'loud' is none of log, int, float"),
        ("1..8:step=0", "a step is positive"),
        ("1..8:step=20", "a step is positive"),
        ("0.5..8:int", "its ends are no integers"),
        ("1..8:1", "from 2 to 1,000,000 values"),
        ("1,1", "1 is given twice"),
        ("1,,2", "a choice is empty"),
        ("1e999..2", "the lower end comes first"),
        ("0.1..", "two numbers"),
        ("..5", "two numbers"),
        ("1..x", "two numbers"),
        ("1..2,3", "two numbers"),
        ("0..1:1000000000", "from 2 to 1,000,000 values"),
        ("0..1:step=1e-12", "no more than 1,000,000 steps"),
    ],
)
def test_a_range_that_makes_no_sense_is_named(text: str, why: str) -> None:
    with pytest.raises(UsageError, match=why):
        parse_dimension("x", text)


def test_a_text_that_looks_like_half_a_range_can_be_a_choice() -> None:
    for value in ("0.1..", "..5", "../data", "1..2", ""):
        assert parse_dimension("x", describe(Choices((value,)))) == Choices((value,))
    assert parse_dimension("x", "../a,../b") == Choices(("../a", "../b"))


def test_dots_make_nested_names_and_dashes_underscores() -> None:
    space = parse_space(["model.depth=1,2", "batch-size=8"])
    assert list(grid(space)) == [{"model.depth": 1, "batch_size": 8}, {"model.depth": 2, "batch_size": 8}]


@pytest.mark.parametrize(
    ("assignments", "zips", "why"),
    [
        (["lr"], [], "not of the form name=values"),
        (["=1"], [], "not of the form name=values"),
        (["a=1", "a.b=2"], [], "a value and a table"),
        (["a=1,2"], ["a,b"], "no param b is given"),
        (["a=1,2", "b=1,2,3"], ["a,b"], "a has 2, b has 3"),
        (["a=1,2"], ["a"], "at least two params"),
        (["a=1,2", "b=1,2", "c=1,2"], ["a,b", "b,c"], "each once"),
    ],
)
def test_a_space_that_makes_no_sense_is_refused(assignments: list[str], zips: list[str], why: str) -> None:
    with pytest.raises(UsageError, match=why):
        parse_space(assignments, zips)


def test_zipped_params_go_through_their_values_together() -> None:
    space = parse_space(["lr=0.1,0.01", "seed=1,2", "batch=8,16"], ["lr,batch"])
    assert list(grid(space)) == [
        {"lr": 0.1, "seed": 1, "batch": 8},
        {"lr": 0.1, "seed": 2, "batch": 8},
        {"lr": 0.01, "seed": 1, "batch": 16},
        {"lr": 0.01, "seed": 2, "batch": 16},
    ]


def test_a_grid_takes_the_ends_of_a_range_and_even_steps_between() -> None:
    assert list(grid_values("x", parse_dimension("x", "1..8"))) == [1, 2, 3, 4, 5, 6, 7, 8]
    assert list(grid_values("x", parse_dimension("x", "0..1:step=0.1"))) == [
        0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0,
    ]  # fmt: skip
    assert list(grid_values("x", parse_dimension("x", "1e-4..1e-1:log:4"))) == [0.0001, 0.001, 0.01, 0.1]
    assert list(grid_values("x", parse_dimension("x", "1..1024:log:6"))) == [1, 4, 16, 64, 256, 1024]


def test_a_grid_of_floats_needs_a_number_and_says_so() -> None:
    with pytest.raises(UsageError, match="how many values") as caught:
        grid_values("lr", parse_dimension("lr", "1e-5..1e-1:log"))
    assert caught.value.hint == "-p lr=1e-05..0.1:log:5, or --random 20"


def test_a_file_of_a_space_says_the_same_as_options() -> None:
    document = {
        "zip": [["model.depth", "model.width"]],
        "params": {
            "lr": {"low": 1e-5, "high": 0.1, "log": True},
            "model": {"depth": [1, 2], "width": "8,16"},
            "drop": 0.5,
            "layers": "1..3",
        },
    }
    assert read_space(document) == parse_space(
        ["lr=1e-5..1e-1:log", "model.depth=1,2", "model.width=8,16", "drop=0.5", "layers=1..3"],
        ["model.depth,model.width"],
    )
    with pytest.raises(UsageError, match="'param' is not known"):
        read_space({"param": {}})
    with pytest.raises(UsageError, match="high = 'x'} is no range"):
        read_space({"params": {"lr": {"low": 1, "high": "x"}}})
    with pytest.raises(UsageError, match="lr has no values"):
        read_space({"params": {"lr": []}})


def numbers() -> st.SearchStrategy[float]:
    return st.floats(-1e12, 1e12, allow_nan=False)


@st.composite
def ranges(draw: st.DrawFn) -> Range:
    ends: Any = st.integers(-(10**6), 10**6) if draw(st.booleans()) else numbers()
    low, high = sorted([draw(ends), draw(ends)])
    if not low < high:
        high = low + (1 if isinstance(low, int) else 1.0 + abs(low))
    log = low > 0 and draw(st.booleans())
    count = draw(st.none() | st.integers(2, 50))
    return Range(low, high, log=log, count=count)


def values() -> st.SearchStrategy[Any]:
    plain = st.none() | st.booleans() | st.integers(-(2**62), 2**62) | st.text() | st.floats(allow_nan=False)
    return plain | st.lists(st.integers(0, 9) | st.text(max_size=3), max_size=3)


def test_a_backslash_at_the_end_of_a_text_hides_no_quote() -> None:
    choices = Choices(([0, "\\"], 'a\\"b'))
    assert parse_dimension("x", describe(choices)) == choices


@given(ranges() | st.lists(values(), min_size=1, max_size=5, unique_by=repr).map(lambda v: Choices(tuple(v))))
def test_a_dimension_described_is_read_back(dimension: Dimension) -> None:
    found = parse_dimension("x", describe(dimension))
    assert repr(found) == repr(dimension)


@given(st.text(max_size=30))
def test_any_text_is_a_dimension_or_a_usage_error(text: str) -> None:
    try:
        found = parse_dimension("x", text)
    except UsageError:
        return
    assert repr(parse_dimension("x", describe(found))) == repr(found)


@given(st.lists(st.integers(1, 4), min_size=1, max_size=4))
def test_a_grid_has_every_combination_once(sizes: list[int]) -> None:
    space = Space({f"p{n}": Choices(tuple(range(size))) for n, size in enumerate(sizes)})
    points = [tuple(point.items()) for point in grid(space)]
    assert len(points) == len(set(points)) == grid_size(space) == math.prod(sizes)


@given(ranges(), st.integers(0, 2**32 - 1), st.integers(0, 10_000))
def test_a_random_point_is_within_and_always_the_same(dimension: Range, seed: int, trial: int) -> None:
    space = Space({"x": dimension, "y": Choices((1, 2, 3))})
    point = random_point(space, seed, trial)
    assert dimension.low <= point["x"] <= dimension.high
    assert isinstance(point["x"], int) == dimension.integer
    assert point == random_point(space, seed, trial)


def test_random_points_are_the_same_on_every_machine() -> None:
    space = parse_space(["lr=1e-5..1e-1:log", "depth=1..8", "act=relu,tanh"])
    assert [random_point(space, 1, trial) for trial in range(2)] == [
        {"lr": 0.0422558563628, "depth": 4, "act": "relu"},
        {"lr": 0.000952778457375, "depth": 5, "act": "tanh"},
    ]


def test_adding_a_dimension_at_the_end_leaves_the_others_as_they_were() -> None:
    less, more = parse_space(["a=0..1", "b=1..9"]), parse_space(["a=0..1", "b=1..9", "c=0..1"])
    both = [(random_point(less, 7, n), random_point(more, 7, n)) for n in range(5)]
    assert all(one.items() <= two.items() for one, two in both)
