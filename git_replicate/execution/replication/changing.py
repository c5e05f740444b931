"""One param of a recorded command set to another value, where the command takes it."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from typing import Any, Final

from git_replicate.capture.params import placeholders
from git_replicate.capture.values import flatten, placeholder_text
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
        source, old = record.params_source.get(name), placeholder_text(known.get(name))
        text = placeholder_text(value) if source == "requested" else _text(value)
        if (
            _set_flag(record, words, name, value)
            or _set_several(record, words, name, value)
            or replace_param(words, name, text)
        ):
            continue
        if source == "requested" and words.count(old) == 1:  # where a placeholder was
            words[words.index(old)] = text
        elif source == "requested" and _replace_run(words, _items(known.get(name)), _items(value)):
            continue  # where one was that stands for the items of a list
        elif "params_file" in placeholders(words) or source in _HANDED:
            requested[name] = value
        elif source == "parsed" and program_of(record, name):
            raise UserError(*_of_another(record, name, text))
        elif source == "parsed" and _is_position(record, name) and words.count(old) == 1:
            words[words.index(old)] = text
        elif source == "parsed" and _takes_options(words) and not _is_position(record, name):
            words.append(_option(record, name, text))
        else:
            there = ", ".join(sorted(known)[:8]) or "none"
            raise UserError(f"--set {name}: the command does not take it (its params: {there})", "git replicate show")
    return tuple(words), requested


def program_of(record: Record, name: str) -> str:
    """The program that parsed a param, where it is not the command's own: the command does not take it."""
    others = record.runtime.get("parsers", {})
    table = name.partition(".")[0]
    if table in others:
        return table
    return "" if "parser" in record.runtime else next(iter(others), "")


def _of_another(record: Record, name: str, text: str) -> tuple[str, str]:
    """What to say of a param that the command does not take, since a program that it starts does."""
    program = program_of(record, name)
    option = f"--{name.removeprefix(f'{program}.').replace('_', '-')}"
    return (
        f"--set {name}: {program} takes it, and the command that starts {program} decides what it gets",
        f"hand it on there, then: git replicate start -- {shlex.join([*record.command, option, text])}",
    )


def _set_flag(record: Record, words: list[str], name: str, value: Any) -> bool:
    """Turn an option that takes no value on or off, as the program's parser was seen to have it; whether it is one.

    An option that is counted is given as often as the value says. `UserError` for a value that an option cannot have.
    """
    flags = record.runtime.get("flags", {}).get(name)
    if not flags or not _takes_options(words):
        return False
    shown = flags[0] or flags[1]
    if record.runtime.get("several", {}).get(name) == "count":
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 100:
            raise UserError(f"--set {name}: {shown} is counted", f"--set {name}=2 gives it twice")
        short = record.runtime.get("options", {}).get(name, shown)
        words[:] = [word for word in words if word != shown and not _is_repeated(word, short)]
        words += [shown] * value
        return True
    if not isinstance(value, bool):
        raise UserError(f"--set {name}: {shown} takes no value", f"--set {name}=true, or --set {name}=false")
    words[:] = [word for word in words if not word or word not in flags]
    words += [flag for flag in [flags[0] if value else flags[1]] if flag]
    return True


def _is_repeated(word: str, short: str) -> bool:
    """Whether a word is an option of one letter, once or several times: `-vv`."""
    return re.fullmatch(r"-\w", short) is not None and re.fullmatch(f"-{short[1]}+", word) is not None


def _set_several(record: Record, words: list[str], name: str, value: Any) -> bool:
    """Give an option, or a position, that takes several values as its parser was seen to; whether it is one.

    The guesses of a command that no parser was seen of tell it too: `--layers 64 64` took words.
    """
    old = flatten(record.params).get(name)
    how = record.runtime.get("several", {}).get(name, "")
    if record.params_source.get(name) == "command" and isinstance(old, list):
        how = how or _guessed_several(words, name, old)
    if how not in ("words", "repeat") or program_of(record, name) or not _takes_options(words):
        return False
    texts = _items(value)
    if _is_position(record, name):
        return _replace_run(words, _items(old), texts)
    option = record.runtime.get("options", {}).get(name) or f"--{name.replace('_', '-')}"
    places = _places(words, {option, *_options(name)}, len(old) if isinstance(old, list) and how == "words" else 1)
    at = places[0][0] if places else len(words)
    for start, end in reversed(places):
        del words[start:end]
    if how == "words":
        words[at:at] = [option, *texts]
    else:
        words[at:at] = [word for text in texts for word in (option, text)]
    return True


def _items(value: Any) -> list[str]:
    """The words for the items of a list, or for a value that is none."""
    return [placeholder_text(item) for item in (value if isinstance(value, list | tuple) else [value])]


def _guessed_several(words: Sequence[str], name: str, old: Sequence[Any]) -> str:
    """How a command, as it was given, has several values of an option: as the words behind it, or once for each."""
    places = _places(words, _options(name), len(old))
    if len(places) == 1:
        start, end = places[0]
        return "words" if end - start == len(old) + 1 and len(old) > 1 else ""
    return "repeat" if len(places) == len(old) else ""


def _places(words: Sequence[str], options: set[str], most: int) -> list[tuple[int, int]]:
    """Where options stand with up to so many words behind each as their values: first and last but one."""
    found = []
    for n, word in enumerate(words):
        option, equals, _ = word.partition("=")
        if option not in options:
            continue
        end = n + 1
        while not equals and end < len(words) and end <= n + most and not re.match(r"--?[A-Za-z]", words[end]):
            end += 1
        found.append((n, end))
    return found


def _replace_run(words: list[str], old: Sequence[str], new: Sequence[str]) -> bool:
    """Put other words in the place of some that stand together, once; whether they do."""
    starts = [n for n in range(1, len(words)) if old and words[n : n + len(old)] == [*old]]
    if len(starts) == 1:
        words[starts[0] : starts[0] + len(old)] = new
    return len(starts) == 1


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
    options = _options(name)
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


def _options(name: str) -> set[str]:
    return {f"--{spelling}" for spelling in _spellings(name)} | ({f"-{name}"} if len(name) == 1 else set())


def _spellings(name: str) -> set[str]:
    return {name, name.replace("_", "-"), name.replace("-", "_")}


def _takes_options(words: Sequence[str]) -> bool:
    return "--" not in words


def _text(value: Any) -> str:
    """A value as a program's option has it: True as Python writes it, a list or a table as JSON does."""
    return placeholder_text(value) if isinstance(value, list | tuple | Mapping) else str(value)
