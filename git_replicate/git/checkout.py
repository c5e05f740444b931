"""A commit's files in a folder of our own, in which `git` works, and which `git worktree list` does not show.

    <folder>/git    HEAD, index and `commondir`: what a linked worktree has, but not registered in the repository
    <folder>/lent   a copy of it, for those who work in the files with git
    <folder>/tree   the files, with a `.git` file that names the copy

What was changed is told by our own index, so that it does not matter what a run does with git in its files: commit,
check out, stage, or remove the `.git` file. No hook runs. Smudge filters are the user's own, from the user's
configuration; a file that needs one is given its stored bytes by `git-lfs` when `smudge` is off.
"""

from __future__ import annotations

import contextlib
import os
import shutil
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
    moved_to: str = ""
    """Where the files are if no more in the folder: a submodule's are among those of another checkout."""

    @property
    def top(self) -> str:
        return self.moved_to or os.path.join(self.folder, "tree")


def create_checkout(layout: Layout, folder: str, commit: Oid, *, smudge: bool = True) -> Checkout:
    """Check a commit out into an existing, empty folder; `GitError` or `OSError` if that cannot be done."""
    own = os.path.join(folder, "git")
    top = os.path.join(folder, "tree")
    os.mkdir(own)
    os.mkdir(top)
    _write(os.path.join(own, "commondir"), layout.common_dir)
    _write(os.path.join(own, "gitdir"), os.path.join(top, ".git"))
    if layout.ref_format == "reftable":
        os.mkdir(os.path.join(own, "reftable"))
    checkout = Checkout(folder, replace(layout, git_dir=own, top=top, prefix=""))
    switch(checkout, commit, smudge=smudge)
    lend(checkout)
    return checkout


def _write(path: str, line: str) -> None:
    with open(path, "w", encoding="utf-8", errors="surrogateescape") as file:
        file.write(f"{line}\n")


def switch(checkout: Checkout, commit: Oid, *, smudge: bool = True) -> None:
    """Make the files those of another commit; what is not tracked stays where it is."""
    variables = {**_NOTHING_FETCHED, **({} if smudge else {"GIT_LFS_SKIP_SMUDGE": "1"})}
    _write(os.path.join(checkout.layout.git_dir, "HEAD"), commit)
    if checkout.layout.ref_format == "reftable":  # the file is for us, and for git to know the folder by
        _git(checkout).run("check out the code", "update-ref", "--no-deref", "HEAD", commit)
    _git(checkout).run("check out the code", "read-tree", "--reset", "-u", commit, config=_WHOLE, variables=variables)


def head_of(checkout: Checkout) -> Oid:
    """The commit whose files they are."""
    with open(os.path.join(checkout.layout.git_dir, "HEAD"), encoding="utf-8") as file:
        return Oid(file.read().strip())


def lend(checkout: Checkout) -> None:
    """Give those who will work in the files a HEAD and an index of their own; what the last ones left of it goes."""
    theirs, link = os.path.join(checkout.folder, "lent"), os.path.join(checkout.top, ".git")
    remove_tree(theirs)
    shutil.copytree(checkout.layout.git_dir, theirs)  # with the times: git trusts no file that is newer than its index
    if os.path.lexists(link):
        _unlink(link)
    _write(link, f"gitdir: {theirs}")


def _git(checkout: Checkout) -> Git:
    layout = checkout.layout
    os.makedirs(checkout.top, exist_ok=True)  # nothing keeps a run from removing it
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
    """What is not of the commit, ignored or not; another repository's folder ends in a slash."""
    changed: tuple[str, ...] = ()
    """Files of the commit that have other content, or are gone."""


def differences(checkout: Checkout) -> Differences:
    """What one look at the files finds."""
    words = ("ls-files", "-t", "--others", "--modified", "--deleted", "-z")
    listed = _git(checkout).run("list what was changed", *words)
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
    """Every file and link that is not the commit's, ignored ones too; relative to the top.

    What a link leads to is not among them: that is somebody else's.
    """
    seen = seen or differences(checkout)
    paths = {path.rstrip("/") for path in (*seen.added, *seen.changed)}
    own = _Own(checkout.top)
    return sorted(path for path in paths if own.has(path))


