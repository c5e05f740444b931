"""`git replicate diff A B`: what differs in code, environment, data and outputs."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from git_replicate.commands import _reading
from git_replicate.core.table import same

if TYPE_CHECKING:
    from git_replicate.commands.context import Context
    from git_replicate.store.indexing.index import Row

_PARTS = ("code", "env", "data", "outputs")


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("first", metavar="A", help="a run")
    parser.add_argument("second", metavar="B", help="another run")
    parser.add_argument("--code", action="store_true", help="the code, as git diff shows it")
    parser.add_argument("--env", action="store_true", help="the environment")
    parser.add_argument("--data", action="store_true", help="the data")
    parser.add_argument("--outputs", action="store_true", help="the outputs")
    _reading.add_output(parser, ("text", "json"))


def execute(options: argparse.Namespace, context: Context) -> int:
    rows = (_reading.find(context, options.first), _reading.find(context, options.second))
    chosen = [part for part in _PARTS if getattr(options, part)]
    found = {part: _part(context, part, rows, patch=bool(chosen)) for part in chosen or _PARTS}
    if options.format == "json":
        from git_replicate.render import json_

        _reading.put(context, options, json_.dump(found))
        return 0
    lines = []
    for part, difference in found.items():
        if isinstance(difference, str):
            lines += [context.console.style(part, "bold"), difference.rstrip("\n") or "  the same"]
        else:
            lines += [context.console.style(part, "bold"), *_describe(context, difference)]
    _reading.put(context, options, "\n".join(lines) + "\n")
    return 0


def _part(context: Context, part: str, rows: tuple[Row, Row], *, patch: bool) -> Any:
    if part == "code":
        from git_replicate.git.history import diff_trees

        trees = [row.get("tree") for row in rows]
        if not all(trees):
            return "the code of one of the runs was not recorded"
        return diff_trees(context.repository.layout, *map(str, trees), patch=patch, color=context.console.color)
    first, second = (_facts(context, part, row) for row in rows)
    names = sorted({*first, *second})
    return {n: [first.get(n), second.get(n)] for n in names if not same(first.get(n), second.get(n))}


def _facts(context: Context, part: str, row: Row) -> dict[str, Any]:
    """The part of a run's record as flat names and values."""
    from git_replicate.capture.values import flatten
    from git_replicate.store.store import read_files

    if part == "outputs":
        document = next(context.index.documents([row]))
        return {path: entry.get("hash") for path, entry in document.get("outputs", {}).items()}
    import tomli

    files = read_files(context.repository, row["oid"])
    text = files.environment if part == "env" else files.data
    return flatten(tomli.loads(text.decode())) if text else {}


def _describe(context: Context, difference: Mapping[str, Any]) -> list[str]:
    style = context.console.style
    if not difference:
        return ["  the same"]
    return [f"  {style(name)}: {style(_shown(a))} -> {style(_shown(b))}" for name, (a, b) in difference.items()]


def _shown(value: Any) -> str:
    return "absent" if value is None else str(value)
