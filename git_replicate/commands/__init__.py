"""The commands, named once, here: the parser, the man page, the completions and the tests of the docs read this table.

A command is a module with `configure(parser)`, which adds its options, and `execute(options, context)`, which turns
them into one typed call and returns the exit code. Only the module of the chosen command is imported.
"""

from __future__ import annotations

from typing import NamedTuple

PROGRAM = "git replicate"


class Command(NamedTuple):
    """One command; a tuple, because `-h` need not import `dataclasses`."""

    name: str
    module: str
    summary: str
    group: str


COMMANDS: tuple[Command, ...] = (
    Command("start", "start", "record the code, run a command, record what came out", "record"),
    Command("finish", "finish", "close a session opened with start --open", "record"),
    Command("sweep", "sweep", "many runs of one snapshot, over a space of params", "record"),
    Command("log", "log", "browse runs, newest first", "read"),
    Command("show", "show", "show one run in full", "read"),
    Command("diff-params", "diff_params", "what differs in params, seeds and metrics", "read"),
    Command("diff", "diff", "what differs in code, environment, data and outputs", "read"),
    Command("env", "env", "show a run's environment, or build it again", "read"),
    Command("collate", "collate", "make a table of many runs", "read"),
    Command("data", "data", "status of declared data and stages; run the stages that are stale", "data"),
    Command("outputs", "outputs", "list a run's outputs, or restore them", "data"),
    Command("rerun", "rerun", "run what a run ran again, and tell whether it came out the same", "replicate"),
    Command("why", "why", "what differs between two runs, likeliest cause first", "replicate"),
    Command("check", "check", "which results moved between two code bases", "replicate"),
    Command("affected", "affected", "which runs contain a bug, by the content of their code", "replicate"),
    Command("snapshot", "snapshot", "freeze the code as it is now, and print its commit", "replicate"),
    Command("apply", "apply", "bring a run's code or params into the worktree", "replicate"),
    Command("branch", "branch", "make a branch at a run's code", "replicate"),
    Command("annotate", "annotate", "tag, comment, archive or invalidate a run", "keep"),
    Command("rm", "rm", "remove runs, and bring them back", "keep"),
    Command("push", "push", "send runs and annotations to another repository", "share"),
    Command("fetch", "fetch", "take runs and annotations from another repository or a bundle", "share"),
    Command("bundle", "bundle", "write runs and annotations to a file, for places without a network", "share"),
    Command("status", "status", "live runs, of this machine and of others", "keep"),
    Command("recover", "recover", "finalise the runs whose recorder is gone", "keep"),
    Command("gc", "gc", "give disk back, and pack what runs have left", "keep"),
    Command("hooks", "hooks", "install, remove or show the git hooks", "set up"),
    Command("init", "init", "write replicate.toml and set git up for runs; asks before each", "set up"),
)


def find_command(name: str) -> Command | None:
    return next((command for command in COMMANDS if command.name == name), None)
