"""Secrets that a run was seen to be given: masked wherever they stand, though nothing there says what they are.

`secrets` tells a secret by its shape or by the name beside it. A program prints one without either (`using key X`). So
what was masked where it had a name is known by its value from then on. Ordinary words and numbers are not: a password
`true` would take the log apart. Pure: where the values wait while a run goes on is not decided here.
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar, overload
from urllib.parse import quote

from git_replicate.core.frozen import frozen
from git_replicate.core.record import Record
from git_replicate.core.secrets import MASK, is_ordinary, is_secret_name, mask_command

_LEAST = 6
"""Characters of a value that is looked for."""
_LEAST_LINE = 16
"""Characters of a line of a secret of many lines, a key say, that is looked for by itself."""
_NOT_RECORDS = frozenset({"id", "experiment", "status", "code", "outputs"})
"""Fields of a record that hold names of things in git, or nothing but what a program says of itself."""

T = TypeVar("T")


@frozen
class KnownSecrets:
    """The values to look for, longest first."""

    values: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.values)

    def __repr__(self) -> str:
        return f"KnownSecrets({len(self.values)})"  # a report of a bug is shown to others

    def __or__(self, other: KnownSecrets) -> KnownSecrets:
        return known_secrets((*self.values, *other.values)) if other.values else self

    @overload
    def mask(self, text: bytes) -> bytes: ...
    @overload
    def mask(self, text: str) -> str: ...
    def mask(self, text: bytes | str) -> bytes | str:
        """The text with `***` in place of each of the values, as they are or as JSON or an address spells them."""
        if not self.values:
            return text
        if isinstance(text, str):
            return self.mask(text.encode("utf-8", "surrogatepass")).decode("utf-8", "surrogatepass")
        present = [form for form in self._forms() if form in text]
        if not present:
            return text
        return re.compile(b"|".join(_expression(form) for form in present)).sub(MASK.encode(), text)

    def cut(self, first: bytes, last: bytes) -> tuple[bytes, bytes]:
        """Two pieces of a text between which it was cut, without what is left there of a value that was cut through."""
        for form in self._forms():
            first = first[: len(first) - next((n for n in range(len(form) - 1, 2, -1) if first.endswith(form[:n])), 0)]
            last = last[next((n for n in range(len(form) - 1, 2, -1) if last.startswith(form[-n:])), 0) :]
        return first, last

    def mask_record(self, record: Record) -> Record:
        """The record with the values masked in all that people or the command said."""
        if not self.values:
            return record
        fields = [f.name for f in dataclasses.fields(record) if f.name not in _NOT_RECORDS]
        masked = {name: self._masked(getattr(record, name)) for name in fields}
        changed = {name: value for name, value in masked.items() if value != getattr(record, name)}
        return dataclasses.replace(record, **changed) if changed else record

    def _masked(self, value: Any) -> Any:
        if isinstance(value, str):
            return self.mask(value)
        if isinstance(value, Mapping):
            return {self.mask(key): self._masked(item) for key, item in value.items()}
        if isinstance(value, tuple | list):
            return type(value)(self._masked(item) for item in value)
        if dataclasses.is_dataclass(value) and not isinstance(value, type):
            names = [f.name for f in dataclasses.fields(value)]
            return dataclasses.replace(value, **{name: self._masked(getattr(value, name)) for name in names})
        return value

    def _forms(self) -> list[bytes]:
        forms: dict[bytes, None] = {}
        for value in self.values:
            for form in (value, json.dumps(value)[1:-1], quote(value, safe=""), repr(value)[1:-1]):
                forms[form.encode("utf-8", "surrogatepass")] = None
        return sorted(forms, key=len, reverse=True)


NOTHING_KNOWN = KnownSecrets()


def _expression(form: bytes) -> bytes:
    # A password that is a word is masked as a word: `training` is not to take `training_loss` apart.
    return rb"(?<![\w])" + form + rb"(?![\w])" if form.isalpha() else re.escape(form)


def known_secrets(values: Iterable[str]) -> KnownSecrets:
    """Those of the values that are worth looking for; of one of many lines, its lines too."""
    found = set()
    for value in values:
        stripped = value.strip()
        if len(stripped) >= _LEAST and not is_ordinary(stripped) and not stripped.startswith(("$", "{")):
            found.add(stripped)
            lines = [line.strip() for line in stripped.split("\n")]
            found |= {line for line in lines if len(lines) > 1 and len(line) >= _LEAST_LINE and line[:5] != "-----"}
    return KnownSecrets(tuple(sorted(found, key=lambda value: (-len(value), value))))


def hidden_in(text: str, masked: str) -> list[str]:
    """What was replaced by `***` to make the one of the other."""
    if text == masked:
        return []
    parts = [re.escape(part) for part in masked.split(MASK)]
    found = re.fullmatch("(.+?)".join(parts), text, re.DOTALL)
    return [value for value in found.groups() if value != MASK] if found else []


def hidden_words(args: Iterable[str]) -> list[str]:
    """The secrets in a command, by the rules of `mask_command`."""
    words = list(args)
    return [value for pair in zip(words, mask_command(words), strict=True) for value in hidden_in(*pair)]


def hidden_variables(environ: Mapping[str, str]) -> list[str]:
    """The values of variables that are named as secrets are, if they look as if somebody had made them up at random."""
    return [
        value
        for name, value in environ.items()
        if len(value) >= 8 and value[0] != "/" and re.search(r"\d", value) and re.search("[A-Za-z]", value)
        and is_secret_name(name)
    ]  # fmt: skip
