"""The parser of one command: only the chosen one's is built, and only then is argparse imported."""

from __future__ import annotations

import argparse
import importlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, NoReturn

from git_replicate.commands import PROGRAM, Command
from git_replicate.commands.examples import EXAMPLES
from git_replicate.core.errors import UsageError

if TYPE_CHECKING:
    from types import ModuleType


class Parser(argparse.ArgumentParser):
    """argparse, with its errors given to the one boundary, and one layout of its help for every Python."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(message, f"see: {self.prog} -h")

    def _get_formatter(self) -> argparse.HelpFormatter:
        return _HelpFormatter(prog=self.prog, max_help_position=30)


class _HelpFormatter(argparse.HelpFormatter):
    def _fill_text(self, text: str, width: int, indent: str) -> str:
        return text if "\n" in text else super()._fill_text(text, width, indent)

    def _format_action_invocation(self, action: argparse.Action) -> str:
        """`-e, --experiment NAME`: Python before 3.13 says NAME twice."""
        if not action.option_strings or action.nargs == 0:
            return super()._format_action_invocation(action)
        value = self._format_args(action, (action.dest or "").upper())
        return f"{', '.join(action.option_strings)} {value}"


def load(command: Command) -> ModuleType:
    return importlib.import_module(f"git_replicate.commands.{command.module}")


def parse_options(command: Command, module: ModuleType, words: Sequence[str]) -> argparse.Namespace:
    """The options and arguments of one command; `UsageError` for what it does not take."""
    return build_parser(command, module).parse_args(list(words) if command.name == "start" else _joined(words))


def _joined(words: Sequence[str]) -> list[str]:
    """The words with `--sort -accuracy` as one: argparse would take the name for an option."""
    joined: list[str] = []
    for position, word in enumerate(words):
        if word == "--":
            return [*joined, *words[position:]]
        if joined and joined[-1] == "--sort" and word.startswith("-"):
            joined[-1] = f"--sort={word}"
        else:
            joined.append(word)
    return joined


def build_parser(command: Command, module: ModuleType) -> Parser:
    """The parser of one command."""
    description = command.summary[0].upper() + command.summary[1:] + "."
    examples = "\n".join(["examples:", *(f"  {example}" for example in EXAMPLES[command.name])]).replace("%", "%%")
    parser = Parser(prog=f"{PROGRAM} {command.name}", description=description, epilog=examples, allow_abbrev=False)
    module.configure(parser)
    for action in parser._actions:
        if action.nargs == "*" and not action.option_strings:
            action.required = False  # argparse would name it among those that lack
    parser.usage = _usage(parser).replace("%", "%%")
    return parser


def _usage(parser: Parser) -> str:
    """`git replicate log [options] [EXPERIMENT]`: the options are listed below it."""
    words = [parser.prog, "[options]"]
    for action in parser._actions:
        if action.option_strings or action.help == argparse.SUPPRESS:
            continue
        name = str(action.metavar or "|".join(map(str, action.choices or [])) or action.dest.upper())
        forms = {"?": f"[{name}]", "+": f"{name}...", "*": f"[{name}...]", argparse.REMAINDER: f"[--] [{name}...]"}
        words.append(forms.get(str(action.nargs), name))
    return " ".join(words)
