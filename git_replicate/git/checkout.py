"""A commit's files in a folder of our own, in which `git` works, and which `git worktree list` does not show.

    <folder>/git    HEAD, index and `commondir`: what a linked worktree has, but not registered in the repository
    <folder>/tree   the files, with a `.git` file that names the folder above

No hook runs. Smudge filters are the user's own, from the user's configuration; a file that needs one is given its
stored bytes by `git-lfs` when `smudge` is off.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass, replace

from git_replicate.core.errors import GitError
from git_replicate.git.command import LOCAL_VARIABLES, Git
from git_replicate.git.opening import find_layout
from git_replicate.git.repository import Layout, Mode, Oid

_WHOLE = ("core.sparseCheckout=false", "core.bare=false", "core.protectNTFS=true", "core.longPaths=true")
_NOTHING_FETCHED = {"GIT_NO_LAZY_FETCH": "1"}


@dataclass(frozen=True, slots=True)
class Checkout:
    """The files of a commit; `layout` is the repository's as seen from them."""

    folder: str
    layout: Layout

    @property
    def top(self) -> str:
        return os.path.join(self.folder, "tree")


def create_checkout(layout: Layout, folder: str, commit: Oid, *, smudge: bool = True) -> Checkout:
    """Check a commit out into an existing, empty folder; `GitError` or `OSError` if that cannot be done."""
    own = os.path.join(folder, "git")
    top = os.path.join(folder, "tree")
    os.mkdir(own)
    os.mkdir(top)
    _write(os.path.join(own, "commondir"), layout.common_dir)
    _write(os.path.join(own, "gitdir"), os.path.join(top, ".git"))
    _write(os.path.join(top, ".git"), f"gitdir: {own}")
    if layout.ref_format == "reftable":
        os.mkdir(os.path.join(own, "reftable"))
    checkout = Checkout(folder, replace(layout, git_dir=own, top=top, prefix=""))
    switch(checkout, commit, smudge=smudge)
    return checkout


def _write(path: str, line: str) -> None:
    with open(path, "w", encoding="utf-8", errors="surrogateescape") as file:
        file.write(f"{line}\n")


def switch(checkout: Checkout, commit: Oid, *, smudge: bool = True) -> None:
    """Make the files those of another commit; what is not tracked stays where it is."""
    variables = {**_NOTHING_FETCHED, **({} if smudge else {"GIT_LFS_SKIP_SMUDGE": "1"})}
    _write(os.path.join(checkout.layout.git_dir, "HEAD"), commit)
    _git(checkout).run("check out the code", "read-tree", "--reset", "-u", commit, config=_WHOLE, variables=variables)


def stamp(checkout: Checkout) -> tuple[object, ...]:
    """What tells whether somebody has worked in the checkout with git: HEAD's text, and which file the index is."""
    folder = checkout.layout.git_dir
    with open(os.path.join(folder, "HEAD"), encoding="utf-8", errors="surrogateescape") as file:
        head = file.read()
    index = os.stat(os.path.join(folder, "index"))
    return head, index.st_ino, index.st_size, index.st_mtime_ns


def _git(checkout: Checkout) -> Git:
    layout = checkout.layout
    return Git(
        checkout.top, git_dir=layout.git_dir, work_tree=checkout.top, index=os.path.join(layout.git_dir, "index")
    )


def gitlinks(checkout: Checkout) -> Iterator[tuple[str, Oid]]:
    """Path and commit of every submodule of the commit that is checked out."""
    listed = _git(checkout).run("list submodules", "ls-files", "--stage", "-z").stdout
    for entry in listed.split(b"\0"):
        facts, tab, path = entry.partition(b"\t")
        if tab and int(facts.split()[0], 8) == Mode.GITLINK:
            yield os.fsdecode(path), Oid(facts.split()[1].decode())


def nested_layout(folder: str) -> Layout | None:
    """The repository that a folder is the top of, or None; the variables that name ours do not mislead."""
    if not os.path.lexists(os.path.join(folder, ".git")):
        return None
    hidden = {name: os.environ.pop(name) for name in LOCAL_VARIABLES if name in os.environ}
    try:
        return find_layout(folder)
    except GitError:
        return None
    finally:
        os.environ.update(hidden)


@dataclass(frozen=True, slots=True)
class Differences:
    """How the files of a checkout differ from its commit: paths relative to the top, sorted."""

    added: tuple[str, ...] = ()
    """What is not of the commit, ignored or not; another repository's folder, or any if asked for, ends in a slash."""
    changed: tuple[str, ...] = ()
    """Files of the commit that have other content, or are gone."""


def differences(checkout: Checkout, *, folders: bool = False) -> Differences:
    """What one look at the files finds; `folders`: whole folders as one, empty ones too."""
    words = ("ls-files", "-t", "--others", "--modified", "--deleted", "-z")
    listed = _git(checkout).run("list what was changed", *words, *(["--directory"] if folders else []))
    added: list[str] = []
    changed: set[str] = set()
    for line in os.fsdecode(listed.stdout).split("\0"):
        tag, _, path = line.partition(" ")
        if tag == "?":
            added.append(path)
        elif path and not os.path.lexists(os.path.join(checkout.top, path, ".git")):
            changed.add(path)
    return Differences(tuple(sorted(added)), tuple(sorted(changed)))


def added_files(checkout: Checkout, seen: Differences | None = None) -> list[str]:
    """Every file and link that is not the commit's, ignored ones too; relative to the top."""
    seen = seen or differences(checkout)
    paths = {path.rstrip("/") for path in (*seen.added, *seen.changed)}
    return sorted(path for path in paths if os.path.lexists(os.path.join(checkout.top, path)))


def clean(checkout: Checkout) -> None:
    """Remove all that is not of the commit, and bring back what was changed; links are removed, not followed."""
    seen = differences(checkout, folders=True)
    for path in added_files(checkout, seen):
        _unlink(os.path.join(checkout.top, path))
    if seen.changed:
        head = os.path.join(checkout.layout.git_dir, "HEAD")
        with open(head, encoding="utf-8") as file:
            switch(checkout, Oid(file.read().strip()))


def _unlink(path: str) -> None:
    import shutil

    status = os.lstat(path)
    if stat.S_ISDIR(status.st_mode):
        shutil.rmtree(path)
    else:
        os.unlink(path)
