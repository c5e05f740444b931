"""Make what is written down once elsewhere: the command reference, the man page, the completions, the field list.

usage: python docs/generate.py [--check]      with --check: only say whether the files are up to date
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import re
import sys
from collections.abc import Iterator

TOP = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, TOP)
os.environ["COLUMNS"] = "100"

from git_replicate import __version__  # noqa: E402
from git_replicate.cli import build_parser, load, overview  # noqa: E402
from git_replicate.commands import COMMANDS, Command  # noqa: E402
from git_replicate.core import record as records  # noqa: E402

Parsers = list[tuple[Command, argparse.ArgumentParser]]


def parsers() -> Parsers:
    return [(command, build_parser(command, load(command))) for command in COMMANDS]


def options(parser: argparse.ArgumentParser) -> Iterator[argparse.Action]:
    return (action for action in parser._actions if action.option_strings)


def reference(every: Parsers) -> str:
    """docs/commands.md: what every command's -h prints."""
    lines = ["# Commands", "", "What `git replicate COMMAND -h` prints, for each.", "", "```", overview(), "```", ""]
    for command, parser in every:
        lines += [f"## git replicate {command.name}", "", "```", parser.format_help().rstrip(), "```", ""]
    return "\n".join(lines)


def man_page(every: Parsers) -> str:
    """docs/man/git-replicate.1, in the man macros."""
    lines = [
        f'.TH GIT-REPLICATE 1 "" "git-replicate {__version__}" "Git Manual"',
        ".SH NAME", "git-replicate \\- record every experiment in git, and replicate it",
        ".SH SYNOPSIS", ".B git replicate", ".I COMMAND", "[options]",
        ".SH DESCRIPTION",
        "Records every run of any command under", ".I refs/experiments/\\fR:",
        "the code that ran, the environment, the data, the hyperparameters, the seed, the metrics and the outputs,",
        "as ordinary git objects, without touching the branch, the index or the worktree.",
        ".SH COMMANDS",
    ]  # fmt: skip
    for command, parser in every:
        usage = re.sub(r"\s+", " ", parser.format_usage()).removeprefix("usage: ").strip()
        lines += [f".SS {roff(usage)}", roff(command.summary[0].upper() + command.summary[1:] + ".")]
        for action in parser._actions:
            names = ", ".join(action.option_strings) or str(action.metavar or action.dest)
            value = f" \\fI{roff(str(action.metavar))}\\fR" if action.option_strings and action.metavar else ""
            lines += [".TP", f"\\fB{roff(names)}\\fR{value}", roff(action.help or "")]
    lines += [
        ".SH EXIT STATUS",
        "0 done, 1 user error, 2 usage, 3 differs, 70 a bug, 130 interrupted.",
        ".B start", "exits with the status of the command, 128+n if a signal ended it, 125 if it could not be started,",
        "126 if it cannot be executed and 127 if it was not found.",
        ".SH SEE ALSO", ".BR git (1), git-notes (1)",
    ]  # fmt: skip
    return "\n".join(lines) + "\n"


def roff(text: str) -> str:
    text = text.replace("\\", "\\e").replace("-", "\\-")
    return f"\\&{text}" if text.startswith((".", "'")) else text


def words(parser: argparse.ArgumentParser) -> list[str]:
    return [name for action in options(parser) for name in action.option_strings]


def bash(every: Parsers) -> str:
    """For git's own completion, which calls `_git_replicate` for `git replicate`."""
    names = " ".join(command.name for command, _ in every)
    cases = "\n".join(f'        {command.name}) words="{" ".join(words(parser))}" ;;' for command, parser in every)
    return f"""\
# bash completion for git replicate; git's own completion calls _git_replicate.
_git_replicate() {{
    local current="${{COMP_WORDS[COMP_CWORD]}}" command="" word words
    for word in "${{COMP_WORDS[@]:1:COMP_CWORD-1}}"; do
        case "$word" in
            replicate | -*) ;;
            *) command="$word"; break ;;
        esac
    done
    case "$command" in
        "") words="{names}" ;;
{cases}
        *) words="" ;;
    esac
    COMPREPLY=($(compgen -W "$words" -- "$current"))
}}
_git_replicate_alone() {{ _git_replicate; }}
complete -o bashdefault -o default -F _git_replicate_alone git-replicate
"""


