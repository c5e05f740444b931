"""What a text on a command line means: the value that its spelling most plausibly stands for."""

from __future__ import annotations

import json
import math
import re
from typing import Any

_INTEGER = re.compile(r"[+-]?(?:0|[1-9]\d*|[1-9]\d{0,2}(?:_\d{3})+)", re.ASCII)
_FLOAT = re.compile(r"[+-]?(?:\d+\.\d*|\.\d+|\d+(?=[eE]))(?:[eE][+-]?\d+)?", re.ASCII)
_WORDS: dict[str, Any] = {
    "true": True, "True": True, "false": False, "False": False, "None": None, "null": None,
    "nan": math.nan, "NaN": math.nan, "inf": math.inf, "+inf": math.inf, "-inf": -math.inf,
}  # fmt: skip


def typed(text: str) -> Any:
    """The value that a text most plausibly stands for; the text itself where that is not plain.

    Numbers, true/false, None/null, nan/inf, JSON lists, tables and strings, and Python's or Hydra's lists are
    recognised. `007`, `1,2`, `1.2.3`, dates and paths stay text.
    """
    if text in _WORDS:
        return _WORDS[text]
    if _INTEGER.fullmatch(text):
        return int(text) if len(text) < 400 else text
    if _FLOAT.fullmatch(text):
        number = float(text)
        return text if math.isinf(number) else number
    if len(text) > 1 and text[0] + text[-1] in ('""', "[]", "{}", "()", "''"):
        return _structured(text)
    return text


def _structured(text: str) -> Any:
    """A quoted string, list or table in JSON's, Python's or Hydra's spelling."""
    if text.count("[") + text.count("{") + text.count("(") > 10_000:
        return text
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        pass  # not JSON: the other spellings are tried
    import ast

    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError, RecursionError, MemoryError, TypeError):
        value = None
    if isinstance(value, str | list | tuple | dict):
        return value
    if text[0] == "[" and not re.search(r"[\[\]{}'\"]", text[1:-1]):
        return [typed(item.strip()) for item in text[1:-1].split(",")]
    return text
