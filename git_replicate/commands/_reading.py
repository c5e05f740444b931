"""What the reading commands share: formats, output, naming a run, and what a person sees of a run's state."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from git_replicate.core.errors import UsageError, UserError
from git_replicate.core.table import Table
from git_replicate.render import FORMATS, renderer

if TYPE_CHECKING:
    from git_replicate.commands.context import Context
    from git_replicate.store.indexing.index import Row

STATUS_STYLES = {
    "finished": ("green",), "failed": ("red",), "lost": ("red",), "running": ("cyan",), "queued": ("cyan",),
    "interrupted": ("yellow",), "pruned": ("yellow",),
}  # fmt: skip


def add_output(parser: argparse.ArgumentParser, formats: Sequence[str] = FORMATS) -> None:
    parser.add_argument("--format", choices=formats, default="text", help="how to print (default: text)")
    parser.add_argument("-o", "--output", metavar="FILE", help="write to a file instead")


def add_experiment(parser: argparse.ArgumentParser) -> None:
    """The name of a series, as a word or as the option that it is where runs are made."""
    parser.add_argument("experiment", metavar="EXPERIMENT", nargs="?", help="only runs of this experiment")
    parser.add_argument("-e", "--experiment", dest="of", metavar="NAME", help="the same as EXPERIMENT")


def experiment(options: argparse.Namespace) -> str | None:
    """The series asked for in either way; `UsageError` for two."""
    if options.experiment and options.of and options.experiment != options.of:
        raise UsageError(
            f"runs of {options.experiment} or of {options.of}?",
            "one of them: --where \"experiment in ('a', 'b')\" takes several",
        )
    return options.experiment or options.of or None


def add_choice(parser: argparse.ArgumentParser, *, limit: bool = True) -> None:
    """The options that choose and order runs."""
    parser.add_argument("--where", metavar="EXPR", help="only runs for which an SQL expression holds")
    parser.add_argument("--sort", metavar="NAME", action="append", help="order by a name; -NAME: largest first")
    if limit:
        parser.add_argument("-n", "--limit", metavar="N", type=_count, help="at most so many")


def _count(text: str) -> int:
    if not text.isdigit():
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of runs")
    return int(text)


def tolerance(text: str) -> float:
    """A tolerance on the command line."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is not a tolerance; try 1e-3")
    return value


def put(context: Context, options: argparse.Namespace, text: str, *, page: bool = True) -> None:
    """The answer, to a file or to standard output; only what people read is paged."""
    if options.output:
        try:
            with open(options.output, "w", encoding="utf-8", errors="replace", newline="") as file:
                file.write(text)
        except OSError as error:
            raise UserError(f"write {options.output}: {error.strerror}", "name another file: -o FILE") from error
    else:
        context.console.answer(text, page=page and options.format == "text")


def draw(context: Context, options: argparse.Namespace, table: Table, *, heading: str = "") -> None:
    """A table in the format asked for; its notices go to standard error."""
    from git_replicate.render import text

    if options.format == "text":
        width = None if options.output else context.console.width
        paint = None if options.output else (lambda cell, column, value: _paint(context, cell, column, value))
        put(context, options, text.render(table, width=width, paint=paint, heading=heading))
    else:
        put(context, options, renderer(options.format)(table))
    for notice in table.notices:
        context.console.say(f"note: {notice}")


def _paint(context: Context, cell: str, column: str, value: Any) -> str:
    style = context.console.style
    if column == "status":
        return style(cell, *STATUS_STYLES.get(str(value).split(" ", maxsplit=1)[0], ()))
    return style(cell, "yellow") if column in ("run", "id") else style(cell)


def find(context: Context, name: str) -> Row:
    """The run that a person names."""
    from git_replicate.store.lookup import find_run

    results = context.settings.results
    return find_run(context.index, name, maximize=results.maximize, minimize=results.minimize)


def present(context: Context, rows: Sequence[Row]) -> bool:
    """Show runs as lost that git calls running but whose processes have gone (on this machine).

    Whether any of them has left something that nobody has stored yet: how it ended, say, or what it printed.
    """
    running = [row for row in rows if row.get("status") == "running"]
    if not running:
        return False
    from git_replicate.capture.machine import host
    from git_replicate.execution.recover import live_runs
    from git_replicate.store.sharing.elsewhere import elsewhere

    here = {run.record.id: run for run in live_runs(context.repository)}
    others = elsewhere(context.repository.layout)
    left = False
    for row in running:
        if row.get("host") != host() or row["id"] in others:
            continue
        live = here.get(row["id"])
        if live is None or (live.alive == "none" and not live.session):
            row["status"] = "lost"
            left = left or live is not None
    return left


def say_what_is_left(context: Context) -> None:
    """Beside runs that are shown as lost, how to learn more of them."""
    context.console.say("note: how a lost run ended, and what it left, may be known yet: git replicate recover")


def short_id(identifier: str) -> str:
    """The part of a run id that a person types."""
    return identifier.rpartition("-")[2]


def age(started: str | None) -> str:
    """How long ago, in the largest unit that says something."""
    if not started:
        return ""
    seconds = (datetime.now(UTC) - datetime.fromisoformat(started)).total_seconds()
    for size, unit in ((86_400 * 365, "y"), (86_400 * 7, "w"), (86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= size:
            return f"{int(seconds // size)} {unit}"
    return f"{max(int(seconds), 0)} s"
