"""What a sweep says at its end."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from git_replicate.commands._watching import Progress
from git_replicate.console import Console
from git_replicate.core.names import ExperimentName, RunId
from git_replicate.core.progress import Tally
from git_replicate.core.record import Record, Status
from git_replicate.core.sweep import Objective, Planned
from git_replicate.execution.sweeping.trial import Ended

RECORD = Record(
    RunId("20240102-030405-00000000"), ExperimentName("e"), Status.FINISHED, started=datetime(2024, 1, 2, tzinfo=UTC),
    sweep={"id": "new"},
)  # fmt: skip
NO_REPOSITORY: Any = None
"""Only the logs of failed runs are read."""


def said(
    capsys: pytest.CaptureFixture[str],
    total: int,
    *ended: Status,
    before: tuple[Record, ...] = (),
    stopped: bool = False,
) -> list[str]:
    """The lines of the end, the one with counts and time left out."""
    progress = Progress(Console(), NO_REPOSITORY, Tally(total))
    for trial, status in enumerate(ended):
        planned = Planned(trial, {})
        progress.begun(planned)
        progress.ended(planned, Ended(replace(RECORD, status=status)))
    capsys.readouterr()
    progress.close("new", before, stopped=stopped)
    return capsys.readouterr().err.splitlines()[1:]


def compared(which: str) -> str:
    return f'to compare them: git replicate collate --where "sweep {which}" --group-by params'


def test_what_is_compared_is_also_what_earlier_sweeps_did(capsys: pytest.CaptureFixture[str]) -> None:
    old = tuple(replace(RECORD, sweep={"id": name}) for name in ("old", "older", "old"))
    done = Status.FINISHED
    assert said(capsys, 1, done) == [compared("= 'new'")]
    assert said(capsys, 1, done, before=old) == [compared("in ('new', 'old', 'older')")]
    assert said(capsys, 1, Status.INTERRUPTED, before=old[:1]) == [compared("= 'old'")]
    assert said(capsys, 1, done, before=(RECORD,)) == [compared("= 'new'")]


def test_a_sweep_that_was_stopped_says_how_it_goes_on(capsys: pytest.CaptureFixture[str]) -> None:
    again = "to go on: git replicate sweep --resume new"
    halted = said(capsys, 4, Status.FINISHED, Status.INTERRUPTED, stopped=True)
    assert halted == [f"3 of 4 runs not done; {again}", compared("= 'new'")]
    assert said(capsys, 4, Status.INTERRUPTED, stopped=True) == [f"4 of 4 runs not done; {again}"]
    assert said(capsys, 1, Status.FINISHED, stopped=True) == [compared("= 'new'")]


def test_a_sweep_without_a_run_is_neither_compared_nor_gone_on_with(capsys: pytest.CaptureFixture[str]) -> None:
    assert said(capsys, 4, stopped=True) == []


def test_a_sweep_that_begins_no_new_runs_says_no_time_left(capsys: pytest.CaptureFixture[str]) -> None:
    tally = Tally(4)
    progress = Progress(Console(), NO_REPOSITORY, tally)
    progress.begun(Planned(0, {}))
    progress.ended(Planned(0, {}), Ended(RECORD))
    assert tally.line(10.0) == "1/4  0 running  30 s left"
    progress.stopping("interrupted", 2)
    assert tally.line(10.0) == "1/4  0 running"


def test_of_several_objectives_the_best_of_each_is_named() -> None:
    tally = Tally(3, (Objective("loss", False), Objective("accuracy", True)))
    for trial, (loss, accuracy) in enumerate([(0.5, 0.75), (0.25, 0.5), (math.nan, 0.25)]):
        record = replace(RECORD, metrics={"loss": loss, "accuracy": accuracy})
        tally.add(Planned(trial, {"n": trial}), record)
    assert tally.best() == "best loss 0.25 (n=1); best accuracy 0.75 (n=0)"
    assert tally.odd == {"loss": 1}
