"""Hyperparameters after a run that the program itself told: through our own interface, and through other trackers.

What it says to us comes before what it hands to a tracker, and both before declared files and guesses. A `-p` request
that was read through `git_replicate.param` is delivered: its source is `api`, and it is among those given.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from git_replicate.capture.params import assemble_params
from git_replicate.capture.probe_report import ProbeReport
from git_replicate.capture.values import flatten, typed
from git_replicate.core.record import Record


def with_noted(record: Record, report: ProbeReport) -> Record:
    """The record with these params in it; as it is where there are none."""
    own, requested = _own(report)
    tracked = _tracked(report)
    if not own and not tracked:
        return record
    known = {**flatten(record.params), **dict.fromkeys(record.params_null)}
    told = {**{name: value for name, (_, value) in tracked.items()}, **own}
    source = {
        **record.params_source,
        **{name: library for name, (library, _) in tracked.items()},
        **dict.fromkeys(own, "api"),
    }
    for name in told:  # one name may not be a value and a table; what the program says is right
        for other in [n for n in known if n.startswith(f"{name}.") or name.startswith(f"{n}.")]:
            known.pop(other)
            source.pop(other, None)
    unused = {name: value for name, value in flatten(record.params_unused).items() if name not in requested}
    given = {*record.params_given, *requested} - {name for name in told if name not in requested}
    params = assemble_params({**known, **told}, source, unused, (), given=given & {*source})
    return replace(record, **params.fields())


def noted_values(report: ProbeReport) -> dict[str, Any]:
    """All that the program told of its params, by dotted name."""
    return {**{name: value for name, (_, value) in _tracked(report).items()}, **_own(report)[0]}


def _own(report: ProbeReport) -> tuple[dict[str, Any], set[str]]:
    """What came through our own interface by dotted name, a later value over an earlier one; those requested."""
    values: dict[str, Any] = {}
    requested: set[str] = set()
    for _, note in report.of_kind("api_params"):
        found = _flat(note.get("values"))
        values.update(found)
        requested = requested | {*found} if note.get("requested") else requested - {*found}
    return values, requested


def _tracked(report: ProbeReport) -> dict[str, tuple[str, Any]]:
    """What went to trackers: by dotted name the library and the value. Of several runs of one, the last that says."""
    values: dict[str, tuple[str, Any]] = {}
    for _, note in report.of_kind("tracker_params"):
        library = str(note.get("library", ""))
        for name, value in _flat(note.get("values")).items():
            # MLflow keeps texts, and some of its functions are given nothing else
            read = typed(value) if library == "mlflow" and isinstance(value, str) else value
            values[name] = (library, read)
    return values


def _flat(values: Any) -> dict[str, Any]:
    found = flatten(values) if isinstance(values, Mapping) else {}
    return {name.replace("-", "_"): value for name, value in found.items()}


def declared_outputs(report: ProbeReport) -> tuple[str, ...]:
    """The absolute paths that the program named with `git_replicate.output`, each once, in order."""
    return tuple(dict.fromkeys(str(note.get("path")) for _, note in report.of_kind("api_output") if note.get("path")))


def api_notices(report: ProbeReport) -> list[str]:
    """What of the program's calls could not be recorded, in words."""
    foreign: dict[str, str] = {}
    for _, note in report.of_kind("api_foreign"):
        foreign.setdefault(str(note.get("name")), str(note.get("type")))
    return [f"git_replicate.log: {name} is no number ({kind}), left out" for name, kind in foreign.items()]
