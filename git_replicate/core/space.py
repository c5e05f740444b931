"""Spaces of params: what `-p lr=0.1,0.01` and `-p depth=1..8` span, and the points in it.

    0.1,0.01            choices                        1e-5..1e-1:log      floats, uniform in the logarithm
    1..8                integers                       1..64:log           integers, uniform in the logarithm
    0..1   0.0..5.0     floats                         0..1:5              five values in a grid, ends included
    0..10:float         floats                         0..1:step=0.25      steps, ends included where they fit

A point is a mapping of dotted names to values. Everything here is a pure function: a grid is always in the same
order, and a random point is determined by the strategy's seed and the trial's number, on every machine. Which point
a search tries next is not decided here.
"""

from __future__ import annotations

import itertools
import json
import math
import random
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from git_replicate.core.errors import UsageError
from git_replicate.core.literals import typed

Point = Mapping[str, Any]

LARGEST_GRID: Final = 1_000_000
"""Points; more is a mistake in the space, not a sweep."""
_NUMBER = r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?"
_RANGE = re.compile(rf"(?P<low>{_NUMBER})\.\.(?P<high>{_NUMBER})(?P<options>(?::[\w.=+-]+)*)", re.ASCII)
_HALF_RANGE = re.compile(rf"{_NUMBER}\.\.+|\.\.+{_NUMBER}(?:\Z|:)", re.ASCII)
"""One that lacks an end, or has another text for it; no path begins like this."""
_INTEGER = re.compile(r"[+-]?\d+", re.ASCII)
_NAME = re.compile(r"[^\W\d][\w-]*(?:\.[\w-]+)*")
_OPENING, _CLOSING = "[{(", "]})"


@dataclass(frozen=True, slots=True)
class Choices:
    """One of these values."""

    values: tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Range:
    """A number from `low` to `high`, both included."""

    low: float | int
    high: float | int
    log: bool = False
    step: float | int | None = None
    count: int | None = None
    """How many values a grid takes of it."""

    @property
    def integer(self) -> bool:
        return isinstance(self.low, int)


Dimension = Choices | Range


@dataclass(frozen=True, slots=True)
class Space:
    """Dimensions by dotted name, in the order given; `zipped` names those that go through their values together."""

    dimensions: Mapping[str, Dimension] = field(default_factory=dict)
    zipped: tuple[tuple[str, ...], ...] = ()

    def axes(self) -> list[tuple[str, ...]]:
        """The names that vary independently of each other: zipped ones together, each where its first is."""
        groups = {name: group for group in self.zipped for name in group}
        return list(dict.fromkeys(groups.get(name, (name,)) for name in self.dimensions))


# --- texts


def parse_space(assignments: Iterable[str], zips: Iterable[str] = (), base: Space | None = None) -> Space:
    """A space from `name=SPEC` texts and `--zip a,b` groups, on top of another; `UsageError` for what is none."""
    dimensions = dict(base.dimensions) if base else {}
    for text in assignments:
        name, equals, spec = text.partition("=")
        name = name.strip()
        if not equals or not _NAME.fullmatch(name):
            raise UsageError(f"-p {text!r}: not of the form name=values", "try: -p lr=0.1,0.01")
        dimensions[name.replace("-", "_")] = parse_dimension(name, spec)
    groups = [tuple(name.strip().replace("-", "_") for name in group.split(",")) for group in zips]
    return checked(Space(dimensions, (*(base.zipped if base else ()), *groups)))


def parse_dimension(name: str, text: str) -> Dimension:
    """The values that a text spans; `UsageError` for a range that makes no sense."""
    found = _RANGE.fullmatch(text)
    if found is None and _HALF_RANGE.match(text):
        raise _wrong(name, text, "a range needs two numbers")
    if not text.strip():
        raise UsageError(f"-p {name}=: no value", f'try: -p {name}=0.1,0.01; the empty text is written ""')
    if found is None:
        return _choices(name, [_value(item) for item in _items(name, text)])
    options = [option for option in found["options"].split(":") if option]
    words: dict[str, Any] = {}
    kind = ""
    for option in options:
        key, equals, value = option.partition("=")
        if option in ("int", "float"):
            kind = option
        elif option == "log":
            words["log"] = True
        elif _INTEGER.fullmatch(option):
            words["count"] = int(option)
        elif key == "step" and equals and isinstance(typed(value), int | float):
            words["step"] = typed(value)
        else:
            raise _wrong(name, text, f"{option!r} is none of log, int, float, step=S or a number of values")
    low, high = (_number(found[end]) for end in ("low", "high"))
    if kind == "int" and not (float(low).is_integer() and float(high).is_integer()):
        raise _wrong(name, text, "its ends are no integers")
    both = isinstance(low, int) and isinstance(high, int) and isinstance(words.get("step", 1), int)
    # Nobody writes 0..1 for the two integers: that is 0,1.
    whole = kind != "float" and (kind == "int" or (both and (low, high) != (0, 1)))
    convert: type[int] | type[float] = int if whole else float
    return _range(name, text, Range(convert(low), convert(high), **words))


