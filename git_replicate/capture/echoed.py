"""Lines of the output that say what a program was given, not what it found: its params, or a configuration as YAML.

`lr: 0.1` reads like a metric. Among lines of which most say what params are, or that have headings and texts among
them, it is a setting, and such lines give no point. Only the lines are passed over, never a name: what the program
prints of the same name elsewhere counts, and so do values that happen to be equal.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from git_replicate.capture.curves import Curves, number
from git_replicate.capture.metric_files import Metrics
from git_replicate.capture.unread_metrics import is_usual
from git_replicate.capture.values import flatten
from git_replicate.core.patterns import lazy

_STDOUT: Final = "stdout"
_MOST_BYTES: Final = 200_000
"""At the beginning of a log: where programs print what they were given."""
_FIELD = lazy(r"[ \t]*(?:- )?([^\W\d][\w.-]*) ?:(?:[ \t]+(\S.*?))?[ \t]*\r?")
_FEWEST: Final = 2
"""Of lines that say what params are; of headings, and of texts, in a configuration."""


def without_settings(metrics: Metrics, params: Mapping[str, Any], log: bytes) -> Metrics:
    """The metrics without the points that lines of settings at the beginning of a log gave."""
    curves = metrics.curves
    settings = Counter(settings_in(log, params)) if _STDOUT in metrics.source.values() and not curves.thinned else {}
    names = {name for name, _ in settings if metrics.source.get(name) == _STDOUT}
    if not names:
        return metrics
    rest = Curves()
    for point in curves:
        setting = (point.metric, point.value)
        if point.metric in names and settings.get(setting):
            settings[setting] -= 1
        else:
            rest.add(point.metric, point.value, point.step, point.time)
    last = rest.last()
    gone = names - last.keys()
    values = {name: last.get(name) if name in names else value for name, value in metrics.values.items()}
    best = {**{name: extremes for name, extremes in metrics.best.items() if name not in names}, **rest.best()}
    return Metrics(
        values={name: value for name, value in values.items() if value is not None},
        best=dict(sorted(best.items())),
        source={name: source for name, source in metrics.source.items() if name not in gone},
        curves=rest,
    )


def settings_in(log: bytes, params: Mapping[str, Any]) -> Iterator[tuple[str, float | int]]:
    """Name and number of each line of settings in a log's beginning."""
    given = {(_key(name), _text(value)) for name, value in flatten(params).items()}
    block = _Block()
    for line in [*log[:_MOST_BYTES].decode(errors="replace").split("\n"), ""]:
        found = _FIELD.fullmatch(line)
        if found:
            block.add(found[1], found[2], given)
        else:
            yield from block.settings()
            block = _Block()


@dataclass(slots=True)
class _Block:
    """Lines that follow each other, each a name and what it is."""

    numbers: list[tuple[str, float | int, bool]] = field(default_factory=list)
    """With whether a param is just that."""
    headings: int = 0
    texts: int = 0
    lines: int = 0
    known: int = 0
    """Lines that say what a param is."""

    def add(self, name: str, value: str | None, given: set[tuple[str, str]]) -> None:
        if value is None:
            self.headings += 1
            return
        figure = number(value)
        known = (_key(name), _text(value if figure is None else figure)) in given
        self.lines += 1
        self.known += known
        if figure is None:
            self.texts += 1
        else:
            self.numbers.append((name, figure, known))

    def settings(self) -> Iterator[tuple[str, float | int]]:
        params = self.known >= _FEWEST and 2 * self.known > self.lines
        configuration = self.headings >= _FEWEST and self.texts >= _FEWEST
        for name, figure, known in self.numbers:
            if (params and known) or (configuration and not is_usual(name)):
                yield name, figure


def _key(name: str) -> str:
    """What a name is compared by: `Model.hidden-size` is `hidden_size`."""
    return name.lower().replace("-", "_").rpartition(".")[2]


def _text(value: Any) -> str:
    """What a value is compared by: 1 and 1.0 are one, and so are true and True."""
    return repr(float(value)) if isinstance(value, int | float) and not isinstance(value, bool) else str(value).lower()
