"""Where and how a run takes place that is not simply here and now: a checkout, and what a replication prescribes."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import field
from typing import Any

from git_replicate.capture.executed import in_environment
from git_replicate.core.frozen import frozen
from git_replicate.core.record import Code, Seeds

FILES_FOLDER = "files"


@frozen
class Site:
    """A checkout, the worktree that it stands for, and what the run is to have from an earlier one."""

    origin: str
    """Top of the user's own worktree."""
    top: str
    directory: str
    """Where the command runs, absolute, in the checkout."""
    environ: Mapping[str, str]
    code: Code
    seeds: Seeds | None = None
    rerun_of: str = ""
    sweep: Mapping[str, Any] = field(default_factory=dict)
    """The record's table of the sweep that the run belongs to."""
    params: Mapping[str, Any] = field(default_factory=dict)
    """Params of the original by dotted name that are in the command, though nothing in it shows which word is which."""
    programs: Mapping[str, str] = field(default_factory=dict)
    """The programs that stand for others: those of an environment that was built."""
    hybrid: Mapping[str, Any] = field(default_factory=dict)
    """What the run takes from another than the one that it is a rerun of."""
    nested: bool = False
    """Whether there are submodules in the checkout."""
    written: Mapping[str, bytes] = field(default_factory=dict)
    """Params files of the checkout that were given the run's params, and their content."""
    built_from: str = ""
    """The checkout of the same code from which an environment has it installed in place."""
    lock: int = -1
    """Descriptor that marks the checkout as in use."""

    @property
    def homes(self) -> tuple[str, ...]:
        """The folders whose code the checkout has."""
        return (self.built_from, self.origin) if self.built_from else (self.origin,)  # which may be inside of it

    def words(self, command: Sequence[str]) -> tuple[str, ...]:
        """The command with its paths into the worktree leading into the checkout; programs of an environment stay."""
        return tuple(self._program(word) if not n else self._word(word) for n, word in enumerate(command))

    def _program(self, word: str) -> str:
        if word in self.programs:
            return self.programs[word]
        if os.path.isabs(word) or "/" not in word:
            return self._word(word)
        inside = os.path.join(self.directory, word)
        original = os.path.join(self.origin, os.path.relpath(self.directory, self.top), word)
        return os.path.normpath(original) if not os.path.lexists(inside) and os.path.exists(original) else word

    def _word(self, word: str) -> str:
        name, equals, value = word.partition("=")
        if equals and os.path.isabs(value):
            return f"{name}={self.path(value)}"
        return self.path(word)

    def path(self, path: str) -> str:
        """An absolute path into the worktree as that of the checkout; any other, and an environment's, as it is."""
        inner = self.inner(path)
        if inner is None or (in_environment(inner, self.origin) and not os.path.lexists(os.path.join(self.top, inner))):
            return path
        return os.path.join(self.top, inner) if inner != "." else self.top

    def inner(self, path: str) -> str | None:
        """The path relative to the worktree; None if it is not absolute or leads elsewhere."""
        if not os.path.isabs(path):
            return None
        whole, real = os.path.normpath(path), os.path.realpath(self.origin)
        above = whole
        while above not in (self.origin, real) and os.path.realpath(above) != real:  # by another name: through a link
            if above == os.path.dirname(above):
                return None
            above = os.path.dirname(above)
        inner = os.path.relpath(whole, above)
        return None if inner.startswith(".git/") else inner
