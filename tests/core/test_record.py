"""Records survive the way through TOML, whatever a run was like."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from git_replicate.core import record as records
from git_replicate.core.errors import FormatError
from git_replicate.core.names import ExperimentName, RunId
from git_replicate.core.record import Best, Code, LeftOut, Output, Record, Seeds, Status, Submodule, WrittenFile

_text = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
_number = st.floats(allow_nan=False) | st.integers(-(2**63), 2**63 - 1)
_value: Any = st.recursive(
    _text | _number | st.booleans(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_text, inner, max_size=3),
    max_leaves=6,
)
_moment = st.datetimes(datetime(1970, 1, 1), datetime(2200, 1, 1)).map(lambda when: when.replace(tzinfo=UTC))  # noqa: DTZ001


@settings(max_examples=60, deadline=None)
@given(
    params=st.dictionaries(_text, _value, max_size=4),
    metrics=st.dictionaries(_text, _number, max_size=4),
    command=st.lists(_text, max_size=3),
    started=st.none() | _moment,
    left_out=st.lists(st.builds(LeftOut, _text, _text, st.integers(0, 2**40)), max_size=2),
    best=st.dictionaries(_text, st.builds(Best, st.floats(allow_nan=False), st.none() | st.integers(0, 9)), max_size=2),
    status=st.sampled_from(Status),
)
def test_any_record_comes_back_from_toml(
    params: dict[str, Any],
    metrics: dict[str, float],
    command: list[str],
    started: datetime | None,
    left_out: list[LeftOut],
    best: dict[str, Best],
    status: Status,
) -> None:
    record = Record(
        RunId("20260102-030405-0123abcd"), ExperimentName("x"), status, command=tuple(command), started=started,
        params=params, metrics=metrics, metrics_best=best,
        code=Code(tree="t", left_out=tuple(left_out), submodules=(Submodule("s", dirty=True),)),
        outputs={"m": Output("sha256:00", 3, "tree")}, files=(WrittenFile("f", 1, started),), seeds=Seeds(0, "auto", 0),
    )  # fmt: skip
    assert records.loads(records.dumps(record)) == record


def test_fields_of_a_newer_version_are_kept() -> None:
    text = b'format = 1\nid = "20260102-030405-0123abcd"\nexperiment = "x"\nstatus = "failed"\nnew = 7\n'
    record = records.loads(text)
    assert record.extra == {"new": 7}
    assert b"new = 7" in records.dumps(record)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b"format = 2\n", "of format 2; this version reads format 1"),
        (b"", "of format None"),
        (b"format = 1\n", "not a run's record"),
        (b'format = 1\nid = "a"\nexperiment = "x"\nstatus = "odd"\n', "not a run's record"),
        (b"\xff", "read the record"),
        (b"= 1", "read the record"),
    ],
)
def test_what_is_no_record_is_said(text: bytes, words: str) -> None:
    with pytest.raises(FormatError, match=words):
        records.loads(text)


def test_every_field_is_documented() -> None:
    import dataclasses

    undocumented = [field.name for field in dataclasses.fields(Record) if not field.metadata.get("doc")]
    assert undocumented == []
