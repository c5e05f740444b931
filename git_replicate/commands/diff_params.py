"""`git replicate diff-params A B [C…]`: what differs in params, seeds and metrics."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from git_replicate.commands import _reading
from git_replicate.core.errors import UsageError

if TYPE_CHECKING:
    from git_replicate.commands.context import Context


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("runs", metavar="RUN", nargs="+", help="two or more runs")
    parser.add_argument("-a", "--all", action="store_true", help="what does not differ as well")
    _reading.add_output(parser)


def execute(options: argparse.Namespace, context: Context) -> int:
    from git_replicate.core.compare import difference_table

    if len(options.runs) < 2:
        raise UsageError("one run cannot be compared", "git replicate diff-params latest~1 latest")
    rows = [_reading.find(context, name) for name in options.runs]
    _reading.present(context, rows)
    labels = [_reading.short_id(row["id"]) for row in rows]
    table = difference_table(rows, labels, everything=options.all)
    if not table.rows and options.format == "text":
        context.console.say("no difference in params, seeds or metrics")
        return 0
    _reading.draw(context, options, table)
    return 0
