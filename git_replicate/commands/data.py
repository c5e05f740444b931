"""`git replicate data`: what is declared as data, how the stages stand, and running those that are stale."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from git_replicate.commands import _reading
from git_replicate.core.errors import UsageError
from git_replicate.core.sizes import count

if TYPE_CHECKING:
    from git_replicate.commands.context import Context
    from git_replicate.execution.stages import StageReport, Stages


def configure(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("action", nargs="?", choices=("status", "run", "hash"), default="status",
        help="show (the default), run stages, or hash what a run read and left unhashed")  # fmt: skip
    add("name", metavar="NAME", nargs="?", default="",
        help="with run: this stage, and those that it reads from; with hash: a run (default: the latest)")  # fmt: skip
    add("--force", action="store_true", help="with run: run stages that are fresh as well")
    _reading.add_output(parser, ("text", "json"))


def execute(options: argparse.Namespace, context: Context) -> int:
    from git_replicate.execution.stages import Stages

    if (options.action != "run" and options.force) or (options.action == "status" and options.name):
        raise UsageError("--force belongs to data run, NAME to data run and data hash", "git replicate data -h")
    if options.action == "hash":
        return _hash(options, context)
    stages = Stages(context.repository, context.settings.stage, context.console.say)
    if options.action == "run":
        for report in stages.run(only=options.name, force=options.force):
            if report.done == "fresh":
                context.console.say(f"stage {report.name} is fresh")
        return 0
    return _status(options, context, stages)


def _hash(options: argparse.Namespace, context: Context) -> int:
    from git_replicate.execution.data_hashes import complete_hashes
    from git_replicate.store.store import read_run

    row = _reading.find(context, options.name or "latest")
    done, problems = complete_hashes(context.repository, read_run(context.repository, row["ref"]))
    for problem in problems:
        context.console.warn(problem)
    context.console.say(f"{count(done, 'entry', 'entries')} hashed" if done or problems else "nothing is left to hash")
    return 1 if problems else 0


def _status(options: argparse.Namespace, context: Context, stages: Stages) -> int:
    from functools import partial

    import tomli

    from git_replicate.capture.data import capture_data
    from git_replicate.core.errors import IN_A_BARE_ONE, UserError
    from git_replicate.git.lfs import content_ids
    from git_replicate.render import json_

    layout = context.repository.layout
    if layout.top is None:
        raise UserError("this repository is bare: there are no data to look at", IN_A_BARE_ONE)
    declared = context.settings.data
    text = capture_data(
        declared.paths, declared.named, top=layout.top, common_dir=layout.common_dir, absent=True,
        tracked_ids=partial(content_ids, context.repository),
    )  # fmt: skip
    data: dict[str, Any] = tomli.loads(text.decode()).get("data", {}) if text else {}
    before = _recorded(context)
    for name, entry in data.items():
        entry["status"] = _compared(entry, before.get(name))
    reports = stages.reports()
    if options.format == "json":
        document = {"data": data, "stages": {report.name: _plain(report) for report in reports}}
        _reading.put(context, options, json_.dump(document))
        return 0
    lines = [_data_line(name, entry, named=name in declared.named) for name, entry in data.items()]
    wide = max((len(report.name) for report in reports), default=0)
    lines += [f"stage {r.name:<{wide}}  {r.done}" + (f" ({r.why})" if r.why else "") for r in reports]
    hint = 'no data and no stages are declared\nhint: in replicate.toml: [data] paths = ["data/raw"]'
    _reading.put(context, options, "\n".join(lines or [hint]))
    return 0


def _recorded(context: Context) -> dict[str, Any]:
    """The data of the newest run."""
    import tomli

    rows = context.index.select("hybrid is null", limit=1)
    text = next(iter(context.repository.read_many([f"{row['oid']}:.replicate/data.toml" for row in rows])), None)
    table: dict[str, Any] = tomli.loads(text.decode()).get("data", {}) if text else {}
    return table


def _compared(entry: dict[str, Any], before: dict[str, Any] | None) -> str:
    if entry.get("missing"):
        return "missing"
    if before is None or "hash" not in before:
        return "new"
    if before["hash"].partition(":")[0] != entry["hash"].partition(":")[0]:
        return "unknown"
    return "unchanged" if before["hash"] == entry["hash"] else "changed"


def _plain(report: StageReport) -> dict[str, Any]:
    state = report.state
    return {
        "status": report.done, "why": report.why, "script_hash": state.script_hash, "inputs": dict(state.inputs),
        "outputs": {path: digest for path, digest in state.outputs.items() if digest},
    }  # fmt: skip


def _data_line(name: str, entry: dict[str, Any], *, named: bool) -> str:
    if entry.get("missing"):
        where = f" on this machine (git config replicate.data.{name} PATH)" if named else ""
        return f"{name}  missing{where}"
    algorithm, _, digits = entry["hash"].partition(":")
    size = count(entry["bytes"], "byte") + (f" in {count(entry['files'], 'file')}" if "files" in entry else "")
    return f"{name}  {algorithm}:{digits[:16]}  {size}  {entry['status']} since the latest run"
