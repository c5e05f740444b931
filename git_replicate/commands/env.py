"""`git replicate env`: a run's environment shown, compared with the one here, or built again."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from git_replicate.commands import _reading
from git_replicate.core.errors import UserError

if TYPE_CHECKING:
    from git_replicate.commands.context import Context
    from git_replicate.store.indexing.index import Row


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", metavar="RUN", nargs="?", default="latest", help="a run (default: the latest)")
    parser.add_argument("--create", metavar="DIR", help="build it in a folder that is not there yet")
    parser.add_argument("--allow-missing", action="store_true", help="build what can be had, and list the rest")
    parser.add_argument("--yes", action="store_true", help="build somebody else's without asking")
    _reading.add_output(parser, ("text", "json"))


def execute(options: argparse.Namespace, context: Context) -> int:
    from git_replicate.store.store import read_files

    row = _reading.find(context, options.run)
    text = read_files(context.repository, row["oid"]).environment
    if not text:
        raise UserError(
            f"the environment of {row['experiment']}/{row['id']} was not recorded",
            f"what is missing, and why: git replicate show {row['id']}",
        )
    if options.create:
        return _create(options, context, row, text)
    import tomli

    document = tomli.loads(text.decode())
    if options.format == "json":
        from git_replicate.render import json_

        _reading.put(context, options, json_.dump(document))
        return 0
    _reading.put(context, options, "\n".join(_described(context, document)) + "\n")
    return 0


def _described(context: Context, document: dict[str, Any]) -> list[str]:
    """Every fact in a line, tables below their names."""
    from git_replicate.capture.values import flatten

    style = context.console.style
    plain = {name: value for name, value in document.items() if not isinstance(value, dict)}
    width = max(map(len, plain), default=0)
    lines = [f"{style(name.ljust(width))}  {_shown(context, value)}" for name, value in plain.items()]
    for name, table in document.items():
        if isinstance(table, dict):
            facts = flatten(table)
            width = max(map(len, facts), default=0)
            lines += ["", style(name, "bold")]
            lines += [f"  {style(key.ljust(width))}  {_shown(context, value)}" for key, value in facts.items()]
    return lines


def _shown(context: Context, value: Any) -> str:
    return context.console.style(", ".join(map(str, value)) if isinstance(value, list) else str(value))


def _create(options: argparse.Namespace, context: Context, row: Row, text: bytes) -> int:
    from git_replicate.execution.environment import clean_environment
    from git_replicate.execution.environments import create_environment, free_folder, recorded_recipe

    free_folder(options.create)
    layout, settings = context.repository.layout, context.settings.environment
    environ = clean_environment(os.environ)
    recipe = recorded_recipe(text, _snapshot_reader(context, row), environ, settings)
    _ask(options, context, row, recipe.indexes)
    context.console.say(f"building the environment from {recipe.source} in {options.create}")
    built = create_environment(
        layout, recipe, options.create, top=layout.top or os.getcwd(), environ=environ,
        allow_missing=options.allow_missing,
    )  # fmt: skip
    for note in built.notes:
        context.console.warn(note)
    context.console.answer(built.prefix)
    return 0


def _snapshot_reader(context: Context, row: Row) -> Callable[[str], bytes | None]:
    """The files of the code that ran, by path."""

    def read(path: str) -> bytes | None:
        if not row.get("tree"):
            return None
        return next(context.repository.read_many([f"{row['tree']}:{path}"]))

    return read


def _ask(options: argparse.Namespace, context: Context, row: Row, indexes: tuple[str, ...]) -> None:
    """Installing runs what packages bring along: of somebody else's run only after a yes."""
    document = next(context.index.documents([row]))
    user = document.get("user", {})
    own = (user.get("name", ""), user.get("email", "")) == context.config.identity()
    if own or options.yes:
        return
    where = f" (also from {', '.join(indexes)})" if indexes else ""
    name = user.get("name") or "somebody else"
    if not context.console.confirm(f"Install the packages{where} that a run of {name} had?"):
        raise UserError(f"the run is {name}'s: nothing was installed", "add --yes to install what it had")
