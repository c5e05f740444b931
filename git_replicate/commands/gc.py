"""`git replicate gc`: give disk back, and pack what runs have left."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from git_replicate.core.sizes import count, size_text

if TYPE_CHECKING:
    from git_replicate.commands.context import Context
    from git_replicate.execution.gc import Waste

_SHOWN = 10


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-n", "--dry-run", action="store_true", help="only say what would go")
    parser.add_argument("-y", "--yes", action="store_true", help="the files of isolated runs as well, without asking")
    parser.add_argument("--caches", action="store_true", help="every cache, however lately it was used")


def execute(options: argparse.Namespace, context: Context) -> int:
    from git_replicate.execution.gc import find_waste, tidy
    from git_replicate.execution.gc import remove as remove_waste
    from git_replicate.store.maintenance import maintain

    console, repository = context.console, context.repository
    if not options.dry_run:
        freed = tidy(repository)
        if freed:
            console.say(f"checkouts and big files that no run uses: {size_text(freed)}")
    plan = find_waste(repository, every_cache=options.caches)
    if plan.waiting:
        console.say(f"{count(plan.waiting, 'run')} to be recovered first: git replicate recover")
    sure = [waste for waste in plan.waste if not waste.ask and (options.dry_run or waste.kind != "checkout")]
    for kind in dict.fromkeys(waste.kind for waste in sure):
        _tell([waste for waste in sure if waste.kind == kind], options, context)
    going = [*sure, *_asked([waste for waste in plan.waste if waste.ask], options, context)]
    if options.dry_run:
        if not plan.waste:
            console.say("nothing would go")
        return 0
    left = [waste for waste in going if not remove_waste(waste)]
    for waste in left[:_SHOWN]:
        console.warn(f"could not be removed: {waste.path}")
    console.say(maintain(repository))
    return 1 if left else 0


def _tell(waste: Sequence[Waste], options: argparse.Namespace, context: Context) -> None:
    size = size_text(sum(each.bytes for each in waste))
    verb = "would go" if options.dry_run else "go"
    context.console.say(f"{count(len(waste), waste[0].kind)} {verb}: {size}")


def _asked(waste: Sequence[Waste], options: argparse.Namespace, context: Context) -> list[Waste]:
    """The files that isolated runs left, if a person lets them go."""
    if not waste:
        return []
    console = context.console
    total = size_text(sum(each.bytes for each in waste))
    console.say(f"files that {count(len(waste), 'isolated run')} left and that are no outputs: {total}")
    for each in waste[:_SHOWN]:
        console.say(f"    {os.path.basename(each.path)}  {size_text(each.bytes)}")
    if len(waste) > _SHOWN:
        console.say(f"    and {len(waste) - _SHOWN:,} more")
    if options.dry_run:
        return []
    if options.yes or (sys.stdin.isatty() and console.confirm("delete them for good?")):
        return list(waste)
    console.say("they stay; to delete them: git replicate gc --yes")
    return []
