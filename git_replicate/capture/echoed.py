"""Numbers in the output that are settings, not results: a program says what it was given, by line or as nested YAML.

`lr: 0.1` reads like a metric. It is none where it says what a param is, what a file of settings that the run read has,
or what a printed configuration - one with headings and with texts among its values - has, and nothing else: a curve of
the same name stays.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from git_replicate.capture.curves import number
from git_replicate.capture.metric_files import Metrics
from git_replicate.capture.unread_metrics import is_usual
from git_replicate.capture.values import flatten
from git_replicate.core.patterns import lazy

_STDOUT: Final = "stdout"
_MOST_BYTES: Final = 200_000
"""At the beginning of a log: where programs print their configuration."""
_FIELD = lazy(r"(?P<indent> *)(?:- )?(?P<name>[^\W\d][\w.-]*) ?:(?: +(?P<value>\S.*?))? *\r?")
_SETTING = lazy(r"""(?<![\w.-])["']?(?P<name>[^\W\d][\w.-]*)["']?[ \t]*[:=][ \t]*(?P<value>[-+.\w]+)(?=[\s,}#;]|$)""")
_GROUP = lazy(r"\(\?P<(\w+)>")
_HEADINGS: Final = 2
_TEXTS: Final = 2


def without_settings(
    metrics: Metrics,
    params: Mapping[str, Any],
    log: bytes,
    files: Iterable[bytes] = (),
    patterns: Sequence[str] = (),
) -> Metrics:
    """The metrics without those of the output that only repeat a param, or a number of a configuration that is printed.

    files: texts of settings (JSON, TOML, YAML, INI), whose numbers count like params. What `patterns` name is asked
    for, and stays.
    """
    read = [name for name, source in metrics.source.items() if source == _STDOUT]
    if not read:
        return metrics
    told = [*printed_settings(log), *(pair for text in files for pair in settings_in(text))]
    known = _by_name([*flatten(params).items(), *(pair for pair in told if not is_usual(pair[0]))])
    asked = {name for pattern in patterns for name in _GROUP.findall(pattern)}
    echoed = {
        name
        for name in read
        if name not in asked and any(_is_always(metrics, name, value) for value in known.get(_key(name), ()))
    }
    if not echoed:
        return metrics
    return replace(
        metrics,
        values={name: value for name, value in metrics.values.items() if name not in echoed},
        best={name: value for name, value in metrics.best.items() if name not in echoed},
        source={name: value for name, value in metrics.source.items() if name not in echoed},
        curves=metrics.curves.without(echoed),
    )


def printed_settings(log: bytes) -> Iterator[tuple[str, float | int]]:
    """The numbers of the nested configurations in a log's beginning, by their names."""
    numbers: list[tuple[str, float | int]] = []
    headings = texts = 0
    for line in [*log[:_MOST_BYTES].decode(errors="replace").split("\n"), ""]:
        found = _FIELD.fullmatch(line)
        if found is None:
            if headings >= _HEADINGS and texts >= _TEXTS:
                yield from numbers
            numbers, headings, texts = [], 0, 0
        elif found["value"] is None:
            headings += 1
        elif (value := number(found["value"])) is not None:
            numbers.append((found["name"], value))
        else:
            texts += 1


def settings_in(text: bytes) -> Iterator[tuple[str, float | int]]:
    """The numbers of a file of settings, whatever its format, by their own names, without those of their tables."""
    for found in _SETTING.finditer(text.decode(errors="replace")):
        if (value := number(found["value"])) is not None:
            yield found["name"], value


def _key(name: str) -> str:
    """What a name is compared by: `Model.hidden-size` is `hidden_size`."""
    return name.lower().replace("-", "_").rpartition(".")[2]


def _by_name(pairs: Iterable[tuple[str, Any]]) -> dict[str, list[float | int]]:
    found: dict[str, list[float | int]] = {}
    for name, value in pairs:
        if isinstance(value, int | float) and not isinstance(value, bool):
            found.setdefault(_key(name), []).append(value)
    return found


def _is_always(metrics: Metrics, name: str, value: float | int) -> bool:
    """Whether a metric never was anything else."""
    best = metrics.best.get(name)
    return metrics.values[name] == value and (best is None or best.min == best.max)