def zsh(every: Parsers) -> str:
    entries = "\n".join(f"    '{command.name}:{_quoted(command.summary)}'" for command, _ in every)
    cases = "\n".join(
        f"    {command.name}) _arguments {_specs(parser)} '*:file:_files' ;;" for command, parser in every
    )
    return f"""\
#compdef git-replicate
#description record every experiment in git, and replicate it
local -a commands
commands=(
{entries}
)
if (( CURRENT == 2 )); then
    _describe command commands
    return
fi
local command="$words[2]"
shift words
(( CURRENT-- ))
case "$command" in
{cases}
esac
"""


def _specs(parser: argparse.ArgumentParser) -> str:
    specs = []
    for action in options(parser):
        text = re.sub(r"[\[\]:]", " ", _quoted(action.help or ""))
        value = f":{str(action.metavar or action.dest).lower()}:" if action.nargs != 0 else ""
        specs += [f"'{name}[{text}]{value}'" for name in action.option_strings]
    return " ".join(specs)


def _quoted(text: str) -> str:
    return text.replace("'", "’")


def fish(every: Parsers) -> str:
    names = " ".join(command.name for command, _ in every)
    lines = ["# fish completion for git replicate"]
    for command, parser in every:
        lines.append(
            f"complete -c git-replicate -f -n 'not __fish_seen_subcommand_from {names}'"
            f" -a {command.name} -d '{_quoted(command.summary)}'"
        )
        for action in options(parser):
            flags = " ".join(
                f"-l {name[2:]}" if name.startswith("--") else f"-s {name[1:]}" for name in action.option_strings
            )
            lines.append(
                f"complete -c git-replicate -n '__fish_seen_subcommand_from {command.name}' {flags}"
                f"{' -r' if action.nargs != 0 else ''} -d '{_quoted(action.help or '')}'"
            )
    return "\n".join(lines) + "\n"


def fields() -> str:
    """The fields of run.toml, for docs/format.md."""
    lines: list[str] = []
    for kind, title in ((records.Record, "run.toml"), *((kind, f"`[{name}]`") for name, kind in _tables())):
        lines += [f"### {title}", "", "| field | what it holds |", "| --- | --- |"]
        lines += [
            f"| `{field.name}` | {field.metadata['doc']} |" for field in dataclasses.fields(kind) if field.metadata
        ]
        lines.append("")
    return "\n".join(lines)


def _tables() -> list[tuple[str, type]]:
    return [
        ("user", records.User), ("process", records.Process), ("scheduler", records.Scheduler), ("code", records.Code),
        ("seeds", records.Seeds), ("code.left_out", records.LeftOut), ("code.submodules", records.Submodule),
        ("metrics_best.<name>", records.Best), ("outputs.<path>", records.Output), ("files", records.WrittenFile),
    ]  # fmt: skip


def format_page() -> str:
    """docs/format.md with its list of fields made anew."""
    with open(os.path.join(TOP, "docs", "format.md"), encoding="utf-8") as file:
        head, mark, _ = file.read().partition("<!-- fields -->\n")
    return head + mark + "\n" + fields()


def outputs() -> dict[str, str]:
    every = parsers()
    return {
        "docs/commands.md": reference(every),
        "docs/format.md": format_page(),
        "docs/man/git-replicate.1": man_page(every),
        "completions/git-replicate": bash(every),
        "completions/_git-replicate": zsh(every),
        "completions/git-replicate.fish": fish(every),
    }


def main() -> int:
    stale = []
    for path, text in outputs().items():
        whole = os.path.join(TOP, path)
        try:
            with open(whole, encoding="utf-8") as file:
                same = file.read() == text
        except FileNotFoundError:
            same = False
        if not same:
            stale.append(path)
            if "--check" not in sys.argv:
                with open(whole, "w", encoding="utf-8") as file:
                    file.write(text)
    sys.stdout.write("".join(f"{path}\n" for path in stale))
    return 1 if stale and "--check" in sys.argv else 0


if __name__ == "__main__":
    sys.exit(main())