def _number(text: str) -> float | int:
    return int(text) if _INTEGER.fullmatch(text) else float(text)


def _range(name: str, text: str, found: Range) -> Range:
    """The range, if it is one."""
    if not (math.isfinite(found.low) and math.isfinite(found.high)) or found.low >= found.high:
        raise _wrong(name, text, "the lower end comes first, and both are finite")
    if found.log and found.low <= 0:
        raise _wrong(name, text, "a logarithm needs ends above zero")
    if found.step is not None and (not 0 < found.step <= found.high - found.low or found.log or found.count):
        raise _wrong(name, text, "a step is positive, within the range, and goes with neither log nor a number")
    if found.integer and found.step is not None and not isinstance(found.step, int):
        raise _wrong(name, text, "integers take whole steps")
    if found.count is not None and not 2 <= found.count <= LARGEST_GRID:
        raise _wrong(name, text, f"a grid takes from 2 to {LARGEST_GRID:,} values of a range")
    if found.step is not None and (found.high - found.low) / found.step > LARGEST_GRID:
        raise _wrong(name, text, f"a grid takes no more than {LARGEST_GRID:,} steps of a range")
    return found


def _wrong(name: str, text: str, why: str) -> UsageError:
    return UsageError(f"-p {name}={text}: {why}", f"try: -p {name}=1e-4..1e-1:log, or -p {name}=1..8")


def _choices(name: str, values: Sequence[Any]) -> Choices:
    seen: set[str] = set()
    for value in values:
        if (spelled := _spelled(value)) in seen:
            raise UsageError(f"-p {name}: {spelled} is given twice", "several seeds for each point: --seeds 5")
        seen.add(spelled)
    return Choices(tuple(values))


def _value(text: str) -> Any:
    value = typed(text)
    return list(value) if isinstance(value, tuple) else value


def _items(name: str, text: str) -> list[str]:
    """The text at its commas, those within brackets and quotes left alone."""
    items = _split(text, nested=True) or _split(text, nested=False) or []
    if len(items) > 1 and "" in items:
        raise UsageError(f"-p {name}={text}: a choice is empty", 'the empty text is written ""')
    return items


def _split(text: str, *, nested: bool) -> list[str] | None:
    """The items; None if brackets or quotes were to be heeded and do not close."""
    items, start, depth, quote, escaped = [], 0, 0, "", False
    for place, letter in enumerate(text):
        if quote:
            quote = "" if letter == quote and not escaped else quote
            escaped = letter == "\\" and not escaped
        elif letter == "," and not depth:
            items.append(text[start:place].strip())
            start = place + 1
        elif nested and letter in "\"'" and (depth or not text[start:place].strip()):
            quote = letter
        elif nested and letter in _OPENING:
            depth += 1
        elif nested and letter in _CLOSING:
            depth -= 1
    if depth or quote:
        return None
    return [*items, text[start:].strip()]


def describe(dimension: Dimension) -> str:
    """The dimension as a text that `parse_dimension` reads back."""
    if isinstance(dimension, Choices):
        return ",".join(map(_spelled, dimension.values))
    words = [f"{dimension.low!r}..{dimension.high!r}"]
    # What the two ends do not say by themselves.
    said = dimension.integer and (dimension.low, dimension.high) != (0, 1)
    words += [] if said or not dimension.integer else ["int"]
    words += ["log"] if dimension.log else []
    words += [str(dimension.count)] if dimension.count is not None else []
    words += [f"step={dimension.step!r}"] if dimension.step is not None else []
    return ":".join(words)


