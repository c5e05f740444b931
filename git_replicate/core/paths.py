"""Paths as text: git's paths are bytes, records are UTF-8.

A path that is plain UTF-8 is written as it is. Any other (bytes that are not UTF-8, control characters, a double
quote or a backslash) is written with git's C-style quoting, quotes included: `"caf\\351.py"`. So a quoted path never
looks like a plain one, and `unquote_path` is the exact inverse of `quote_path`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from git_replicate.core.errors import FormatError
from git_replicate.core.patterns import lazy

_NAMED = {7: "a", 8: "b", 9: "t", 10: "n", 11: "v", 12: "f", 13: "r", 34: '"', 92: "\\"}
_BYTES = {name: bytes([code]) for code, name in _NAMED.items()}
_SPECIAL = lazy(r'[\x00-\x1f\x7f"\\\ud800-\udfff]')
_ESCAPE = lazy(r'\\(?:([0-3][0-7]{2})|([abtnvfr"\\]))|([^"\\]+)')


def quote_path(path: bytes) -> str:
    """The path as UTF-8 text, quoted as git quotes (with `core.quotePath=false`) where it has to be."""
    text = path.decode("utf-8", "surrogateescape")
    if not _SPECIAL.search(text):
        return text
    return '"' + _SPECIAL.sub(_escape, text) + '"'


def _escape(match: re.Match[str]) -> str:
    code = ord(match[0])
    if code >= 0xD800:  # what `surrogateescape` made of a byte that is not UTF-8
        code -= 0xDC00
    return f"\\{_NAMED[code]}" if code in _NAMED else f"\\{code:03o}"


def unquote_path(text: str) -> bytes:
    """The path that `quote_path` (or git) wrote; `FormatError` for text that neither would write."""
    if not text.startswith('"'):
        return text.encode("utf-8", "surrogateescape")
    body, position, parts = text[1:-1], 0, []
    if len(text) < 2 or not text.endswith('"'):
        raise FormatError(f"not a quoted path: {text!r}")
    while position < len(body):
        match = _ESCAPE.match(body, position)
        if match is None:
            raise FormatError(f"not a quoted path: {text!r}")
        octal, name, plain = match.groups()
        if octal:
            parts.append(bytes([int(octal, 8)]))
        else:
            parts.append(_BYTES[name] if name else plain.encode("utf-8", "surrogateescape"))
        position = match.end()
    return b"".join(parts)


def lies_in(path: str, places: Iterable[str]) -> bool:
    """Whether a file is one of the places, or below one."""
    return any(path == place or path.startswith(f"{place.rstrip('/')}/") for place in places)
