"""`git replicate affected`: which runs contain a bug, by the content of their code."""

from __future__ import annotations

import argparse
from dataclasses import replace
from typing import TYPE_CHECKING

from git_replicate.commands import _bugs, _reading
from git_replicate.core.sizes import count

if TYPE_CHECKING:
    from git_replicate.commands.context import Context


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("files", metavar="FILE[:LINES]", nargs="*", help="a file, or lines of it: train.py:10-20")
    _bugs.add_options(parser)
    parser.add_argument("--where", metavar="EXPR", help="only runs for which an SQL expression holds")
    parser.add_argument("--reruns", action="store_true", help="reruns as well")
    _reading.add_output(parser)


def execute(options: argparse.Namespace, context: Context) -> int:
    from git_replicate.core.table import Table

    found, left_out = _bugs.find(context, options, options.files, options.where, reruns=options.reruns)
    words = {True: "yes", False: "no", None: "unknown"}
    text = options.format == "text"

    def named(experiment: str, run: str) -> str:
        return _reading.short_id(run) if text else f"{experiment}/{run}" if experiment else run

    lines = [
        (
            named(each.row["experiment"], each.row["id"]), each.row.get("status"), str(each.presence),
            words[each.executed], ", ".join(each.files), *([each.row["experiment"]] if text else []),
            named("", each.row.get("superseded_by") or ""),
        )
        for each in found
    ]  # fmt: skip
    notices = []
    if left_out:
        notices.append(f"{count(left_out, 'rerun')} left out (--reruns lists them)")
    if any(str(each.presence) == "unknown" for each in found):
        notices.append("unknown: this clone lacks what is needed to tell: git fetch --unshallow")
    columns = ("run", "status", "contains", "executed", "files", *(["experiment"] if text else []), "superseded_by")
    replaced = any(line[-1] for line in lines)
    table = Table(columns[: None if replaced else -1], tuple(line[: None if replaced else -1] for line in lines))
    _reading.draw(context, options, replace(table, notices=tuple(notices)))
    return 0
