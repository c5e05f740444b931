"""Hyperparameters before a run: what was asked for, what the command and the params files say.

What the program itself parses is the truth, and replaces the guesses made here where it is seen. A `-p name=value`
is a request: it is a param of the run only if it reaches the program, through a placeholder in the command here.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import field, replace
from typing import Any

from git_replicate.capture.arguments import guess_params
from git_replicate.capture.declared_params import Scene, read_declared
from git_replicate.capture.program import find_program, program_name
from git_replicate.capture.values import fit, flatten, nest, placeholder_text, typed
from git_replicate.core.errors import UsageError
from git_replicate.core.frozen import frozen
from git_replicate.core.known_secrets import NOTHING_KNOWN, KnownSecrets, hidden_in, known_secrets
from git_replicate.core.secrets import MASK, is_secret_name, mask_command, mask_text
from git_replicate.core.settings import NamedData

__all__ = [
    "Params",
    "assemble_params",
    "capture_params",
    "fill_placeholders",
    "names_in_files",
    "parse_assignment",
    "placeholders",
    "program_name",
    "same_value",
]

_PLACEHOLDER = re.compile(r"(?<![${])\{(?P<name>[^\W\d][\w.-]*)\}")
_NAME = re.compile(r"[^\W\d][\w-]*(?:\.[\w-]+)*")


@frozen
class Params:
    """The params part of a record, as `Record`'s fields of the same names hold it."""

    values: Mapping[str, Any] = field(default_factory=dict)  # nested
    given: tuple[str, ...] = ()  # dotted, sorted
    null: tuple[str, ...] = ()  # dotted, sorted
    unused: Mapping[str, Any] = field(default_factory=dict)  # requested, and nothing reads it
    source: Mapping[str, str] = field(default_factory=dict)  # dotted name to command, file or requested
    warnings: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    """Declared files that could not be read, in words."""
    secrets: KnownSecrets = NOTHING_KNOWN
    """What is masked in them."""
    doubts: Mapping[str, str] = field(default_factory=dict)
    """Those of the warnings, by dotted name, that the program itself may still disprove by reading the request."""

    def fields(self) -> Mapping[str, Any]:
        """Fields of a record that hold these params, to make or replace one with."""
        return {
            "params": self.values,
            "params_given": self.given,
            "params_null": self.null,
            "params_unused": self.unused,
            "params_source": self.source,
        }


def parse_assignment(text: str) -> tuple[str, Any]:
    """`-p name=value` as a dotted name and a typed value; `UsageError` if it is not that."""
    name, equals, value = text.partition("=")
    name = name.strip()
    if not equals or not _NAME.fullmatch(name):
        shown = name if _NAME.fullmatch(name) else "lr"
        raise UsageError(f"-p {text!r}: not of the form name=value", f"try: -p {shown}=0.1")
    return name.replace("-", "_"), typed(value)


def placeholders(command: Iterable[str]) -> frozenset[str]:
    """The names between braces in a command that could be placeholders."""
    return frozenset(_words_of(word) or found["name"] for word in command for found in _PLACEHOLDER.finditer(word))


def _words_of(word: str) -> str:
    """The name in a word that is nothing but `{name...}`, which stands for the items of a list; else ""."""
    found = _PLACEHOLDER.fullmatch(word)
    return found["name"].removesuffix("...") if found is not None and found["name"].endswith("...") else ""


def fill_placeholders(
    command: Sequence[str],
    requested: Mapping[str, Any],
    seed: int | None = None,
    data: Mapping[str, NamedData] | None = None,
    *,
    params_file: str = "",
) -> tuple[str, ...]:
    """The command with `{name}`, `{seed}`, `{data.NAME}` and `{params_file}` filled in.

    Only names in `requested` and `data` are filled, `{seed}` only if a seed is passed, `{params_file}` only if a path
    is; never behind `$` or `{`. Every other brace stays as it is. A value that is text is filled in verbatim, a list as
    JSON, or as a word for each item where a word is `{name...}`.
    """
    values = {f"data.{name}": named.path for name, named in (data or {}).items()}
    if seed is not None:
        values["seed"] = str(seed)
    if params_file:
        values["params_file"] = params_file
    values.update({name: placeholder_text(value) for name, value in requested.items()})

    def filled(found: re.Match[str]) -> str:
        name = found["name"]
        return values.get(name, values.get(name.replace("-", "_"), found[0]))

    words: list[str] = []
    for word in command:
        name = _words_of(word)
        value = requested.get(name, requested.get(name.replace("-", "_")))
        if name and value is not None:
            words += [placeholder_text(item) for item in (value if isinstance(value, list | tuple) else [value])]
        else:
            words.append(_PLACEHOLDER.sub(filled, word))
    return tuple(words)


