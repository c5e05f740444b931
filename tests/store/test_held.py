"""Code that no run holds yet survives whatever is collected."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta

import pytest

from git_replicate.core.record import Code
from git_replicate.git.opening import open_repository
from git_replicate.git.repository import Commit, Mode, Signature, TreeEntry
from git_replicate.store.code import SnapshotGoneError
from git_replicate.store.held import held, let_go
from tests.support import GitRepo

WHO = Signature("Ada", "ada@example.org", 0, 0)


def some_code(repo: GitRepo) -> Code:
    """A commit that no ref leads to."""
    opened = open_repository(str(repo.top))
    blob = opened.write_blob(os.urandom(8))
    tree = opened.write_tree([TreeEntry(b"train.py", Mode.FILE, blob)])
    return Code(snapshot=opened.write_commit(Commit(tree, (), WHO, WHO, "code")), tree=tree)


def refs(repo: GitRepo) -> list[str]:
    return repo.git("for-each-ref", "--format=%(refname)", "refs/replicate").split()


def test_code_is_held_while_it_is_needed_and_no_longer(repo: GitRepo) -> None:
    opened = open_repository(str(repo.top))
    with held(opened, lambda: some_code(repo)) as code:
        repo.git("gc", "--quiet", "--prune=now")
        assert repo.git("cat-file", "-t", f"{code.snapshot}:train.py") == "blob"
        assert [ref.rpartition("/")[0] for ref in refs(repo)] == ["refs/replicate/held"]
    assert refs(repo) == []


def test_code_that_is_collected_before_it_is_held_is_taken_again(repo: GitRepo) -> None:
    taken: list[Code] = []

    def take() -> Code:
        taken.append(some_code(repo))
        if len(taken) < 3:
            repo.git("gc", "--quiet", "--prune=now")
        return taken[-1]

    with held(open_repository(str(repo.top)), take) as code:
        assert (len(taken), code) == (3, taken[2])


def test_code_that_is_always_collected_is_an_error_and_leaves_no_ref(repo: GitRepo) -> None:
    def take() -> Code:
        code = some_code(repo)
        repo.git("prune", "--expire=now")
        return code

    with pytest.raises(SnapshotGoneError), held(open_repository(str(repo.top)), take):
        pytest.fail("it is not there")
    assert refs(repo) == []


def test_what_a_killed_process_held_is_let_go_a_week_later(repo: GitRepo) -> None:
    opened = open_repository(str(repo.top))
    with held(opened, lambda: some_code(repo)):
        assert let_go(opened) == 0
        assert let_go(opened, datetime.now(UTC) + timedelta(days=8)) == 1
        assert refs(repo) == []
