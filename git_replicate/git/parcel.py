"""Commits as bytes, for processes that share no repository with us and reach none.

A parcel is a pack. Into an empty repository goes a commit with its files and none of its history (the repository is
shallow there); back comes what was added on top of that. Objects are checked as they are taken in.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

from git_replicate.git.command import Git
from git_replicate.git.opening import find_layout
from git_replicate.git.repository import Layout, Oid


def pack_alone(layout: Layout, commit: Oid) -> bytes:
    """A commit with all of its files, without its parents."""
    return _pack(layout, [f"--shallow {commit}", commit])


def pack_added(layout: Layout, commit: Oid, base: Oid) -> bytes:
    """What a commit and its ancestors add to one of them."""
    return _pack(layout, [commit, f"^{base}"])


def _pack(layout: Layout, lines: Sequence[str]) -> bytes:
    stdin = "".join(f"{line}\n" for line in lines).encode()
    done = _git(layout).run("pack commits", "pack-objects", "--revs", "--stdout", "-q", stdin=stdin)
    return done.stdout


def unpack(layout: Layout, data: bytes) -> None:
    """Take a parcel's objects in; `GitError` if one is damaged or what they build on is not here."""
    _git(layout).run("take in a parcel", "index-pack", "--stdin", "--strict", "--fix-thin", stdin=data)


def make_repository(folder: str, object_format: str, identity: tuple[str, str]) -> Layout:
    """A new, empty repository for a person of this name and address."""
    git = Git(os.path.dirname(folder))
    git.run("make a repository", "init", "-q", "--template=", f"--object-format={object_format}", folder)
    layout = find_layout(folder)
    for key, value in zip(("user.name", "user.email"), identity, strict=True):
        _git(layout).run("configure a repository", "config", key, value)
    return layout


def let_end_at(layout: Layout, boundary: Oid) -> None:
    """Let the history end at one more commit, which may be yet to come."""
    path = os.path.join(layout.common_dir, "shallow")
    known = ""
    if os.path.exists(path):
        with open(path, encoding="ascii") as file:
            known = file.read()
    if boundary not in known.split():
        with open(f"{path}.new", "w", encoding="ascii") as file:
            file.write(f"{known}{boundary}\n")
        os.replace(f"{path}.new", path)


def _git(layout: Layout) -> Git:
    return Git(layout.top or layout.git_dir, git_dir=layout.git_dir, work_tree=layout.top)
