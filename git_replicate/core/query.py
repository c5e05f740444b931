"""The `--where` language: SQL's own expressions, with dotted names.

An expression is split into tokens, its names are resolved by the caller to SQL, and SQLite runs the rest: `and`,
`or`, `not`, `in`, `between`, `like`, `is null`, arithmetic. This file rewrites and checks; it runs nothing, and
knows no table.

Rewritten: `params.lr`, `metrics.`val/acc``, `attributes.status` and bare names; `ilike`; `==` and `!=`; a quoted
number beside a param or metric, which compares as a number; dates beside `started` and `finished`, which are local
and compare as UTC.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from git_replicate.core.errors import UserError

_TOKEN = re.compile(
    r"""\s*(?:
    (?P<string>'(?:[^']|'')*')
    |(?P<name>(?:[^\W\d][\w-]*|`[^`]+`|"[^"]*")(?:\s*\.\s*(?:[\w-]+|`[^`]+`|"[^"]+"))*)
    |(?P<number>(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?)
    |(?P<operator><>|<=|>=|==|!=|\|\||[=<>+\-*/%(),~])
    )""",
    re.VERBOSE,
)
_WORDS = frozenset(
    [
        "and",
        "or",
        "not",
        "in",
        "is",
        "null",
        "like",
        "ilike",
        "regexp",
        "glob",
        "between",
        "true",
        "false",
        "case",
        "when",
        "then",
        "else",
        "end",
        "cast",
        "as",
        "integer",
        "real",
        "text",
        "escape",
        "collate",
        "nocase",
        "isnull",
        "notnull",
    ]
)
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}(?:[T ]\d{2}:\d{2}(?::\d{2}(?:\.\d+)?)?(?:Z|[+-]\d{2}:?\d{2})?)?")
_MOMENTS = ("started", "finished")


@dataclass(frozen=True, slots=True)
class Column:
    """A name as SQL, and what kind of value stands there."""

    sql: str
    kind: str  # "param", "metric", "time", "status" or "attribute"


Resolve = Callable[[str], Column]
"""A name as the user wrote it (unquoted, dotted) to its column; `UserError` with a suggestion if there is none."""


def compile_where(text: str, resolve: Resolve) -> str:
    """The expression as SQL; `UserError` names what cannot be read."""
    pieces: list[str] = []
    last: Column | None = None
    position = 0
    text = text.strip()
    if not text:
        raise UserError("--where is empty", "try: --where \"status = 'finished'\"")
    while position < len(text):
        found = _TOKEN.match(text, position)
        if found is None or found.end() == position:
            if not text[position:].strip():
                break
            raise UserError(f"--where: cannot read {text[position:].strip()[:20]!r}", "quote texts: status = 'failed'")
        position = found.end()
        kind, token = found.lastgroup, found[found.lastgroup or 0]
        if kind == "name" and not _is_call(text, position, token):
            piece, column = _name(token, resolve, last)
            last = column or last
        elif kind == "string":
            piece = _literal(token[1:-1].replace("''", "'"), last)
        else:
            piece = {"==": "=", "!=": "<>"}.get(token, token)
        pieces.append(piece)
    return " ".join(pieces)


def _is_call(text: str, position: int, token: str) -> bool:
    return text[position:].lstrip().startswith("(") and token.lower() not in _WORDS and token.isidentifier()


def _name(token: str, resolve: Resolve, last: Column | None) -> tuple[str, Column | None]:
    """A word of SQL, a text in double quotes, or a name."""
    lowered = token.lower()
    if lowered in ("true", "false") and last is not None and last.kind == "param":
        return f"'{lowered}'", None
    if lowered in _WORDS:
        return {"ilike": "LIKE"}.get(lowered, token), None
    if token.startswith('"') and "." not in token.partition('"')[2].partition('"')[2]:
        return _literal(token[1:-1], last), None
    column = resolve(unquote_name(token))
    return column.sql, column


def unquote_name(token: str) -> str:
    """A dotted name without its backticks and quotes."""
    parts = re.findall(r"`([^`]+)`|\"([^\"]+)\"|([^.`\"\s]+)", token)
    return ".".join(next(filter(None, part)) for part in parts)


def _literal(value: str, last: Column | None) -> str:
    if last is not None and last.kind in ("param", "metric") and is_number(value):
        return value if not value.lower().lstrip("+-").startswith(("n", "i")) else quote(value)
    if last is not None and last.kind == "time" and _DATE.fullmatch(value):
        return quote(moment(value))
    return quote(value)


def is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return "_" not in text


def quote(value: str) -> str:
    """A text as an SQL literal."""
    return "'" + value.replace("'", "''") + "'"


def moment(text: str) -> str:
    """A date or time (local unless it says otherwise) as the index keeps times."""
    return timestamp(datetime.fromisoformat(text))


def timestamp(when: datetime) -> str:
    """A time as the index keeps it: UTC, fixed width, so that texts sort as times do."""
    return when.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def parse_sort(text: str) -> tuple[str, bool]:
    """`name`, `-name`, `name desc` or `name asc` as a name and whether the largest comes first."""
    words = text.split()
    if len(words) == 2 and words[1].lower() in ("asc", "desc"):
        return unquote_name(words[0]), words[1].lower() == "desc"
    if len(words) != 1 or not words[0].strip("-"):
        raise UserError(f"--sort: cannot read {text!r}", "try: --sort -metrics.accuracy")
    return unquote_name(words[0].removeprefix("-")), words[0].startswith("-")
