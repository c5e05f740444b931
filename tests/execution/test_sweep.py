"""Sweeps: every run a checkout of one snapshot, what is missing done again, nothing lost when somebody is killed."""

from __future__ import annotations

import json
import os
import sys
from typing import Any

import pytest

from tests.support import GitRepo, replicate

TRAIN = """import argparse
parser = argparse.ArgumentParser()
parser.add_argument("--lr", type=float)
parser.add_argument("--depth", type=int, default=1)
options = parser.parse_args()
print("score:", options.lr * options.depth)
"""
COMMAND = (sys.executable, "train.py", "--lr", "{lr}", "--depth", "{depth}")


@pytest.fixture
def program(repo: GitRepo) -> GitRepo:
    repo.write("train.py", TRAIN)
    repo.commit()
    return repo


def records(repo: GitRepo) -> list[dict[str, Any]]:
    """Every run's record, oldest first."""
    listed: list[dict[str, Any]] = json.loads(replicate("log", "--format", "json", cwd=repo.top).stdout)
    return listed[::-1]


def test_a_grid_runs_every_combination_from_one_snapshot(program: GitRepo) -> None:
    program.write("train.py", TRAIN + "# not committed\n")
    done = replicate("sweep", "-p", "lr=0.5,0.25", "-p", "depth=1..3", "-j", "2", "--", *COMMAND, cwd=program.top)
    assert done.returncode == 0, done.stderr
    runs = records(program)
    assert {(r["params"]["lr"], r["params"]["depth"], r["metrics"]["score"]) for r in runs} == {
        (0.5, 1, 0.5), (0.5, 2, 1.0), (0.5, 3, 1.5), (0.25, 1, 0.25), (0.25, 2, 0.5), (0.25, 3, 0.75),
    }  # fmt: skip
    assert {r["code"]["snapshot"] for r in runs} != {program.git("rev-parse", "HEAD")}
    assert len({r["code"]["snapshot"] for r in runs}) == 1
    assert {r["status"] for r in runs} == {"finished"}
    assert {r["experiment"] for r in runs} == {"train"}
    assert {r["sweep"]["id"] for r in runs} == {done.stdout.strip()}
    assert sorted(r["sweep"]["trial"] for r in runs) == [0, 1, 2, 3, 4, 5]
    assert runs[0]["sweep"]["space"] == {"lr": "0.5,0.25", "depth": "1..3"}
    assert program.git("status", "--porcelain") == "M train.py"
    assert os.listdir(program.top / ".git" / "replicate" / "worktrees") == []


def test_resuming_does_what_is_missing_and_retries_what_failed(program: GitRepo) -> None:
    program.write(
        "train.py",
        "import os, sys\nlr = float(sys.argv[1])\nsys.exit(3 if lr == 2 and 'GOOD' not in os.environ else 0)\n",
    )
    program.commit()
    command = ("--", sys.executable, "train.py", "{lr}")
    first = replicate("sweep", "-p", "lr=1,2,3", *command, cwd=program.top)
    assert first.returncode == 1
    identity = first.stdout.strip()
    gone = next(r["id"] for r in records(program) if r["sweep"]["point"]["lr"] == 3)
    assert replicate("rm", gone, cwd=program.top).returncode == 0
    again = replicate("sweep", "--resume", identity, "-j", "2", cwd=program.top, variables={"GOOD": "1"})
    assert (again.returncode, again.stdout.strip()) == (0, identity)
    points = [(r["sweep"]["point"]["lr"], r["status"]) for r in records(program)]
    assert sorted(points) == [(1, "finished"), (2, "failed"), (2, "finished"), (3, "finished")]
    nothing = replicate("sweep", "--resume", "latest", cwd=program.top)
    assert nothing.returncode == 0
    assert len(records(program)) == 4


def test_nothing_of_one_run_is_seen_by_the_next_in_its_checkout(repo: GitRepo) -> None:
    repo.write(".gitignore", "*.log\n")
    repo.write("kept/file", "as committed\n")
    repo.write(
        "train.py",
        "import os, subprocess\n"
        "found = sorted(os.path.join(d, f) for d, _, files in os.walk('.') for f in files if '__pycache__' not in d)\n"
        "print('files:', len(found))\nprint('dirs:', sum(1 for d, _, _ in os.walk('.') if '__pycache__' not in d))\n"
        "print('length:', os.path.getsize('kept/file'))\n"
        "print('status:', len(subprocess.check_output(['git', 'status', '--porcelain']).splitlines()))\n"
        "os.makedirs('empty/deep')\n"
        "open('x.log', 'w').write('x')\n"
        "open('kept/file', 'a').write('more')\n"
        "os.chmod('train.py', 0o755)\n"
        "os.remove('README')\n"
        "subprocess.check_call(['git', 'add', '-A'])\n"
        "subprocess.check_call(['git', 'commit', '-q', '-m', 'of the run'])\n",
    )
    repo.commit()
    done = replicate("sweep", "-p", "x=1..3", "--", sys.executable, "train.py", "{x}", cwd=repo.top)
    assert done.returncode == 0, done.stderr
    runs = records(repo)
    assert len(runs) == 3
    assert len({str(sorted(r["metrics"].items())) for r in runs}) == 1
    assert set(runs[0]["metrics"]) == {"files", "dirs", "length", "status"}
    assert runs[0]["metrics"]["status"] == 0
    for run in runs:
        moved = {entry["path"]: entry["moved_to"] for entry in run["files"]}
        assert (repo.top / ".git" / moved["x.log"]).read_text() == "x"
