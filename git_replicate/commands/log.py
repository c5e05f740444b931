"""`git replicate log`: browse runs, newest first."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from git_replicate.commands import _reading
from git_replicate.core.collate import every_column, plain_table
from git_replicate.core.sizes import count
from git_replicate.core.table import Table, fold_constants

if TYPE_CHECKING:
    from git_replicate.commands.context import Context
    from git_replicate.store.indexing.index import Index, Row

_FRAME = ("run", "status", "age", "experiment")
_PAGED: Final = 1_000
"""Rows that are shown on a terminal where no number is asked for."""


def configure(parser: argparse.ArgumentParser) -> None:
    _reading.add_experiment(parser)
    _reading.add_choice(parser)
    parser.add_argument(
        "-a", "--all", action="store_true", help="archived runs, and the hybrids of why --bisect, as well"
    )
    _reading.add_output(parser)


def execute(options: argparse.Namespace, context: Context) -> int:
    from git_replicate.store.lookup import check_experiment

    index, console = context.index, context.console
    options.experiment = _reading.experiment(options)
    where = _condition(options)
    # What a person pages through comes at once; a table of 100,000 rows would take seconds to lay out.
    paged = options.limit is None and options.format == "text" and not options.output and console.width is not None
    rows = index.select(where, sort=options.sort or ["-started"], limit=_PAGED + 1 if paged else options.limit)
    more = paged and len(rows) > _PAGED
    rows = rows[:_PAGED] if more else rows
    if not rows and options.experiment:
        check_experiment(index, options.experiment)
    is_left = _reading.present(context, rows)
    if options.format in ("json", "jsonl"):
        from git_replicate.render import json_

        documents = index.documents(rows)
        text = json_.dump(list(documents)) if options.format == "json" else json_.dump_lines(documents)
        _reading.put(context, options, text)
        return 0
    if not rows:
        if options.limit != 0:
            console.say(_nothing(options, index))
        return 0
    if options.format == "text":
        _reading.draw(context, options, fold_constants(run_table(rows), keep=_FRAME[:3]))
    else:
        _reading.draw(context, options, plain_table(rows, every_column(rows)))
    if more:
        console.say(f"note: the first {_PAGED} runs; for more, say how many: git replicate log -n 100000")
    if is_left:
        _reading.say_what_is_left(context)
    if unreadable := index.unreadable():
        console.say(f"note: {count(unreadable, 'record')} cannot be read by this version")
    return 0


def _nothing(options: argparse.Namespace, index: Index) -> str:
    """Why the list is empty: there are no runs, or none that match."""
    if not (options.where or options.experiment):
        if not options.all and index.select(None, limit=1, columns=("id",)):
            return "every run is archived, or a hybrid: git replicate log --all"
        return "no runs yet: git replicate start -- python train.py"
    return "no runs match"


def _condition(options: argparse.Namespace) -> str | None:
    from git_replicate.core.query import all_of, quote

    parts = [] if options.all else ["archived is null", "hybrid is null"]
    if options.experiment:
        parts.append(f"experiment = {quote(options.experiment)}")
    return all_of(parts, options.where)


def run_table(rows: Sequence[Row]) -> Table:
    """A line a run: what it is, how it ended, its params and its metrics."""
    params = sorted({name for row in rows for name in row if name.startswith("params.")})
    metrics = sorted({name for row in rows for name in row if name.startswith("metrics.")})
    columns = (*_FRAME, *params, *metrics, "seconds", "tags", "message")
    return Table(columns, tuple((*_frame(row), *(_cell(row, name) for name in columns[4:])) for row in rows))


def _frame(row: Row) -> tuple[Any, ...]:
    marks = [name for name in ("mixed", "leaked", "archived") if row.get(name)]
    marks += ["hybrid" if row.get("hybrid") else "rerun"] if row.get("rerun_of") else []
    marks += [mark for mark, name in (("invalid", "invalid"), ("superseded", "superseded_by")) if row.get(name)]
    status = " ".join([row["status"], *(f"({mark})" for mark in marks)])
    return (_reading.short_id(row["id"]), status, _reading.age(row.get("started")), row["experiment"])


def _cell(row: Row, name: str) -> Any:
    value = row.get(name)
    if name == "message" and row.get("rerun_of"):
        return ": ".join(filter(None, [f"rerun of {_reading.short_id(row['rerun_of'])}", value]))
    if name == "tags" and value:
        import json

        return ", ".join(json.loads(value))
    return round(value, 3) if name == "seconds" and value is not None else value
