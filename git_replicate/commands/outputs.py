"""`git replicate outputs`: what a run produced and where its bytes are; restoring them, checked by hash."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from git_replicate.commands import _reading
from git_replicate.core.errors import UsageError, UserError
from git_replicate.core.sizes import count

if TYPE_CHECKING:
    from git_replicate.commands.context import Context
    from git_replicate.execution.replication.restoring import Found


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", metavar="RUN", nargs="?", default="latest", help="a run (default: the latest)")
    parser.add_argument("path", metavar="PATH", nargs="*", help="only these outputs; globs are allowed")
    parser.add_argument("-o", "--output", metavar="DIR", help="restore into this folder")
    parser.add_argument("--force", action="store_true", help="replace files that differ")
    parser.add_argument("--format", choices=("text", "json"), default="text", help="how to print (default: text)")


def execute(options: argparse.Namespace, context: Context) -> int:
    from git_replicate.execution.replication.restoring import find_outputs, restore
    from git_replicate.store.store import read_run

    if options.output == "":
        raise UsageError("-o names no folder", "into this one: -o .")
    row = _reading.find(context, options.run)
    found = find_outputs(context.repository, read_run(context.repository, row["oid"]), options.path, context.config)
    if options.output is None:
        return _list(options, context, found)
    if not found:
        context.console.say("the run has no outputs")
        return 0
    problems = []
    outputs = count(len(found), "output")
    for output in found:
        problem = restore(context.repository, output, options.output, force=options.force)
        context.console.say(f"{output.path}  {problem or 'restored'}") if problem or len(found) < 50 else None
        problems += [problem] if problem else []
    if problems:
        raise UserError(f"not restored: {len(problems)} of {outputs}", "see above for each")
    context.console.say(f"restored {outputs} into {options.output}")
    return 0


def _list(options: argparse.Namespace, context: Context, found: list[Found]) -> int:
    if options.format == "json":
        from git_replicate.render import json_

        table = {
            f.path: {"hash": f.output.hash, "bytes": f.output.bytes, "kept": f.output.kept, "here": f.here}
            for f in found
        }
        context.console.answer(json_.dump(table))
        return 0
    wide = max((len(f.path) for f in found), default=0)
    for f in found:
        where = f"kept in the {f.output.kept}" if f.output.kept != "no" else "not kept"
        where += "" if f.here or f.output.kept == "no" else ", but not on this machine"
        context.console.answer(f"{f.path:<{wide}}  {f.output.hash[:23]}  {count(f.output.bytes, 'byte'):>18}  {where}")
    if any(f.output.kept == "store" and not f.here for f in found):
        context.console.say("hint: git replicate fetch --outputs")
    if not found:
        context.console.say("the run has no outputs")
    return 0
