"""`git replicate why A B`: what differs between two runs, ranked by how likely it explains their results."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from git_replicate.commands import _reading

if TYPE_CHECKING:
    from collections.abc import Sequence

    from git_replicate.commands.context import Context
    from git_replicate.core.causes import Cause


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("first", metavar="A", help="a run")
    parser.add_argument("second", metavar="B", help="another run")
    parser.add_argument("--metric", metavar="NAME", default="", help="the metric to speak of (default: all)")
    _reading.add_output(parser, ("text", "json"))


def execute(options: argparse.Namespace, context: Context) -> int:
    from git_replicate.core.errors import UserError
    from git_replicate.core.verdict import Tolerances, compare_runs
    from git_replicate.execution.sides import causes_between, read_side

    rows = [_reading.find(context, name) for name in (options.first, options.second)]
    first, second = (read_side(context.repository, row["oid"]) for row in rows)
    known = {*first.record.metrics, *second.record.metrics}
    if options.metric and options.metric not in known:
        raise UserError(f"neither run has the metric {options.metric!r}", f"they have: {', '.join(sorted(known))}")
    settings = context.settings
    causes = causes_between(context.repository, first, second, not_code=settings.params.files)
    verdict = compare_runs(first, second, Tolerances(settings.tolerance), ignore=settings.outputs.ignore)
    moved = {name: entry for name, entry in verdict.metrics.items() if entry["outcome"] != "identical"}
    if options.metric:
        moved = {name: entry for name, entry in moved.items() if name == options.metric}
    if options.format == "json":
        from git_replicate.render import json_

        answer = {
            "outcome": "ranked" if causes else "same",
            "metric": options.metric or next(iter(moved), ""),
            "causes": [cause.as_document() for cause in causes],
        }
        _reading.put(context, options, json_.dump(answer))
        return 0
    _reading.put(context, options, _describe(context, causes, moved))
    return 0


def _describe(context: Context, causes: Sequence[Cause], moved: dict[str, Any]) -> str:
    style = context.console.style
    lines = [
        f"{style(name)}: {style(str(entry.get('original', 'absent')))} -> {style(str(entry.get('rerun', 'absent')))}"
        for name, entry in moved.items()
    ]
    if not causes:
        return "\n".join([*lines, "nothing that is recorded differs but the results" if moved else "the same"]) + "\n"
    lines += [style("what differs, likeliest first", "bold")] if moved else ["the metrics are identical; what differs"]
    width = max(len(cause.kind) for cause in causes)
    for cause in causes:
        sides = " -> ".join("absent" if value is None else str(value) for value in (cause.first, cause.second))
        lines.append(f"  {cause.score:.2f}  {cause.kind.ljust(width)}  {style(cause.name)}  {style(sides)}")
    return "\n".join(lines) + "\n"
