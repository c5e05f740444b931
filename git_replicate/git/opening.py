"""Finding the repository that a directory belongs to, and the backend that can read it.

Discovery is git's own, so that `GIT_DIR`, `safe.directory`, linked worktrees, submodules and everything else that
git knows about finding a repository hold here as well.
"""

from __future__ import annotations

import os
from typing import Literal

from git_replicate.core.errors import NotARepositoryError
from git_replicate.git.command import Git
from git_replicate.git.loose import config_mentions
from git_replicate.git.repository import Layout, Repository

Backend = Literal["auto", "libgit2", "plumbing"]

_FACTS = ("--is-inside-work-tree", "--show-object-format", "--is-shallow-repository")
_PLACES = ("--git-dir", "--git-common-dir")


def open_repository(directory: str = ".", *, backend: Backend = "auto") -> Repository:
    """The repository around a directory; `NotARepositoryError` with git's own reason if there is none.

    "auto" takes libgit2 where it can open the repository, git's plumbing elsewhere.
    """
    return repository_at(find_layout(directory), backend=backend)


def repository_at(layout: Layout, *, backend: Backend = "auto") -> Repository:
    """The repository of a known layout."""
    if backend == "libgit2" or (backend == "auto" and libgit2_can_open(layout)):
        from git_replicate.git.libgit2 import Libgit2Repository

        return Libgit2Repository(layout)
    from git_replicate.git.plumbing import PlumbingRepository

    return PlumbingRepository(layout)


def find_layout(directory: str = ".") -> Layout:
    """Where the repository around a directory keeps things, from one `git rev-parse` (two for odd names)."""
    try:
        directory = os.path.abspath(directory)
    except FileNotFoundError as error:
        raise NotARepositoryError("the current directory has been removed", 'cd "$PWD", or to another one') from error
    absolute = "--path-format=absolute"
    lines = _ask(directory, *_FACTS, absolute, *_PLACES, "--show-toplevel", "--show-prefix")
    inside, object_format, shallow = lines[:3]
    expected = 4 if inside == "true" else 2
    # Another number of lines means a newline in a path.
    where = lines[3:] if len(lines) == 3 + expected else _one_by_one(directory, inside)
    git_dir, common_dir = where[:2]
    top, prefix = (where[2], where[3]) if inside == "true" else (None, "")
    return Layout(
        git_dir=git_dir,
        common_dir=common_dir,
        top=top,
        object_format=object_format,
        ref_format="reftable" if os.path.isdir(os.path.join(common_dir, "reftable")) else "files",
        prefix=prefix,
        shallow=shallow == "true",
    )


def state_dir(layout: Layout) -> str:
    """The private folder in the repository, shared by all of its worktrees; it need not exist yet."""
    return os.path.join(layout.common_dir, "replicate")


def libgit2_can_open(layout: Layout) -> bool:
    """Whether libgit2 reads and writes this repository's objects as git does.

    It knows neither SHA-256 nor missing objects, nor the permissions of shared repositories, nor object folders named
    by the environment.
    """
    if layout.object_format != "sha1" or layout.ref_format != "files":
        return False
    if os.environ.get("GIT_OBJECT_DIRECTORY") or os.environ.get("GIT_ALTERNATE_OBJECT_DIRECTORIES"):
        return False
    return not config_mentions(layout, b"partialclone", b"promisor", b"sharedrepository", b"[extensions", b"[include")


def _ask(directory: str, *words: str) -> list[str]:
    git = Git(directory)
    try:
        # --show-toplevel fails in a bare repository and inside .git, after all before it was printed.
        done = git.run("find the repository", "rev-parse", *words, accept=(0, 128))
    except FileNotFoundError as error:
        if not os.path.isdir(directory):
            raise NotARepositoryError(f"there is no folder {directory}") from error
        raise NotARepositoryError("git is not installed, or not on PATH", "install git 2.31 or later") from error
    except NotADirectoryError as error:
        raise NotARepositoryError(f"{directory} is not a folder") from error
    lines = os.fsdecode(done.stdout).removesuffix("\n").split("\n")
    if done.returncode and len(lines) < 5:
        raise _no_repository(os.fsdecode(done.stderr))
    return lines


def _one_by_one(directory: str, inside: str) -> list[str]:
    words = (*_PLACES, "--show-toplevel", "--show-prefix") if inside == "true" else _PLACES
    return ["\n".join(_ask(directory, "--path-format=absolute", word)) for word in words]


def _no_repository(stderr: str) -> NotARepositoryError:
    """git's refusal with the hint that fits it."""
    lines = [line.removeprefix("fatal: ") for line in stderr.splitlines() if line.strip()]
    reason = next((line for line in lines if "dubious ownership" in line or "not a git" in line), "")
    if "dubious ownership" in reason:
        command = next((line.strip() for line in lines if "safe.directory" in line), "")
        return NotARepositoryError(f"git does not trust this repository: {reason}", command)
    if any("safe.bareRepository" in line for line in lines):
        return NotARepositoryError(
            "this is a bare repository, or the inside of one", "name it: GIT_DIR=. git replicate log"
        )
    if not reason or "not a git repository (or" in reason:
        reason = reason.partition(" (or")[0] or (lines[0] if lines else "git says nothing")
        return NotARepositoryError(reason, "git init, or change into a repository")
    return NotARepositoryError(reason)
