"""What two records and the files between them give as causes."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from git_replicate.core.causes import ChangedFile, find_causes
from git_replicate.core.names import ExperimentName, RunId
from git_replicate.core.record import Record, Status
from git_replicate.core.verdict import Side

RECORD = Record(
    RunId("20240102-030405-00000000"), ExperimentName("e"), Status.FINISHED, started=datetime(2024, 1, 2, tzinfo=UTC)
)
PARSED = {"params": {"steps": 5}, "params_null": ("lr",), "params_source": {"lr": "parsed", "steps": "parsed"}}


def causes(first: dict[str, Any], second: dict[str, Any]) -> list[tuple[str, str]]:
    files = [ChangedFile("params.toml", "a" * 40, "b" * 40)]
    one, two = [Side(replace(RECORD, **values)) for values in (first, second)]
    return [(cause.kind, cause.name) for cause in find_causes(one, two, files, not_code=("params.toml",))]


def test_a_params_file_that_changed_without_any_param_is_a_cause_by_itself() -> None:
    assert causes(PARSED, PARSED) == [("params", "params.toml")]


def test_a_param_that_the_command_line_gave_does_not_explain_a_params_file() -> None:
    given = {**PARSED, "params": {"steps": 9}, "params_given": ("steps",)}
    assert causes(PARSED, given) == [("params", "steps"), ("params", "params.toml")]


def test_a_params_file_is_not_named_beside_a_param_that_may_be_of_it() -> None:
    one, two = ({"params": {"lr": lr}, "params_source": {"lr": "file"}} for lr in (0.5, 0.1))
    assert causes(one, two) == [("params", "lr")]
    over = {"params": {"lr": 0.1}, "params_source": {"lr": "parsed"}, "params_given": ("lr",)}
    assert causes(one, over) == [("params", "lr")]
    default = {**PARSED, "params": {"steps": 9}}
    assert causes(PARSED, default) == [("params", "steps")]
