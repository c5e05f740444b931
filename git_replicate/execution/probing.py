"""The probe of a run: the variables that start it, and what it saw put into the record."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from git_replicate.capture.cells import Cells
from git_replicate.capture.noted_params import declared_outputs, with_noted
from git_replicate.capture.parsed_params import read_parsed, with_parsed
from git_replicate.capture.probe_report import PROBE_FOLDER, ProbeReport
from git_replicate.capture.runtime import with_runtime
from git_replicate.capture.seeding import with_seeding
from git_replicate.capture.seeds import seed_environment
from git_replicate.capture.values import flatten
from git_replicate.core.record import Record, Seeds
from git_replicate.execution.plan import Plan
from git_replicate.execution.site import Site
from git_replicate.probe import SITE, VARIABLE

_OURS = frozenset({VARIABLE, f"{VARIABLE}_ABOVE", f"{VARIABLE}_PATH"})
"""What the processes of a run hand to each other; a run within another one, or rank, begins anew."""


def probe_environment(
    environ: Mapping[str, str],
    folder: str,
    seeds: Seeds,
    *,
    run: str,
    top: str,
    started: float,
    site: Site | None,
    program: str,
    observe: bool,
) -> dict[str, str]:
    """The command's variables with the probe in front of PYTHONPATH.

    folder: of the run's spool, in which the probe's own is made (`OSError` if it cannot be); started: when this
    attempt of the run began, in seconds since 1970. A run in a checkout has its imports turned there even if nothing
    is observed. program: the name of the one that the command comes down to.
    """
    path = environ.get("PYTHONPATH", "")
    known = [entry for entry in path.split(os.pathsep) if entry != SITE] if path else []
    env = {name: value for name, value in environ.items() if name not in _OURS}
    if not (observe or site):
        return env
    own = os.path.join(folder, PROBE_FOLDER)
    os.makedirs(own, mode=0o700, exist_ok=True)
    told: dict[str, Any] = {
        "folder": own, "run": run, "top": top, "seed": seeds.run, "seed_mode": seeds.mode, "started": started,
        "program": program, "deterministic": seeds.deterministic,
    }  # fmt: skip
    if site is not None:
        known = [site.path(entry) for entry in known]
        told["isolation"] = {"from": list(site.homes), "to": site.top}
    if not observe:
        told["observe"] = False
    env["PYTHONPATH"] = os.pathsep.join([SITE, *known])
    env[VARIABLE] = json.dumps(told)
    return env


def with_declared(plan: Plan, report: ProbeReport) -> Plan:
    """The plan with the outputs that the program itself declared."""
    top = os.path.realpath(plan.top)
    declared = []
    for path in declared_outputs(report):
        real = os.path.join(os.path.realpath(os.path.dirname(path)), os.path.basename(path))
        declared.append(os.path.relpath(real, top) if real.startswith(top + os.sep) else path)
    return replace(plan, outputs=tuple(dict.fromkeys((*plan.outputs, *declared))))


def with_cells(record: Record, cells: Cells) -> tuple[Record, list[str]]:
    """The record with how many cells of notebooks ran, and a warning if not in order."""
    if not cells.total:
        return record, []
    runtime = {**record.runtime, "cells": cells.total}
    if not cells.out_of_order:
        return replace(record, runtime=runtime), []
    warning = (
        f"{cells.out_of_order} of {cells.total} cells ran out of order: "
        "from top to bottom, the notebook may give something else"
    )
    return replace(record, runtime={**runtime, "cells_out_of_order": cells.out_of_order}), [warning]


def unread_requests(plan: Plan, record: Record, warnings: Sequence[str]) -> list[str]:
    """The warnings that waited for the end, of requests that nothing has read."""
    unused = flatten(record.params_unused)
    said = {line.partition("=")[0] for line in warnings}
    return [line for name, line in plan.doubts.items() if name in unused and f"-p {name}" not in said]


def part_environment(
    environ: Mapping[str, str], *, seed: int | str | None, program: str, deterministic: bool
) -> dict[str, str]:
    """The variables of a part of a run that asks for a seed, or for deterministic algorithms, of its own.

    With a seed the part's own program starts from it, as that of a run does. program: its name.
    """
    env = {**environ, **seed_environment(Seeds(deterministic=deterministic), environ)}
    if not environ.get(VARIABLE):
        return env
    told = json.loads(environ[VARIABLE])
    told["deterministic"] = bool(told.get("deterministic") or deterministic)
    if isinstance(seed, int) or seed == "none":
        told.update({"program": program, "seed": seed if isinstance(seed, int) else None, "seed_mode": "given"})
        env.pop(f"{VARIABLE}_PATH", None)
    env[VARIABLE] = json.dumps(told)
    return env


def with_report(record: Record, report: ProbeReport) -> tuple[Record, list[str]]:
    """The record with what the probe's processes noted, and warnings to say."""
    record = with_runtime(replace(record, seeds=with_seeding(record.seeds, report)), report)
    return with_parsed(with_noted(record, report), read_parsed(report, record.command))