def _spelled(value: Any) -> str:
    if isinstance(value, str):
        plain = (
            value == value.strip() and "," not in value and not (_RANGE.fullmatch(value) or _HALF_RANGE.match(value))
        )
        odd = not value or any(letter in value for letter in f"\"'{_OPENING}{_CLOSING}\\")
        return value if plain and not odd and typed(value) == value else json.dumps(value, ensure_ascii=False)
    if isinstance(value, float):
        return repr(value)
    return json.dumps(value, ensure_ascii=False)


def read_space(document: Mapping[str, Any]) -> Space:
    """A space from a TOML document: `[params]` of lists, texts, `{low, high, log, step, count}`, or tables of these.

    `zip` is a list of lists of names. `UsageError` names what is wrong.
    """
    if unknown := sorted(set(document) - {"params", "zip"}):
        raise UsageError(f"space file: {unknown[0]!r} is not known", "a space file has [params], and zip above it")
    dimensions: dict[str, Dimension] = {}
    _read_table(document.get("params", {}), "", dimensions)
    zips = document.get("zip", [])
    if not isinstance(zips, list) or not all(isinstance(group, list) for group in zips):
        raise UsageError("space file: zip is not a list of lists of names", 'try: zip = [["lr", "batch_size"]]')
    return checked(Space(dimensions, tuple(tuple(map(str, group)) for group in zips)))


def _read_table(table: Any, prefix: str, found: dict[str, Dimension]) -> None:
    if not isinstance(table, Mapping):
        raise UsageError("space file: params is not a table", "try: [params]")
    for key, value in table.items():
        name = f"{prefix}{key}"
        if not _NAME.fullmatch(name):
            raise UsageError(f"space file: {name!r} is not the name of a param", 'try: lr = "1e-4..1e-1:log"')
        if isinstance(value, Mapping) and "low" in value and "high" in value:
            found[name] = _read_range(name, value)
        elif isinstance(value, Mapping):
            _read_table(value, f"{name}.", found)
        elif isinstance(value, list):
            if not value:
                raise UsageError(f"space file: {name} has no values", f"{name} = [0.1, 0.01]")
            found[name] = _choices(name, value)
        else:
            found[name] = parse_dimension(name, value) if isinstance(value, str) else _choices(name, [value])


def _read_range(name: str, table: Mapping[str, Any]) -> Range:
    shown = ", ".join(f"{key} = {value!r}" for key, value in table.items())
    known = {"low", "high", "log", "step", "count"}
    numbers = [table[key] for key in ("low", "high", "step", "count") if key in table]
    if set(table) - known or any(isinstance(n, bool) or not isinstance(n, int | float) for n in numbers):
        raise UsageError(f"space file: {name} = {{{shown}}} is no range", f"{name} = {{low = 1e-4, high = 0.1}}")
    whole = all(isinstance(table[key], int) for key in ("low", "high"))
    convert: type[int] | type[float] = int if whole else float
    found = Range(convert(table["low"]), convert(table["high"]), bool(table.get("log")), table.get("step"))
    count = table.get("count")
    return _range(
        name, shown, Range(found.low, found.high, found.log, found.step, None if count is None else int(count))
    )


def checked(space: Space) -> Space:
    """The space, if its names and groups make sense; `UsageError` otherwise."""
    for name in space.dimensions:
        above = [prefix for prefix in _prefixes(name) if prefix in space.dimensions]
        if above:
            raise UsageError(f"-p {above[0]} and -p {name}: a value and a table", f"drop -p {above[0]}")
    seen: set[str] = set()
    for group in space.zipped:
        shown = ",".join(group)
        if missing := [name for name in group if name not in space.dimensions]:
            raise UsageError(f"--zip {shown}: no param {missing[0]} is given", f"-p {missing[0]}=1,2")
        if len(set(group)) < 2 or seen & set(group):
            raise UsageError(f"--zip {shown}: names at least two params, each once", "try: --zip lr,batch_size")
        sizes = {name: len(grid_values(name, space.dimensions[name])) for name in group}
        if len(set(sizes.values())) > 1:
            each = ", ".join(f"{name} has {size}" for name, size in sizes.items())
            raise UsageError(f"--zip {shown}: as many values of each ({each})", "without --zip: every combination")
        seen |= set(group)
    return space


