"""Reading many records fast: the plain TOML that records are written in, by one pattern.

Building the index reads every record there is, and most of that time is a TOML parser's. What `tomli_w` writes for an
ordinary record - tables, plain strings, numbers, booleans, times, lists of plain strings - is recognised line by line
here, four times as fast; a text with anything else in it goes to the parser. A test holds that both read the same.
"""

from __future__ import annotations

import re
from collections.abc import Container
from datetime import datetime
from typing import Any

import tomli

from git_replicate.core.record import FORMAT

UNREADABLE = "unreadable"
"""Key of the document made in place of a record that this version cannot read; the value says why."""
NO_RECORD = "no record"

_PLAIN = r'"[^"\\\x00-\x08\x0a-\x1f\x7f]*"'
_LINE = re.compile(
    rf"""(?:
    ([\w-]+)[ ]=[ ](?:
        ({_PLAIN})
        |(-?(?:0|[1-9]\d*))
        |(-?(?:0|[1-9]\d*)(?:\.\d+)?(?:e[+-]?\d+)?)
        |(true|false|-?inf|nan)
        |(\d{{4}}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:\.\d{{6}})?\+00:00)
        |\[\n((?:[ ]{{4}}{_PLAIN},\n)*)\]
    )
    |\[([\w-]+(?:\.[\w-]+)*)\]
    |
    )\n""",
    re.VERBOSE | re.ASCII,
)


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
    table = document
    position, size = 0, len(text)
    match = _LINE.match
    while position < size:
        line = match(text, position)
        if line is None:
            return None
        position = line.end()
        kind = line.lastindex
        if kind is None:
            continue
        if kind == 8:
            if line[8] in skip:
                position = text.find("\n[", position - 1) + 1 or size
                continue
            opened = _open(tables, line[8])
            if opened is None:
                return None
            table = opened
            continue
        key = line[1]
        if key in table:
            return None
        table[key] = _value(kind, line[kind])
    return document


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
