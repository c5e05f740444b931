"""What the user set, merged once into one immutable value.

Flags win over the environment, then `replicate.toml`, then `git config replicate.*`, then the defaults here. This
file knows the shape and the mistakes; `capture.config` reads the files.
"""

from __future__ import annotations

import dataclasses
import functools
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import field
from typing import Any, get_type_hints

from git_replicate.core.errors import ConfigError, UserError
from git_replicate.core.frozen import frozen
from git_replicate.core.names import experiment_name


@frozen
class ParamsSettings:
    files: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()


@frozen
class NamedData:
    path: str = ""
    hash: str = "content"


@frozen
class DataSettings:
    paths: tuple[str, ...] = ()
    named: Mapping[str, NamedData] = field(default_factory=dict)


@frozen
class StageSettings:
    name: str = ""
    script: str = ""
    inputs: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()


@frozen
class ResultsSettings:
    metrics: tuple[str, ...] = ()
    patterns: tuple[str, ...] = ()
    stdout: bool = True
    outputs: tuple[str, ...] = ()
    maximize: tuple[str, ...] = ()
    minimize: tuple[str, ...] = ()


@frozen
class SnapshotSettings:
    exclude: tuple[str, ...] = ()
    large_bytes: int = 50_000_000
    folder_bytes: int = 200_000_000
    folder_files: int = 5_000


@frozen
class RandomSettings:
    seed: int | str = "auto"


@frozen
class EnvironmentSettings:
    prepare: bool = False
    create: str = ""
    variables: tuple[str, ...] = ()


@frozen
class OutputsSettings:
    large_bytes: int = 10_000_000
    lfs: bool = False
    keep: str = "all"
    ignore: tuple[str, ...] = ()


@frozen
class Tolerance:
    rtol: float = 0.0
    atol: float = 0.0


@frozen
class IsolatedSettings:
    always: bool = False
    link: tuple[str, ...] = ()


@frozen
class ProbeSettings:
    enabled: bool = True


@frozen
class SubmitSettings:
    scheduler: str = ""
    options: tuple[str, ...] = ()
    setup: tuple[str, ...] = ()
    top: str = ""


@frozen
class LogSettings:
    bytes: int = 10_000_000


@frozen
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
    probe: ProbeSettings = ProbeSettings()
    submit: SubmitSettings = SubmitSettings()
    log: LogSettings = LogSettings()


_TABLES: Mapping[str, type] = {"data.named": NamedData, "tolerance": Tolerance}
_LISTS: Mapping[str, type] = {"stage": StageSettings}


def parse_settings(document: Mapping[str, Any], *, source: str) -> Settings:
    """A document as settings; `ConfigError` names every mistake in it, not the first."""
    return merge_settings([(source, document)])


def merge_settings(sources: Sequence[tuple[str, Mapping[str, Any]]], mistakes: Sequence[str] = ()) -> Settings:
    """Several documents as one value, later ones over earlier: tables unite, everything else replaces.

    `ConfigError` lists every mistake in every document, each with its source, after those already found.
    """
    found = list(mistakes)
    merged: dict[str, Any] = {}
    for source, document in sources:
        wrong: list[str] = []
        _check(_read(Settings, document, "", wrong), wrong)
        found += [f"{source}: {mistake}" for mistake in wrong]
        merged = _united(merged, document)
    if found:
        raise ConfigError("; ".join(found), "every key: git replicate init -h")
    settings: Settings = _read(Settings, merged, "", [])
    return settings


