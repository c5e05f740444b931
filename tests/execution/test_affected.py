"""The runs that contain a bug, and making them again without it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support import GitRepo, replicate

LOSS = "# loss\n\n\ndef f(x):\n    y = x * {factor}\n    return y\n"


@pytest.fixture
def history(repo: GitRepo) -> GitRepo:
    """Runs before a bug, with it uncommitted, committed, in a renamed file, and after its fix; tags bug and fix."""
    repo.write("train.py", "import loss\nprint('a:', loss.f(2))\n")
    repo.write("loss.py", LOSS.format(factor=2))
    repo.commit()
    start(repo, "before")
    repo.write("loss.py", LOSS.format(factor=3) + "# a remark\n")
    start(repo, "dirty")
    repo.write("loss.py", LOSS.format(factor=3))
    repo.write("README", "a bug comes in\n")
    repo.commit()
    repo.git("tag", "bug")
    start(repo, "committed")
    repo.git("mv", "loss.py", "losses.py")
    repo.write("train.py", "import losses\nprint('a:', losses.f(2))\n")
    repo.commit()
    start(repo, "renamed")
    repo.write("losses.py", LOSS.format(factor=2))
    repo.commit()
    repo.git("tag", "fix")
    start(repo, "fixed")
    return repo


def start(repo: GitRepo, experiment: str) -> None:
    done = replicate("start", "-q", "-e", experiment, "--", sys.executable, "train.py", cwd=repo.top)
    assert done.returncode == 0, done.stderr


def affected(repo: GitRepo, *words: str) -> list[dict[str, Any]]:
    done = replicate("affected", *words, "--format", "json", cwd=repo.top)
    assert done.returncode == 0, done.stderr
    rows: list[dict[str, Any]] = json.loads(done.stdout)
    return rows


def names(rows: list[dict[str, Any]]) -> list[str]:
    return [f"{row['run'].partition('/')[0]} {row['contains']}" for row in rows]


def test_runs_with_what_a_commit_brought_are_found_dirty_and_renamed_ones_too(history: GitRepo) -> None:
    wanted = ["renamed yes", "committed yes", "dirty yes"]
    assert names(affected(history, "--introduced-by", "bug")) == wanted
    assert names(affected(history, "--fixed-by", "fix", "--introduced-by", "bug")) == wanted
    assert names(affected(history, "losses.py:5", "--in", "fix~1")) == wanted
    assert names(affected(history, "losses.py", "--in", "fix"))[0] == "fixed yes"


@pytest.mark.slow
def test_runs_that_executed_the_file_come_first_and_those_that_did_not_are_not_made_again(history: GitRepo) -> None:
    history.git("checkout", "-qf", "bug")
    history.write("other.py", "print('a: 1')\n")
    done = replicate("start", "-q", "-e", "other", "--", sys.executable, "other.py", cwd=history.top)
    assert done.returncode == 0, done.stderr
    rows = affected(history, "--introduced-by", "bug")
    assert [row["executed"] for row in rows] == ["yes", "yes", "yes", "no"]
    assert rows[-1]["run"].startswith("other/")
    again = replicate("rerun", "--affected", "--introduced-by", "bug", "--onto", "fix", cwd=history.top)
    assert "3 affected runs to make again; 1 that did not run it" in again.stderr


@pytest.mark.slow
def test_rewritten_history_changes_nothing(history: GitRepo) -> None:
    bug = history.git("rev-parse", "bug")
    history.git("checkout", "-q", "--orphan", "new")
    history.commit()
    history.git("branch", "-D", "main")
    assert names(affected(history, "--introduced-by", bug)) == ["renamed yes", "committed yes", "dirty yes"]


@pytest.mark.slow
def test_a_shallow_clone_says_that_it_does_not_know(history: GitRepo, tmp_path: Path) -> None:
    shallow = GitRepo(tmp_path / "shallow")
    subprocess.run(
        ["git", "clone", "-q", "--depth", "1", f"file://{history.top}", str(shallow.top)], check=True
    )  # fmt: skip
    shallow.git("fetch", "-q", "--depth", "1", "origin", "refs/experiments/*:refs/experiments/*")
    rows = affected(shallow, "--introduced-by", "HEAD")
    assert {row["contains"] for row in rows} == {"unknown"}
    assert len(rows) == 5


@pytest.mark.slow
def test_affected_runs_are_made_again_on_the_fixed_code_and_point_there(history: GitRepo) -> None:
    done = replicate("rerun", "--affected", "--introduced-by", "bug", "--onto", "fix", cwd=history.top)
    assert done.returncode == 3
    assert "3 affected runs to make again" in done.stderr
    replaced = {row["run"].partition("/")[0]: row["superseded_by"] for row in affected(history, "--fixed-by", "fix")}
    assert sorted(replaced) == ["committed", "dirty", "renamed"]
    again = replicate("show", "--format", "json", replaced["dirty"], cwd=history.top)
    record = json.loads(again.stdout)
    assert record["rerun_of"].startswith("dirty/")
    assert record["metrics"] == {"a": 4}
    second = replicate("rerun", "--affected", "--introduced-by", "bug", "--onto", "fix", cwd=history.top)
    assert (second.returncode, "0 affected runs" in second.stderr) == (0, True)


def test_what_cannot_be_meant_is_said(history: GitRepo) -> None:
    for words, said in (
        ((), "which bug?"),
        (("--introduced-by", "nosuch"), "no commit is called 'nosuch'"),
        (("losses.py:900",), "losses.py has 6 lines in HEAD"),
        (("nosuch.py",), "nosuch.py is not in HEAD"),
    ):
        done = replicate("affected", *words, cwd=history.top)
        assert done.returncode in (1, 2)
        assert said in done.stderr
