"""Which results moved between two code bases."""

from __future__ import annotations

import json
import sys

import pytest

from tests.support import GitRepo, replicate

TRAIN = """K = 1
import argparse
p = argparse.ArgumentParser()
p.add_argument("--lr", type=float)
p.add_argument("--seed", type=int)
o = p.parse_args()
w = 0.0
for step in range(5):
    w += o.lr * (1 if step < 3 or o.lr < 0.2 else K) + o.seed / 100
    print(f"step={step} loss={w:.6f}")
"""


@pytest.fixture
def branches(repo: GitRepo) -> GitRepo:
    """Runs on main, and the same on a branch where only a large lr behaves otherwise; the branch is checked out."""
    repo.write("train.py", TRAIN)
    repo.commit()
    start(repo, "0.1", "0.3")
    repo.git("switch", "-q", "-c", "feature")
    repo.write("train.py", TRAIN.replace("K = 1", "K = 2"))
    repo.commit()
    return repo


def start(repo: GitRepo, *rates: str) -> None:
    for rate in rates:
        words = ("train.py", "--lr", rate, "--seed", "1")
        done = replicate("start", "-q", "--", sys.executable, *words, cwd=repo.top)
        assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_what_moved_is_told_with_the_step_where_curves_part(branches: GitRepo) -> None:
    start(branches, "0.1", "0.3", "0.5")
    done = replicate("check", "--format", "csv", cwd=branches.top)
    assert done.returncode == 3
    assert "2 pairs against main: 1 identical, 1 moved\nwithout a partner: 1 of HEAD, 0 of main\n" in done.stderr
    head, line = done.stdout.splitlines()
    assert head == "run,was,name,from,to,change,parts at,notes"
    assert line.split(",")[2:5] == ["loss", "1.55", "2.15"]
    assert line.split(",")[6] == "3"
    assert replicate("check", "--against", "main", "--rtol", "0.5", cwd=branches.top).returncode == 0


def test_nothing_moved_is_exit_0_and_said(branches: GitRepo) -> None:
    start(branches, "0.1")
    done = replicate("check", "--against", "main", cwd=branches.top)
    assert (done.returncode, done.stdout) == (0, "")
    assert "1 pair against main: 1 identical" in done.stderr


def test_without_a_pair_nothing_is_claimed(branches: GitRepo) -> None:
    done = replicate("check", cwd=branches.top)
    assert done.returncode == 1
    assert "no run of HEAD has a partner among those of main" in done.stderr
    assert "--onto HEAD" in done.stderr


@pytest.mark.slow
def test_reruns_on_the_new_code_are_partners(branches: GitRepo) -> None:
    replicate("rerun", "latest", "--onto", "HEAD", cwd=branches.top)
    done = replicate("check", "--format", "json", cwd=branches.top)
    assert done.returncode == 3
    (pair,) = json.loads(done.stdout)["pairs"]
    assert pair["metrics"]["loss"] == {"outcome": "differs", "original": 1.55, "rerun": 2.15}


@pytest.mark.slow
def test_uncommitted_code_is_compared_with_its_commit(branches: GitRepo) -> None:
    start(branches, "0.3")
    branches.write("train.py", TRAIN.replace("K = 1", "K = 4"))
    start(branches, "0.3")
    done = replicate("check", "--against", "HEAD", "--format", "csv", cwd=branches.top)
    assert done.returncode == 3
    assert done.stdout.splitlines()[1].split(",")[3:5] == ["2.15", "3.35"]
