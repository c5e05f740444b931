"""Paths as text: plain where they can be, quoted as git quotes where not, and back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from git_replicate.core.errors import FormatError
from git_replicate.core.paths import quote_path, unquote_path


@pytest.mark.parametrize(
    ("path", "text"),
    [
        (b"plain name.py", "plain name.py"),
        ("naïve.py".encode(), "naïve.py"),
        (b"caf\xe9.py", '"caf\\351.py"'),
        (b"new\nline\x01", '"new\\nline\\001"'),
        (b'"quoted"', '"\\"quoted\\""'),
        (b"back\\slash", '"back\\\\slash"'),
    ],
)
def test_a_path_is_quoted_only_where_it_must_be(path: bytes, text: str) -> None:
    assert quote_path(path) == text
    assert unquote_path(text) == path


@given(st.binary(max_size=40))
def test_quoting_is_exactly_reversible_and_valid_utf8(path: bytes) -> None:
    text = quote_path(path)
    text.encode("utf-8")
    assert unquote_path(text) == path


@pytest.mark.parametrize("text", ['"', '"open', '"bad \\q"', '"\\4"', '"inner"quote"', '"\\'])
def test_text_that_nobody_quoted_is_refused(text: str) -> None:
    with pytest.raises(FormatError):
        unquote_path(text)
