"""What a command works with, each part made when it is first asked for."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from git_replicate.console import Console
from git_replicate.git.config import GitConfig, read_config
from git_replicate.git.opening import open_repository, repository_at

if TYPE_CHECKING:
    from git_replicate.core.settings import Settings
    from git_replicate.git.repository import Repository
    from git_replicate.store.indexing.index import Index


class Context:
    """The repository around the current directory, its configuration, and the person at the terminal."""

    def __init__(self, console: Console) -> None:
        self._console = console

    @cached_property
    def console(self) -> Console:
        """The console, with colour and pager as git is configured."""
        return self._console.configured(self.config)

    @cached_property
    def repository(self) -> Repository:
        """Through git's plumbing: no reader of a few objects pays for importing libgit2."""
        return open_repository(backend="plumbing")

    @cached_property
    def writer(self) -> Repository:
        """The same repository for whoever writes many objects: through libgit2 where it can open it."""
        return repository_at(self.repository.layout)

    @cached_property
    def config(self) -> GitConfig:
        return read_config(self.repository.layout)

    @cached_property
    def settings(self) -> Settings:
        from git_replicate.capture.config import load_settings

        return load_settings(self.repository.layout, self.config)

    @cached_property
    def index(self) -> Index:
        """The index of runs, brought up to date."""
        from git_replicate.store.indexing.index import Index

        index = Index.open(self.repository)
        index.refresh()
        return index
