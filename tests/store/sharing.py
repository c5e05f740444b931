"""Clones of one bare repository, and what the tests of sharing ask them to do."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from git_replicate.git.config import read_config
from git_replicate.git.opening import open_repository
from git_replicate.git.remotes import find_remote
from git_replicate.git.repository import Repository
from git_replicate.git.transport import Transport
from git_replicate.store.sharing.fetch import Taken, fetch_runs
from git_replicate.store.sharing.push import Choice, Sent, plan_push, send
from git_replicate.store.sharing.remote import Names
from git_replicate.store.store import list_runs
from tests.support import GitRepo


@dataclass(frozen=True)
class Clone:
    """A clone, and the way to its origin."""

    git: GitRepo
    repo: Repository

    def transport(self, remote: str = "origin") -> Transport:
        layout = self.repo.layout
        return Transport(layout, find_remote(remote, layout, read_config(layout)), interactive=False)

    def push(self, *experiments: str, remote: str = "origin", names: Names | None = None) -> Sent:
        names = names or Names()
        transport = self.transport(remote)
        plan = plan_push(self.repo, transport, names, Choice(experiments))
        return send(self.repo, transport, names, plan, store="", say=lambda line: None)

    def fetch(self, *experiments: str, remote: str = "origin", names: Names | None = None) -> Taken:
        transport = self.transport(remote)
        return fetch_runs(self.repo, transport, names or Names(), experiments=experiments, say=lambda line: None)

    @property
    def runs(self) -> set[str]:
        return {run.name for run in list_runs(self.repo)}


def clone_of(git: GitRepo) -> Clone:
    return Clone(git, open_repository(str(git.top), backend="plumbing"))


def make_clones(repo: GitRepo, *names: str) -> tuple[GitRepo, list[Clone]]:
    """A bare repository with the template's commit, and clones of it beside each other."""
    hub = GitRepo(repo.top.parent / "hub.git")
    repo.git("init", "-q", "--bare", str(hub.top))
    repo.git("push", "-q", str(hub.top), "HEAD:refs/heads/main")
    hub.git("symbolic-ref", "HEAD", "refs/heads/main")
    clones = []
    for name in names:
        top: Path = repo.top.parent / name
        repo.git("clone", "-q", str(hub.top), os.fspath(top))
        clones.append(clone_of(GitRepo(top)))
    return hub, clones
