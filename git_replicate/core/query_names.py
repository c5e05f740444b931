"""Names of columns as a person writes them in a query: dotted, in backticks where they are no plain words."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable


def unquote_name(token: str) -> str:
    """A dotted name without its backticks and quotes."""
    parts = re.findall(r"`([^`]+)`|\"([^\"]+)\"|([^.`\"\s]+)", token)
    return ".".join(next(filter(None, part)) for part in parts)


def is_plain(name: str) -> bool:
    """Whether a full name, or one without its table, can stand in a query as it is."""
    return re.fullmatch(r"[\w-]+(\.[\w-]+)*", name.partition(".")[2] or name) is not None


def quote_name(name: str) -> str:
    """A full name as a query takes it: backticks around what is no plain word."""
    table, dot, rest = name.partition(".")
    return name if not dot or is_plain(name) else f"{table}.`{rest}`"


def mended(text: str, odd: Iterable[str]) -> str:
    """The condition in which an odd name stands without its backticks, with them and quoted for a shell; "" if none."""
    by_length = sorted(odd, key=lambda name: len(name.partition(".")[2]), reverse=True)
    for name in by_length:
        table, _, rest = name.partition(".")
        bare = re.escape(rest)
        found = re.search(rf"(?<![\w`])(?:{table}\.)?(['\"]?){bare}\1(?![\w`])(\s*[<>=!]+\s*[^\s()]+)?", text)
        if found:
            return shlex.quote(quote_name(name) + (found[2] or " > 0"))
    return ""
