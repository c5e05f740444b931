"""`annotate` and `rm --undo`: what a person may say of runs, and which runs can be brought back."""

from __future__ import annotations

import pytest

from git_replicate.git.opening import open_repository
from git_replicate.git.repository import Repository
from git_replicate.store.annotations import annotate
from git_replicate.store.store import start_of
from git_replicate.store.trash import find_removed, remove, removed_runs
from tests.store.making import make_run
from tests.support import GitRepo, replicate

ADA = ("Ada", "ada@example.org")


@pytest.fixture
def opened(repo: GitRepo) -> Repository:
    return open_repository(str(repo.top), backend="plumbing")


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["--tag", ""], 2, ["a tag cannot be empty", "hint: git replicate annotate latest --tag good"]),
        (["--untag", " "], 2, ["a tag cannot be empty", "hint: git replicate annotate latest --tag good"]),
        (["--invalid", ""], 2, ["--invalid takes the reason; --valid takes it back",
                                "hint: git replicate annotate latest --invalid 'wrong labels'"]),
        (["--untag", "nosuch"], 1, ["the run has no tag 'nosuch'; it has: baseline",
                                    "hint: git replicate show latest"]),
        (["--untag", "baselin"], 1, ["the run has no tag 'baselin'; it has: baseline",
                                     "hint: git replicate annotate latest --untag baseline"]),
    ],
)  # fmt: skip
def test_what_says_nothing_is_refused(
    repo: GitRepo, opened: Repository, words: list[str], code: int, said: list[str]
) -> None:
    annotate(opened, start_of(opened, make_run(opened)), tags=["baseline"], actor=ADA)
    done = replicate("annotate", "latest", *words, cwd=repo.top)
    assert (done.returncode, done.stderr.splitlines()) == (code, [f"git replicate: {said[0]}", said[1]])


def test_a_tag_is_taken_from_those_of_several_runs_that_have_it(repo: GitRepo, opened: Repository) -> None:
    annotate(opened, start_of(opened, make_run(opened, 1)), tags=["baseline"], actor=ADA)
    make_run(opened, 2)
    assert replicate("annotate", "latest", "latest~1", "--untag", "baseline", cwd=repo.top).returncode == 0
    again = replicate("annotate", "latest", "latest~1", "--untag", "baseline", cwd=repo.top)
    assert again.stderr.splitlines()[0] == "git replicate: none of these runs has the tag 'baseline'"


def test_removed_runs_are_listed_and_the_last_is_called_latest(repo: GitRepo, opened: Repository) -> None:
    nothing = replicate("rm", "--undo", cwd=repo.top)
    assert (nothing.returncode, nothing.stdout) == (0, "")
    assert nothing.stderr == "no run was removed in the last 30 days\n"
    for number, message in ((1, "wide"), (2, "")):
        make_run(opened, number, message=message)
    for number in (2, 1):
        remove(opened, f"refs/experiments/digits/20260304-05060{7 + number}-0000000{number}", actor=ADA)
    listed = replicate("rm", "--undo", cwd=repo.top)
    lines = [line.split() for line in listed.stdout.splitlines()]
    assert lines[0] == ["run", "removed", "experiment", "message"]
    assert [(line[0], line[3:]) for line in lines[1:]] == [("00000001", ["digits", "wide"]), ("00000002", ["digits"])]
    assert "git replicate rm --undo RUN" in listed.stderr
    assert [each.run.id for each in removed_runs(opened)] == ["20260304-050608-00000001", "20260304-050609-00000002"]
    assert find_removed(opened, "latest").id == "20260304-050608-00000001"
    assert replicate("rm", "--undo", "latest", cwd=repo.top).returncode == 0
    assert [each.run.id for each in removed_runs(opened)] == ["20260304-050609-00000002"]
    unknown = replicate("rm", "--undo", "nosuch", cwd=repo.top)
    assert unknown.stderr.splitlines()[1] == "hint: git replicate rm --undo lists them"


def test_a_run_that_is_named_twice_is_removed_and_brought_back_once(repo: GitRepo, opened: Repository) -> None:
    make_run(opened, 1)
    gone = replicate("rm", "latest", "00000001", cwd=repo.top)
    assert (gone.returncode, gone.stderr.count("removed ")) == (0, 1)
    back = replicate("rm", "--undo", "latest", "00000001", cwd=repo.top)
    assert (back.returncode, back.stderr.count("brought back ")) == (0, 1)