def _united(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    both = dict(below)
    for key, value in above.items():
        lower = both.get(key)
        both[key] = _united(lower, value) if isinstance(lower, Mapping) and isinstance(value, Mapping) else value
    return both


def _check(settings: Settings, mistakes: list[str]) -> None:
    """Add to `mistakes` the values that are of the right kind and still make no sense."""
    keep = settings.outputs.keep
    if keep not in ("all", "hash") and not re.fullmatch(r"last \d+|best:\S+", keep):
        mistakes.append(f'outputs.keep: {keep!r} is not "all", "last N", "best:METRIC" or "hash"')
    elif keep not in ("all", "hash") and settings.outputs.lfs:
        mistakes.append(f"outputs.keep: {keep!r} lets go of files that outputs.lfs promises to others; choose one")
    seed = settings.random.seed
    if isinstance(seed, str) and seed not in ("auto", "none"):
        mistakes.append(f'random.seed: {seed!r} is not a number, "auto" or "none"')
    if isinstance(seed, int) and not 0 <= seed < 2**32:
        mistakes.append(f"random.seed: {seed} is outside 0 to {2**32 - 1}")
    for pattern in settings.results.patterns:
        try:
            if not re.compile(pattern).groupindex:
                mistakes.append(f"results.patterns: {pattern!r} has no named group, like (?P<loss>\\S+)")
        except re.error as error:
            mistakes.append(f"results.patterns: {pattern!r}: {error}")
    if settings.experiment:
        try:
            experiment_name(settings.experiment)
        except UserError as error:
            mistakes.append(f"experiment: {error.message}")
    for name, data in settings.data.named.items():
        if data.hash not in ("content", "stat"):
            mistakes.append(f'data.named.{name}.hash: {data.hash!r} is not "content" or "stat"')
    sizes = {
        "snapshot.large_bytes": settings.snapshot.large_bytes, "snapshot.folder_bytes": settings.snapshot.folder_bytes,
        "snapshot.folder_files": settings.snapshot.folder_files, "outputs.large_bytes": settings.outputs.large_bytes,
        "log.bytes": settings.log.bytes,
    }  # fmt: skip
    mistakes += [f"{name}: {size} is negative" for name, size in sizes.items() if size < 0]
    for name, tolerance in settings.tolerance.items():
        if not (tolerance.rtol >= 0 and tolerance.atol >= 0):
            mistakes.append(f"tolerance.{name}: rtol and atol cannot be negative")
    _check_stages(settings.stage, mistakes)


def _check_stages(stages: Sequence[StageSettings], mistakes: list[str]) -> None:
    names = [stage.name for stage in stages]
    mistakes += [f"stage: the name {name!r} is given twice" for name in dict.fromkeys(names) if names.count(name) > 1]
    mistakes += ["stage: every stage needs a name and a script" for s in stages if not s.name or not s.script][:1]


def text_settings(values: Mapping[str, Sequence[str]]) -> tuple[dict[str, Any], list[str], list[str]]:
    """Settings written as text, as git's configuration and the environment hold them: document, mistakes, unknown.

    Keys are dotted; case, dashes and underscores in them do not count, for git allows no underscore in a key. Lists
    are several values of one key; `command` may be one value in the shell's spelling.
    """
    known = {_spelling(name): (name, hint) for name, hint in _leaves(Settings, "")}
    document: dict[str, Any] = {}
    mistakes: list[str] = []
    unknown: list[str] = []
    for key, texts in values.items():
        name, hint = known.get(_spelling(key), ("", None))
        if not name:
            unknown.append(key)
            continue
        value = _from_text(hint, texts, shell=name == "command")
        if value is None:
            mistakes.append(f"{key}: {texts[-1]!r} is not {_WORDS.get(str(hint), 'of the right kind')}")
            continue
        table = document
        *folders, last = name.split(".")
        for folder in folders:
            table = table.setdefault(folder, {})
        table[last] = value
    return document, mistakes, unknown


def key_lines() -> list[str]:
    """Every key of `replicate.toml`, a line a table."""
    tables: dict[str, list[str]] = {}
    for f in dataclasses.fields(Settings):
        inner = _LISTS.get(f.name) or _TABLES.get(f.name) or _hints(Settings)[f.name]
        if dataclasses.is_dataclass(inner):
            title = f"[[{f.name}]]" if f.name in _LISTS else f"[{f.name}{'.NAME' * (f.name in _TABLES)}]"
            tables[title] = [own.name for own in dataclasses.fields(inner) if f"{f.name}.{own.name}" not in _TABLES]
        else:
            tables.setdefault("", []).append(f.name)
    for name, kind in _TABLES.items():
        tables.setdefault(f"[{name}.NAME]", [own.name for own in dataclasses.fields(kind)])
    return [f"{title} {', '.join(keys)}".strip() for title, keys in tables.items()]


def nearest_key(key: str) -> str:
    """The known key that an unknown one was probably meant to be, or ""."""
    known = {_spelling(name): name for name, _ in _leaves(Settings, "")}
    return known.get(_near(_spelling(key), known, 0.8), "")


@functools.cache
def _hints(kind: type) -> dict[str, Any]:
    return get_type_hints(kind)


def _spelling(key: str) -> str:
    return key.lower().replace("_", "").replace("-", "")


def _leaves(kind: type, path: str) -> Iterator[tuple[str, Any]]:
    """Every setting that is a value or a list of values: dotted name and kind."""
    hints = _hints(kind)
    for f in dataclasses.fields(kind):
        name = f"{path}{f.name}"
        if name in _TABLES or name in _LISTS:
            continue
        if dataclasses.is_dataclass(hints[f.name]):
            yield from _leaves(hints[f.name], f"{name}.")
        else:
            yield name, hints[f.name]


def _from_text(hint: Any, texts: Sequence[str], *, shell: bool) -> Any:
    """Texts as a setting of this kind, read as git reads them; None if they are not one."""
    text = texts[-1].strip()
    if shell and len(texts) == 1:
        import shlex

        try:
            return shlex.split(text)
        except ValueError:
            return None
    if str(hint) == "tuple[str, ...]":
        return list(texts)
    if hint is bool:
        lower = text.lower()
        return (
            True if lower in ("true", "yes", "on", "1") else False if lower in ("false", "no", "off", "0", "") else None
        )
    number = re.fullmatch(r"([+-]?\d+)([kmg]?)", text, re.IGNORECASE)
    if number and hint is not str:
        return int(number[1]) * 1024 ** " kmg".index(number[2].lower() or " ")
    return text if hint is str or str(hint) == "int | str" else None


def _read(kind: type, table: Any, path: str, mistakes: list[str]) -> Any:
    """Build one table of settings, adding to `mistakes` what does not fit."""
    if not isinstance(table, Mapping):
        mistakes.append(f"{path} must be a table, [{path}]")
        return kind()
    hints = _hints(kind)
    names = [f.name for f in dataclasses.fields(kind)]
    values: dict[str, Any] = {}
    for key, value in table.items():
        where = f"{path}.{key}" if path else key
        if key not in names:
            near = _near(key, names, 0.8) or _named_alike(where.partition(".")[0]) or _near(key, names, 0.5)
            mistakes.append(f"unknown key {where}" + (f" (did you mean {near}?)" if near else ""))
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


def _near(key: str, names: Collection[str], cutoff: float) -> str:
    """The name most like a key, or "" if none is like it enough: 0, any is, to 1, the same."""
    import difflib

    return next(iter(difflib.get_close_matches(key, names, 1, cutoff)), "")


def _named_alike(word: str) -> str:
    """The setting that a table or a key of this name was probably meant to be: `[metrics]` is `results.metrics`."""
    return next((name for name, _ in _leaves(Settings, "") if name.rpartition(".")[2] == word), "")


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
