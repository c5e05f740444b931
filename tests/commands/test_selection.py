"""`at(test_acc, argmax(val_acc))`: one metric at the step where another is best."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from git_replicate.capture.curves import Point
from git_replicate.commands.selection import value_at
from git_replicate.git.opening import open_repository
from git_replicate.git.repository import Oid
from git_replicate.store.store import Parts, begin, finish
from tests.store.making import ended, of_head
from tests.support import GitRepo, replicate

POINTS = [
    Point(1, None, "val", 0.5), Point(1, None, "test", 0.1),
    Point(2, None, "val", math.nan), Point(2, None, "test", 0.2),
    Point(3, None, "val", 0.9), Point(3, None, "test", 0.3), Point(3, None, "test", 0.35),
    Point(4, None, "val", 0.9), Point(4, None, "test", 0.4),
    Point(None, None, "val", 7.0), Point(None, None, "test", 0.7),
]  # fmt: skip


@pytest.mark.parametrize(
    ("wanted", "choice", "chooser", "value"),
    [
        ("test", "argmax", "val", 0.35),  # the first of two equal steps, the last value there
        ("test", "argmin", "val", 0.1),
        ("val", "argmax", "test", 0.9),
        ("test", "argmax", "other", None),
        ("other", "argmax", "val", None),
    ],
)
def test_the_value_at_the_chosen_step(wanted: str, choice: str, chooser: str, value: float | None) -> None:
    assert value_at(POINTS, wanted, choice, chooser) == value


def test_collate_selects_on_validation_and_says_where_that_was_not_possible(repo: GitRepo) -> None:
    opened = open_repository(".", backend="plumbing")
    code = of_head(opened)
    curves = b"step,time,metric,value\n1,,val,0.5\n1,,test,0.25\n2,,val,0.75\n2,,test,0.5\n3,,val,0.1\n3,,test,0.9\n"
    for number, text in enumerate([curves, curves.replace(b"2,,test", b"9,,test"), b""]):
        record = ended(number, code=code, metrics={"val": 0.1, "test": 0.9})
        start = begin(opened, replace(record, metrics={}), Oid(code.snapshot), Oid(code.tree), Parts())
        finish(opened, record, start, Parts(metrics_csv=text))
    done = replicate(
        "collate", "--columns", "test,at(test, argmax(val))", "--group-by", "status", "--format", "csv", cwd=repo.top
    )
    assert done.stdout.splitlines() == [
        "status,metrics.test.mean,metrics.test.std,metrics.test.n,"
        '"metrics.at(test, argmax(val)).mean","metrics.at(test, argmax(val)).std","metrics.at(test, argmax(val)).n"',
        "finished,0.9,0.0,3,0.5,,1",
    ]
    assert "note: no test at the step of argmax(val) in 2 of 3 runs" in done.stderr
    wrong = replicate("collate", "--columns", "at(test)", cwd=repo.top)
    assert (wrong.returncode, wrong.stderr.splitlines()[-1]) == (2, "hint: try: at(test_acc, argmax(val_acc))")
