"""When what two runs printed is the same: neither the order of lines nor where a run was counts."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from git_replicate.core.names import ExperimentName, RunId
from git_replicate.core.record import Record, Status
from git_replicate.core.verdict import Side, Tolerances, compare_runs

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
