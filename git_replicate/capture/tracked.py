"""What the program handed to trackers and to our own interface, as its processes' probes noted it.

A file of points is read line by line, for a program may log millions. Where a program has several runs of one tracker
(folds of a cross-validation), a name that an earlier one has already gets the run's number before it: `2/accuracy`,
since trackers' own names for runs are drawn anew each time and would part what belongs together.
"""

from __future__ import annotations

import heapq
import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import field
from typing import Any, Final, NamedTuple

from git_replicate.capture.curves import Curves
from git_replicate.capture.event_files import Scalar
from git_replicate.capture.probe_report import ProbeReport
from git_replicate.capture.values import clean_text
from git_replicate.core.frozen import frozen

API: Final = "api"
"""The source of what comes through `git_replicate.log`."""
_WRITERS: Final = "tensorboard"
_BATCH: Final = 1 << 20
"""Bytes that are read at once."""
_USER_INFO: Final = re.compile(r"(?<=://)[^/@\s]*@")
_LOCAL: Final = re.compile(r"(?:file:(?://)?|sqlite:///)(?=/)")
"""What stands before a path in an address."""


class _Row(NamedTuple):
    """What one call logged; time in seconds since 1970."""

    time: float
    source: str
    run: str
    step: int | None
    values: Mapping[str, float | int]


@frozen
class Tracked:
    """The points by where they went, each in the order in which they came.

    sources: curves of our own interface (`api`) and of trackers, first that which counts first; writers: those of
    TensorBoard's writers, folder to tag to points, to be put together with what is in the event files.
    """

    sources: tuple[tuple[str, Curves], ...] = ()
    writers: Mapping[str, Mapping[str, list[Scalar]]] = field(default_factory=dict)


def read_points(folder: str, *, since: float | None) -> Tracked:
    """The points in the files of a run's processes; an absent folder has none, lines that are cut are passed over.

    `since` is the run's start, in seconds since 1970: a point's time counts from there.
    """
    united: dict[str, _Runs] = {}
    writers: dict[str, dict[str, list[Scalar]]] = {}
    files = [_rows(path) for path in _files(folder)]
    for row in files[0] if len(files) == 1 else heapq.merge(*files, key=lambda row: row.time):
        if row.source == _WRITERS:
            tags = writers.setdefault(row.run, {})
            for name, value in row.values.items():
                tag = clean_text(name)
                tags.setdefault(tag, []).append(Scalar(row.time, row.step or 0, tag, value))
        else:
            united.setdefault(row.source, _Runs()).add(row, since)
    order = sorted(united, key=lambda source: (source != API, source != "wandb", source))
    return Tracked(tuple((source, united[source].curves(mlflow=source == "mlflow")) for source in order), writers)


def _files(folder: str) -> list[str]:
    try:
        return [os.path.join(folder, name) for name in sorted(os.listdir(folder)) if name.endswith(".points")]
    except FileNotFoundError:
        return []


def _rows(path: str) -> Iterator[_Row]:
    """The rows of a file, many lines read as one JSON text: that takes a third of the time."""
    with open(path, "rb") as file:
        while lines := file.readlines(_BATCH):
            try:
                values = json.loads(b"[" + b",".join(lines) + b"]")
            except ValueError:  # one was cut by a kill
                values = list(_read_singly(lines))
            for value in values:
                try:
                    source, run, step, time, numbers = value
                    yield _Row(float(time), source, run, None if step is None else int(step), dict(numbers))
                except (ValueError, TypeError):
                    continue


def _read_singly(lines: Iterable[bytes]) -> Iterator[Any]:
    for line in lines:
        try:
            yield json.loads(line)
        except ValueError:
            continue


class _Runs:
    """The runs of one tracker, in the order in which they began to log."""

    def __init__(self) -> None:
        self._curves = Curves()
        self._numbers: dict[str, int] = {}
        self._owners: dict[str, str] = {}

    def add(self, row: _Row, since: float | None) -> None:
        number = self._numbers.setdefault(row.run, len(self._numbers) + 1)
        time = None if since is None else max(row.time - since, 0.0)
        for name, value in row.values.items():
            shown = name if name.isascii() else clean_text(name)
            if self._owners.setdefault(shown, row.run) != row.run:
                shown = f"{number}/{shown}"
            self._curves.add(shown, value, row.step, time)

    def curves(self, *, mlflow: bool) -> Curves:
        """The points; MLflow's step 0 of a metric that never has another means that none was given."""
        if not mlflow:
            return self._curves
        counted = {point.metric for point in self._curves if point.step}
        curves = Curves()
        for point in self._curves:
            curves.add(point.metric, point.value, point.step if point.metric in counted else None, point.time)
        return curves


def trackers_of(report: ProbeReport, top: str) -> dict[str, Any]:
    """The runs of other trackers by their library: ids, names and addresses, credentials masked.

    A path inside the worktree is relative to `top`.
    """
    found: dict[str, list[dict[str, Any]]] = {}
    for _, note in report.of_kind("tracker"):
        library = str(note.get("library"))
        fields = {name: _shown(value, top) for name, value in note.items() if name not in ("kind", "library")}
        if library == "mlflow" and str(fields.get("tracking_uri", "")).startswith("http"):
            uri, experiment = str(fields["tracking_uri"]).rstrip("/"), fields.get("experiment")
            if experiment:
                fields["url"] = f"{uri}/#/experiments/{experiment}/runs/{fields['id']}"
        entry = {name: value for name, value in fields.items() if value not in (None, "")}
        entries = found.setdefault(library, [])
        if entry and entry not in entries:
            entries.append(entry)
    return {library: entries for library, entries in found.items() if entries}


def _shown(value: Any, top: str) -> Any:
    if value is None or isinstance(value, bool | int | float):
        return value
    text = _USER_INFO.sub("***@", str(value))
    scheme = _LOCAL.match(text)
    prefix, path = (scheme[0], text[scheme.end() :]) if scheme else ("", text)
    for base in dict.fromkeys((top, os.path.realpath(top))):
        if path == base or path.startswith(base + os.sep):
            return clean_text(prefix + os.path.relpath(path, base))
    return clean_text(text)
