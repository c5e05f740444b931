"""What the user set, merged once into one immutable value.

Flags win over the environment, then `replicate.toml`, then `git config replicate.*`, then the defaults here. This
file knows the shape and the mistakes; `capture.config` reads the files.
"""

from __future__ import annotations

import dataclasses
import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, get_type_hints

from git_replicate.core.errors import ConfigError


@dataclass(frozen=True, slots=True)
class ParamsSettings:
    files: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class NamedData:
    path: str = ""
    hash: str = "content"


@dataclass(frozen=True, slots=True)
class DataSettings:
    paths: tuple[str, ...] = ()
    named: Mapping[str, NamedData] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class StageSettings:
    name: str = ""
    script: str = ""
    inputs: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ResultsSettings:
    metrics: tuple[str, ...] = ()
    patterns: tuple[str, ...] = ()
    stdout: bool = True
    outputs: tuple[str, ...] = ()
    maximize: tuple[str, ...] = ()
    minimize: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class SnapshotSettings:
    exclude: tuple[str, ...] = ()
    large_bytes: int = 50_000_000
    folder_bytes: int = 200_000_000
    folder_files: int = 5_000


@dataclass(frozen=True, slots=True)
class RandomSettings:
    seed: int | str = "auto"


@dataclass(frozen=True, slots=True)
class EnvironmentSettings:
    prepare: bool = False
    create: str = ""
    variables: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class OutputsSettings:
    large_bytes: int = 10_000_000
    lfs: bool = False
    keep: str = "all"
    ignore: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Tolerance:
    rtol: float = 0.0
    atol: float = 0.0


@dataclass(frozen=True, slots=True)
class IsolatedSettings:
    always: bool = False
    link: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class LogSettings:
    bytes: int = 10_000_000


@dataclass(frozen=True, slots=True)
class Settings:
    experiment: str = ""
    command: tuple[str, ...] = ()
    params: ParamsSettings = ParamsSettings()
    data: DataSettings = DataSettings()
    stage: tuple[StageSettings, ...] = ()
    results: ResultsSettings = ResultsSettings()
    snapshot: SnapshotSettings = SnapshotSettings()
    random: RandomSettings = RandomSettings()
    environment: EnvironmentSettings = EnvironmentSettings()
    outputs: OutputsSettings = OutputsSettings()
    tolerance: Mapping[str, Tolerance] = field(default_factory=dict)
    isolated: IsolatedSettings = IsolatedSettings()
    log: LogSettings = LogSettings()


_TABLES: Mapping[str, type] = {"data.named": NamedData, "tolerance": Tolerance}
_LISTS: Mapping[str, type] = {"stage": StageSettings}


def parse_settings(document: Mapping[str, Any], *, source: str) -> Settings:
    """A document as settings; `ConfigError` names every mistake in it, not the first."""
    mistakes: list[str] = []
    settings: Settings = _read(Settings, document, "", mistakes)
    if settings.outputs.keep not in ("all", "hash") and not re.fullmatch(r"last \d+|best:\S+", settings.outputs.keep):
        mistakes.append(f'outputs.keep: {settings.outputs.keep!r} is not "all", "last N", "best:METRIC" or "hash"')
    seed = settings.random.seed
    if isinstance(seed, str) and seed not in ("auto", "none"):
        mistakes.append(f'random.seed: {seed!r} is not a number, "auto" or "none"')
    for pattern in settings.results.patterns:
        try:
            if not re.compile(pattern).groupindex:
                mistakes.append(f"results.patterns: {pattern!r} has no named group, like (?P<loss>\\S+)")
        except re.error as error:
            mistakes.append(f"results.patterns: {pattern!r}: {error}")
    if mistakes:
        raise ConfigError(f"{source}: " + "; ".join(mistakes), "see: git replicate init --help")
    return settings


def _read(kind: type, table: Any, path: str, mistakes: list[str]) -> Any:
    """Build one table of settings, adding to `mistakes` what does not fit."""
    if not isinstance(table, Mapping):
        mistakes.append(f"{path} must be a table")
        return kind()
    hints = get_type_hints(kind)
    names = [f.name for f in dataclasses.fields(kind)]
    values: dict[str, Any] = {}
    for key, value in table.items():
        where = f"{path}.{key}" if path else key
        if key not in names:
            near = difflib.get_close_matches(key, names, 1, 0.5)
            mistakes.append(f"unknown key {where}" + (f" (did you mean {near[0]}?)" if near else ""))
        elif where in _TABLES and isinstance(value, Mapping):
            values[key] = {k: _read(_TABLES[where], v, f"{where}.{k}", mistakes) for k, v in value.items()}
        elif where in _LISTS and isinstance(value, list):
            values[key] = tuple(_read(_LISTS[where], v, where, mistakes) for v in value)
        elif dataclasses.is_dataclass(hints[key]):
            values[key] = _read(hints[key], value, where, mistakes)
        elif (fitted := _fit(hints[key], value)) is not None:
            values[key] = fitted
        else:
            mistakes.append(f"{where}: {value!r} is not {_WORDS.get(str(hints[key]), 'of the right kind')}")
    return kind(**values)


_WORDS = {
    "<class 'str'>": "a string", "<class 'int'>": "a whole number", "<class 'bool'>": "true or false",
    "<class 'float'>": "a number", "tuple[str, ...]": "a list of strings",
}  # fmt: skip


def _fit(hint: Any, value: Any) -> Any:
    """The value as the hint wants it, or None."""
    if hint is bool:
        return value if isinstance(value, bool) else None
    if hint is int:
        return value if isinstance(value, int) and not isinstance(value, bool) else None
    if hint is float:
        return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
    if hint is str:
        return value if isinstance(value, str) else None
    if str(hint) == "tuple[str, ...]":
        return tuple(value) if isinstance(value, list) and all(isinstance(v, str) for v in value) else None
    if str(hint) == "int | str":
        return value if isinstance(value, int | str) and not isinstance(value, bool) else None
    return None
