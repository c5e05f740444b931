"""How a person says which bug is meant, for the commands that look for the runs with it."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING

from git_replicate.core.errors import UsageError

if TYPE_CHECKING:
    from git_replicate.commands.context import Context
    from git_replicate.execution.replication.affected import Affected


def add_options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--introduced-by", metavar="COMMIT", help="the bug is what this commit brought")
    add("--fixed-by", metavar="COMMIT", help="the bug is what was there before this commit")
    add("--in", metavar="COMMIT", dest="within", default="HEAD", help="where FILE is as it was run (default: HEAD)")


def find(
    context: Context, options: argparse.Namespace, files: Sequence[str], where: str | None, *, reruns: bool
) -> tuple[list[Affected], int]:
    """The runs with the bug that the options and files mean; and how many reruns were not looked at."""
    from git_replicate.execution.replication.affected import find_affected, fixed_by, introduced_by, lines_in

    repo = context.writer
    bugs = [lines_in(repo, text, options.within) for text in files]
    if options.introduced_by:
        bugs.append(introduced_by(repo, options.introduced_by))
    if options.fixed_by:
        bugs.append(fixed_by(repo, options.fixed_by))
    if not bugs:
        raise UsageError("which bug?", "say --introduced-by COMMIT, --fixed-by COMMIT, or FILE:LINES")
    rows = context.index.select(where)
    chosen = [row for row in rows if reruns or not row.get("rerun_of")]
    return find_affected(repo, bugs, chosen, context.index.documents), len(rows) - len(chosen)
