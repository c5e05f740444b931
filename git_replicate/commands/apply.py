"""`git replicate apply RUN`: bring a run's code, or only its params, into the worktree."""

from __future__ import annotations

import argparse
import shlex
from typing import TYPE_CHECKING

from git_replicate.commands import _reading
from git_replicate.core.errors import IN_A_BARE_ONE, UserError
from git_replicate.core.sizes import count

if TYPE_CHECKING:
    from git_replicate.commands.context import Context
    from git_replicate.core.record import Record


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", metavar="RUN", help="a run")
    parser.add_argument("--params", action="store_true", help="only its params, into the declared params files")


def execute(options: argparse.Namespace, context: Context) -> int:
    from git_replicate.execution.snapshots import apply_code
    from git_replicate.store.store import read_run

    if context.repository.layout.top is None:
        raise UserError("this repository is bare: there is no worktree to apply a run to", IN_A_BARE_ONE)
    row = _reading.find(context, options.run)
    record = read_run(context.repository, row["oid"]).record
    if options.params:
        return _params(context, record)
    put = apply_code(context.repository, record)
    if put.left:
        more = f" and {len(put.left) - 5} more" if len(put.left) > 5 else ""
        context.console.warn(f"your uncommitted changes are left as they are: {', '.join(put.left[:5])}{more}")
    context.console.say(f"{count(put.changed, 'file')} changed; HEAD is where it was. To look: git diff HEAD")
    return 0


def _params(context: Context, record: Record) -> int:
    from git_replicate.execution.snapshots import apply_params

    files = context.settings.params.files
    command = f"git replicate start -- {shlex.join(record.command)}"
    if not files:
        raise UserError("no params file is declared: the run's params are those of its command", command)
    changed, notes = apply_params(context.repository, record, files)
    for note in notes:
        context.console.warn(note)
    context.console.say(f"changed: {', '.join(changed)}" if changed else "the params files are as the run had them")
    if any(source not in ("file", "requested") for source in record.params_source.values()):
        context.console.say(f"its other params are given by its command: {command}")
    return 0
