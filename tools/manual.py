"""The man pages: one of the whole tool, which `git replicate --help` opens, and one of each command."""

from __future__ import annotations

from collections.abc import Sequence

from git_replicate import __version__
from tools.options import Described, Option

_DESCRIPTION = """\
git replicate records experiments: what code ran, in what environment, on which data, with which hyperparameters and
seeds, and what came out. Every run is a few ordinary git objects under refs/experiments/; the branch, the index, the
worktree and the stash stay as they are. It works with any command in any language.

A run is named by its id (20260102-030405-1a2b3c4d) or a unique part of its beginning or end, by experiment/id, by
latest, latest~2 or best:accuracy, or by any revision that is a run's commit.
"""
_EXIT = (
    ("0", "Done."),
    ("1", "What was asked for cannot be done; standard error says why."),
    ("2", "The command line is wrong."),
    ("3", "Runs that were compared differ."),
    ("70", "A bug; the message names a file for a report."),
    ("130", "Interrupted."),
)
_START_EXIT = (
    ("the command's own", "128+n when signal n ended it."),
    ("125", "The command was not started: not a repository, a bad option, a bad configuration."),
    ("126, 127", "The command is not executable, or there is none of that name."),
)
_FILES = (
    ("replicate.toml", "The configuration, at the top of the worktree."),
    (".git/replicate/", "The index, spools of live runs and caches; all but the spools can be made again."),
    ("refs/experiments/<experiment>/<run id>", "A run: snapshot, start and finish commit."),
    ("refs/notes/experiments", "Notes on runs and on tested commits, for git log --notes=experiments."),
    ("refs/notes/experiments-annotations", "What people said of runs."),
)
_ENVIRONMENT = (
    ("GIT_REPLICATE_RUN, GIT_REPLICATE_SEED", "Set for the command: its run and its seed."),
    ("GIT_REPLICATE_EXPERIMENT", "The experiment, where -e does not say it; other settings in docs/configuration.md."),
    ("GIT_PAGER, PAGER, NO_COLOR", "As for git."),
)


def pages(commands: Sequence[Described]) -> dict[str, str]:
    """Page name to its text in man(7) macros."""
    found = {"git-replicate": _main_page(commands)}
    found.update({f"git-replicate-{each.command.name}": _command_page(each) for each in commands})
    return found


def _main_page(commands: Sequence[Described]) -> str:
    lines = [*_head("git-replicate", "record every experiment in git, and replicate it")]
    lines += [".SH SYNOPSIS", ".B git replicate", r"\fICOMMAND\fR [options]", ".SH DESCRIPTION"]
    lines += [_text(line) if line else ".PP" for line in _DESCRIPTION.rstrip().split("\n")]
    lines.append(".SH COMMANDS")
    for each in commands:
        lines += [".SS " + _text(each.usage.removeprefix("git replicate ")), *_body(each)]
    lines += [*_listed("EXIT STATUS", _EXIT), ".PP", r"Of \fBstart\fR:", *_items(_START_EXIT)]
    lines += [*_listed("FILES", _FILES), *_listed("ENVIRONMENT", _ENVIRONMENT)]
    also = [f"git-replicate-{each.command.name}" for each in commands]
    return "\n".join([*lines, *_see_also([*also, "git", "git-notes"])]) + "\n"


def _command_page(each: Described) -> str:
    name = f"git-replicate-{each.command.name}"
    lines = [*_head(name, each.command.summary), ".SH SYNOPSIS", r"\fB" + _text(each.usage) + r"\fR"]
    lines += [".SH DESCRIPTION", *_body(each)]
    exits = _START_EXIT if each.command.name == "start" else _EXIT
    return "\n".join([*lines, *_listed("EXIT STATUS", exits), *_see_also(["git-replicate"])]) + "\n"


def _body(each: Described) -> list[str]:
    lines = [_text(each.command.summary[0].upper() + each.command.summary[1:] + ".")]
    for option in (*each.positionals, *each.flags):
        if "--help" not in option.flags:
            lines += [".TP", _term(option), _text(option.help[:1].upper() + option.help[1:] + ".")]
    lines += [".PP", "Examples:", ".PP", ".nf", ".RS 4", *(_text(line) for line in each.examples), ".RE", ".fi"]
    return lines


def _term(option: Option) -> str:
    flags = ", ".join(rf"\fB{_text(flag)}\fR" for flag in option.flags)
    return " ".join(filter(None, (flags, rf"\fI{_text(option.value)}\fR" if option.value else "")))


def _head(name: str, summary: str) -> list[str]:
    return [
        '.\\" Made by make pages.',
        f'.TH {name.upper()} 1 "" "git-replicate {__version__}" "Git Replicate"',
        ".SH NAME",
        rf"{_text(name)} \- {_text(summary)}",
    ]


def _listed(title: str, items: Sequence[tuple[str, str]]) -> list[str]:
    return [f".SH {title}", *_items(items)]


def _items(items: Sequence[tuple[str, str]]) -> list[str]:
    return [line for term, text in items for line in (".TP", rf"\fB{_text(term)}\fR", _text(text))]


def _see_also(names: Sequence[str]) -> list[str]:
    return [".SH SEE ALSO", ", ".join(rf"\fB{_text(name)}\fR(1)" for name in names)]


def _text(text: str) -> str:
    """Plain text with what roff would read as its own made plain."""
    escaped = text.replace("\\", r"\e").replace("-", r"\-").replace("'", r"\(aq").replace("`", r"\(ga")
    escaped = escaped.replace("~", r"\(ti").replace("^", r"\(ha").replace("±", r"\[+-]")
    return r"\&" + escaped if escaped.startswith(".") else escaped
