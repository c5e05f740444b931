"""`git replicate rm`: remove runs, and bring them back."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from git_replicate.commands import _reading

if TYPE_CHECKING:
    from git_replicate.commands.context import Context


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("runs", metavar="RUN", nargs="+", help="runs")
    parser.add_argument("--undo", action="store_true", help="bring removed runs back (within 30 days)")


def execute(options: argparse.Namespace, context: Context) -> int:
    from git_replicate.store.trash import expire, find_removed, remove, restore

    repository, actor = context.writer, context.config.identity()
    if options.undo:
        for run in [find_removed(repository, name) for name in options.runs]:
            restore(repository, run, actor=actor)
            context.console.say(f"brought back {run.name}")
        return 0
    for row in [_reading.find(context, name) for name in options.runs]:
        remove(repository, row["ref"], actor=actor)
        context.console.say(f"removed {row['experiment']}/{row['id']}; to undo: git replicate rm --undo {row['id']}")
    expire(repository)
    return 0
