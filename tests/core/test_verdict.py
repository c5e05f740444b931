"""What counts as the same: values, endings, and what two runs printed, whatever the order of lines and the place."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from git_replicate.core.names import ExperimentName, RunId
from git_replicate.core.record import Record, Status
from git_replicate.core.verdict import Outcome, Side, Tolerances, Verdict, compare_runs, describe_verdict

EMPTY = Record(
    RunId("20240102-030405-00000000"), ExperimentName("e"), Status.FINISHED, started=datetime(2024, 1, 2, tzinfo=UTC)
)
CHECKOUT = b"/home/ada/my work/.git/replicate/worktrees/tmpx1_y-z/tree"


def log_outcome(first: bytes, second: bytes, *tops: str) -> str:
    sides = [Side(EMPTY, log=log, tops=tops) for log in (first, second)]
    return compare_runs(sides[0], sides[1], Tolerances()).log


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (b'File "/home/ada/my work/a.py", line 1', b'File "' + CHECKOUT + b'/a.py", line 1'),
        (b"in /home/ada/my work", b"in " + CHECKOUT),
        (b"file:///home/ada/my work/x\nb", b"b\r\nfile://" + CHECKOUT + b"/x"),
        (b"PATH=/home/ada/my work:/bin", b"PATH=" + CHECKOUT + b":/bin"),
        (CHECKOUT, CHECKOUT.replace(b"tmpx1", b"other")),
        (b"file:///srv/bob/p.git/replicate/worktrees/tmp1/tree/a.py", b"file:///home/ada/my work/a.py"),
        (b"/srv/bob/p.git/replicate/worktrees/tmp1/tree/a.py", b"/home/ada/my work/a.py"),
        (b"/home/ada/my work/mod/a", b"/home/ada/my work/.git/modules/m/replicate/worktrees/t/tree/mod/a"),
    ],
)
def test_where_a_run_was_does_not_count(first: bytes, second: bytes) -> None:
    assert log_outcome(first, second, "/home/ada/my work") == "identical"


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (b"/home/ada/my work/a.py", CHECKOUT + b"/b.py"),
        (b"/home/ada/my work/a.py", b"/mnt/home/ada/my work/a.py"),
        (b"/home/ada/my workshop/a.py", CHECKOUT + b"shop/a.py"),
        (b"/home/ada/my work/a.py and " + CHECKOUT, b"/home/ada/my work/b.py and " + CHECKOUT),
        (b"/tmp/a.py", b"/tmp/b.py"),
    ],
)
def test_other_paths_count(first: bytes, second: bytes) -> None:
    assert log_outcome(first, second, "/home/ada/my work", "/") == "differs"


def ended(status: Status = Status.FINISHED, **fields: Any) -> Record:
    return replace(EMPTY, status=status, **{"exit_code": 0, **fields})


def verdict(first: Record, second: Record) -> Verdict:
    return compare_runs(Side(first), Side(second), Tolerances())


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ({"exit_code": 3}, {"exit_code": 3}, ("identical", "both failed with exit 3")),
        ({"exit_code": -11, "signal": "SIGSEGV"}, {"exit_code": -11, "signal": "SIGSEGV"},
         ("identical", "both were ended by SIGSEGV")),
        ({"exit_code": 3}, {"exit_code": 4},
         ("differs", "the original failed with exit 3, the run failed with exit 4")),
        ({"exit_code": 3, "metrics": {"a": 1.0}}, {"exit_code": 3, "metrics": {"a": 2.0}}, ("differs", "")),
    ],
)  # fmt: skip
def test_runs_that_fail_alike_are_alike_and_it_is_said_that_they_failed(
    first: dict[str, Any], second: dict[str, Any], expected: tuple[str, str]
) -> None:
    found = verdict(ended(Status.FAILED, **first), ended(Status.FAILED, **second))
    assert (found.outcome, found.reason) == expected


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        (float("nan"), float("nan"), "identical"), (float("inf"), float("inf"), "identical"),
        (float("inf"), float("-inf"), "differs"), (1.0, float("nan"), "differs"), (3, 3.0, "identical"),
        (0.0, 1e-12, "differs"), (None, 1.0, "differs"), (1.0, None, "differs"),
    ],
)  # fmt: skip
def test_values_that_are_no_numbers_or_not_there(first: float | None, second: float | None, expected: str) -> None:
    sides = [ended(metrics={"a": 1.0, **({"loss": value} if value is not None else {})}) for value in (first, second)]
    assert verdict(sides[0], sides[1]).outcome == expected


def test_a_side_that_lacks_a_cause_has_no_value_for_it_in_a_record() -> None:
    cause = {"kind": "data", "name": "x.bin", "from": None, "to": "blake3:1"}
    document = Verdict(Outcome.DIFFERS, causes=(cause,)).as_document()
    assert document["causes"] == [{"kind": "data", "name": "x.bin", "to": "blake3:1"}]
    assert describe_verdict(document)[-1] == "    data x.bin: absent -> blake3:1"


def test_a_hash_is_shown_as_far_as_it_tells_two_apart() -> None:
    cause = {"kind": "data", "name": "x.bin", "from": "absent", "to": "blake3:" + "0123456789abcdef" * 4}
    lines = describe_verdict({"outcome": "differs", "causes": [cause]})
    assert lines[-1] == "    data x.bin: absent -> blake3:0123456789ab"
