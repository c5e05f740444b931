"""What git knows of commits: how trees differ, which commit comes before which, what a line of them adds.

No program of the user's or of a tree's runs for it, and nothing is fetched.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence

from git_replicate.git.command import Git
from git_replicate.git.repository import Layout, Oid

_OFFLINE = {"GIT_NO_LAZY_FETCH": "1", "GIT_ALLOW_PROTOCOL": "none"}


def diff_trees(layout: Layout, first: str, second: str, *, patch: bool, color: bool) -> str:
    """git's diff of two trees: a summary of the files, or the patch."""
    git = Git(layout.top or layout.git_dir, git_dir=layout.git_dir)
    kind = ["--patch"] if patch else ["--stat", "--summary"]
    options = ["--no-ext-diff", "--no-textconv", "--find-renames", f"--color={'always' if color else 'never'}"]
    done = git.run("compare code", "diff-tree", "-r", *options, *kind, first, second, "--")
    return os.fsdecode(done.stdout)


def is_ancestor(layout: Layout, first: Oid, second: Oid) -> bool:
    """Whether the first commit comes before the second, or is it; both must be there."""
    git = Git(layout.common_dir, git_dir=layout.git_dir)
    done = git.run("compare commits", "merge-base", "--is-ancestor", first, second, accept=(0, 1), variables=_OFFLINE)
    return done.returncode == 0


def added_by(layout: Layout, tips: Iterable[Oid], known: Iterable[Oid]) -> list[tuple[Oid, str]]:
    """The objects that these commits lead to and the known ones do not: ids, and the paths of trees and blobs."""
    git = Git(layout.common_dir, git_dir=layout.git_dir)
    stdin = "".join([*(f"{tip}\n" for tip in tips), *(f"^{tip}\n" for tip in known)]).encode()
    done = git.run(
        "list what commits add", "rev-list", "--objects", "--exclude-promisor-objects", "--stdin", stdin=stdin,
        variables=_OFFLINE,
    )  # fmt: skip
    lines = (line.partition(" ") for line in os.fsdecode(done.stdout).split("\n") if line)
    return [(Oid(oid), path) for oid, _, path in lines]


def added_commits(layout: Layout, tips: Iterable[Oid], known: Iterable[Oid]) -> list[Oid]:
    """The commits that these lead to and the known ones do not."""
    git = Git(layout.common_dir, git_dir=layout.git_dir)
    stdin = "".join([*(f"{tip}\n" for tip in tips), *(f"^{tip}\n" for tip in known)]).encode()
    done = git.run("list commits", "rev-list", "--stdin", stdin=stdin, variables=_OFFLINE)
    return [Oid(line) for line in done.stdout.decode().split()]


def kinds_and_sizes(layout: Layout, names: Sequence[str]) -> list[tuple[str, int]]:
    """The kind and size in bytes of each object, in the order asked; ("", 0) for one that is not there."""
    git = Git(layout.common_dir, git_dir=layout.git_dir)
    stdin = b"".join(os.fsencode(name) + b"\n" for name in names)
    done = git.run(
        "look at objects", "cat-file", "--batch-check=%(objecttype) %(objectsize)", "--buffer", stdin=stdin,
        variables=_OFFLINE,
    )  # fmt: skip
    found = []
    for line in os.fsdecode(done.stdout).split("\n")[: len(names)]:
        kind, _, size = line.rpartition(" ")
        found.append((kind, int(size)) if size.isdigit() else ("", 0))
    return found


def subjects(layout: Layout, commits: Sequence[Oid]) -> list[str]:
    """Short id and subject of each commit, in the order asked."""
    if not commits:
        return []  # asked of none, git would describe HEAD, which need not exist
    git = Git(layout.common_dir, git_dir=layout.git_dir)
    stdin = "".join(f"{commit}\n" for commit in commits).encode()
    done = git.run(
        "describe commits", "log", "--no-walk=unsorted", "--no-show-signature", "--no-notes", "--format=%h %s",
        "--stdin", stdin=stdin, variables=_OFFLINE,
    )  # fmt: skip
    return done.stdout.decode(errors="replace").splitlines()


def diff_blobs(layout: Layout, first: Oid, second: Oid) -> bytes:
    """git's diff of two blobs, without context; its headers alone count."""
    git = Git(layout.top or layout.git_dir, git_dir=layout.git_dir)
    options = ("--no-ext-diff", "--no-textconv", "--no-color", "--unified=0", "--inter-hunk-context=0")
    return git.run("compare two versions", "diff", *options, first, second, "--", accept=(0, 1)).stdout


def mentions(layout: Layout, commit: Oid, text: str) -> bool:
    """Whether any text file of a commit has these characters in a line."""
    git = Git(layout.common_dir, git_dir=layout.git_dir)
    words = ("grep", "--quiet", "--no-textconv", "-I", "--fixed-strings", "-e", text, commit, "--")
    return git.run("search the code", *words, accept=(0, 1), variables=_OFFLINE).returncode == 0


def commits_between(layout: Layout, tip: Oid, without: Oid | None = None) -> set[Oid]:
    """The commits that one leads to, itself included, and another does not."""
    git = Git(layout.common_dir, git_dir=layout.git_dir)
    words = (tip, *([f"^{without}"] if without else []))
    return {Oid(line.decode()) for line in git.run("list commits", "rev-list", *words, "--").stdout.split()}


def find_line(layout: Layout, commit: Oid, text: str) -> tuple[str, int] | None:
    """The first line of a commit's files that has these characters: path and number, from 1."""
    git = Git(layout.common_dir, git_dir=layout.git_dir)
    words = ("grep", "--no-textconv", "-I", "-n", "-z", "--max-count=1", "--fixed-strings", "-e", text, commit, "--")
    found = git.run("search the code", *words, accept=(0, 1), variables=_OFFLINE).stdout
    name, _, rest = found.partition(b"\0")
    number = rest.partition(b"\0")[0]
    path = os.fsdecode(name).partition(":")[2]
    return (path, int(number)) if path and number.isdigit() else None
