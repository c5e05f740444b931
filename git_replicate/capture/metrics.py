"""Metrics from what a command prints, by a rule that is narrow on purpose.

A line is a metric only if all of it is `name: number`, or several `name=number` and nothing else. So progress bars,
log prefixes, timestamps, versions, sizes with a unit and percentages are not taken for metrics; docs/metrics.md
publishes the rule. Files of metrics are read in `metric_files`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from git_replicate.capture.curves import STEP_NAMES, Curves, number
from git_replicate.capture.metric_files import Metrics, merge_metrics, read_metrics_file
from git_replicate.core.patterns import lazy

__all__ = ["Curves", "Metrics", "OutputMetrics", "merge_metrics", "read_metrics_file"]

MOST_NAMES: Final = 200
_LINE_LIMIT: Final = 10_000
"""Bytes; a longer line is not for people, and no metric."""

_NUMBER = r"[+-]?(?:[0-9]+(?:\.[0-9]*)?(?:[eE][+-]?[0-9]+)?|\.[0-9]+(?:[eE][+-]?[0-9]+)?|(?i:nan|inf|infinity))"
_NAME = r"[^\W\d][\w./@-]*"
_COLON = lazy(rf"({_NAME}(?: [\w./@-]+){{0,2}}) ?:[ \t]+({_NUMBER})")
_PAIR = lazy(rf"({_NAME}) ?= ?({_NUMBER})(?=[\s,;|]|$)")
_BETWEEN = lazy(r"(?:\s*[,;|]\s*|\s+-\s+|\s+)")
_STEP_WORD = r"(?i:global[_ ]step|step|iter|iteration|epoch)"
_STEP_LINE = lazy(rf"[\[(]?({_STEP_WORD})[ \t]*[:=#]?[ \t]*[\[(]?([0-9]+)(?:\s*(?:/|of)\s*[0-9]+)?[\])]?")
_AFTER_STEP = lazy(r"\s*[:|,;-]\s*|\s+")
_ESCAPE = lazy(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-Z\\-_])")
_RANK = lazy(
    r"\[(?:rank|default|process|worker|gpu)[ _:]?(\d+)\]:?"  # [rank1]: of torch, [default1]: of its --tee
    r"|\[\d+,(\d+)\](?:<std(?:out|err)>)?:?"  # [1,0]<stdout>: of mpirun --tag-output
    r"|(?:rank|process|worker)[ _:]?(\d+)\s*[:|]",
    re.IGNORECASE,
)
_LABEL = lazy(r"\[?(\d{1,9})(?:\]:?|:)(?=\s)")
"""`3:` of srun --label and `[3]` of mpiexec -prepend-rank, which also is how people number items."""
_NOT_METRICS = frozenset({
    "INFO", "DEBUG", "WARNING", "WARN", "ERROR", "CRITICAL", "FATAL", "NOTICE", "TRACE", "build", "critical", "cuda",
    "cudnn", "date", "debug", "driver", "epochs", "eta", "exit", "fatal", "flax", "gcc", "hint", "info", "jax",
    "jaxlib", "keras", "lightning", "line", "nccl", "note", "notice", "numpy", "pandas", "pid", "pip", "port",
    "python", "pytorch", "rank", "scipy", "seed", "sklearn", "tensorflow", "time", "torch", "torchvision", "trace",
    "transformers", "usage", "version", "warn", "warning", "world_size", "year",
})  # fmt: skip
"""What logs print beside numbers that are no results: levels, versions, places. Compared as it is and in lower case."""
_NOT_LAST = frozenset({"version", "port", "pid", "seed", "size", "bytes"})


_SIGNS: Final = (b":", b"=", b"step", b"iter", b"epoch")
"""Every line that is a metric or sets a step has one of these, in any case."""


class OutputMetrics:
    """Reads a command's output as it comes and finds the metrics in it.

    `patterns` are expressions with named groups, searched in every line on top of the rule; a group named like a
    step sets the step. Each stream has its own unfinished line. Lines that several ranks print are counted once:
    for each metric, those of the lowest rank that printed it.
    """

    def __init__(self, patterns: Sequence[str] = (), *, rule: bool = True) -> None:
        self._patterns = [re.compile(pattern) for pattern in patterns]
        self._rule = rule
        self._unfinished: dict[str, bytes] = {}
        self._too_long: set[str] = set()
        self._ranks: dict[int, _Rank] = {}
        self._labelled: dict[int, _Rank] = {}
        self._label = -1
        self._growing = True

    def feed(self, data: bytes, *, time: float | None = None, stream: str = "stdout") -> None:
        """Take more output; `time` is when it came, in seconds since the run's start."""
        lowered = b"" if self._patterns else data.lower()
        if not self._patterns and not any(sign in lowered for sign in _SIGNS):
            # Nothing but the ends of two lines can matter: what is printed most is often no metric at all.
            first, newline, rest = data.partition(b"\n")
            data = first + newline + rest[rest.rfind(b"\n") + 1 :]
        *lines, rest = (self._unfinished.get(stream, b"") + data).split(b"\n")
        for line in lines:
            if stream in self._too_long:
                self._too_long.discard(stream)
            elif len(line) <= _LINE_LIMIT or b"\r" in line:
                self._line(line, time)
        if len(rest) > _LINE_LIMIT:
            frames = rest.rstrip(b"\r").rpartition(b"\r")
            rest = frames[2]
            if len(rest) > _LINE_LIMIT:
                self._too_long.add(stream)
                rest = b""
        self._unfinished[stream] = rest

    def close(self, *, time: float | None = None) -> None:
        """The output has ended: a last line without a newline counts as well."""
        for stream in list(self._unfinished):
            if self._unfinished[stream]:
                self.feed(b"\n", time=time, stream=stream)

    def skip(self, stream: str) -> None:
        """Say that a part of a stream is not seen: the line that it ends in is no metric."""
        self._unfinished[stream] = b""
        self._too_long.add(stream)

    def state(self) -> dict[str, Any]:
        """All that was found, and what is unfinished, as JSON can hold it; `restore` is its inverse."""
        return {
            "unfinished": {stream: line.decode("latin-1") for stream, line in self._unfinished.items()},
            "too_long": sorted(self._too_long),
            "ranks": [[rank, found.state()] for rank, found in self._ranks.items()],
            "labelled": [[rank, found.state()] for rank, found in self._labelled.items()],
            "label": self._label,
            "growing": self._growing,
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        self._unfinished = {stream: line.encode("latin-1") for stream, line in state["unfinished"].items()}
        self._too_long = set(state["too_long"])
        self._ranks = {rank: _Rank.of(found) for rank, found in state["ranks"]}
        self._labelled = {rank: _Rank.of(found) for rank, found in state["labelled"]}
        self._label, self._growing = int(state["label"]), bool(state["growing"])

    def curves(self) -> Curves:
        """The points so far, of each metric those of the lowest rank that printed it.

        Bare numbers in front of lines are taken for ranks only if one of them came back: numbers that only grow count
        items (epochs, folds), and then these lines are no metrics.
        """
        ranks = self._ranks if self._growing else {**self._labelled, **self._ranks}
        owners: dict[str, int] = {}
        for rank in sorted(ranks):
            for name in ranks[rank].curves.names:
                owners.setdefault(name, rank)
        found = Curves(names=MOST_NAMES)
        for rank in sorted(ranks):
            mine = ranks[rank].curves
            foreign = [name for name in mine.names if owners[name] != rank]
            found.unite(mine.without(foreign))
        return found

    def notices(self) -> tuple[str, ...]:
        """What was left out, for the person and the record."""
        if any(rank.curves.overflow for rank in self._ranks.values()):
            return (f"the output has more than {MOST_NAMES} metric names; the others were left out",)
        return ()

    def _line(self, raw: bytes, time: float | None) -> None:
        frames = [frame for frame in raw.split(b"\r") if frame.strip()]
        if not frames or len(frames[-1]) > _LINE_LIMIT:
            return
        text = frames[-1].decode(errors="replace")
        if "\x1b" in text:
            text = _ESCAPE.sub("", text)
        text = text.strip()
        label = _RANK.match(text) or _LABEL.match(text)
        ranks, rank = self._ranks, -1
        if label:
            rank = int(next(group for group in label.groups() if group is not None)[:9])
            ranks = self._ranks if label.re is _RANK else self._labelled
            text = text[label.end() :].strip()
        found = self._searched(text) or (parse_line(text) if self._rule else None)
        if found is None:
            return
        if ranks is self._labelled:
            self._growing = self._growing and rank > self._label
            self._label = rank
        ranks.setdefault(rank, _Rank()).take(found, time)

    def _searched(self, text: str) -> Line | None:
        """What the patterns find in a line."""
        values: list[tuple[str, float | int]] = []
        steps: dict[str, int] = {}
        for pattern in self._patterns:
            for match in pattern.finditer(text):
                for name, group in match.groupdict().items():
                    value = number(group.rstrip(",;")) if group else None
                    if value is None:
                        continue
                    if name in STEP_NAMES:
                        _step(steps, name, value)
                    else:
                        values.append((name, value))
        return Line(values, _finest(steps)) if values or steps else None


@dataclass(slots=True)
class Line:
    """The metrics of one line, and the step it sets, if it sets one."""

    values: list[tuple[str, float | int]]
    step: int | None = None


@dataclass(slots=True)
class _Rank:
    """What one rank printed so far."""

    curves: Curves = field(default_factory=lambda: Curves(names=MOST_NAMES, points=1_000_000))
    step: int | None = None
    seen: dict[str, tuple[int, float | int]] = field(default_factory=dict)

    def take(self, line: Line, time: float | None) -> None:
        if line.step is not None:
            self.step = line.step
        for name, value in line.values:
            if self.step is not None and self.seen.get(name) == (self.step, value):
                continue  # the same step, name and value again: another process's copy without a prefix
            if self.step is not None:
                self.seen[name] = (self.step, value)
            self.curves.add(name, value, self.step, time)

    def state(self) -> dict[str, Any]:
        return {"curves": self.curves.state(), "step": self.step, "seen": self.seen}

    @classmethod
    def of(cls, state: Mapping[str, Any]) -> _Rank:
        rank = cls(step=state["step"], seen={name: (step, value) for name, (step, value) in state["seen"].items()})
        rank.curves.restore(state["curves"])
        return rank


def parse_line(text: str) -> Line | None:
    """The metrics of one stripped line by the rule, and the step it sets; None for any other line."""
    if not (":" in text or "=" in text or _STEP_LINE.match(text)):
        return None
    whole = _pairs(text, 2)
    if whole:
        return whole
    head = _STEP_LINE.match(text)
    if head:
        steps: dict[str, int] = {}
        _step(steps, head[1], int(head[2][:18]))
        rest = text[head.end() :]
        if not rest.strip(" \t:,|;-"):
            return Line([], _finest(steps))
        gap = _AFTER_STEP.match(rest)
        inner = _pairs(rest[gap.end() :], 1) or _colon(rest[gap.end() :]) if gap else None
        if inner:
            return Line(inner.values, _finest(steps) if inner.step is None else inner.step)
    return _colon(text)


def _colon(text: str) -> Line | None:
    """A line that is `name: number`. A name of several words needs a fraction, for counts read like that in prose."""
    found = _COLON.fullmatch(text)
    if not found:
        return None
    words = found[1].split(" ")
    value = number(found[2])
    if value is None or (len(words) > 1 and isinstance(value, int)):
        return None
    name = "_".join(words)
    if _step_name(name):
        steps: dict[str, int] = {}
        _step(steps, name, value)
        return Line([], _finest(steps))
    return Line([(name, value)]) if is_metric_name(name) else None


def _pairs(text: str, least: int) -> Line | None:
    """A line that is `name=number` at least so often, and separators."""
    values: list[tuple[str, float | int]] = []
    steps: dict[str, int] = {}
    position = count = 0
    while position < len(text):
        found = _PAIR.match(text, position)
        value = number(found[2]) if found else None
        if found is None or value is None:
            return None
        count += 1
        if _step_name(found[1]):
            _step(steps, found[1], value)
        elif is_metric_name(found[1]):
            values.append((found[1], value))
        position = found.end()
        if position < len(text):
            gap = _BETWEEN.match(text, position)
            if gap is None:
                return None
            position = gap.end()
    return Line(values, _finest(steps)) if count >= least and (values or steps) else None


def _step_name(name: str) -> bool:
    return name.lower().replace(" ", "_") in STEP_NAMES


def _step(steps: dict[str, int], name: str, value: float | int) -> None:
    """Note a step, if it is a whole number."""
    if value == value and abs(value) < 2**62 and value == int(value):
        steps[name.lower().replace(" ", "_")] = int(value)


def _finest(steps: dict[str, int]) -> int | None:
    return next((steps[name] for name in STEP_NAMES if name in steps), None)


def is_metric_name(name: str) -> bool:
    """Whether a name is not one of those that logs print beside numbers that are no results."""
    lower = name.lower()
    return not ({name, lower} & _NOT_METRICS) and re.split(r"[_ .]", lower)[-1] not in _NOT_LAST
