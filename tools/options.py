"""The options of every command, as its own parser has them."""

from __future__ import annotations

import argparse
import os
from dataclasses import dataclass
from typing import Literal

from git_replicate.commands import COMMANDS, Command
from git_replicate.commands.examples import EXAMPLES
from git_replicate.commands.parser import build_parser, load

Takes = Literal["", "run", "experiment", "file", "folder", "choice", "command", "text"]
_TAKES: dict[str, Takes] = {
    "RUN": "run", "A": "run", "B": "run", "EXPERIMENT": "experiment", "FILE": "file", "PATH": "file",
    "COMMAND": "command",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Option:
    """One option or positional argument; `flags` is empty for the latter."""

    flags: tuple[str, ...]
    value: str
    help: str
    takes: Takes
    choices: tuple[str, ...]
    repeated: bool

    @property
    def written(self) -> str:
        """`-e, --experiment NAME`, or the name of a positional argument."""
        return " ".join(filter(None, (", ".join(self.flags), self.value)))


@dataclass(frozen=True, slots=True)
class Described:
    """A command with all that its parser knows."""

    command: Command
    usage: str
    options: tuple[Option, ...]
    help: str
    examples: tuple[str, ...]

    @property
    def flags(self) -> tuple[Option, ...]:
        return tuple(option for option in self.options if option.flags)

    @property
    def positionals(self) -> tuple[Option, ...]:
        return tuple(option for option in self.options if not option.flags)


def all_commands() -> tuple[Described, ...]:
    """Every command, its help in lines of 98 characters whatever the terminal."""
    os.environ["COLUMNS"] = "100"
    return tuple(describe(command) for command in COMMANDS)


def describe(command: Command) -> Described:
    parser = build_parser(command, load(command))
    options = tuple(_option(action) for action in parser._actions if action.help != argparse.SUPPRESS)
    usage = (parser.usage or "").replace("%%", "%")
    return Described(command, usage, options, parser.format_help(), EXAMPLES[command.name])


def _option(action: argparse.Action) -> Option:
    flags = tuple(action.option_strings)
    choices = tuple(str(choice) for choice in action.choices or ())
    value = "" if flags and action.nargs == 0 else str(action.metavar or action.dest.upper())
    if choices:
        value = str(action.metavar or "|".join(choices))
        choices = tuple(choice for choice in choices if choice in value.split("|"))
    takes: Takes = "choice" if choices else _TAKES.get(value, "text") if value else ""
    repeated = action.nargs in ("+", "*", argparse.REMAINDER) or type(action).__name__ == "_AppendAction"
    return Option(flags, value, (action.help or "").replace("%%", "%"), takes, choices, repeated)
