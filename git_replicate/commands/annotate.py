"""`git replicate annotate`: what a person says of a run afterwards."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from git_replicate.commands import _reading
from git_replicate.core.errors import UsageError, UserError
from git_replicate.core.secrets import mask_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from git_replicate.commands.context import Context
    from git_replicate.store.annotations import Change
    from git_replicate.store.indexing.index import Row


def configure(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("runs", metavar="RUN", nargs="+", help="runs")
    add("--tag", metavar="TAG", action="append", default=[], help="add a tag; repeatable")
    add("--untag", metavar="TAG", action="append", default=[], help="take a tag away; repeatable")
    add("--comment", metavar="TEXT", help="a comment; an empty one takes it away")
    add("--archive", action="store_true", help="hide from log")
    add("--unarchive", action="store_true", help="show in log again")
    add("--invalid", metavar="REASON", help="leave out of tables, and say why")
    add("--valid", action="store_true", help="take back --invalid")
    add("--superseded-by", metavar="RUN", help="another run takes this one's place")


def execute(options: argparse.Namespace, context: Context) -> int:
    from git_replicate.store.annotations import append
    from git_replicate.store.store import start_of

    changes = _changes(options, context)
    if not changes:
        raise UsageError("nothing to say of the run", "git replicate annotate latest --tag good")
    repository = context.writer
    rows = [_reading.find(context, name) for name in options.runs]
    _check_untag(rows, options.runs, options.untag, options.tag)
    starts = {start_of(repository, row["oid"]): changes for row in rows}
    append(repository, starts, actor=context.config.identity())
    return 0


def _check_untag(rows: Sequence[Row], names: Sequence[str], untag: Sequence[str], tag: Sequence[str]) -> None:
    """`UserError` for a tag to be taken away that no run has; of several runs, one that has it will do."""
    import json
    import shlex
    from difflib import get_close_matches

    known = {*tag, *(name for row in rows for name in json.loads(row.get("tags") or "[]"))}
    for name in untag:
        if name in known:
            continue
        near = get_close_matches(name, sorted(known), 1)
        if len(rows) > 1:
            words = f"none of these runs has the tag {name!r}"
        else:
            words = f"the run has no tag {name!r}; " + (
                f"it has: {', '.join(sorted(known))}" if known else "it has none"
            )
        meant = f"git replicate annotate {shlex.join([*names, '--untag', near[0]])}" if near else ""
        raise UserError(words, meant or f"git replicate show {names[0]}")


def _changes(options: argparse.Namespace, context: Context) -> list[Change]:
    from git_replicate.store.annotations import Change

    if not all(tag.strip() for tag in (*options.tag, *options.untag)):
        raise UsageError("a tag cannot be empty", "git replicate annotate latest --tag good")
    if options.invalid is not None and not options.invalid.strip():
        raise UsageError(
            "--invalid takes the reason; --valid takes it back",
            "git replicate annotate latest --invalid 'wrong labels'",
        )
    changes = [Change("tag", tag) for tag in options.tag] + [Change("untag", tag) for tag in options.untag]
    if options.comment is not None:
        changes.append(Change("comment", mask_text(options.comment)))
    if options.invalid is not None:
        changes.append(Change("invalid", options.invalid))
    if options.superseded_by is not None:
        row = _reading.find(context, options.superseded_by)
        changes.append(Change("superseded_by", f"{row['experiment']}/{row['id']}"))
    flags = (("archive", options.archive), ("unarchive", options.unarchive), ("valid", options.valid))
    return changes + [Change(name) for name, given in flags if given]
