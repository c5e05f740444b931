"""The `--where` language: SQL's own expressions, with dotted names.

An expression is split into tokens, its names are resolved by the caller to columns, and SQLite runs the rest: `and`,
`or`, `not`, `in`, `between`, `like`, `is null`, arithmetic. This file rewrites and checks; it runs nothing, and
knows no table.

What is rewritten is the meeting of a name and a literal, because SQLite would compare across kinds: a quoted number
beside a param or metric is a number, a text is never above a number, a date is local and stands for its whole day,
`true` finds the boolean and the word, `'nan'` finds NaN. docs/queries.md is the reference.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Literal

from git_replicate.core import moments
from git_replicate.core.errors import UserError
from git_replicate.core.frozen import frozen
from git_replicate.core.query_names import mended, unquote_name

Kind = Literal["param", "metric", "time", "status", "flag", "number", "tags", "attribute"]

FUNCTIONS = frozenset(
    "abs ceil ceiling coalesce date datetime exp floor glob ifnull iif instr json_array_length json_extract julianday"
    " length like ln log log10 log2 lower ltrim max min mod nullif pow power regexp replace round rtrim sign sqrt"
    " strftime substr time trim typeof upper".split()
)
"""The functions that an expression may call."""

_WORDS = frozenset(
    "and or not in is null like ilike regexp glob between case when then else end cast as escape collate nocase"
    " isnull notnull".split()
)
_TYPES = frozenset(["integer", "real", "text", "numeric"])
_TOKEN = re.compile(
    r"""\s*(?:
    (?P<text>'(?:[^']|'')*'|"(?:[^"]|"")*")
    |(?P<name>(?:[^\W\d][\w-]*|`[^`]+`)(?:\s*\.\s*(?:[\w-]+|`[^`]+`|"[^"]+"))*)
    |(?P<number>(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?(?![\w.]))
    |(?P<operator><>|<=|>=|==|!=|\|\||[=<>+\-*/%(),])
    )""",
    re.VERBOSE,
)
_COMPARISONS = {"=": "=", "==": "=", "!=": "<>", "<>": "<>", "<": "<", "<=": "<=", ">": ">", ">=": ">="}
_FLIPPED = {"<": ">", "<=": ">=", ">": "<", ">=": "<=", "=": "=", "<>": "<>"}
_ARITHMETIC = frozenset("+-*/%")
_TEXTS = frozenset(["status", "tags", "attribute", "param"])
"""Kinds of columns that may hold texts."""
_MATCHING = frozenset(["like", "ilike", "glob", "regexp"])
_NUMBER = re.compile(r"[+-]?(?:(?:\d+(?:\.\d*)?|\.\d+)(?:e[+-]?\d+)?|inf|infinity)", re.IGNORECASE)


@frozen
class Column:
    """A name as SQL, seen in several ways; an empty one is the same as `sql`.

    `raw` is null only where nothing is recorded; `number` is null where there is no number; `text` is the value's
    text; `word` is "true" or "false" for what is boolean, and for the texts and numbers that mean it.
    """

    name: str
    kind: Kind
    sql: str
    raw: str = ""
    number: str = ""
    text: str = ""
    word: str = ""


Resolve = Callable[[str], Column]
"""A name as the user wrote it (unquoted, dotted) to its column; `UserError` with a suggestion if there is none."""


@frozen
class _Token:
    kind: str  # "text", "number", "column", "word", "call", "operator"
    text: str  # a text or number without its quotes, a word in lower case
    column: Column | None = None


_NOTHING = _Token("", "")


def compile_where(text: str, resolve: Resolve, odd: Iterable[str] = ()) -> str:
    """The expression as SQL; `UserError` names what cannot be read.

    odd: full names that stand in backticks (see `query_names.is_plain`), for the hint if one was written without.
    """
    if not text.strip():
        raise UserError("--where is empty", "try: --where \"status = 'finished'\"")
    try:
        tokens = _signed(list(_tokens(text, resolve)))
    except UserError as error:
        if meant := mended(text, odd):
            raise UserError(error.message, f"such a name stands in backticks: --where {meant}") from error
        raise
    _check_brackets(tokens)
    _check_whole(tokens)
    _check_texts(tokens)
    pieces: list[str] = []
    position = 0
    while position < len(tokens):
        piece, position = _rewrite(tokens, position)
        pieces.append(piece)
    return " ".join(pieces)


def all_of(conditions: Sequence[str], where: str | None) -> str | None:
    """Conditions and what a person wrote as one expression; None: every run."""
    if where is not None and not where.strip():
        return where
    return " and ".join([*conditions, *([f"({where})"] if where else [])]) or None


def _tokens(text: str, resolve: Resolve) -> Iterator[_Token]:
    position, end = 0, len(text.rstrip())
    previous, last, before_last = "", _NOTHING, _NOTHING
    while position < end:
        found = _TOKEN.match(text, position)
        if found is None:
            raise _unreadable(text[position:].strip())
        position = found.end()
        kind, written = str(found.lastgroup), found[str(found.lastgroup)]
        calls = text[position:].lstrip().startswith("(")
        try:
            token = _name(written, resolve, calls=calls, typed=previous == "as") if kind == "name" else None
        except UserError as error:
            if written.isidentifier() and _may_meet_text(before_last, last):
                raise _unquoted(error.message, before_last, last, written) from error
            raise
        if token is None:
            plain = written[1:-1].replace(written[0] * 2, written[0]) if kind == "text" else written
            token = _Token(kind, plain)
        previous = token.text if token.kind == "word" else ""
        last, before_last = token, last
        yield token


def _may_meet_text(token: _Token, operator: _Token) -> bool:
    """Whether a text may stand behind these two."""
    column = token.column
    return (
        column is not None
        and column.kind in _TEXTS
        and operator.kind == "operator"
        and operator.text in ("=", "==", "!=", "<>")
    )


def _unquoted(message: str, token: _Token, operator: _Token, written: str) -> UserError:
    return UserError(message, f"texts are quoted: {token.text} {operator.text} {quote(written)}")


def _name(written: str, resolve: Resolve, *, calls: bool, typed: bool) -> _Token:
    lowered = written.lower()
    if lowered in _WORDS or (typed and lowered in _TYPES):
        return _Token("word", lowered)
    if lowered in ("true", "false"):
        return _Token("bool", lowered)
    if calls and written.isidentifier():
        if lowered not in FUNCTIONS:
            raise UserError(f"--where: there is no function {written!r}", f"there are: {', '.join(sorted(FUNCTIONS))}")
        return _Token("call", lowered)
    try:
        return _Token("column", written, resolve(unquote_name(written)))
    except UserError:
        if lowered in ("nan", "inf", "infinity"):
            return _Token("text", lowered)
        raise


def _unreadable(rest: str) -> UserError:
    if rest[0] in "'\"`":
        return UserError(f"--where: the quote {rest[0]} is never closed", "quote texts: status = 'failed'")
    if rest[0] == ";":
        return UserError("--where: one expression only, without ';'", "join conditions with: and, or")
    return UserError(f"--where: cannot read {rest[:20]!r}", "quote texts: status = 'failed'")


def _signed(tokens: Sequence[_Token]) -> list[_Token]:
    """The tokens with a sign made part of its number where it is no subtraction."""
    signed: list[_Token] = []
    skip = False
    for position, token in enumerate(tokens):
        if skip:
            skip = False
            continue
        follower = tokens[position + 1] if position + 1 < len(tokens) else None
        before = signed[-1] if signed else None
        opens = before is None or before.kind == "word" or (before.kind == "operator" and before.text != ")")
        if token.kind == "operator" and token.text in "+-" and opens and follower and _is_number(follower):
            signed.append(_Token("number", token.text + follower.text))
            skip = True
        else:
            signed.append(token)
    return signed


def _is_number(token: _Token) -> bool:
    return token.kind == "number" or (token.kind == "text" and token.text in ("inf", "infinity"))


def _check_brackets(tokens: Sequence[_Token]) -> None:
    depth = 0
    for token in tokens:
        depth += (token.text == "(") - (token.text == ")") if token.kind == "operator" else 0
        if depth < 0:
            break
    if depth:
        raise UserError("--where: the brackets do not match", "every ( needs its )")


def _check_whole(tokens: Sequence[_Token]) -> None:
    """Both sides of every operator must be there; SQLite would only say that it stumbled."""
    for before, token, after in zip([None, *tokens], tokens, [*tokens[1:], None], strict=False):
        if not _joins(token):
            continue
        follows = ("in", "between", *_MATCHING) if token.text == "not" else ("not", "-", "+")
        closes = after is None or (after.kind, after.text) == ("operator", ")")
        if closes or (after and _joins(after) and after.text not in follows):
            raise UserError(f"--where: there is nothing after {token.text!r}", "for example: metrics.accuracy > 0.9")
        if (before is None or (before.kind, before.text) == ("operator", "(")) and token.text not in ("not", "-", "+"):
            raise UserError(f"--where: there is nothing before {token.text!r}", "for example: metrics.accuracy > 0.9")


def _joins(token: _Token) -> bool:
    """Whether something must stand behind it, and but for a sign and `not` in front of it."""
    if token.kind == "operator":
        return token.text in _COMPARISONS or token.text in (*_ARITHMETIC, "||")
    return token.kind == "word" and token.text in ("and", "or", "not", "in", "is", "between", *_MATCHING)


def _check_texts(tokens: Sequence[_Token]) -> None:
    """A status is never held against another column: who wrote its bare name meant the text."""
    for left, operator, right in zip(tokens, tokens[1:], tokens[2:], strict=False):
        bare = right.column is not None and right.text.isidentifier()
        if bare and left.column and left.column.kind in ("status", "tags") and _may_meet_text(left, operator):
            raise _unquoted(f"--where: {right.text} is a column here, not a text", left, operator, right.text)


def _rewrite(tokens: Sequence[_Token], at: int) -> tuple[str, int]:
    """The SQL of what stands at a position, and the position after it."""
    token = tokens[at]
    after = _words(tokens, at + 1)
    inside = at > 0 and tokens[at - 1].kind == "operator" and tokens[at - 1].text in (*_ARITHMETIC, "||")
    if token.column is not None:
        if not inside:
            met = _meeting(tokens, at, token.column, after)
            if met is not None:
                return met
        return _view(token.column, tokens, at), at + 1
    if _is_literal(token):
        if after[:1] in (("<",), ("=",)) or (after and after[0] in _COMPARISONS):
            other = tokens[at + 2] if at + 2 < len(tokens) else None
            if other and other.column and not inside and not _arithmetic_at(tokens, at + 3):
                operator = _FLIPPED[_COMPARISONS[after[0]]]
                return _unchained(_compare(other.column, operator, token), tokens, at + 3)
        return _plain(token), at + 1
    if token.kind == "word":
        return {"ilike": "MATCH"}.get(token.text, token.text.upper()), at + 1
    return _COMPARISONS.get(token.text, token.text), at + 1


def _words(tokens: Sequence[_Token], at: int) -> tuple[str, ...]:
    """Words and operators from a position on, up to three; names and literals end them."""
    words: list[str] = []
    for token in tokens[at : at + 3]:
        if token.kind not in ("word", "operator"):
            break
        words.append(token.text)
    return tuple(words)


def _meeting(tokens: Sequence[_Token], at: int, column: Column, after: tuple[str, ...]) -> tuple[str, int] | None:
    """A column and what it is held against, where that is a literal or null; None for anything else."""
    if after[:1] in (("isnull",), ("notnull",)) or after[:2] == ("is", "null") or after == ("is", "not", "null"):
        return column.raw or column.sql, at + 1
    if after[:2] == ("not", "null"):
        return column.raw or column.sql, at + 1
    if not after:
        return None
    negated = after[0] == "not"
    word, start = (after[1] if negated and len(after) > 1 else after[0]), at + 2 + negated
    if word in _COMPARISONS and not negated:
        if start < len(tokens) and _is_literal(tokens[start]) and not _arithmetic_at(tokens, start + 1):
            return _unchained(_compare(column, _COMPARISONS[word], tokens[start]), tokens, start + 1)
    elif word == "in" and start < len(tokens) and tokens[start].text == "(":
        values, end = _listed(tokens, start + 1)
        if end:
            one_of = " OR ".join(_compare(column, "=", value) for value in values)
            return f"{'NOT ' if negated else ''}({one_of or '0'})", end
    elif word == "between" and len(tokens) > start + 2:
        low, middle, high = tokens[start : start + 3]
        if _is_literal(low) and middle.text == "and" and _is_literal(high) and not _arithmetic_at(tokens, start + 3):
            both = f"{_compare(column, '>=', low)} AND {_compare(column, '<=', high)}"
            return f"{'NOT ' if negated else ''}({both})", start + 3
    return None


def _is_literal(token: _Token) -> bool:
    return token.kind in ("text", "number", "bool")


def _arithmetic_at(tokens: Sequence[_Token], at: int) -> bool:
    return at < len(tokens) and tokens[at].kind == "operator" and tokens[at].text in (*_ARITHMETIC, "||")


def _unchained(sql: str, tokens: Sequence[_Token], at: int) -> tuple[str, int]:
    if at < len(tokens) and tokens[at].kind == "operator" and tokens[at].text in _COMPARISONS:
        raise UserError("--where: comparisons do not chain", "say: a > 0.1 and a < 0.9, or: a between 0.1 and 0.9")
    return sql, at


def _listed(tokens: Sequence[_Token], at: int) -> tuple[list[_Token], int]:
    """The literals up to the closing bracket and the position after it; 0 if there is anything else."""
    values: list[_Token] = []
    while at < len(tokens) and tokens[at].text != ")":
        if not _is_literal(tokens[at]):
            return [], 0
        values.append(tokens[at])
        at += 1
        if at < len(tokens) and tokens[at].text == ",":
            at += 1
    return values, at + 1


def _view(column: Column, tokens: Sequence[_Token], at: int) -> str:
    """The column as its surroundings want it: a number in a sum, a text beside `like`."""
    neighbours = [tokens[i].text for i in (at - 1, at + 1) if 0 <= i < len(tokens) and tokens[i].kind != "text"]
    after = _words(tokens, at + 1)
    if after[:1] == ("not",):
        after = after[1:]
    if (after and after[0] in _MATCHING) or "||" in neighbours:
        return column.text or column.sql
    if column.kind == "metric" or any(word in _ARITHMETIC for word in neighbours):
        return column.number or column.sql
    return column.sql


def _plain(token: _Token) -> str:
    if token.kind == "bool":
        return "1" if token.text == "true" else "0"
    if token.kind == "number" or (token.kind == "text" and token.text in ("inf", "infinity")):
        return number(token.text)
    return quote(token.text)


def _compare(column: Column, operator: str, literal: _Token) -> str:
    """A column held against a literal, as their kinds want it."""
    if column.kind == "time":
        return _compare_time(column, operator, literal)
    text = literal.text
    if column.kind == "tags" and operator in ("=", "<>"):
        return f"{'NOT ' if operator == '<>' else ''}(has_tag({column.sql}, {quote(text)}))"
    if column.kind == "flag":
        return f"{column.sql} {operator} {({'true': '1', 'false': '0'}).get(text.lower(), _plain(literal))}"
    if column.kind in ("attribute", "status", "tags"):
        return f"{column.sql} {operator} {quote(text)}"
    if text.lower() in ("true", "false") and column.kind == "param":
        return f"{column.word or column.sql} {operator} {quote(text.lower())}"
    if _NUMBER.fullmatch(text):
        view = column.sql if operator in ("=", "<>") and column.kind == "param" else column.number or column.sql
        return f"{view} {operator} {number(text)}"
    if text.lower() == "nan":
        return f"{column.text or column.sql} {operator} 'nan'"
    return f"{column.text or column.sql} {operator} {quote(text)}"


def _compare_time(column: Column, operator: str, literal: _Token) -> str:
    if literal.kind == "number":
        first = after = moments.of_milliseconds(literal.text)
    else:
        first, after = moments.stretch(literal.text)
    return moments.compare(column.sql, operator, first, after)


def number(text: str) -> str:
    """A written number as an SQL literal; SQLite's own word for infinity is a number too large for it."""
    sign = "-" if text.startswith("-") else ""
    bare = text.lstrip("+-")
    return f"{sign}9e999" if bare.lower().startswith("inf") else f"{sign}{bare}"


def quote(value: str) -> str:
    """A text as an SQL literal."""
    return "'" + value.replace("'", "''").replace("\0", "") + "'"


def parse_sort(text: str) -> tuple[str, bool]:
    """`name`, `-name`, `name desc` or `name asc` as a name and whether the largest comes first."""
    found = re.fullmatch(r"\s*(-?)\s*(.+?)(?:\s+(asc|desc))?\s*", text, re.IGNORECASE)
    name = unquote_name(found[2]) if found else ""
    if not found or not name.strip("-") or (found[1] and found[3]):
        raise UserError(f"--sort: cannot read {text!r}", "try: --sort -metrics.accuracy")
    return name, bool(found[1]) or (found[3] or "").lower() == "desc"
