"""Reading many records fast: the plain TOML that records are written in, by one pattern.

Building the index reads every record there is, and most of that time is a TOML parser's. What `tomli_w` writes for an
ordinary record - tables, plain strings, numbers, booleans, times, lists of plain strings - is recognised here: a table
of strings, numbers and booleans is JSON but for its punctuation, which is changed for a parser written in C to read it;
the rest is read line by line. A text with anything else in it goes to the parser of TOML. A test holds that both read
the same.
"""

from __future__ import annotations

import json
import re
from collections.abc import Container, Mapping
from datetime import datetime
from functools import lru_cache
from typing import Any

import tomli

from git_replicate.core.record import FORMAT

UNREADABLE = "unreadable"
"""Key of the document made in place of a record that this version cannot read; the value says why."""
NO_RECORD = "no record"

_PLAIN = r'"[^"\\\x00-\x08\x0a-\x1f\x7f]*"'
_FLOAT = r"-?(?:0|[1-9]\d*)(?:\.\d+)?(?:e[+-]?\d+)?"
_PARTS = re.compile(
    rf"""(?:([\w-]+)[ ]=[ ](?:
        ({_PLAIN})
        |(-?(?:0|[1-9]\d*))
        |({_FLOAT})
        |(true|false|-?inf|nan)
        |(\d{{4}}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:\.\d{{6}})?\+00:00)
        |\[\n((?:[ ]{{4}}{_PLAIN},\n)*)\]
    ))?\n|(.)""",
    re.VERBOSE | re.ASCII | re.DOTALL,
)
"""A line, blank or of a name and a value of one of six kinds; the last group is whatever is none."""
_HEADING = re.compile(r"\[([\w-]+(?:\.[\w-]+)*)\]\n", re.ASCII)
_SIMPLE = re.compile(rf"(?:[\w-]+ = (?:{_PLAIN}|{_FLOAT}|true|false)\n)+\n?", re.ASCII)
"""The lines of a table of strings, numbers and booleans."""
_INTEGER = r"-?(?:0|[1-9]\d*)"
_BEST = (
    rf"\[metrics_best\.[\w-]+\]\nmin = {_FLOAT}\n(?:min_step = {_INTEGER}\n)?"
    rf"(?:max = {_FLOAT}\n)?(?:max_step = {_INTEGER}\n)?"
)
_EXTREMES = re.compile(rf"{_BEST}(?:\n{_BEST})*", re.ASCII)
"""The most frequent tables, which stand one after another, in one piece."""
_read_json = json.JSONDecoder(strict=False).raw_decode
_REMEMBERED = 4_096


def read_document(text: bytes | None, *, skip: Container[str] = ()) -> dict[str, Any]:
    """A record's document, or one that holds only why this version cannot read it; tables to skip may be missing."""
    if text is None:
        return {UNREADABLE: NO_RECORD}
    try:
        decoded = text.decode()
        document = read_plain(decoded, skip=skip)
        if document is None:
            document = tomli.loads(decoded)
    except (tomli.TOMLDecodeError, UnicodeDecodeError, ValueError, RecursionError) as error:
        return {UNREADABLE: str(error) or "not a record"}
    return document if document.get("format") == FORMAT else {UNREADABLE: f"format {document.get('format')}"}


def read_plain(text: str, *, skip: Container[str] = ()) -> dict[str, Any] | None:
    """The document of a text in which nothing unusual is written, less the tables to skip; else None."""
    if '"""' in text or "'''" in text:
        return None
    document: dict[str, Any] = {}
    tables = {"": document}
    position, size = 0, len(text)
    while position < size:
        end = text.find("\n[", position) + 1 or size
        path = ""
        if position or text[0] == "[":
            heading = _HEADING.match(text, position)
            if heading is None:
                return None
            path = heading[1]
        if path.startswith("metrics_best.") and "metrics_best" not in document:
            extremes = _EXTREMES.match(text, position)
            if extremes and text[extremes.end() : extremes.end() + 2] in ("", "\n", "\n["):
                tables["metrics_best"] = document["metrics_best"] = best = _extremes(extremes[0])
                if len(best) != extremes[0].count("["):
                    return None
                position = extremes.end() + 1
                continue
        if path not in skip:
            values = _section(text[position:end])
            table = document if not path else _open(tables, path)
            if values is None or table is None:
                return None
            table.update(values)
        position = end
    return document


@lru_cache(_REMEMBERED)
def _section(text: str) -> Mapping[str, Any] | None:
    """The values of one table, from its heading on; None where there is anything unusual.

    Remembered, since many runs have the same user, code and process.
    """
    values: dict[str, Any] = {}
    start = text.find("\n") + 1 if text[0] == "[" else 0
    if _SIMPLE.fullmatch(text, start):
        lines = text[start:].rstrip("\n")
        count = lines.count("\n") + 1
        if lines.count(" = ") == count:  # else a string has one in it
            values, _ = _read_json('{"' + lines.replace(" = ", '":').replace("\n", ',"') + "}")
            return values if len(values) == count else None
    for part in _PARTS.finditer(text, start):
        kind = part.lastindex
        if kind is None:
            continue
        key, written = part.group(1, kind)
        if kind == 8 or key in values:
            return None
        values[key] = _value(kind, written)
    return values


def _extremes(text: str) -> dict[str, Any]:
    """What `_EXTREMES` has matched: metric to its extremes."""
    inside = text[len("[metrics_best.") :].rstrip("\n").replace("\n\n[metrics_best.", '},"')
    inside = inside.replace(" = ", '":').replace("]\n", '":{\n').replace("\n", ',"').replace("{,", "{")
    found: dict[str, Any] = _read_json('{"' + inside + "}}")[0]
    return found


def _value(kind: int, written: str) -> Any:
    if kind == 4:
        return float(written)
    if kind == 2:
        return written[1:-1]
    if kind == 3:
        return int(written)
    if kind == 5:
        return written == "true" if written in ("true", "false") else float(written)
    if kind == 6:
        return datetime.fromisoformat(written)
    return [item[5:-2] for item in written.splitlines()]


def _open(tables: dict[str, dict[str, Any]], path: str) -> dict[str, Any] | None:
    """The table of a heading; None where it is opened twice or stands where a value is."""
    if path in tables:
        return None
    above, _, name = path.rpartition(".")
    parent = tables[above] if above in tables else _open(tables, above)
    if parent is None or name in parent:
        return None
    table: dict[str, Any] = {}
    parent[name] = table
    tables[path] = table
    return table
