"""The search for what makes two results differ, over runs that are functions."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from git_replicate.core.bisection import Finding, Question, Result, investigate, is_like_second, smallest

Run = Callable[[frozenset[str], str, int], float]


def search(run: Run, groups: Sequence[Sequence[str]], **more: object) -> tuple[Finding, int]:
    """What an investigation finds, and how many different trials it made."""
    seen: dict[tuple[frozenset[str], str, int], Result] = {}

    def measure(parts: frozenset[str], seed: str, repetition: int) -> Result:
        return seen.setdefault((parts, seed, repetition), Result("finished", run(parts, seed, repetition)))

    everything = frozenset(part for group in groups for part in group)
    first = Result("finished", run(frozenset(), "first", 0))
    second = Result("finished", run(everything, "second", 0))
    question = Question(first, second, groups, **more)  # type: ignore[arg-type]
    return investigate(question, measure), len(seen)


def test_the_one_part_that_matters_is_found_whatever_else_changed() -> None:
    parts = [f"code:{n}" for n in range(40)]
    found, trials = search(lambda p, s, r: 1.0 + ("code:23" in p) + 0.01 * len(p) / 40, [parts, ["params:lr"]])
    assert (found.outcome, found.parts) == ("found", ("code:23",))
    assert trials <= 20


def test_two_parts_that_matter_only_together_are_both_found() -> None:
    found, _ = search(lambda p, s, r: float({"a", "d"} <= p), [["a", "b"], ["c", "d"]])
    assert (found.outcome, sorted(found.parts)) == ("found", ["a", "d"])


def test_parts_of_which_less_cannot_be_run_are_not_said_to_be_needed_each() -> None:
    def measure(parts: frozenset[str], seed: str, repetition: int) -> Result:
        if len(parts) in (0, 3):
            return Result("finished", float(len(parts)))
        return Result("impossible: there is no Python 3.13 here")

    question = Question(Result("finished", 0.0), Result("finished", 3.0), [["python", "pip", "setuptools"]])
    found = investigate(question, measure)
    assert (found.outcome, sorted(found.parts), found.apart) == ("found", ["pip", "python", "setuptools"], False)
    assert "which of them do is not known" in found.reason


def test_where_other_parts_make_some_of_the_difference_it_is_said() -> None:
    found, _ = search(lambda p, s, r: 100.0 * ("a" in p) + ("b" in p), [["a", "b", "c"]])
    assert found.parts == ("a",)
    assert found.reason == "this alone carries most of the difference: with it 100, with all that differs 101"
    exact, _ = search(lambda p, s, r: 100.0 * ("a" in p), [["a", "b", "c"]])
    assert exact.reason == "this alone carries the difference"


def test_of_two_parts_that_do_it_alone_one_is_found() -> None:
    found, _ = search(lambda p, s, r: float(bool({"a", "d"} & p)), [["a", "b"], ["c", "d"]])
    assert found.parts in (("a",), ("d",))


def test_a_part_is_divided_into_its_pieces() -> None:
    pieces = {"file": ["file#1", "file#2", "file#3"]}

    def run(parts: frozenset[str], seed: str, repetition: int) -> float:
        return float("file" in parts or "file#2" in parts)

    found, _ = search(run, [["file", "other"]], pieces=lambda part: pieces.get(part, ()))
    assert found.parts == ("file#2",)


def test_results_that_vary_as_much_as_they_differ_are_noise() -> None:
    values = iter([0.5, 0.7, 0.52, 0.71, 0.6, 0.49, 0.55, 0.66, 0.58, 0.61, 0.5, 0.63, 0.55, 0.67])
    found, _ = search(lambda p, s, r: next(values), [["a"]])
    assert (found.outcome, found.parts) == ("noise", ())
    assert found.noise["n"] == 6


def test_a_difference_above_the_noise_is_found_by_repeating() -> None:
    wobble = [0.0, 0.3, -0.2, 0.1, 0.25]
    calls = iter(range(1000))

    def run(parts: frozenset[str], seed: str, repetition: int) -> float:
        return 10.0 * ("b" in parts) + wobble[next(calls) % 5]

    found, _ = search(run, [["a", "b", "c"]])
    assert (found.outcome, found.parts) == ("found", ("b",))
    assert found.noise["std"] > 0


def test_a_difference_of_seeds_alone_is_noise() -> None:
    drawn = {"first": 0.1, "second": 0.9, "1": 0.4, "2": 0.6}
    found, _ = search(lambda p, s, r: drawn[s], [["a"]], seeds_differ=True)
    assert found.outcome == "noise"
    assert "the seeds make the difference" in found.reason


def test_a_change_that_only_shuffles_what_seeds_do_is_noise() -> None:
    drawn = {"first": 0.1, "second": 0.9, "1": 0.4, "2": 0.6, "3": 0.3, "4": 0.8, "5": 0.5}
    other = {"first": 0.5, "second": 0.2, "1": 0.7, "2": 0.1, "3": 0.6, "4": 0.4, "5": 0.6}
    found, _ = search(lambda p, s, r: (other if "a" in p else drawn)[s], [["a"]], seeds_differ=True)
    assert (found.outcome, "over 6 seeds" in found.reason) == ("noise", True)


def test_what_makes_the_difference_at_one_seed_is_found_on_request() -> None:
    drawn = {"first": 0.1, "second": 0.9}
    found, _ = search(
        lambda p, s, r: 0.5 if "b" in p and s == "first" else drawn[s], [["a", "b"]], seeds_differ=True, one_seed=True
    )  # fmt: skip
    assert (found.outcome, found.parts) == ("found", ("b",))


def test_with_other_seeds_what_matters_at_equal_seeds_is_found() -> None:
    drawn = {"first": 0.1, "second": 0.9, "1": 0.4, "2": 0.6}
    found, trials = search(lambda p, s, r: drawn[s] + ("b" in p), [["a", "b"]], seeds_differ=True)
    assert (found.outcome, found.parts) == ("found", ("b",))
    assert trials <= 9


def test_a_difference_that_does_not_come_again_is_said() -> None:
    measured = Result("finished", 0.7)
    found = investigate(Question(Result("finished", 0.5), measured, [["a"]]), lambda p, s, r: measured)
    assert (found.outcome, found.reason) == ("not-reproduced", "both runs, made again, come to the same: 0.7")


def test_a_run_that_ends_as_neither_did_stops_the_search_at_once() -> None:
    calls: list[str] = []

    def measure(parts: frozenset[str], seed: str, repetition: int) -> Result:
        calls.append(seed)
        return Result("failed with exit 1")

    found = investigate(Question(Result("finished", 0.5), Result("finished", 0.7), [["a"]]), measure)
    assert (found.outcome, found.reason) == ("not-reproduced", "the first run, made again, failed with exit 1")
    assert calls == ["first"]


def test_data_of_which_only_the_new_content_is_left_is_the_cause_if_the_old_run_with_it_is_like_the_new() -> None:
    question = Question(Result("finished", 0.5), Result("finished", 0.7), [["code"]], only_second=["data"])
    found = investigate(question, lambda p, s, r: Result("finished", 0.7))
    assert (found.outcome, found.parts) == ("found", ("data",))
    innocent = investigate(question, lambda p, s, r: Result("finished", 0.7 if "code" in p else 0.5))
    assert (innocent.outcome, innocent.parts) == ("found", ("code",))


@pytest.mark.parametrize(
    ("result", "first", "second", "like"),
    [
        (Result("finished", 0.9), Result("finished", 1.0), Result("finished", 0.5), False),
        (Result("finished", 0.6), Result("finished", 1.0), Result("finished", 0.5), True),
        (Result("finished", 0.75), Result("finished", 1.0), Result("finished", 0.5), False),
        (Result("failed with exit 1"), Result("finished", 1.0), Result("finished", 0.5), None),
        (Result("failed with exit 1"), Result("finished", 1.0), Result("failed with exit 1"), True),
        (Result("failed with exit 2"), Result("finished", 1.0), Result("failed with exit 1"), None),
        (Result("finished", math.nan), Result("finished", 1.0), Result("finished", math.nan), True),
        (Result("finished", 0.9), Result("finished", 1.0), Result("finished", math.nan), False),
        (Result("finished"), Result("finished", 1.0), Result("finished", 0.5), None),
        (Result("finished", mark="x"), Result("finished", mark="y"), Result("finished", mark="x"), True),
        (Result("finished", mark="z"), Result("finished", mark="y"), Result("finished", mark="x"), None),
    ],
)
def test_a_result_is_like_the_nearer_of_two(result: Result, first: Result, second: Result, like: bool | None) -> None:
    assert is_like_second(result, first, second) is like


@given(st.integers(1, 24), st.data())
def test_nothing_of_what_is_found_can_be_left_out(size: int, data: st.DataObject) -> None:
    needed = data.draw(st.sets(st.integers(0, size - 1), min_size=1))

    def carries(items: Sequence[int]) -> bool:
        return needed <= set(items)

    assert set(smallest(range(size), carries)) == needed
