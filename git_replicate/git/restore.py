"""Putting a commit's files into the user's worktree: files only, HEAD and index stay as they are."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Collection, Sequence
from typing import Final, NamedTuple

from git_replicate.core.errors import UserError
from git_replicate.git.changed import ChangedPath, changed_paths
from git_replicate.git.command import Git
from git_replicate.git.repository import Layout, Oid

_GITLINK: Final = "160000"
"""The mode of a submodule."""


def dirty_paths(layout: Layout) -> set[str]:
    """Tracked files with uncommitted changes, staged or not."""
    git = Git(layout.top or layout.git_dir, git_dir=layout.git_dir, work_tree=layout.top)
    words = ("status", "--porcelain=v1", "-z", "--untracked-files=no", "--no-renames", "--ignore-submodules=none")
    listed = git.run("look for uncommitted work", *words).stdout
    return {os.fsdecode(entry[3:]) for entry in listed.split(b"\0") if entry}


class Put(NamedTuple):
    """How many files were changed, and the tracked files with uncommitted changes that were left as they are."""

    changed: int
    left: tuple[str, ...]


def put_tree(layout: Layout, commit: Oid, scratch: str) -> Put:
    """Make the files that differ between HEAD and a commit those of the commit.

    One that is so already is not touched. `UserError`, before anything is, where another has uncommitted changes or is
    an untracked file. What is changed in the worktree alone, HEAD and the commit being the same there, stays.
    """
    top = layout.top or ""
    plain = Git(top, git_dir=layout.git_dir, work_tree=layout.top)
    head = plain.run("read HEAD", "rev-parse", "--verify", "--quiet", "HEAD^{commit}", accept=(0, 1)).stdout.strip()
    if not head:
        raise UserError("there is no commit yet: the worktree cannot be told from the run's code", "git commit first")
    changes = changed_paths(layout, head.decode(), commit)
    dirty = dirty_paths(layout)
    left = tuple(sorted(dirty - {c.path for c in changes}))
    with tempfile.TemporaryDirectory(dir=scratch, prefix="scratch-") as folder:
        git = Git(top, git_dir=layout.git_dir, work_tree=layout.top, index=os.path.join(folder, "index"))
        done = _done_already(git, changes)
        _check_nothing_is_lost(top, [c for c in changes if c.path not in done], dirty)
        if len(done) < len(changes):
            git.run("read HEAD", "read-tree", head.decode())
            lines = [_index_line(c) for c in sorted(changes, key=lambda c: bool(c.second)) if c.path in done]
            known = b"".join(lines)  # what goes comes first: it may be in the way of what comes
            git.run("pass over what is as it is to be", "update-index", "-z", "--index-info", stdin=known)
            git.run("compare files", "update-index", "-q", "--refresh", accept=(0, 1))
            base = git.run("name what is there", "write-tree", "--missing-ok").stdout.strip() if done else head
            git.run("put the code into the worktree", "read-tree", "-m", "-u", base.decode(), commit)
    return Put(len(changes) - len(done), left)


def _check_nothing_is_lost(top: str, changes: Sequence[ChangedPath], dirty: Collection[str]) -> None:
    blocked = [
        c.path for c in changes if c.path in dirty or (not c.first and os.path.lexists(os.path.join(top, c.path)))
    ]
    if blocked:
        shown = ", ".join(blocked[:5]) + (f" and {len(blocked) - 5} more" if len(blocked) > 5 else "")
        raise UserError(
            f"uncommitted work would be overwritten: {shown}", "git stash --include-untracked, or commit it first"
        )


def _done_already(git: Git, changes: Sequence[ChangedPath]) -> set[str]:
    """The paths whose files in the worktree are those of the second side by what git would store of them."""
    files = [c for c in changes if c.mode != _GITLINK and c.second]
    wanted = b"".join(_index_line(c) for c in files)
    git.run("begin an index", "read-tree", "--empty")
    git.run("name the files", "update-index", "-z", "--index-info", stdin=wanted)
    git.run("compare files", "update-index", "-q", "--refresh", accept=(0, 1))
    other = git.run("compare files", "diff-files", "-z", "--name-only").stdout
    differ = {os.fsdecode(path) for path in other.split(b"\0") if path}
    gone = {c.path for c in changes if not c.second and not _is_file(os.path.join(git.directory, c.path))}
    return {c.path for c in files if c.path not in differ} | gone


def _is_file(path: str) -> bool:
    """Whether there is a file or link of that name, rather than nothing or a folder."""
    return os.path.lexists(path) and (os.path.islink(path) or not os.path.isdir(path))


def _index_line(change: ChangedPath) -> bytes:
    """A line for `git update-index -z --index-info`: the path as the second side has it, mode 0 where it has none."""
    oid = change.second or "0" * len(change.first)
    return f"{change.mode if change.second else 0} {oid}\t".encode() + os.fsencode(change.path) + b"\0"


def is_committed(layout: Layout, path: str) -> bool:
    """Whether a file of the worktree is just as HEAD has it, or is not there at all."""
    if not os.path.lexists(os.path.join(layout.top or "", path)):
        return True
    git = Git(layout.top or layout.git_dir, git_dir=layout.git_dir, work_tree=layout.top)
    tracked = git.run("look for the file", "ls-files", "--error-unmatch", "-z", "--", path, accept=(0, 1))
    return tracked.returncode == 0 and path not in dirty_paths(layout)


def check_branch_name(layout: Layout, name: str) -> None:
    """`UserError` for a name that git would not take for a branch."""
    git = Git(layout.top or layout.git_dir, git_dir=layout.git_dir)
    if git.run("check the name", "check-ref-format", "--branch", name, accept=(0, 1, 128, 129)).returncode:
        raise UserError(f"not a valid branch name: {name!r}", "git help check-ref-format")