class _Own:
    """Which paths are really in a folder, and not where a link in it leads."""

    def __init__(self, top: str) -> None:
        self._top = top
        self._folders = {"": True}

    def has(self, path: str) -> bool:
        return self._is_folder(os.path.dirname(path)) and os.path.lexists(os.path.join(self._top, path))

    def _is_folder(self, path: str) -> bool:
        if path not in self._folders:
            whole = os.path.join(self._top, path)
            found = self._is_folder(os.path.dirname(path)) and os.path.isdir(whole) and not os.path.islink(whole)
            self._folders[path] = found
        return self._folders[path]


def clean(checkout: Checkout, *, smudge: bool = True) -> None:
    """Remove all that is not of the commit, and bring back what was touched; links are removed, not followed.

    Touched is what has other content, permissions or times than it was checked out with.
    """
    _open_up(checkout)
    words = ("ls-files", "--others", "--directory", "-z")  # whole folders as one, empty ones too
    for path in os.fsdecode(_git(checkout).run("list what was added", *words).stdout).split("\0")[:-1]:
        _unlink(os.path.join(checkout.top, path.rstrip("/")))
    touched = _touched(checkout)
    for path in filter(os.path.lexists, touched):
        _unlink(path)
    if touched:
        switch(checkout, head_of(checkout), smudge=smudge)


def _touched(checkout: Checkout) -> list[str]:
    """The commit's files that are gone, or that somebody has touched since they were checked out; whole paths.

    By the time of their last change: the index is written after them. git compares whole seconds, and no permissions.
    """
    since = os.stat(os.path.join(checkout.layout.git_dir, "index")).st_mtime_ns
    listed = os.fsdecode(_git(checkout).run("list files", "ls-files", "-z").stdout)
    found: list[str] = []
    folders: list[str] = []
    for path in listed.split("\0")[:-1]:
        whole = os.path.join(checkout.top, path)
        try:
            status = os.lstat(whole)
        except OSError:
            found.append(whole)
            continue
        if stat.S_ISDIR(status.st_mode):
            folders.append(path)
        elif status.st_ctime_ns > since:
            found.append(whole)
    if folders:
        submodules = {path for path, _ in gitlinks(checkout)}
        found += [os.path.join(checkout.top, path) for path in folders if path not in submodules]
    return found


def _open_up(checkout: Checkout) -> None:
    """Give the commit's folders the permissions of new ones."""
    words = ("ls-tree", "-r", "-d", "--name-only", "-z", head_of(checkout))
    listed = os.fsdecode(_git(checkout).run("list folders", *words).stdout)  # those above others come first
    mask = os.umask(0o022)
    os.umask(mask)
    there: set[str] = set()
    for path in ["", *listed.split("\0")[:-1]]:
        folder = os.path.join(checkout.top, path)
        if path and os.path.dirname(path) not in there:
            continue  # what is above it is a link, which may lead anywhere
        with contextlib.suppress(FileNotFoundError):
            mode = os.lstat(folder).st_mode
            if not stat.S_ISDIR(mode):
                continue
            if mode & 0o777 != 0o777 & ~mask:
                os.chmod(folder, stat.S_IMODE(mode) & ~0o777 | 0o777 & ~mask)
            there.add(path)


def _unlink(path: str) -> None:
    if stat.S_ISDIR(os.lstat(path).st_mode):
        remove_tree(path)
    else:
        os.unlink(path)


def remove_tree(folder: str) -> None:
    """Remove a folder with all in it, what was made read-only too; what cannot be removed stays."""
    with contextlib.suppress(FileNotFoundError):
        try:
            shutil.rmtree(folder)
        except OSError:  # not writable, or somebody who ends only now still writes there
            os.chmod(folder, 0o700)
            for above, names, _ in os.walk(folder):
                for name in names:
                    if not os.path.islink(os.path.join(above, name)):
                        os.chmod(os.path.join(above, name), 0o700)
            shutil.rmtree(folder, ignore_errors=True)