def capture_params(
    command: Sequence[str],
    *,
    requested: Mapping[str, Any] | Sequence[tuple[str, Any]] = (),
    files: Sequence[str] = (),
    top: str = ".",
    template: Sequence[str] = (),
    filled: Collection[str] = (),
    scene: Scene | None = None,
) -> Params:
    """The params of a command that is about to start.

    command: with its placeholders filled; template: as the user wrote it, which tells what a request filled; filled:
    names that are known to be in the command, where nobody knows how it was written.
    requested: from `-p`, in order; files: declared params files relative to `top`; scene: what starts the command.
    Secrets are masked. `UserError` for a params file that is missing or cannot be read, or for requests that
    contradict each other.
    """
    asked = _requests(requested)
    program = find_program(mask_command(command))
    guessed = flatten(guess_params(program.arguments))
    declared = read_declared(files, top, scene)
    read = declared.values
    wanted = placeholders(template or ())
    everything = "params_file" in wanted
    guessed = {name: value for name, value in guessed.items() if not everything or value != "{params_file}"}
    delivered: dict[str, Any] = {}
    unused: dict[str, Any] = {}
    doubts: dict[str, str] = {}
    for name, value in flatten(asked).items():
        there = everything or name in filled or any(p.replace("-", "_") in (name, *_prefixes(name)) for p in wanted)
        known = guessed.get(name, read.get(name))
        if there:
            delivered[name] = value
        elif (name not in guessed and name not in read) or not same_value(known, value):
            unused[name] = value
            doubts[name] = _unused(name, value, known, seen=name in guessed or name in read)
    flat = {**read, **guessed, **delivered}
    source = {
        **dict.fromkeys(read, "file"),
        **dict.fromkeys(guessed, "command"),
        **dict.fromkeys([name for name in flatten(asked) if name in read and name not in unused], "requested"),
        **dict.fromkeys(delivered, "requested"),
    }
    params = assemble_params(flat, source, unused, (*declared.warnings, *doubts.values()))
    secrets = hidden_values({**read, **flatten(asked)})
    return replace(params, doubts=doubts, secrets=known_secrets(secrets), missing=tuple(declared.missing))


def assemble_params(
    flat: Mapping[str, Any],
    source: Mapping[str, str],
    unused: Mapping[str, Any],
    warnings: Sequence[str],
    *,
    given: Iterable[str] | None = None,
) -> Params:
    """Values that a record can hold, masked, nested, and in an order that is always the same.

    given: the names that the user gave; None: all that are not from a file.
    """
    if given is None:
        given = (name for name, origin in source.items() if origin != "file")
    nulls: list[str] = []
    values = fit({name: _masked(name, value) for name, value in flat.items()}, nulls)
    left: list[str] = []
    unread = fit({name: _masked(name, value) for name, value in unused.items()}, left)
    unread.update(dict.fromkeys(left, "null"))
    return Params(
        values=nest(values),
        given=tuple(sorted(given)),
        null=tuple(sorted(nulls)),
        unused=nest(unread),
        source=dict(sorted(source.items())),
        warnings=tuple(warnings),
    )


def _requests(requested: Mapping[str, Any] | Sequence[tuple[str, Any]]) -> dict[str, Any]:
    """The requests by name, the last of equal names; `UsageError` where one name is a value and a table."""
    asked = dict(requested.items() if isinstance(requested, Mapping) else requested)
    for name in asked:
        for prefix in _prefixes(name):
            if prefix in asked and not isinstance(asked[prefix], Mapping):
                raise UsageError(
                    f"-p {prefix} and -p {name}: {prefix} cannot be a value and a table", f"drop -p {prefix}"
                )
    return asked


def _prefixes(name: str) -> list[str]:
    parts = name.split(".")
    return [".".join(parts[:n]) for n in range(1, len(parts))]


def same_value(known: Any, value: Any) -> bool:
    if isinstance(known, bool) != isinstance(value, bool):
        return False
    return bool(known == value) or (known != known and value != value)


def _unused(name: str, value: Any, known: Any, *, seen: bool) -> str:
    shown = MASK if is_secret_name(name) else placeholder_text(value)
    if seen:
        return f"-p {name}={shown} has no effect: the run has {name} = {placeholder_text(known)}"
    return f"-p {name}={shown} reaches nothing: write {{{name}}} where the command takes it"


def _masked(name: str, value: Any) -> Any:
    """The value, or a mask where its name or its shape says that it is a secret."""
    if isinstance(value, str):
        masked = mask_command((f"--{name}={value}",))[0]
        return masked.partition("=")[2] if masked != f"--{name}={value}" else mask_text(value)
    if isinstance(value, list):
        return [_masked(name, item) for item in value]
    if isinstance(value, Mapping):
        return {key: _masked(f"{name}.{key}", item) for key, item in value.items()}
    return value


def names_in_files(files: Sequence[str], top: str) -> frozenset[str]:
    """The dotted names of the params that declared files hold."""
    return frozenset(read_declared(files, top).values)


def hidden_values(flat: Mapping[str, Any]) -> list[str]:
    """What is masked in params by dotted name, because of its name or its shape."""
    found: list[str] = []
    for name, value in flat.items():
        if isinstance(value, str):
            found += hidden_in(value, _masked(name, value))
        elif isinstance(value, list | tuple):
            found += [hidden for item in value for hidden in hidden_values({name: item})]
        elif isinstance(value, Mapping):
            found += hidden_values({f"{name}.{key}": item for key, item in value.items()})
    return found
