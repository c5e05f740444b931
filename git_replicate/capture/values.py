"""Values of any kind: how they fit into a record, and how they are written into a command.

A record is TOML: it holds no null, no integer beyond 64 bits, no key that is not text. What does not fit is kept
as text, so that nothing is lost and two equal values stay equal.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from datetime import date, datetime, time
from typing import Any

from git_replicate.core.literals import typed
from git_replicate.core.paths import quote_path

__all__ = ["clean_text", "fit", "flatten", "nest", "placeholder_text", "typed"]

_INTEGER_LIMIT = 2**63
_DEEPEST = 32
"""Levels of lists and tables; what lies deeper is kept as text, for no reader of TOML goes down for ever."""


def placeholder_text(value: Any) -> str:
    """How a value is written into a command: text as it is, everything else as JSON writes it."""
    if isinstance(value, str):
        return value
    if isinstance(value, float):
        return repr(value)
    return json.dumps(_plain(value), ensure_ascii=False)


def clean_text(text: str) -> str:
    """The text as valid Unicode: one that came from other bytes is quoted as git quotes paths."""
    try:
        text.encode()
    except UnicodeEncodeError:
        try:
            return quote_path(os.fsencode(text))
        except UnicodeEncodeError:  # a lone surrogate from a JSON file, which no bytes stand for
            return text.encode("utf-8", "backslashreplace").decode()
    return text


def fit(value: Any, null: list[str], name: str = "", depth: int = 0) -> Any:
    """The value as a record can hold it; the dotted names of members that are None are added to `null`.

    A None inside a list makes the list JSON text, for a list without its holes would be another list.
    """
    if isinstance(value, bool | float):
        return value
    if isinstance(value, int):
        return value if -_INTEGER_LIMIT <= value < _INTEGER_LIMIT else str(value)
    if isinstance(value, str):
        return clean_text(value)
    if depth > _DEEPEST and isinstance(value, Mapping | list | tuple | set | frozenset):
        return clean_text(_shown(value))
    if isinstance(value, Mapping):
        return _fit_table(value, null, name, depth)
    if isinstance(value, set | frozenset):
        value = sorted(value, key=lambda item: (type(item).__name__, str(item)))
    if isinstance(value, list | tuple):
        return _fit_list(value, depth)
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    if isinstance(value, bytes | bytearray):
        return quote_path(bytes(value))
    return clean_text(str(value))


def _shown(value: Any) -> str:
    try:
        return str(value)
    except RecursionError:
        return "..."


def _fit_table(table: Mapping[Any, Any], null: list[str], name: str, depth: int) -> dict[str, Any]:
    fitted: dict[str, Any] = {}
    for key, item in table.items():
        text = clean_text(_key(key))
        dotted = f"{name}.{text}" if name else text
        if item is None:
            null.append(dotted)
        else:
            fitted[text] = fit(item, null, dotted, depth + 1)
    return fitted


def _key(key: Any) -> str:
    if isinstance(key, bool) or key is None:
        return json.dumps(key)
    return key.isoformat() if isinstance(key, datetime | date | time) else str(key)


def _fit_list(items: Iterable[Any], depth: int) -> Any:
    holes: list[str] = []
    fitted = [None if item is None else fit(item, holes, "", depth + 1) for item in items]
    if holes or None in fitted:
        return json.dumps([_plain(item) for item in items], ensure_ascii=False)
    return fitted


def _plain(value: Any) -> Any:
    """The value as JSON can write it, None kept."""
    if value is None:
        return None
    if isinstance(value, Mapping):
        return {clean_text(_key(key)): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return fit(value, [])


def nest(flat: Mapping[str, Any]) -> dict[str, Any]:
    """Dotted names as nested tables: {"model.depth": 3} is {"model": {"depth": 3}}.

    Where a name is both a value and a table (`--model resnet --model.depth 3`), the longer name stays dotted, so
    that neither is lost and the order of the arguments does not matter.
    """
    flat = flatten(flat)
    nested: dict[str, Any] = {}
    for name in sorted(flat, key=lambda n: (n.count("."), n)):
        parts = name.split(".")
        table = nested
        for depth, part in enumerate(parts[:-1]):
            below = table.setdefault(part, {}) if all(parts) else None
            if not isinstance(below, dict):
                table[".".join(parts[depth:])] = flat[name]
                break
            table = below
        else:
            table[parts[-1]] = flat[name]
    return nested


def flatten(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """The inverse of `nest`: dotted names; an empty table is a value."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping) and value:
            flat.update(flatten(value, f"{name}."))
        else:
            flat[name] = value
    return flat
