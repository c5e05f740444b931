"""`git replicate init`: write replicate.toml and set git up for runs; asks before each."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from typing import TYPE_CHECKING

from git_replicate.core.errors import UserError

if TYPE_CHECKING:
    from git_replicate.commands.context import Context

_EXAMPLE = """\
# How git replicate records runs here; every key may be left out. See docs/configuration.md of git replicate.

# experiment = "my-experiment"         # default: the script's name
# command = ["python", "train.py"]     # what `git replicate start` runs without a command

[params]
# files = ["params.toml"]              # files of hyperparameters

[data]
# paths = ["data/raw"]                 # hashed before every run

[results]
# metrics = ["metrics.json"]           # JSON, TOML, YAML or CSV
# outputs = ["model.pt", "plots/*.png"]
# maximize = ["accuracy"]
"""


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-y", "--yes", action="store_true", help="do not ask")


def execute(options: argparse.Namespace, context: Context) -> int:
    console, layout = context.console, context.repository.layout
    if layout.top is None:
        raise UserError("a bare repository needs no set-up", "run it in a clone")

    def agreed(question: str) -> bool:
        return bool(options.yes) or console.confirm(question)

    path = os.path.join(layout.top, "replicate.toml")
    if os.path.exists(path):
        console.say("replicate.toml is there already")
    elif agreed("write an example replicate.toml?"):
        with open(path, "w", encoding="utf-8") as file:
            file.write(_EXAMPLE)
        console.say("wrote replicate.toml")
    _configure_git(context, agreed)
    if agreed("install the post-commit, post-rewrite and pre-push hooks?"):
        from git_replicate.store.hooks import install
        from git_replicate.store.tested import remember_every_tree

        install(layout, context.config)
        remember_every_tree(context.repository)
        console.say("installed the hooks")
    return 0


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
