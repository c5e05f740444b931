"""`git replicate bundle`: runs and annotations in a file, for places without a network."""

from __future__ import annotations

import argparse
import os
from typing import TYPE_CHECKING

from git_replicate.core.errors import UserError
from git_replicate.core.sizes import count

if TYPE_CHECKING:
    from git_replicate.commands.context import Context
    from git_replicate.git.repository import Oid


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", metavar="FILE", help="the file to write; git replicate fetch FILE reads it")
    parser.add_argument("experiments", metavar="EXPERIMENT", nargs="*", help="only runs of these experiments")
    parser.add_argument("--where", metavar="EXPR", help="only runs for which an SQL expression holds")
    parser.add_argument(
        "--not", dest="without", metavar="REVISION", action="append", default=[],
        help="leave out what the other side has: a branch, say; repeatable",
    )  # fmt: skip


def execute(options: argparse.Namespace, context: Context) -> int:
    from git_replicate.core.names import ANNOTATIONS_REF
    from git_replicate.core.sizes import size_text
    from git_replicate.git.bundle import write_bundle
    from git_replicate.store.sharing.big import big_outputs
    from git_replicate.store.tested import read_records

    repository, console = context.repository, context.console
    runs = _runs(options, context)
    without = [_commit(context, revision) for revision in options.without]
    said = [ANNOTATIONS_REF] if repository.read_ref(ANNOTATIONS_REF) else []
    write_bundle(repository.layout, options.file, [*sorted(runs), *said], without)
    size = size_text(os.path.getsize(options.file))
    console.say(f"wrote {count(len(runs), 'run')}{' and annotations' if said else ''} to {options.file} ({size})")
    if big := big_outputs(record for _, record in read_records(repository, runs)):
        named = "; ".join(output.shown for output in big[:5]) + ("; ..." if len(big) > 5 else "")
        console.warn(f"big outputs are not in a bundle; take along what is needed: {named}")
    return 0


def _runs(options: argparse.Namespace, context: Context) -> dict[str, Oid]:
    from git_replicate.core.names import RUNS_PREFIX, parse_run_ref
    from git_replicate.store.sharing.remote import of_experiments, unknown_experiments
    from git_replicate.store.trash import settle

    settle(context.repository)
    every = {ref: oid for ref, oid in context.repository.list_refs(RUNS_PREFIX) if parse_run_ref(ref)}
    if unknown := unknown_experiments(every, options.experiments):
        raise UserError(f"there are no runs of {unknown[0]!r}", "git replicate log")
    chosen = of_experiments(every, options.experiments)
    if options.where is not None:
        refs = {str(row["ref"]) for row in context.index.select(options.where)}
        chosen = {ref: oid for ref, oid in chosen.items() if ref in refs}
    if not chosen:
        raise UserError("no run matches" if every else "there are no runs yet", "git replicate log")
    return chosen


def _commit(context: Context, revision: str) -> Oid:
    commit = context.repository.resolve(revision)
    if commit is None:
        raise UserError(f"--not: there is no revision {revision!r}", "git branch -a")
    return commit
