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


def added_files(checkout: Checkout) -> list[str]:
    """Every file, link or empty folder's content that is not of the commit, ignored ones too; relative to the top."""
    git = _git(checkout)
    listed = git.run("list what was added", "ls-files", "--others", "-z").stdout
    found = {os.fsdecode(path).rstrip("/") for path in listed.split(b"\0") if path}
    changed = git.run("list what was changed", "diff-files", "--name-only", "-z", "--ignore-submodules=all").stdout
    found.update(os.fsdecode(path) for path in changed.split(b"\0") if path)
    return sorted(path for path in found if os.path.lexists(os.path.join(checkout.top, path)))


def clean(checkout: Checkout) -> None:
    """Remove all that is not of the commit, and bring back what was changed; links are removed, not followed."""
    for path in added_files(checkout):
        _unlink(os.path.join(checkout.top, path))
    head = os.path.join(checkout.layout.git_dir, "HEAD")
    with open(head, encoding="utf-8") as file:
        switch(checkout, Oid(file.read().strip()))
    _drop_empty(checkout.top)


def _unlink(path: str) -> None:
    import shutil

    status = os.lstat(path)
    if stat.S_ISDIR(status.st_mode):
        shutil.rmtree(path)
    else:
        os.unlink(path)


def _drop_empty(top: str) -> None:
    """Empty folders: git has none, so a run made them."""
    for folder, _, _ in os.walk(top, topdown=False):
        if folder != top and not os.listdir(folder):
            os.rmdir(folder)
