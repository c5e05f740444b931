"""Putting a commit's files into the user's worktree: files only, HEAD and index stay as they are."""

from __future__ import annotations

import os
import tempfile

from git_replicate.core.errors import UserError
from git_replicate.git.changed import changed_paths
from git_replicate.git.command import Git
from git_replicate.git.repository import Layout, Oid


def dirty_paths(layout: Layout) -> set[str]:
    """Tracked files with uncommitted changes, staged or not."""
    git = Git(layout.top or layout.git_dir, git_dir=layout.git_dir, work_tree=layout.top)
    words = ("status", "--porcelain=v1", "-z", "--untracked-files=no", "--no-renames", "--ignore-submodules=none")
    listed = git.run("look for uncommitted work", *words).stdout
    return {os.fsdecode(entry[3:]) for entry in listed.split(b"\0") if entry}


def put_tree(layout: Layout, commit: Oid, scratch: str) -> int:
    """Make the files that differ between HEAD and a commit those of the commit; how many there are.

    `UserError`, before anything is touched, where one of them has uncommitted changes or is an untracked file.
    """
    top = layout.top or ""
    plain = Git(top, git_dir=layout.git_dir, work_tree=layout.top)
    head = plain.run("read HEAD", "rev-parse", "--verify", "--quiet", "HEAD^{commit}", accept=(0, 1)).stdout.strip()
    if not head:
        raise UserError("there is no commit yet: the worktree cannot be told from the run's code", "git commit first")
    changes = changed_paths(layout, head.decode(), commit)
    dirty = dirty_paths(layout)
    blocked = [
        c.path for c in changes if c.path in dirty or (not c.first and os.path.lexists(os.path.join(top, c.path)))
    ]
    if blocked:
        shown = ", ".join(blocked[:5]) + (f" and {len(blocked) - 5} more" if len(blocked) > 5 else "")
        raise UserError(
            f"uncommitted work would be overwritten: {shown}", "git stash --include-untracked, or commit it first"
        )
    with tempfile.TemporaryDirectory(dir=scratch, prefix="scratch-") as folder:
        git = Git(top, git_dir=layout.git_dir, work_tree=layout.top, index=os.path.join(folder, "index"))
        git.run("read HEAD", "read-tree", head.decode())
        git.run("compare files", "update-index", "-q", "--refresh", accept=(0, 1))
        git.run("put the code into the worktree", "read-tree", "-m", "-u", head.decode(), commit)
    return len(changes)


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
