"""Versions of a file that have some of the differences of two."""

from __future__ import annotations

import difflib

from hypothesis import given
from hypothesis import strategies as st

from git_replicate.core.hunks import Hunk, apply_hunks, lines_of, parse_hunks, split_hunks

texts = st.lists(st.sampled_from([b"a\n", b"b\n", b"c\n", b"d\n"]), max_size=12).map(b"".join)


def hunks(first: bytes, second: bytes) -> list[Hunk]:
    lines = difflib.diff_bytes(difflib.unified_diff, lines_of(first), lines_of(second), n=0)
    return parse_hunks(b"".join(line if line.endswith(b"\n") else line + b"\n" for line in lines))


@given(texts, texts)
def test_all_hunks_make_the_second_version_and_none_the_first(first: bytes, second: bytes) -> None:
    found = split_hunks(hunks(first, second))
    assert apply_hunks(lines_of(first), lines_of(second), found) == second
    assert apply_hunks(lines_of(first), lines_of(second), []) == first


def test_lines_that_replace_lines_are_pieces_of_their_own() -> None:
    first, second = b"a = 1\nb = 2\nc = 3\n", b"a = 1\nb = 20\nc = 30\n"
    one, two = split_hunks(hunks(first, second))
    assert apply_hunks(lines_of(first), lines_of(second), [one]) == b"a = 1\nb = 20\nc = 3\n"
    assert apply_hunks(lines_of(first), lines_of(second), [two]) == b"a = 1\nb = 2\nc = 30\n"


def test_an_insertion_after_a_line_without_an_end_begins_a_line() -> None:
    first, second = lines_of(b"a"), lines_of(b"x\na\nb\n")
    assert apply_hunks(first, second, [Hunk(1, 1, 2, 3)]) == b"a\nb\n"
