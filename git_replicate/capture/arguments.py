"""Hyperparameters guessed from a program's own arguments, where nothing better is known.

`--lr 0.1`, `--lr=0.1`, `lr=0.1`, `-x 3`, `-n4` and bare flags are understood. The guess is narrow: a word that could
as well be a positional argument is not a param, nor are letters behind one dash (`-la`); `--no-cuda` is recorded as
`no_cuda = true`, as it was given, for what the program makes of it cannot be told from outside.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from git_replicate.capture.values import typed
from git_replicate.core.patterns import lazy

_NEGATIVE = lazy(r"-(?:\d[\d_]*\.?\d*|\.\d+)(?:[eE][+-]?\d+)?|-inf", re.ASCII)
_ASSIGNMENT = lazy(r"\+{0,2}(?P<name>[^\W\d][\w.@/-]*)=(?P<value>.*)", re.DOTALL)
_LONG = lazy(r"--?(?P<name>[^\W\d][\w.:/@+-]*)(?:=(?P<value>.*))?", re.DOTALL)
_ATTACHED = lazy(r"-(?P<name>[A-Za-z])(?P<value>-?\.?\d.*)", re.DOTALL)
_CLUSTER = lazy(r"-[A-Za-z]{2,3}")
"""`-la`: letters that may well be an option each."""
_PLURAL = lazy(r"[^\W\d_][^\W_]+(?<!s)s$")
_BARE = frozenset({"verbose", "v", "quiet", "q", "debug", "help", "h", "version", "force", "dry_run"})
"""Flags by long custom: a word behind one is not its value, unless it is a number or true or false."""
_CARRIERS = frozenset({"set", "override", "overrides", "opt", "opts", "options", "cfg_options", "D", "o", "p", "P"})
"""Options that only introduce `name=value` words."""


def guess_params(arguments: Sequence[str]) -> dict[str, Any]:
    """Dotted names and typed values of a program's arguments; what stands behind `--` is not looked at.

    An option given several times is a list, a repeated flag its count; of several `name=value` the last counts.
    """
    words = list(arguments[: arguments.index("--")] if "--" in arguments else arguments)
    given: dict[str, list[Any]] = {}
    assigned: dict[str, Any] = {}
    index = 0
    while index < len(words):
        word = words[index]
        index += 1
        if assignment := _ASSIGNMENT.fullmatch(word):
            assigned[param_name(assignment["name"])] = typed(assignment["value"])
            continue
        option = None if _NEGATIVE.fullmatch(word) else _option(word)
        if option is None:
            continue
        name, value = option
        if value is None:
            found = _values(name, words[index:])
            index += len(found)
            if not found and name in _CARRIERS and index < len(words) and _ASSIGNMENT.fullmatch(words[index]):
                continue
            if found or not _CLUSTER.fullmatch(word):
                given.setdefault(name, []).append(_one(found))
        else:
            given.setdefault(name, []).append(typed(value))
    return {**{name: _united(values) for name, values in given.items()}, **assigned}


def param_name(text: str) -> str:
    """An option's or assignment's name as a param's: `--batch-size` is `batch_size`."""
    return text.lstrip("-+").replace("-", "_")


def _option(word: str) -> tuple[str, str | None] | None:
    """The name of an option and the value attached to it; None for a word that is no option."""
    if not word.startswith("-"):
        return None
    if attached := _ATTACHED.fullmatch(word):
        return attached["name"], attached["value"].removeprefix("=")
    if found := _LONG.fullmatch(word):
        name = param_name(found["name"])
        if not word.startswith("--") and len(name) > 1 and len(set(name)) == 1 and found["value"] is None:
            return name[0], str(len(name))  # -vvv
        return name, found["value"]
    return None


def _values(name: str, following: Sequence[str]) -> list[str]:
    """The words behind an option that are its value: one, none for a flag, several if all are numbers.

    Several texts are its values only behind a name in the plural (`--tags a b`): else what follows the first is more
    likely a positional argument or a subcommand.
    """
    taken: list[str] = []
    for word in following:
        if (word.startswith("-") and not _NEGATIVE.fullmatch(word) and word != "-") or _ASSIGNMENT.fullmatch(word):
            break
        taken.append(word)
    if len(taken) > 1 and not all(_is_number(word) for word in taken):
        many = _PLURAL.search(name) is not None and not _is_number(taken[0])
        taken = taken if many else taken[:1]
    if taken and name in _BARE and isinstance(typed(taken[0]), str):
        return []
    return taken


def _is_number(word: str) -> bool:
    return isinstance(typed(word), int | float) and not isinstance(typed(word), bool)


def _one(words: Sequence[str]) -> Any:
    if not words:
        return True
    return typed(words[0]) if len(words) == 1 else [typed(word) for word in words]


def _united(values: list[Any]) -> Any:
    if len(values) == 1:
        return values[0]
    return len(values) if all(value is True for value in values) else values
