"""`git replicate apply RUN`: bring a run's code into the worktree."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from git_replicate.commands import _reading

if TYPE_CHECKING:
    from git_replicate.commands.context import Context


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", metavar="RUN", help="a run")


def execute(options: argparse.Namespace, context: Context) -> int:
    from git_replicate.execution.snapshots import apply_code
    from git_replicate.store.store import read_run

    row = _reading.find(context, options.run)
    changed = apply_code(context.repository, read_run(context.repository, row["oid"]).record)
    context.console.say(f"{changed} file{'s' * (changed != 1)} changed; HEAD is where it was. To look: git diff HEAD")
    return 0
