"""`git replicate branch RUN NAME`: a branch at a run's code."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from git_replicate.commands import _reading

if TYPE_CHECKING:
    from git_replicate.commands.context import Context


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", metavar="RUN", help="a run")
    parser.add_argument("name", metavar="NAME", help="name of the new branch")


def execute(options: argparse.Namespace, context: Context) -> int:
    from git_replicate.execution.snapshots import make_branch
    from git_replicate.store.store import read_run

    row = _reading.find(context, options.run)
    record = read_run(context.repository, row["oid"]).record
    make_branch(context.repository, record, options.name)
    context.console.say(
        f"branch {options.name} at {record.code.snapshot[:12]}; to work on it: git switch {options.name}"
    )
    return 0
