"""What a run is to do, decided before anything starts, and kept in its spool.

A plan is all that the end of a run needs to know, so that whoever sees the end - the recorder, `finish`, or
`recover` after a crash - concludes the run in the same way.
"""

from __future__ import annotations

import dataclasses
import glob
import json
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import field
from typing import Any

from git_replicate.capture.outputs import stamp_files
from git_replicate.capture.program import program_name
from git_replicate.capture.tensorboard import EventSearch
from git_replicate.core.frozen import frozen
from git_replicate.core.names import ExperimentName, clean_component, experiment_name
from git_replicate.core.record import Record
from git_replicate.core.settings import Settings
from git_replicate.core.stats import smaller_is_better

PLAN_FILE = "plan.json"
_FRESH = 60.0
"""Seconds; an older file has a time that tells it from this run's."""


@frozen
class Request:
    """What the user asked of one `start`; paths are relative to the top of the worktree."""

    command: tuple[str, ...]
    experiment: str = ""
    message: str = ""
    params: tuple[tuple[str, Any], ...] = ()
    seed: int | str | None = None
    data: tuple[str, ...] = ()
    absent: bool = False
    """Data that is missing is no error."""
    outputs: tuple[str, ...] = ()
    metrics: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    placeholders: bool = True
    strict: bool = False
    quiet: bool = False
    session: bool = False
    new_run: bool = False
    prepare: bool = False
    """Build the environment of the worktree first, and run in it."""
    probe: bool = True
    """Observe the command's Python processes."""
    deterministic: bool = False
    """Have libraries use deterministic algorithms only."""
    linked: tuple[str, ...] = ()
    """What the command is known to read in the worktree; a checkout has links to it."""


@frozen
class Plan:
    """How to conclude a run: where its results are, and how much of them to keep."""

    top: str
    metrics: tuple[str, ...] = ()
    patterns: tuple[str, ...] = ()
    stdout: bool = True
    outputs: tuple[str, ...] = ()
    large_bytes: int = 10_000_000
    keep: str = "all"
    smallest: bool = False
    """Whether the metric of `keep = "best:METRIC"` is best where it is smallest."""
    lfs: bool = False
    store: str = ""
    """Folder for big outputs, where one is configured; relative to the top."""
    log_bytes: int = 10_000_000
    tags: tuple[str, ...] = ()
    session: bool = False
    environment: str = ""
    data: str = ""
    inputs: tuple[str, ...] = ()
    """Paths of all that is declared as data, relative to the top or absolute."""
    probe: bool = True
    """Whether the command's Python processes are observed."""
    origin: str = ""
    """Top of the user's own worktree, for a run in a checkout."""
    before: Mapping[str, Sequence[int]] = field(default_factory=dict)
    """The result files that were there before the run: time, size and inode."""
    doubts: Mapping[str, str] = field(default_factory=dict)
    """Requested params that nothing was known to read when the run began, and what to say if nothing does."""
    attempt: int = 1
    elapsed: float = 0.0
    """Seconds from the run's start to that of this attempt."""
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    """What the attempts before this one took."""


def experiment_of(request: Request, settings: Settings, command: tuple[str, ...]) -> ExperimentName:
    """The name given, or configured, or else that of the script."""
    given = request.experiment or os.environ.get("GIT_REPLICATE_EXPERIMENT", "") or settings.experiment
    if given:
        return experiment_name(given)
    return ExperimentName(clean_component(program_name(command)) or "default")


def make_plan(
    request: Request,
    settings: Settings,
    *,
    top: str,
    environment: bytes,
    data: bytes,
    store: str = "",
    origin: str = "",
    events: EventSearch | None = None,
) -> Plan:
    """Merge what the command line adds to the configuration; events: a search that has been made already."""
    results = settings.results
    metrics = _united(results.metrics, request.metrics)
    outputs = _united(results.outputs, request.outputs)
    return Plan(
        top=top,
        metrics=metrics,
        patterns=results.patterns,
        stdout=results.stdout,
        outputs=outputs,
        large_bytes=settings.outputs.large_bytes,
        keep=settings.outputs.keep,
        smallest=smaller_is_better(settings.outputs.keep.removeprefix("best:"), results.maximize, results.minimize),
        lfs=settings.outputs.lfs,
        store=store,
        log_bytes=settings.log.bytes,
        tags=request.tags,
        session=request.session,
        inputs=_declared(settings, request.data),
        probe=request.probe and settings.probe.enabled,
        origin=origin,
        environment=environment.decode(),
        data=data.decode(),
        before={**stamp_files(_united(metrics, outputs), top), **_fresh_events(top, events or EventSearch(top))},
    )


def _declared(settings: Settings, data: tuple[str, ...]) -> tuple[str, ...]:
    """Every path whose content the record accounts for."""
    named = [os.path.expanduser(entry.path) for entry in settings.data.named.values() if entry.path]
    stages = [path for stage in settings.stage for path in (stage.script, *stage.inputs, *stage.outputs)]
    return tuple(dict.fromkeys((*settings.data.paths, *data, *named, *stages)))


def _fresh_events(top: str, events: EventSearch) -> dict[str, tuple[int, int, int]]:
    """Stamps of TensorBoard's files that a run before this one may be writing, or has just written."""
    fresh = events.files(since=time.time() - _FRESH)
    return stamp_files([glob.escape(os.path.relpath(path, top)) for path in fresh], top)


def _united(first: tuple[str, ...], second: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys((*first, *second)))


def started_at(record: Record, plan: Plan) -> float:
    """When the present attempt of a run began, in seconds since 1970."""
    return (record.started.timestamp() if record.started else 0.0) + plan.elapsed


def dump_plan(plan: Plan) -> bytes:
    return json.dumps(dataclasses.asdict(plan)).encode("utf-8", "surrogateescape")


def load_plan(text: bytes) -> Plan:
    """Read a plan back; fields of a newer version are ignored."""
    values = json.loads(text)
    names = {f.name for f in dataclasses.fields(Plan)}
    known: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in values.items() if k in names}
    return Plan(**known)
