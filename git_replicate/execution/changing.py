"""One param of a recorded command set to another value, where the command takes it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from git_replicate.capture.params import placeholders
from git_replicate.capture.values import flatten
from git_replicate.core.errors import UserError
from git_replicate.core.record import Record

_HANDED: Final = ("api", "file", "requested")
"""Origins of params that reach the program without its command: by the API, or a declared file of a checkout."""


def set_params(record: Record, changes: Mapping[str, Any]) -> tuple[tuple[str, ...], dict[str, Any]]:
    """The command with these params (dotted names) changed, and those that its params file has to deliver.

    `UserError` for one that reaches nothing: it would be recorded as changed and change nothing.
    """
    words = list(record.command)
    requested: dict[str, Any] = {}
    known = flatten(record.params)
    for name, value in changes.items():
        text = _text(value)
        if _set_flag(record, words, name, value) or replace_param(words, name, text):
            continue
        source = record.params_source.get(name)
        if source == "requested" and words.count(_text(known.get(name))) == 1:  # where a placeholder was
            words[words.index(_text(known.get(name)))] = text
        elif "params_file" in placeholders(words) or source in _HANDED:
            requested[name] = value
        elif source == "parsed" and _is_position(record, name) and words.count(_text(known.get(name))) == 1:
            words[words.index(_text(known.get(name)))] = text
        elif source == "parsed" and _takes_options(words) and not _is_position(record, name):
            words.append(_option(record, name, text))
        else:
            there = ", ".join(sorted(known)[:8]) or "none"
            raise UserError(f"--set {name}: the command does not take it (its params: {there})", "git replicate show")
    return tuple(words), requested


def _set_flag(record: Record, words: list[str], name: str, value: Any) -> bool:
    """Turn an option that takes no value on or off, as the program's parser was seen to have it; whether it is one."""
    flags = record.runtime.get("flags", {}).get(name)
    if not isinstance(value, bool) or not flags or not _takes_options(words):
        return False
    words[:] = [word for word in words if not word or word not in flags]
    words += [flag for flag in [flags[0] if value else flags[1]] if flag]
    return True


def _option(record: Record, name: str, text: str) -> str:
    """The word that gives a param to the parser that the program was seen to have."""
    if record.runtime.get("parser") in ("hydra", "omegaconf"):
        return f"{name}={text}"
    option = record.runtime.get("options", {}).get(name) or f"--{name.replace('_', '-')}"
    return f"{option}={text}" if option.startswith("--") else f"{option}{text}"


def _is_position(record: Record, name: str) -> bool:
    """Whether the program's parser takes the param by its position alone."""
    return bool(record.runtime.get("options", {}).get(name) == "")


def replace_param(words: list[str], name: str, text: str) -> bool:
    """Change every place of a command that gives the param; whether there was one."""
    options = {f"--{spelling}" for spelling in _spellings(name)} | ({f"-{name}"} if len(name) == 1 else set())
    found = False
    for n, word in enumerate(words):
        option, equals, _ = word.partition("=")
        if equals and (option in options or option.lstrip("+") in _spellings(name)):
            words[n] = f"{option}={text}"
            found = True
        elif word in options and n + 1 < len(words) and not re.match(r"--?[A-Za-z]", words[n + 1]):
            words[n + 1] = text
            found = True
    return found


def _spellings(name: str) -> set[str]:
    return {name, name.replace("_", "-"), name.replace("-", "_")}


def _takes_options(words: Sequence[str]) -> bool:
    return "--" not in words


def _text(value: Any) -> str:
    return str(value)
