"""`git replicate hooks`: install, remove or show the git hooks, and do their work."""

from __future__ import annotations

import argparse
import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from git_replicate.commands.context import Context
    from git_replicate.git.repository import Oid


def configure(parser: argparse.ArgumentParser) -> None:
    actions = ("install", "remove", "status", "run")
    shown = "|".join(actions[:-1])
    parser.add_argument(
        "action", choices=actions, metavar=shown, nargs="?", default="status", help="what to do (default: status)"
    )
    # `run HOOK` is what the installed hooks call.
    parser.add_argument("hook", nargs="?", help=argparse.SUPPRESS)
    parser.add_argument("words", nargs="*", help=argparse.SUPPRESS)


def execute(options: argparse.Namespace, context: Context) -> int:
    from git_replicate.store import hooks

    if options.action == "run":
        return _run(options.hook or "", options.words, context)
    layout, config = context.repository.layout, context.config
    if options.action == "install":
        from git_replicate.store.tested import remember_every_tree

        states = hooks.install(layout, config)
        remember_every_tree(context.repository)
    elif options.action == "remove":
        states = hooks.remove(layout, config)
    else:
        states = hooks.hook_states(layout, config)
    words = {
        "installed": "installed", "chained": "installed, after yours", "absent": "not installed",
        "other": "yours, without ours", "outdated": "installed, of another version",
    }  # fmt: skip
    for state in states:
        context.console.answer(f"{state.name}: {words[state.state]}")
    return 0


def _run(hook: str, words: list[str], context: Context) -> int:
    """The work of a hook; nothing that goes wrong here may hurt a commit, so the caller ignores the exit code."""
    from git_replicate.store.notes import note_tested

    if hook == "pre-push":
        from git_replicate.commands._pre_push import before_push

        return before_push(next(iter(words), ""), sys.stdin.read(), context)
    repository = context.repository
    if hook == "post-rewrite":
        for line in sys.stdin.read().splitlines():
            words = line.split()
            if len(words) >= 2 and repository.exists(_oid(words[1])):
                note_tested(repository, _oid(words[1]))
        return 0
    commit, _ = repository.head()
    if commit is not None:
        note_tested(repository, commit)
    command = context.config.get("replicate.oncommit")
    # A run that commits would start itself for ever, and every commit of a rebase a run.
    if command and not os.environ.get("GIT_REPLICATE_RUN") and not _rewriting(repository.layout.git_dir):
        from git_replicate.execution.background import start_in_background

        start_in_background(command, os.environ, repository.layout)
    return 0


def _rewriting(git_dir: str) -> bool:
    """Whether a rebase or a series of picks is at work."""
    return any(os.path.exists(os.path.join(git_dir, name)) for name in ("rebase-merge", "rebase-apply", "sequencer"))


def _oid(text: str) -> Oid:
    from git_replicate.git.repository import Oid

    return Oid(text)
