"""Finding the repository that a directory belongs to, and the backend that can read it.

Discovery is git's own, so that `GIT_DIR`, `safe.directory`, linked worktrees, submodules and everything else that
git knows about finding a repository hold here as well.
"""

from __future__ import annotations

import os
import shlex
from typing import Literal

from git_replicate.core.errors import NotARepositoryError
from git_replicate.git.command import Git
from git_replicate.git.loose import config_mentions
from git_replicate.git.repository import Layout, Repository

Backend = Literal["auto", "libgit2", "plumbing"]

_FACTS = ("--show-object-format", "--is-shallow-repository")
_PLACES = ("--git-dir", "--git-common-dir")
_WORK_TREE = ("--show-toplevel", "--show-prefix")
"""git fails at these, after all that comes before, where there is no working tree; it need not be around us."""


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
    lines, working = _ask(directory, *_FACTS, absolute, *_PLACES, *_WORK_TREE)
    if not working and "GIT_DIR" not in os.environ:
        _refuse_git_folder(directory)  # git before 2.45 does so itself
    object_format, shallow = lines[:2]
    words = (*_PLACES, *_WORK_TREE) if working else _PLACES
    # Another number of lines means a newline in a path.
    where = lines[2:] if len(lines) == 2 + len(words) else ["\n".join(_ask(directory, absolute, w)[0]) for w in words]
    git_dir, common_dir = where[:2]
    top, prefix = (where[2], where[3]) if working else (None, "")
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


def _ask(directory: str, *words: str) -> tuple[list[str], bool]:
    """The lines that git answers, and whether it had an answer to the last word."""
    git = Git(directory)
    try:
        done = git.run("find the repository", "rev-parse", *words, accept=(0, 128))
    except FileNotFoundError as error:
        if not os.path.isdir(directory):
            raise NotARepositoryError(f"there is no folder {directory}") from error
        raise NotARepositoryError("git is not installed, or not on PATH", "install git 2.31 or later") from error
    except NotADirectoryError as error:
        raise NotARepositoryError(f"{directory} is not a folder") from error
    lines = os.fsdecode(done.stdout).removesuffix("\n").split("\n")
    if done.returncode and len(lines) < len(_FACTS) + len(_PLACES):
        raise _no_repository(directory, os.fsdecode(done.stderr))
    return lines, done.returncode == 0


def _no_repository(directory: str, stderr: str) -> NotARepositoryError:
    """git's refusal with the hint that fits it."""
    lines = [line.removeprefix("fatal: ") for line in stderr.splitlines() if line.strip()]
    reason = next((line for line in lines if "dubious ownership" in line or "not a git" in line), "")
    if "dubious ownership" in reason:
        command = next((line.strip() for line in lines if "safe.directory" in line), "")
        return NotARepositoryError(f"git does not trust this repository: {reason}", command)
    if any("safe.bareRepository" in line for line in lines):
        _refuse_git_folder(directory)
        return NotARepositoryError(
            "this is a bare repository: runs are made in a clone",
            "to read those that are here: GIT_DIR=. git replicate log",
        )
    if not reason or "not a git repository (or" in reason:
        reason = reason.partition(" (or")[0] or (lines[0] if lines else "git says nothing")
        return NotARepositoryError(reason, "git init, or change into a repository")
    return NotARepositoryError(reason)


def _refuse_git_folder(directory: str) -> None:
    before, dot_git, _ = f"{directory}/".partition("/.git/")
    if dot_git:
        raise NotARepositoryError(
            "this is the inside of a repository's .git folder", f"cd {shlex.quote(before or '/')}"
        )
