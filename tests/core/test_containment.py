"""Whether a version of a file contains a change."""

from __future__ import annotations

import difflib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from git_replicate.core.containment import Change, Lines, Presence, both, united
from git_replicate.core.hunks import lines_of, parse_hunks

BEFORE = b"# loss\n\ndef f(x):\n    y = x * 2\n    return y\n\ndef g(x):\n    return x + 1\n"
AFTER = BEFORE.replace(b"x * 2", b"x * 3")


def change(before: bytes, after: bytes) -> Change:
    lines = difflib.diff_bytes(difflib.unified_diff, lines_of(before), lines_of(after), n=0)
    return Change("loss.py", before, after, tuple(parse_hunks(b"".join(lines))))


@pytest.mark.parametrize(
    ("text", "presence"),
    [
        (AFTER, "yes"),
        (BEFORE, "no"),
        (AFTER + b"# more\n", "yes"),
        (BEFORE + b"# more\n", "no"),
        (AFTER.replace(b"\n", b"\r\n"), "yes"),
        (b"import os\n\n\n" + AFTER.replace(b"# loss\n", b"# losses of all kinds\n"), "yes"),
        (b"def h(z):\n    y = x * 3\n", "yes"),
        (AFTER.replace(b"x * 3", b"x * 4"), "no"),
        (b"", "no"),
        (None, "no"),
    ],
)
def test_a_changed_line_is_found_by_content(text: bytes | None, presence: str) -> None:
    assert change(BEFORE, AFTER).within(text) == presence


def test_lines_that_a_change_took_away_are_missed_between_their_neighbours() -> None:
    without = BEFORE.replace(b"    y = x * 2\n", b"    y = x\n").replace(b"    y = x\n", b"")
    removal = change(BEFORE, without)
    assert removal.within(without + b"# more\n") == "yes"
    assert removal.within(BEFORE + b"# more\n") == "no"


def test_a_bug_that_a_fix_removed_is_asked_for_by_the_fix_turned_round() -> None:
    assert change(AFTER, BEFORE).within(BEFORE + b"#\n") == "yes"
    assert change(AFTER, BEFORE).within(AFTER + b"#\n") == "no"


def test_of_many_added_lines_half_are_enough_for_maybe() -> None:
    added = b"".join(b"    step_%d = compute(%d)\n" % (n, n) for n in range(4))
    later = added.replace(b"compute(3)", b"other(3)").replace(b"step_0", b"first")
    big = change(BEFORE, BEFORE + added)
    assert big.within(b"x\n" + later) == "maybe"
    assert big.within(b"x\n    step_0 = compute(0)\n") == "no"


def test_a_blank_or_common_line_alone_proves_nothing() -> None:
    assert change(b"a\nb\n", b"a\n\nb\n").within(b"x\n\ny\n") != "yes"
    assert change(b"return x\nb\n", b"return x\nb\nreturn x\n").within(b"c\nreturn x\nd\n") == "no"


def test_a_deleted_file_is_a_change_that_is_there_where_the_file_is_not() -> None:
    assert Change("a.py", b"x\n", None).within(None) == "yes"
    assert Change("a.py", b"x\n", None).within(b"y\n") == "no"


def test_lines_are_looked_for_one_after_the_other() -> None:
    lines = Lines("loss.py", AFTER, 3, 5)
    assert lines.within(b"#\n" + AFTER) == "yes"
    assert lines.within(BEFORE) == "maybe"
    assert lines.within(b"    return y\n    y = 1\n") == "maybe"
    assert lines.within(None) == "no"
    assert Lines("loss.py", AFTER).within(BEFORE) == "other version"


@given(st.lists(st.sampled_from(["a = 1\n", "b = 2\n", "c = 3\n", "d\n", "\n"]), max_size=10).map("".join), st.data())
def test_a_change_is_in_what_it_made_and_not_in_what_it_was_made_of(text: str, data: st.DataObject) -> None:
    lines = text.splitlines(keepends=True)
    at = data.draw(st.integers(0, len(lines)))
    after = "".join([*lines[:at], "new line\n", *lines[at:]])
    made = change(text.encode(), after.encode())
    assert (made.within(after.encode()), made.within(text.encode())) == ("yes", "no")


def test_presences_of_files_and_of_bugs_are_put_together() -> None:
    assert united([Presence.NO, Presence.MAYBE, Presence.YES]) == "yes"
    assert united([]) == "no"
    assert both(Presence.YES, Presence.NO) == "no"
    assert both(Presence.YES, Presence.MAYBE) == "maybe"
