"""Repositories whose refs lie in reftables (git 2.45): one lock for all of them, and no file a ref."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import PROGRAM, GitRepo, replicate


@pytest.fixture
def tables(tmp_path: Path) -> GitRepo:
    """A repository with reftables, one commit in it."""
    top = tmp_path / "tables"
    made = subprocess.run(
        ["git", "init", "-q", "--ref-format=reftable", str(top)], capture_output=True, check=False, text=True
    )
    if made.returncode:
        pytest.skip("this git knows no reftables")
    repo = GitRepo(top)
    repo.write("train.py", "import sys\nprint('v:', sys.argv[1])\n")
    repo.commit()
    return repo


def test_simultaneous_starts_wait_for_each_other(tables: GitRepo) -> None:
    tables.write("dirty", "x")
    count = 12
    starts = [
        subprocess.Popen(
            [sys.executable, str(PROGRAM), "start", "-q", "--", "echo", f"v: {i}"], cwd=tables.top, stdout=-3
        )
        for i in range(count)
    ]
    assert [process.wait() for process in starts] == [0] * count
    table = json.loads(replicate("log", "--format", "json", cwd=tables.top).stdout)
    assert sorted(run["metrics"]["v"] for run in table) == list(range(count))
    noted = {line.split()[1] for line in tables.git("notes", "--ref=experiments", "list").splitlines()}
    refs = tables.git("for-each-ref", "--format=%(objectname)", "refs/experiments/").split()
    assert noted == {*refs}
    tables.git("fsck", "--strict")


def test_runs_in_checkouts_and_reruns(tables: GitRepo) -> None:
    tables.write("train.py", "import subprocess\nprint('v:', len(subprocess.check_output(['git', 'log', '-1'])) > 0)\n")
    done = replicate("start", "--isolated", "--", sys.executable, "train.py", cwd=tables.top)
    assert (done.returncode, "v: True" in done.stdout) == (0, True)
    again = replicate("rerun", "latest", cwd=tables.top)
    assert (again.returncode, "identical" in again.stdout + again.stderr) == (0, True)
    assert tables.git("worktree", "list").count("\n") == 0


def test_a_removed_run_comes_back(tables: GitRepo) -> None:
    replicate("start", "-q", "--", sys.executable, "train.py", "7", cwd=tables.top)
    (name,) = tables.git("for-each-ref", "--format=%(refname:lstrip=2)", "refs/experiments/").split()
    assert replicate("rm", name, cwd=tables.top).returncode == 0
    assert tables.git("for-each-ref", "refs/experiments/") == ""
    assert replicate("rm", "--undo", name, cwd=tables.top).returncode == 0
    assert tables.git("for-each-ref", "--format=%(refname:lstrip=2)", "refs/experiments/") == name
