"""Which run a person means: an id, a part of one, `latest~2`, `best:accuracy`, a commit."""

from __future__ import annotations

import re
from collections.abc import Sequence

from git_replicate.core.errors import UserError
from git_replicate.core.names import RUNS_PREFIX, is_run_id
from git_replicate.core.query import quote
from git_replicate.core.stats import smaller_is_better
from git_replicate.store.index import Index, Row

_LATEST = re.compile(r"latest(?:~(\d+))?")
_PART = re.compile(r"[0-9a-f-]{2,}")
_SHOWN = 8


def find_run(index: Index, name: str, *, maximize: Sequence[str] = (), minimize: Sequence[str] = ()) -> Row:
    """The one run of this name; `UserError` lists the candidates when there are several, and says so when none."""
    name = name.strip()
    if latest := _LATEST.fullmatch(name):
        rows = index.select(None, limit=int(latest[1] or 0) + 1)
        if len(rows) <= int(latest[1] or 0):
            raise UserError(f"{name}: there are only {len(rows)} runs", "git replicate log")
        return rows[-1]
    if name.startswith("best:"):
        return _best(index, name.removeprefix("best:"), maximize, minimize)
    full = name.removeprefix(RUNS_PREFIX).removeprefix("experiments/")
    experiment, _, part = full.rpartition("/")
    if part and (is_run_id(part) or _PART.fullmatch(part)):
        like = f"(runs.id LIKE {quote(part + '%')} OR runs.id LIKE {quote('%' + part)})"
        rows = index.matching(like + (f" AND runs.experiment = {quote(experiment)}" if experiment else ""))
        if len(rows) == 1:
            return rows[0]
        if len(rows) > 1:
            listed = "; ".join(f"{row['experiment']}/{row['id']} {row['status']}" for row in rows[:_SHOWN])
            more = f"; and {len(rows) - _SHOWN} more" if len(rows) > _SHOWN else ""
            raise UserError(f"{name} is ambiguous: {listed}{more}", "give more of the id")
    return _by_commit(index, name)


def _by_commit(index: Index, name: str) -> Row:
    commit = index.repository.resolve(name)
    rows = index.matching(f"runs.oid = {quote(commit)}") if commit else []
    if rows:
        return rows[0]
    if commit:
        raise UserError(f"{name} is a commit, but not the end of a run", "git replicate log")
    raise UserError(f"no run is called {name!r}", "git replicate log lists the runs")


def _best(index: Index, metric: str, maximize: Sequence[str], minimize: Sequence[str]) -> Row:
    """The finished run with the best value; small is good for losses, unless the configuration says otherwise."""
    bare = metric.removeprefix("metrics.")
    smallest = smaller_is_better(bare, maximize, minimize)
    where = f"status = 'finished' and metrics.`{bare}` is not null"
    rows = index.select(where, sort=[f"metrics.`{bare}` {'asc' if smallest else 'desc'}"], limit=1)
    if not rows:
        raise UserError(f"no finished run has the metric {bare!r}", "git replicate collate")
    return rows[0]
