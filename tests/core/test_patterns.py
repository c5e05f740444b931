"""Patterns that wait with being compiled until they are used."""

from __future__ import annotations

import re

import pytest

from git_replicate.core.patterns import lazy


def test_a_lazy_pattern_does_what_the_compiled_one_does() -> None:
    words, digits = lazy("[A-Z]+", re.IGNORECASE), lazy(rb"\d+")
    assert [match[0] for match in words.finditer("ab-Cd")] == ["ab", "Cd"]
    assert digits.sub(b"#", b"a12b3") == b"a#b#"
    assert (digits.fullmatch(b"7x"), digits.pattern) == (None, rb"\d+")


def test_a_malformed_expression_is_found_out_when_it_is_used() -> None:
    pattern = lazy("(")
    with pytest.raises(re.error):
        pattern.match("x")


def test_what_no_pattern_has_a_lazy_one_has_not() -> None:
    with pytest.raises(AttributeError):
        lazy("x").frobnicate  # type: ignore[attr-defined]  # noqa: B018
