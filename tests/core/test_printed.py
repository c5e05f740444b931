"""Whether two runs printed the same, and which line to show where not."""

from __future__ import annotations

import pytest

from git_replicate.core.printed import describe_difference, first_difference, same_printed
from git_replicate.core.verdict import Side, Tolerances, compare_runs, describe_verdict
from tests.store.making import ended


def test_order_and_place_do_not_count() -> None:
    first = b"a\nb in /home/ada/repo/x.py\n"
    second = b"b in /home/ada/repo/.git/replicate/worktrees/0/tree/x.py\na\n"
    assert same_printed(first, second, ("/home/ada/repo",))
    assert not same_printed(first, second + b"c\n", ("/home/ada/repo",))
    assert first_difference(first, second, ("/home/ada/repo",)) == {}


def test_the_first_line_that_the_other_has_not_is_told_for_either_side() -> None:
    first, second = b"loss: 1\nthe answer is 41\nbye\n", b"loss: 1\nthe answer is 42\nbye\n"
    assert first_difference(first, second, ()) == {"original": "the answer is 41", "rerun": "the answer is 42"}
    found = first_difference(first, first + b"more\n", ())
    assert found == {"rerun": "more"}
    assert describe_difference(found) == "  what was printed differs: nothing -> 'more'"


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("epoch 1 took 1.23s (4.5 it/s)", "epoch 1 took 9 s (1 it/s)"),
        ("2026-01-02 03:04:05,678 INFO done", "2026-05-06 07:08:09,1 INFO done"),
        ("at 12:30:01 <object at 0x7f00aa11>", "at 1:02 <object at 0x7f99bb22>"),
        ("100%|####| 10/10 [00:01<00:00, 9.1it/s]", "100%|####| 10/10 [00:02<00:00, 4.0it/s]"),
        ("2026-01-02T03:04:05Z 12 MB/s 3 minutes", "2026-02-02T03:04:06Z 13.5 MB/s 2 minutes"),
    ],
)
def test_times_speeds_and_addresses_do_not_count(first: str, second: str) -> None:
    assert first_difference(first.encode(), second.encode(), ()) == {}


@pytest.mark.parametrize(
    ("first", "second"), [("n = 10 samples", "n = 11 samples"), ("v1.5 x", "v1.6 x"), ("5e-3", "6e-3")]
)
def test_other_numbers_do(first: str, second: str) -> None:
    assert first_difference(first.encode(), second.encode(), ()) == {"original": first, "rerun": second}


def test_logs_that_are_very_long_are_not_compared_line_by_line() -> None:
    assert first_difference(b"x" * 2_000_001, b"y", ()) == {}


def test_a_line_is_cut_and_bytes_that_are_no_text_are_shown() -> None:
    assert first_difference(b"a\xff" * 200, b"", ())["original"] == "a\ufffd" * 50


@pytest.mark.parametrize(
    ("first", "second", "said"),
    [
        (b"took 1.2 s\nx\n", b"took 3 s\nx\n", "  what was printed differs in times, speeds or addresses alone"),
        (b"n = 1\n", b"n = 2\n", "  what was printed differs: 'n = 1' -> 'n = 2'"),
        (b"x" * 2_000_001, b"y", "  what was printed: differs"),
    ],
)
def test_a_run_that_is_judged_by_what_it_printed_says_where_it_differs(first: bytes, second: bytes, said: str) -> None:
    sides = [Side(ended(1, metrics={}, metrics_best={}), log=log) for log in (first, second)]
    verdict = compare_runs(sides[0], sides[1], Tolerances())
    assert verdict.outcome == "differs"
    assert said in describe_verdict(verdict.as_document())
