"""Which runs of other sweeps are what a sweep asks for, so that they need not be done again."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from git_replicate.core import record as records
from git_replicate.core.query import quote
from git_replicate.core.record import Record
from git_replicate.core.sizes import count
from git_replicate.core.sweep import Planned, planned_of
from git_replicate.execution.sweeping.engine import Engine
from git_replicate.execution.sweeping.sweep import Job, key_of, prepare_once
from git_replicate.store.indexing.index import Index, Row


def alike(
    index: Index, job: Job, engine: Engine, plan: Sequence[Planned], say: Callable[[str], None]
) -> dict[tuple[int, int | None], Record]:
    """Runs of other sweeps that are what this plan asks for, by trial and seed: all that went in is the same.

    Code, command, folder, point, seed, environment and data; of a run without a seed of its own, none is asked for.
    What somebody has called invalid, or replaced, is not there. say: told of those that only what is around them
    makes others.
    """
    if job.sweep.repeat or not plan:
        return {}
    rows = index.matching(
        f"runs.tree = {quote(job.code.tree)} AND runs.status = 'finished' AND runs.sweep <> {quote(job.sweep.id)}"
        " AND runs.invalid IS NULL AND runs.superseded_by IS NULL"
    )
    if not rows:
        return {}
    asked = _asked(job.sweep.document(plan[0]), job.prefix)
    known: dict[str, tuple[Row, Record]] = {}
    for row, document in zip(rows, index.documents(rows), strict=True):
        record = records.from_document(document)
        if _asked(record.sweep, record.directory) == asked:
            seed = record.seeds.run if record.sweep.get("seeds") else None
            known.setdefault(_spelled(planned_of(record.sweep)[1], seed), (row, record))
    if not known:
        return {}
    pairs = {key_of(p): known[text] for p in plan if (text := _spelled(p.point, p.seed)) in known}
    if not pairs:
        return {}
    around = prepare_once(job, engine, plan[0])
    unlike: Counter[str] = Counter()
    same: dict[tuple[int, int | None], Record] = {}
    for key, (row, record) in pairs.items():
        if str(row.get("environment") or "") != around.environment:
            unlike["another environment"] += 1
        elif str(row.get("data") or "") != around.data:
            unlike["other data, or read some that is not declared (--data)"] += 1
        else:
            same[key] = record
    for what, number in unlike.items():
        say(f"done again: {count(number, 'run')} of other sweeps had {what}")
    return same


def _asked(table: Mapping[str, Any], directory: str) -> tuple[Any, ...]:
    """What all runs of a sweep have in common that other sweeps of the same code may ask for as well."""
    return tuple(table.get("command", ())), directory, bool(table.get("seeds")), table.get("options", {})


def _spelled(point: Mapping[str, Any], seed: int | None) -> str:
    """A point and its seed as a text: 1 is not 1.0 there, nor True."""
    return json.dumps([sorted(point.items()), seed], sort_keys=True, default=str)
