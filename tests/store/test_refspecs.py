"""Refspecs for many refs: together they match exactly the refs that are meant."""

from __future__ import annotations

from fnmatch import fnmatchcase

from hypothesis import given, settings
from hypothesis import strategies as st

from git_replicate.store.sharing.refspecs import make_batches
from tests.store.making import run_id

PREFIX = "refs/experiments"
IDS = st.builds(run_id, st.integers(0, 4000))
REFS = st.sets(st.builds(lambda name, run: f"{PREFIX}/{name}/{run}", st.sampled_from("a a/b ab a/2026".split()), IDS))


@settings(max_examples=200, deadline=None)
@given(REFS, REFS, st.integers(1, 20))
def test_they_match_what_is_meant_and_nothing_else(refs: set[str], others: set[str], size: int) -> None:
    others = {*others, f"{PREFIX}/nested"} - refs
    batches = list(make_batches(refs, others, lambda ref: ref, size))
    covered = [ref for batch in batches for ref in batch.refs]
    assert sorted(covered) == sorted(refs)
    for batch in batches:
        assert len(batch.refs) <= size
        matched = {ref for ref in refs | others if any(fnmatchcase(ref, spec) for spec in batch.specs)}
        assert set(batch.refs) <= matched
        assert matched & others == set()


def test_runs_of_one_afternoon_are_one_pattern() -> None:
    refs = {f"{PREFIX}/digits/{run_id(number)}" for number in range(3000)}
    (batch,) = make_batches(refs, set(), lambda ref: f"{ref}:{ref}", 10_000)
    assert batch.specs == (f"{PREFIX}/digits/*:{PREFIX}/digits/*",)
    batches = list(make_batches(refs, {f"{PREFIX}/digits/nested"}, str, 1000))
    assert [len(batch.refs) for batch in batches] == [953, 960, 960, 127]
    assert max(len(batch.specs) for batch in batches) < 20


def test_a_few_runs_are_named() -> None:
    refs = [f"{PREFIX}/digits/{run_id(number)}" for number in (1, 2)]
    (batch,) = make_batches(refs, set(), str, 1000)
    assert batch.specs == tuple(refs)
