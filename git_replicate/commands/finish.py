"""`git replicate finish`: close a session opened with `start --open`."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from git_replicate.commands.context import Context


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", metavar="RUN", nargs="?", help="the session (default: the only open one)")
    parser.add_argument("--failed", metavar="REASON", help="record that it failed, and why")
    parser.add_argument("-q", "--quiet", action="store_true", help="say nothing but errors")


def execute(options: argparse.Namespace, context: Context) -> int:
    from git_replicate.execution.recover import finish_session
    from git_replicate.execution.run import describe_outcome

    record = finish_session(context.repository, options.run, failed=options.failed, warn=context.console.warn)
    if not options.quiet:
        context.console.say(f"run {record.experiment}/{record.id} {describe_outcome(record)}")
    return 0
