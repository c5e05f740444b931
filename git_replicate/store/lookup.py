"""Which run a person means: an id, a part of one, `latest~2`, `best:accuracy`, a commit."""

from __future__ import annotations

import contextlib
import difflib
import re
import shlex
from collections.abc import Sequence

from git_replicate.core.errors import FormatError, UserError
from git_replicate.core.names import RUNS_PREFIX, is_run_id
from git_replicate.core.query import quote
from git_replicate.core.sizes import count
from git_replicate.core.stats import smaller_is_better
from git_replicate.store.indexing.index import Index, Row
from git_replicate.store.store import read_run

_LATEST = re.compile(r"latest(?:~(\d+))?")
_PART = re.compile(r"[0-9a-f-]{2,}")
_BEGINNING = re.compile(r"[0-9a-f]{4,}")
"""Of the short id, the part of an id that tables show: so many digits of it are enough."""
NO_HYBRID = "hybrid is null"
"""Runs that somebody asked for, without those that `why --bisect` made of two."""
_SHOWN = 8
_SEARCHED = 1000
"""Newest runs whose names are compared with one that nothing has."""
_ALIKE = 0.75
_MARKS = ("invalid", "superseded_by", "archived", "rerun_of")
"""What a run that counts has none of; hybrids are reruns."""


def find_run(index: Index, name: str, *, maximize: Sequence[str] = (), minimize: Sequence[str] = ()) -> Row:
    """The one run of this name; `UserError` lists the candidates when there are several, and says so when none."""
    name = name.strip()
    if latest := _LATEST.fullmatch(name):
        rows = index.select(NO_HYBRID, limit=int(latest[1] or 0) + 1)
        if len(rows) <= int(latest[1] or 0):
            raise UserError(f"{name}: {_there_are(len(rows))}", "git replicate log")
        return rows[-1]
    if name.startswith("best:"):
        return _best(index, name.removeprefix("best:"), maximize, minimize)
    rows = _by_id(index, name)
    if len(rows) == 1:
        return rows[0]
    if len(rows) > 1:
        listed = "; ".join(f"{row['experiment']}/{row['id']} {row['status']}" for row in rows[:_SHOWN])
        more = f"; and {len(rows) - _SHOWN} more" if len(rows) > _SHOWN else ""
        raise UserError(f"{name} is ambiguous: {listed}{more}", "give more of the id")
    return _by_commit(index, name)


def _by_id(index: Index, name: str) -> list[Row]:
    """The runs whose id, the beginning or end of it, or the beginning of the short id this is.

    `experiment/` may stand before it.
    """
    experiment, _, part = name.removeprefix(RUNS_PREFIX).removeprefix("experiments/").rpartition("/")
    if not part or not (is_run_id(part) or _PART.fullmatch(part)):
        return []
    ways = [f"{part}%", f"%{part}", *([f"________-______-{part}%"] if _BEGINNING.fullmatch(part) else ())]
    like = " OR ".join(f"runs.id LIKE {quote(way)}" for way in ways)
    return index.matching(f"({like})" + (f" AND runs.experiment = {quote(experiment)}" if experiment else ""))


def _there_are(number: int) -> str:
    if number == 0:
        return "there are no runs yet"
    return f"there {'is' if number == 1 else 'are'} only {count(number, 'run')}"


def _by_commit(index: Index, name: str) -> Row:
    """The run that has a commit: its newest, or an earlier one with a record."""
    commit = index.repository.resolve(name)
    if commit is None:
        raise UserError(f"no run is called {name!r}", _nearest(index, name))
    if rows := index.matching(f"runs.oid = {quote(commit)}"):
        return rows[0]
    with contextlib.suppress(UserError, FormatError):
        record = read_run(index.repository, commit).record
        rows = index.matching(f"runs.experiment = {quote(record.experiment)} AND runs.id = {quote(record.id)}")
        if rows:
            return rows[0]
    tested = index.matching(f"runs.snapshot = {quote(commit)} OR runs.base = {quote(commit)}")
    hint = (
        f"git replicate log --where \"snapshot = '{commit}' or base = '{commit}'\"" if tested else "git replicate log"
    )
    runs = f"{count(len(tested), 'run')} tested it" if tested else "no run tested it"
    raise UserError(f"{name} is a commit, but not one of a run's record; {runs}", hint)


def check_experiment(index: Index, name: str) -> None:
    """`UserError` if no run is of the experiment called so; its hint is what was probably meant."""
    names = list(dict.fromkeys(str(row["experiment"]) for row in index.select(None, columns=("experiment",))))
    if name not in names:
        raise UserError(f"no experiment is called {name!r}", _meant(index, name, names))


def _meant(index: Index, name: str, names: Sequence[str]) -> str:
    if not names:
        return f"there are no runs yet: git replicate start -e {shlex.quote(name)} -- python train.py"
    if near := difflib.get_close_matches(name, names, 1, _ALIKE):
        return f"did you mean {near[0]}?"
    if len(runs := _by_id(index, name)) == 1:
        return f"it names a run: git replicate show {runs[0]['id']}"
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return f"there are: {', '.join(names[:_SHOWN])}{more}"


def _nearest(index: Index, name: str) -> str:
    """The hint for a name that nothing has."""
    rows = index.select(None, limit=_SEARCHED)
    experiments = {str(row["experiment"]): "" for row in rows}
    if near := difflib.get_close_matches(name, experiments, 1, _ALIKE):
        return f"did you mean an experiment? git replicate log {shlex.quote(near[0])}"
    ids = [str(row["id"]) for row in rows]
    names = [f"{row['experiment']}/{row['id']}" for row in rows]
    near = difflib.get_close_matches(name, ["latest", *ids, *names], 1, _ALIKE)
    return (f"did you mean {near[0]}? " if near else "") + "git replicate log lists the runs"


def _best(index: Index, metric: str, maximize: Sequence[str], minimize: Sequence[str]) -> Row:
    """The run with the best value, of those that count; small is good for losses, unless the configuration differs."""
    bare = metric.removeprefix("metrics.")
    if not bare:
        names = index.names().metrics
        raise UserError(
            "best: lacks the name of a metric",
            f"git replicate show {shlex.quote(f'best:{names[0]}')}" if names else "no run has a metric yet",
        )
    smallest = smaller_is_better(bare, maximize, minimize)
    unmarked = " and ".join(f"{mark} is null" for mark in _MARKS)
    where = f"status = 'finished' and {unmarked} and metrics.`{bare}` is not null"
    rows = index.select(where, sort=[f"metrics.`{bare}` {'asc' if smallest else 'desc'}"], limit=1)
    if not rows:
        raise UserError(f"no valid finished run has the metric {bare!r}", "git replicate collate")
    return rows[0]
