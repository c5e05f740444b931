"""Texts as typed values, and values as records can hold them."""

from __future__ import annotations

import datetime
import math
from typing import Any

import pytest
import tomli
import tomli_w
from hypothesis import given, settings
from hypothesis import strategies as st

from git_replicate.capture.values import fit, flatten, nest, placeholder_text, typed


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("3", 3), ("-1", -1), ("+3", 3), ("1_000_000", 1000000), ("0", 0), ("1e-3", 0.001), (".5", 0.5), ("1.", 1.0),
        ("1E5", 100000.0), ("true", True), ("False", False), ("None", None), ("null", None), ("inf", math.inf),
        ("-inf", -math.inf), ("[1, 2]", [1, 2]), ('{"a": {"b": 1}}', {"a": {"b": 1}}), ('"3"', "3"), ("'3'", "3"),
        ("(1, 2)", (1, 2)), ("[adam,sgd]", ["adam", "sgd"]), ("['a', 'b']", ["a", "b"]), ("[]", []),
    ],
)  # fmt: skip
def test_plain_texts_are_typed(text: str, value: Any) -> None:
    assert typed(text) == value
    assert type(typed(text)) is type(value)


@pytest.mark.parametrize(
    "text",
    ["007", "1,2", "1.2.3", "2024-01-01", "data/raw", "1e999", "0x1F", "1_2", "none", "yes", "", "-", "٣", "[a, {b}]",
     "__import__('os')", "1" * 500, "{lr}", "12:30", "1.5GB"],
)  # fmt: skip
def test_what_is_not_plain_stays_text(text: str) -> None:
    assert typed(text) == text


def test_nan_is_a_number() -> None:
    assert math.isnan(typed("nan"))


def test_what_toml_cannot_hold_becomes_text_and_nulls_are_listed() -> None:
    null: list[str] = []
    value = fit(
        {"big": 2**63, "low": -(2**63), "none": None, "in": {"none": None, 3: "x", True: 1}, "hole": [1, None],
         "set": {2, 1}, "day": datetime.date(2024, 1, 2), "bytes": b"\xe9", "text": "caf\udce9", "lone": "\ud800",
         "object": 1j, "deep": [{"a": None}]},
        null,
    )  # fmt: skip
    assert value == {
        "big": "9223372036854775808", "low": -(2**63), "in": {"3": "x", "true": 1}, "hole": "[1, null]", "set": [1, 2],
        "day": "2024-01-02", "bytes": '"\\351"', "text": '"caf\\351"', "lone": "\\ud800", "object": "1j",
        "deep": '[{"a": null}]',
    }  # fmt: skip
    assert null == ["none", "in.none"]
    assert tomli.loads(tomli_w.dumps(value)) == value


def test_a_name_that_is_both_value_and_table_loses_neither() -> None:
    expected = {"model": "resnet", "model.depth": 3, "model.x.y": 4}
    assert nest({"model": "resnet", "model.depth": 3, "model.x.y": 4}) == expected
    assert nest({"model.x.y": 4, "model.depth": 3, "model": "resnet"}) == expected
    assert nest({"a..b": 1, ".c": 2}) == {"a..b": 1, ".c": 2}


@given(st.dictionaries(st.from_regex(r"[ab](\.[ab]){0,3}", fullmatch=True), st.integers(), max_size=6))
@settings(max_examples=60, deadline=None)
def test_flattening_undoes_nesting(flat: dict[str, int]) -> None:
    assert flatten(nest(flat)) == flat


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(), lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3), max_leaves=8))  # noqa: E501  # fmt: skip
@settings(max_examples=60, deadline=None)
def test_whatever_is_fitted_can_be_written_as_toml(value: Any) -> None:
    fitted = fit({"x": value}, [])
    tomli.loads(tomli_w.dumps(fitted))


def test_a_value_in_a_command_is_written_as_json_writes_it_and_text_as_it_is() -> None:
    values = [0.1, 1e-30, True, None, "a b", [1, "x"], {"a": 1}, math.inf, -1]
    assert [placeholder_text(value) for value in values] == [
        "0.1", "1e-30", "true", "null", "a b", '[1, "x"]', '{"a": 1}', "inf", "-1",
    ]  # fmt: skip


def test_what_is_nested_for_ever_is_text_at_the_bottom() -> None:
    value = fit({"x": typed("[" * 500 + "]" * 500), "y": typed("[" * 20_000 + "]" * 20_000)}, [])
    assert tomli.loads(tomli_w.dumps(value))["y"].startswith("[[[")
