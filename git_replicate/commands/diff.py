"""`git replicate diff A B`: what differs in code, environment, data and outputs."""

from __future__ import annotations

import argparse
import contextlib
import os
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
        return _code(context, rows, patch=patch)
    first, second = (_facts(context, part, row) for row in rows)
    names = sorted({*first, *second})
    return {n: [first.get(n), second.get(n)] for n in names if not same(first.get(n), second.get(n))}


def _code(context: Context, rows: tuple[Row, Row], *, patch: bool) -> str:
    """git's diff of two snapshots, and of the submodules that ran in another state."""
    from git_replicate.core.errors import ReplicateError
    from git_replicate.core.paths import unquote_path
    from git_replicate.execution.replication.sides import changed_submodules
    from git_replicate.git.history import diff_trees
    from git_replicate.git.opening import find_layout
    from git_replicate.store.store import read_run

    codes = [read_run(context.repository, row["oid"]).record.code for row in rows]
    if not all(code.tree for code in codes):
        return "the code of one of the runs was not recorded"
    layout, color = context.repository.layout, context.console.color
    text = diff_trees(layout, codes[0].tree, codes[1].tree, patch=patch, color=color)
    for path, a, b in changed_submodules(context.repository, *codes):
        text += f"Submodule {path} {a[:12] or 'absent'}..{b[:12] or 'absent'}\n"
        if a and b and layout.top:
            inner = os.path.join(layout.top, os.fsdecode(unquote_path(path)))
            with contextlib.suppress(ReplicateError):  # it is not here, or one of the commits is not
                text += diff_trees(find_layout(inner), a, b, patch=patch, color=color)
    return text


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
