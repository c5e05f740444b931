"""Metrics from the files that a command writes, and the choice between several sources.

A file that is missing, broken or older than the run gives no metrics and a notice: the run has ended, and what
cannot be read must not lose the rest.
"""

from __future__ import annotations

import csv
import glob
import io
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import field
from typing import Any, Final

from git_replicate.capture.curves import STEP_NAMES, Curves, number
from git_replicate.capture.documents import LIMIT, parse_document
from git_replicate.capture.values import clean_text
from git_replicate.core.errors import UserError
from git_replicate.core.frozen import frozen
from git_replicate.core.patterns import lazy
from git_replicate.core.record import Best

_TIME_NAMES: Final = ("time", "wall_time", "walltime", "elapsed")
_COMMA: Final = lazy(r"[+-]?(?:\d+,\d*|,\d+)(?:[eE][+-]?\d+)?")
_THOUSANDS: Final = lazy(r"[+-]?[1-9]\d{0,2},\d{3}")
_CLOCK_SLACK: Final = 2.0
"""Seconds by which a file's time may lie before the run's start: file systems and servers keep coarse clocks."""


@frozen
class Metrics:
    """The metrics part of a record, as `Record`'s fields of the same names hold it, and the curves."""

    values: Mapping[str, float | int] = field(default_factory=dict)
    best: Mapping[str, Best] = field(default_factory=dict)
    source: Mapping[str, str] = field(default_factory=dict)
    curves: Curves = field(default_factory=Curves)


def merge_metrics(
    sources: Sequence[tuple[str, Curves]], output: Curves | None = None, *, always_output: bool = False
) -> Metrics:
    """One answer from several sources: for each name the first source that has it.

    `output` (what the output says, marked `stdout`) counts last, and only if no other source gave any metric, or
    with `always_output` (the user declared patterns).
    """
    chosen = [(name, curves) for name, curves in sources if curves]
    if output and (always_output or not chosen):
        chosen.append(("stdout", output))
    source: dict[str, str] = {}
    merged = Curves()
    for origin, curves in chosen:
        part = curves.without(source)
        merged.unite(part)
        source.update(dict.fromkeys(part.names, origin))
    names = sorted(source)
    last, best = merged.last(), merged.best()
    return Metrics(
        values={name: last[name] for name in names if name in last},
        best={name: best[name] for name in names if name in best},
        source={name: source[name] for name in names if name in last},
        curves=merged,
    )


def find_metrics_files(patterns: Sequence[str], top: str) -> list[str]:
    """The files that the declared names and globs stand for, relative to `top`, in the order declared."""
    found: dict[str, None] = {}
    for pattern in patterns:
        matches = sorted(glob.glob(pattern, root_dir=top, recursive=True)) if glob.has_magic(pattern) else []
        found.update(dict.fromkeys(os.path.normpath(path) for path in matches or [pattern]))
    return list(found)


def read_metrics_file(path: str, *, shown: str = "", since: float | None = None) -> tuple[Curves, str]:
    """The metrics in a JSON, JSON Lines, TOML, YAML, CSV or TSV file, and "" or a notice why there are none.

    Nested names are joined by dots; a list of numbers is a curve; of a list of tables, and of a CSV file's rows,
    `step` or `epoch` numbers the points. `since` is the run's start (seconds since 1970): an older file is not this
    run's.
    """
    shown = shown or os.path.basename(path)
    try:
        status = os.stat(path)
        if since is not None and status.st_mtime < since - _CLOCK_SLACK:
            return Curves(), f"{shown}: not written by this run"
        if status.st_size > LIMIT:
            return Curves(), f"{shown}: larger than {LIMIT // 1_000_000} MB, not read"
        with open(path, "rb") as file:
            data = file.read()
    except OSError as error:
        return Curves(), f"{shown}: {error.strerror or error}"
    curves = Curves()
    kind = os.path.splitext(path)[1].lower()
    try:
        if kind in (".csv", ".tsv"):
            _read_table(curves, data, "\t" if kind == ".tsv" else "")
            return curves, "" if curves else f"{shown}: no numbers in it"
        if kind in (".jsonl", ".ndjson"):
            _add_list(curves, "", [json.loads(line) for line in data.splitlines() if line.strip()])
            return curves, "" if curves else f"{shown}: no numbers in it"
        document, notice = parse_document(data, shown=shown)
    except (UserError, ValueError, RecursionError, csv.Error) as error:
        return curves, error.message if isinstance(error, UserError) else f"{shown}: {' '.join(str(error).split())}"
    _add(curves, "", document, None, None)
    return curves, notice or ("" if curves else f"{shown}: no numbers in it")


