"""What git knows of commits, in repositories whose HEAD names no commit."""

from __future__ import annotations

from git_replicate.git.history import added_by, added_commits, kinds_and_sizes, subjects
from git_replicate.git.opening import find_layout
from git_replicate.git.repository import Oid
from tests.support import GitRepo


def test_asked_of_no_commit_git_says_nothing(repo: GitRepo) -> None:
    for branch in ("main", "unborn"):
        repo.git("symbolic-ref", "HEAD", f"refs/heads/{branch}")
        layout = find_layout(".")
        assert subjects(layout, []) == []
        assert added_by(layout, [], []) == []
        assert added_commits(layout, [], []) == []
        assert kinds_and_sizes(layout, []) == []


def test_commits_are_described_while_head_is_unborn(repo: GitRepo) -> None:
    head = Oid(repo.git("rev-parse", "HEAD"))
    repo.git("branch", "-m", "main")
    expected = repo.git("log", "-1", "--format=%h %s")
    repo.git("symbolic-ref", "HEAD", "refs/heads/unborn")
    assert subjects(find_layout("."), [head]) == [expected]
