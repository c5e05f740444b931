"""What the commands that talk to other repositories share: which one is meant, and which runs."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from git_replicate.commands.context import Context
    from git_replicate.git.remotes import Remote
    from git_replicate.git.transport import Transport
    from git_replicate.store.sharing.remote import Names

PREFIX_KEY = "replicate.remoteprefix"


def add_where_to(parser: argparse.ArgumentParser, what: str) -> None:
    """The other repository, and the experiments."""
    parser.add_argument("remote", metavar="REMOTE", nargs="?", help=f"{what} (default: see docs/sharing.md)")
    parser.add_argument("experiments", metavar="EXPERIMENT", nargs="*", help="only runs of these experiments")
    add_prefix(parser)


def add_prefix(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--remote-prefix",
        metavar="PREFIX",
        help="where runs lie over there, for hosts that take only branches: refs/heads/experiments/",
    )


def meant(context: Context, words: Sequence[str | None], *, pushing: bool) -> tuple[Remote, tuple[str, ...]]:
    """The remote and the experiments of a command line; a first word that names no remote or file is an experiment."""
    from git_replicate.core.errors import UserError
    from git_replicate.git.remotes import default_remote, find_remote, is_remote, remote_names

    layout, config = context.repository.layout, context.config
    given = [word for word in words if word]
    if given and is_remote(given[0], config):
        return find_remote(given[0], layout, config), tuple(given[1:])
    if given and (not remote_names(config) and not config.get("replicate.remote")):
        raise UserError(f"there is no file and no remote {given[0]!r}", "git remote add origin URL")
    if given and (not _is_experiment(given[0]) or _is_lost_file(given[0], context)):
        raise UserError(f"there is no file and no remote {given[0]!r}", "git remote -v")
    _, branch = context.repository.head()
    return default_remote(layout, config, branch, pushing=pushing), tuple(given)


def _is_lost_file(word: str, context: Context) -> bool:
    """Whether a word that is no file was meant for one: by its ending, or as it would lie in a folder that is there."""
    from git_replicate.core.names import RUNS_PREFIX

    folder = os.path.dirname(word.rstrip("/"))
    if not word.endswith(".bundle") and not (folder and os.path.isdir(folder)):
        return False
    return not context.repository.list_refs(f"{RUNS_PREFIX}{word.strip('/')}/")


def _is_experiment(word: str) -> bool:
    from git_replicate.core.errors import UserError
    from git_replicate.core.names import experiment_name

    try:
        return bool(experiment_name(word.strip("/")))
    except UserError:
        return False


def names_for(context: Context, prefix: str | None) -> Names:
    """How runs are called over there, by option or configuration."""
    from git_replicate.store.sharing.remote import names_below

    return names_below(context.config.get(PREFIX_KEY) if prefix is None else prefix)


def connect(context: Context, remote: Remote, *, interactive: bool | None = None) -> Transport:
    """The way to a remote; people are asked for passwords only at a terminal."""
    from git_replicate.git.transport import Transport

    at_terminal = sys.stdin.isatty() and sys.stderr.isatty()
    return Transport(context.repository.layout, remote, interactive=at_terminal if interactive is None else interactive)
