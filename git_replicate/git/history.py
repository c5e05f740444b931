"""Differences between trees, as git shows them, with no program of the user's or of the tree's run for it."""

from __future__ import annotations

import os

from git_replicate.git.command import Git
from git_replicate.git.repository import Layout


def diff_trees(layout: Layout, first: str, second: str, *, patch: bool, color: bool) -> str:
    """git's diff of two trees: a summary of the files, or the patch."""
    git = Git(layout.top or layout.git_dir, git_dir=layout.git_dir)
    kind = ["--patch"] if patch else ["--stat", "--summary"]
    options = ["--no-ext-diff", "--no-textconv", "--find-renames", f"--color={'always' if color else 'never'}"]
    done = git.run("compare code", "diff-tree", "-r", *options, *kind, first, second, "--")
    return os.fsdecode(done.stdout)