def _add(curves: Curves, name: str, value: Any, step: int | None, time: float | None) -> None:
    """Add every number in a document under its dotted name; strings that spell nan or inf count."""
    if isinstance(value, bool):
        curves.add(name, int(value), step, time)
    elif isinstance(value, int | float):
        curves.add(name, value, step, time)
    elif isinstance(value, str):
        if value.strip().lower().lstrip("+-") in ("nan", "inf", "infinity"):
            curves.add(name, float(value), step, time)
    elif isinstance(value, Mapping):
        _add_table(curves, name, value, step, time)
    elif isinstance(value, list):
        _add_list(curves, name, value)


def _add_table(curves: Curves, name: str, table: Mapping[Any, Any], step: int | None, time: float | None) -> None:
    own = _first_number(table, STEP_NAMES)
    step = int(own) if own is not None and own == own and abs(own) < 2**62 else step
    seconds = _first_number(table, _TIME_NAMES) if own is not None else None
    time = time if seconds is None else float(seconds)
    for key, item in table.items():
        text = clean_text(str(key))
        if own is not None and text.lower() in (*STEP_NAMES, *_TIME_NAMES):
            continue
        _add(curves, f"{name}.{text}" if name else text, item, step, time)


def _add_list(curves: Curves, name: str, items: list[Any]) -> None:
    for position, item in enumerate(items):
        if isinstance(item, Mapping):
            _add_table(curves, name, item, position, None)
        elif name and not isinstance(item, list):
            _add(curves, name, item, position, None)


def _first_number(table: Mapping[Any, Any], names: Sequence[str]) -> float | int | None:
    lower = {str(key).lower(): value for key, value in table.items()}
    for name in names:
        value = lower.get(name)
        value = number(value) if isinstance(value, str) else value
        if isinstance(value, int | float) and not isinstance(value, bool):
            return value
    return None


def _read_table(curves: Curves, data: bytes, delimiter: str) -> None:
    """Rows of a CSV file: a column a metric, or (columns metric and value) a row a point; "" finds the delimiter."""
    text = data.decode("utf-8-sig", errors="replace")
    delimiter = delimiter or _delimiter(text)
    read = _decimal_comma if _has_decimal_commas(text, delimiter) else number
    rows = csv.DictReader(io.StringIO(text), delimiter=delimiter)
    fields = [field for field in rows.fieldnames or [] if field]
    lower = {field.strip().lower(): field for field in fields}
    label = lower.get("metric") or lower.get("name")
    long = label if label and "value" in lower else None
    for position, row in enumerate(rows):
        own = _first_number({field.strip(): row.get(field) or "" for field in fields}, STEP_NAMES)
        step = int(own) if own is not None and own == own and abs(own) < 2**62 else None
        cells = {(row.get(long) or ""): row.get(lower["value"])} if long else {f.strip(): row.get(f) for f in fields}
        for name, cell in cells.items():
            value = read(cell) if cell else None
            if value is not None and name and name.lower() not in STEP_NAMES:
                curves.add(clean_text(name), value, position if step is None and not long else step)


def _delimiter(text: str) -> str:
    """What parts the cells: a comma, unless it does not in every row what a semicolon or a tab does in all of them."""
    if not text.endswith("\n"):
        text = text.rpartition("\n")[0] if text.count("\n") > 1 else text  # the last row may be half a row
    for delimiter in (",", ";", "\t"):
        widths = {len(row) for row in csv.reader(io.StringIO(text), delimiter=delimiter) if row}
        if len(widths) == 1 and widths.pop() > 1:
            return delimiter
    return ","


def _has_decimal_commas(text: str, delimiter: str) -> bool:
    """Whether numbers have a comma where others have a point: none has a point, and some comma parts no thousands."""
    if delimiter == ",":
        return False
    cells = [cell.strip() for row in csv.reader(io.StringIO(text), delimiter=delimiter) for cell in row]
    with_comma = [cell for cell in cells if _COMMA.fullmatch(cell)]
    return any(not _THOUSANDS.fullmatch(cell) for cell in with_comma) and not any(
        "." in cell and number(cell) is not None for cell in cells
    )


def _decimal_comma(text: str) -> float | int | None:
    return number(text.replace(",", ".") if _COMMA.fullmatch(text.strip()) else text)
