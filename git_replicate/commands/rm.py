"""`git replicate rm`: remove runs, here and elsewhere, and bring them back."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from git_replicate.commands import _reading, _sharing
from git_replicate.core.errors import UsageError, UserError
from git_replicate.core.sizes import count

if TYPE_CHECKING:
    from git_replicate.commands.context import Context

_SHOWN = 20


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("runs", metavar="RUN", nargs="*", help="runs")
    parser.add_argument("--where", metavar="EXPR", help="the runs for which an SQL expression holds")
    parser.add_argument("--undo", action="store_true", help="bring removed runs back (30 days); without RUN: list them")
    parser.add_argument("--remote", action="store_true", help="delete them from the remote as well")
    parser.add_argument("--from", dest="source", metavar="REMOTE", help="the remote that --remote means")
    _sharing.add_prefix(parser)


def execute(options: argparse.Namespace, context: Context) -> int:
    if options.undo:
        return _undo(options, context)
    if bool(options.runs) == (options.where is not None):
        raise UsageError("name runs, or choose them with --where", "see: git replicate rm -h")
    names = _remove(options, context)
    return _delete_there(options, context, names) if options.remote else 0


def _undo(options: argparse.Namespace, context: Context) -> int:
    from git_replicate.store.trash import find_removed, restore

    if options.where is not None or options.remote:
        raise UsageError("--undo takes the names of runs", "git replicate rm --undo RUN; then git replicate push")
    if not options.runs:
        return _list_removed(context)
    repository = context.writer
    for run in dict.fromkeys(find_removed(repository, name) for name in options.runs):
        restore(repository, run, actor=context.config.identity())
        context.console.say(f"brought back {run.name}")
    return 0


def _list_removed(context: Context) -> int:
    from git_replicate.core.table import Table
    from git_replicate.render import text
    from git_replicate.store.trash import KEPT_DAYS, removed_runs

    found = removed_runs(context.repository)
    columns = ("run", "removed", "experiment", "message")
    rows = [
        (_reading.short_id(each.run.id), _reading.age(each.removed_on), each.run.experiment, each.message or None)
        for each in found
    ]
    if not rows:
        context.console.say(f"no run was removed in the last {KEPT_DAYS} days")
        return 0
    context.console.answer(text.render(Table(columns, tuple(rows)), width=context.console.width), page=True)
    context.console.say("to bring one back: git replicate rm --undo RUN; the last removed: latest")
    return 0


def _remove(options: argparse.Namespace, context: Context) -> list[str]:
    """Remove the runs that are meant; their names. With --remote, those removed before will do."""
    from git_replicate.store.trash import expire, find_removed, remove

    repository, actor = context.writer, context.config.identity()
    gone: list[str] = []
    if options.where is not None:
        rows = context.index.select(options.where)
        if not rows:
            raise UserError("no run matches", f"git replicate log --where {options.where!r}")
    else:
        rows = []
        for name in options.runs:
            try:
                rows.append(_reading.find(context, name))
            except UserError:
                if not options.remote:
                    raise
                gone.append(find_removed(repository, name).name)
    rows = list({row["ref"]: row for row in rows}.values())
    waiting = _waiting(context)
    for row in rows:
        remove(repository, row["ref"], actor=actor)
    names = [f"{row['experiment']}/{row['id']}" for row in rows]
    for name in names[:_SHOWN]:
        context.console.say(f"removed {name}; to undo: git replicate rm --undo {name.rpartition('/')[2]}")
        if command := waiting.get(name):
            context.console.say(f"its job would find nothing to do; to cancel it: {command}")
    if len(names) > _SHOWN:
        context.console.say(f"and {len(names) - _SHOWN:,} more; they are kept for 30 days")
    expire(repository)
    return [*gone, *names]


def _delete_there(options: argparse.Namespace, context: Context, names: list[str]) -> int:
    from git_replicate.store.sharing.remote import advice
    from git_replicate.store.sharing.remote_removal import delete_there

    remote, _ = _sharing.meant(context, [options.source], pushing=True)
    transport = _sharing.connect(context, remote)
    found = delete_there(context.repository, transport, _sharing.names_for(context, options.remote_prefix), names)
    console = context.console
    if found.deleted:
        console.say(f"deleted {count(len(found.deleted), 'run')} from {remote.shown}")
    if found.absent:
        console.say(f"{count(len(found.absent), 'run')} not on {remote.shown}; the tombstone is there now")
    if not found.refused:
        return 0
    reasons = sorted(set(found.refused.values()))
    kept = f"{remote.shown} keeps {count(len(found.refused), 'run')} ({'; '.join(reasons)})"
    raise UserError(f"{kept}; in every clone they stay removed", advice(reasons[0], remote))


def _waiting(context: Context) -> dict[str, str]:
    """The queued runs by name, each with the command that cancels its job."""
    from git_replicate.execution.waiting import waiting_runs

    return {item.run.name: item.cancel for item in waiting_runs(context.repository)}