def _prefixes(name: str) -> list[str]:
    parts = name.split(".")
    return [".".join(parts[:n]) for n in range(1, len(parts))]


# --- points


def grid_values(name: str, dimension: Dimension) -> Sequence[Any]:
    """The values of a dimension in a grid, in order; `UsageError` for floats without a number or a step."""
    if isinstance(dimension, Choices):
        return dimension.values
    low, high = dimension.low, dimension.high
    if dimension.count is not None:
        return _spread(dimension, dimension.count)
    if isinstance(low, int) and isinstance(high, int) and not dimension.log:
        return range(low, high + 1, int(dimension.step or 1))
    if dimension.step is not None:
        steps = math.floor((high - low) / dimension.step + 1e-9)
        return [_tidy(low + n * dimension.step, low, high) for n in range(steps + 1)]
    spec = describe(dimension)
    raise UsageError(f"-p {name}={spec}: a grid needs to know how many values", f"-p {name}={spec}:5, or --random 20")


def _tidy(value: float, low: float, high: float) -> float:
    """The value without the last digits, which differ between mathematical libraries, and within its ends."""
    return min(max(float(f"{value:.12g}"), float(low)), float(high))


def _spread(dimension: Range, count: int) -> Sequence[Any]:
    """Values from end to end, evenly in the range or in its logarithm; the ends exactly."""
    found = [dimension.low, *(_between(dimension, n / (count - 1)) for n in range(1, count - 1)), dimension.high]
    return list(dict.fromkeys(found))


def _between(dimension: Range, share: float) -> float | int:
    low, high = dimension.low, dimension.high
    if dimension.log:
        value = math.exp(math.log(low) + share * (math.log(high) - math.log(low)))
    else:
        value = low + share * (high - low)
    if dimension.integer:
        return min(max(round(value), int(low)), int(high))
    return _tidy(value, low, high)


def grid_size(space: Space) -> int:
    """How many points the grid has; 1 for an empty space."""
    size = 1
    for axis in space.axes():
        size *= len(grid_values(axis[0], space.dimensions[axis[0]]))
    if size > LARGEST_GRID:
        raise UsageError(f"a grid of {size:,} points: {LARGEST_GRID:,} are the most", "--random 100, or fewer values")
    return size


def grid(space: Space) -> Iterator[dict[str, Any]]:
    """Every point of the grid, the last axis fastest."""
    axes = space.axes()
    values = [list(zip(*(grid_values(n, space.dimensions[n]) for n in axis), strict=True)) for axis in axes]
    for chosen in itertools.product(*values):
        point = {
            name: value
            for axis, group in zip(axes, chosen, strict=True)
            for name, value in zip(axis, group, strict=True)
        }
        yield {name: point[name] for name in space.dimensions}


def random_point(space: Space, seed: int, trial: int) -> dict[str, Any]:
    """The point of a trial of a random search: uniform in each axis, or in its logarithm."""
    generator = random.Random(f"{seed}/{trial}")
    point: dict[str, Any] = {}
    for axis in space.axes():
        first = space.dimensions[axis[0]]
        if len(axis) == 1 and isinstance(first, Range):
            point[axis[0]] = _draw(first, generator)
            continue
        columns = [grid_values(name, space.dimensions[name]) for name in axis]
        chosen = _pick(len(columns[0]), generator)
        point.update({name: column[chosen] for name, column in zip(axis, columns, strict=True)})
    return {name: point[name] for name in space.dimensions}


def _pick(size: int, generator: random.Random) -> int:
    """A place among `size`; of `random`, only `random()` is promised to stay the same in later Pythons."""
    return min(int(generator.random() * size), size - 1)


def _draw(dimension: Range, generator: random.Random) -> float | int:
    low, high = dimension.low, dimension.high
    if dimension.step is not None or (dimension.integer and not dimension.log):
        values = grid_values("", Range(low, high, step=dimension.step))
        return values[_pick(len(values), generator)]  # type: ignore[no-any-return]
    share = generator.random()
    # Each integer has the room from half below it to half above.
    margin = 0.5 if dimension.integer else 0.0
    if dimension.log:
        first, last = math.log(low - margin), math.log(high + margin)
        value = math.exp(first + share * (last - first))
    else:
        value = low + share * (high - low)
    return min(max(round(value), int(low)), int(high)) if dimension.integer else _tidy(value, low, high)
