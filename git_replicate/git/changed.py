"""Which files differ between two trees."""

from __future__ import annotations

import os
from typing import NamedTuple

from git_replicate.git.command import Git
from git_replicate.git.repository import Layout


class ChangedPath(NamedTuple):
    """A path and the object on either side; "" where there is none."""

    path: str
    first: str
    second: str
    mode: str = ""
    """Of the second object, in git's octal digits."""


def changed_paths(layout: Layout, first: str, second: str) -> list[ChangedPath]:
    """The files and submodules that are not the same in two trees or commits, in git's order."""
    git = Git(layout.top or layout.git_dir, git_dir=layout.git_dir)
    words = ("diff-tree", "-r", "-z", "--raw", "--no-renames", "--no-abbrev", first, second, "--")
    parts = git.run("compare code", *words).stdout.split(b"\0")
    found = []
    for facts, path in zip(parts[::2], parts[1::2], strict=False):
        _, mode, a, b, _ = facts.decode().split()
        sides = ["" if set(oid) == {"0"} else oid for oid in (a, b)]
        found.append(ChangedPath(os.fsdecode(path), sides[0], sides[1], mode))
    return found


def renamed_to(layout: Layout, first: str, second: str, path: str) -> str:
    """The path that a file of one tree or commit has in another, as git finds renames; "" if it has none."""
    git = Git(layout.top or layout.git_dir, git_dir=layout.git_dir)
    words = ("diff-tree", "-r", "-z", "--find-renames", "--diff-filter=R", "--name-status", first, second, "--")
    parts = git.run("look for renames", *words).stdout.split(b"\0")
    pairs = zip(parts[1::3], parts[2::3], strict=False)
    return next((os.fsdecode(new) for old, new in pairs if old == os.fsencode(path)), "")
