"""Runs of two code bases matched by params and seeds."""

from __future__ import annotations

from typing import Any

from git_replicate.core.pairing import Match, Matches, pair_runs


def run(identity: str, own: int = 1, **params: Any) -> dict[str, Any]:
    named = {f"params.{name}": value for name, value in params.items()}
    return {"experiment": "train", "id": identity, "seed": own, "started": identity, **named}


def pair(first: list[dict[str, Any]], second: list[dict[str, Any]], ignore: tuple[str, ...] = ()) -> Matches:
    return pair_runs(first, second, ignore=ignore, rank=lambda row: row["started"])


def ids(match: Match) -> tuple[list[str], list[str], bool]:
    return [row["id"] for row in match.first], [row["id"] for row in match.second], match.same_seed


def test_equal_params_and_seeds_make_a_pair_and_the_newest_stands_for_all() -> None:
    found = pair([run("a", lr=0.1), run("b", lr=0.2)], [run("c", lr=0.1), run("d", lr=0.1), run("e", lr=0.3)])
    assert [ids(match) for match in found.pairs] == [(["a"], ["d"], True)]
    assert [[row["id"] for row in side] for side in found.alone] == [["b"], ["e"]]


def test_the_seed_that_a_program_takes_as_a_param_outranks_the_runs_own() -> None:
    found = pair([run("a", 1, seed=7), run("b", 2, seed=8)], [run("c", 3, seed=8), run("d", 4, seed=7)])
    assert sorted(ids(match) for match in found.pairs) == [(["a"], ["d"], True), (["b"], ["c"], True)]


def test_runs_of_other_seeds_are_matched_as_groups() -> None:
    found = pair([run("a", 1), run("b", 2)], [run("c", 3), run("d", 4)])
    assert [ids(match) for match in found.pairs] == [(["a", "b"], ["c", "d"], False)]


def test_where_they_ran_does_not_part_runs_nor_does_what_is_configured() -> None:
    found = pair([run("a", device="cpu", tag=1)], [run("b", device="cuda", tag=2)], ignore=("tag",))
    assert [ids(match) for match in found.pairs] == [(["a"], ["b"], True)]


def test_numbers_and_texts_are_not_the_same_param() -> None:
    assert pair([run("a", lr=1)], [run("b", lr="1")]).pairs == ()
