"""`git replicate recover`: finalise the runs whose recorder is gone, saving what they left."""

from __future__ import annotations

import argparse
from collections import Counter
from typing import TYPE_CHECKING

from git_replicate.core.sizes import count

if TYPE_CHECKING:
    from git_replicate.commands.context import Context


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-n", "--dry-run", action="store_true", help="only say what would be recovered")


def execute(options: argparse.Namespace, context: Context) -> int:
    """0 when nothing is left to recover, 1 when a run could not be stored."""
    from git_replicate.execution.recover import recover_runs

    console = context.console
    failed = False
    found = False
    for item in recover_runs(context.repository, dry_run=options.dry_run):
        found = True
        failed = failed or bool(item.error)
        console.answer(f"{item.name}  {item.outcome}")
        if item.error:
            console.warn(f"{item.name}: {item.error}")
    if not found:
        console.say("nothing to recover")
    _say_what_is_elsewhere(context)
    return 1 if failed else 0


def _say_what_is_elsewhere(context: Context) -> None:
    """Tell of runs that only another machine knows to be over."""
    from git_replicate.capture import machine

    rows = context.index.select("status = 'running'", columns=("host",))
    hosts = Counter(str(row["host"]) for row in rows if row.get("host") not in (None, machine.host()))
    for host, number in sorted(hosts.items()):
        context.console.say(f"{count(number, 'run')} of {host} not looked at: git replicate recover, there")
