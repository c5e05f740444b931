"""`git replicate init`: write replicate.toml and set git up for runs; asks before each."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from git_replicate.core.errors import IN_A_BARE_ONE, UserError

if TYPE_CHECKING:
    from git_replicate.commands.context import Context

_PARAMS = tuple(f"params.{ending}" for ending in ("toml", "yaml", "yml", "json"))
_METRICS = tuple(f"metrics.{ending}" for ending in ("json", "toml", "yaml", "csv"))
_DATA = ("data", "dataset", "datasets")
_EXAMPLE = """\
# How git replicate records runs here; every key may be left out. See docs/configuration.md of git replicate.

# experiment = "my-experiment"         # default: the script's name
# command = ["python", "train.py"]     # what `git replicate start` runs without a command

[params]
{files}# files of hyperparameters

[data]
{paths}# hashed before every run

[results]
{metrics}# JSON, TOML, YAML or CSV
# outputs = ["model.pt", "plots/*.png"]
# maximize = ["accuracy"]
"""


def configure(parser: argparse.ArgumentParser) -> None:
    from git_replicate.core.settings import key_lines

    parser.add_argument("-y", "--yes", action="store_true", help="do not ask")
    keys = "\n".join(f"  {line}" for line in key_lines())
    parser.epilog = f"keys of replicate.toml, and of git config as replicate.TABLE.KEY:\n{keys}\n\n{parser.epilog}"


def execute(options: argparse.Namespace, context: Context) -> int:
    console, layout = context.console, context.repository.layout
    if layout.top is None:
        raise UserError("a bare repository needs no set-up", IN_A_BARE_ONE)

    def agreed(question: str) -> bool:
        return bool(options.yes) or console.confirm(question)

    path = os.path.join(layout.top, "replicate.toml")
    if os.path.exists(path):
        console.say("replicate.toml is there already")
    elif agreed("write an example replicate.toml?"):
        text, found = _example(layout.top)
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        console.say("wrote replicate.toml" + (f"; it names what is here: {', '.join(found)}" if found else ""))
    _configure_git(context, agreed)
    if agreed("install the post-commit, post-rewrite and pre-push hooks?"):
        from git_replicate.store.hooks import install
        from git_replicate.store.tested import remember_every_tree

        install(layout, context.config)
        remember_every_tree(context.repository)
        console.say("installed the hooks")
    return 0


def _example(top: str) -> tuple[str, list[str]]:
    """The text of a first replicate.toml, and the files and folders here that it names."""
    files = [name for name in _PARAMS if os.path.isfile(os.path.join(top, name))]
    paths = [name for name in _DATA if os.path.isdir(os.path.join(top, name))]
    metrics = [name for name in _METRICS if os.path.isfile(os.path.join(top, name))]
    lines = {
        "files": _line("files", files, "params.toml"),
        "paths": _line("paths", paths, "data/raw"),
        "metrics": _line("metrics", metrics, "metrics.json"),
    }
    return _EXAMPLE.format(**lines), [*files, *paths, *metrics]


def _line(key: str, found: Sequence[str], example: str) -> str:
    """The key with what was found, or an example behind a comment sign; as wide as the lines below it."""
    names = ", ".join(f'"{name}"' for name in found or [example])
    return f"{'' if found else '# '}{key} = [{names}]".ljust(38) + " "


def _configure_git(context: Context, agreed: Callable[[str], bool]) -> None:
    from git_replicate.core.names import RUNS_PREFIX
    from git_replicate.git.config import add_value

    layout, config = context.repository.layout, context.config
    pattern = f"{RUNS_PREFIX}*"
    if pattern not in config.get_all("log.excludedecoration") and agreed(
        "keep runs' names out of git log's decorations?"
    ):
        add_value(layout, "log.excludeDecoration", pattern)
        context.console.say(f"set log.excludeDecoration {pattern}")
    alias = f"log --exclude={pattern} --exclude=refs/notes/* --exclude=refs/replicate/* --all"
    if not config.get("alias.lb") and agreed("add the alias `git lb`: git log of all branches, without runs?"):
        add_value(layout, "alias.lb", alias)
        context.console.say(f"set alias.lb {alias}")
