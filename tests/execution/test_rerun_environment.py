"""The environment of a rerun: what is there, what was recorded, or nothing else."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import GitRepo, replicate


@pytest.fixture
def recorded(repo: GitRepo, tmp_path: Path) -> GitRepo:
    """A run in an environment that is gone since, of a program that tells whether it has the recorder's packages."""
    environment = tmp_path / "there"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(environment)], check=True)
    repo.write(
        "train.py",
        "import importlib.util, sys\nprint('own:', int(importlib.util.find_spec('pygit2') is None))\n"
        "print('environment:', int(sys.prefix != sys.base_prefix))\n",
    )
    repo.commit()
    done = replicate("start", "--", str(environment / "bin" / "python"), "train.py", cwd=repo.top)
    assert done.returncode == 0, done.stderr
    shutil.rmtree(environment)
    return repo


def test_the_recorded_environment_is_built_once(recorded: GitRepo) -> None:
    first = replicate("rerun", "--env", "recorded", "latest", cwd=recorded.top)
    assert (first.returncode, first.stdout.partition(": ")[2]) == (0, "identical\n"), first.stderr
    assert first.stderr.count("building the environment") == 1
    second = replicate("rerun", "--env", "recorded", "latest~1", cwd=recorded.top)
    assert (second.returncode, second.stdout.partition(": ")[2]) == (0, "identical\n"), second.stderr
    assert "building the environment" not in second.stderr


def test_differences_of_the_present_environment_are_all_listed_and_strict_refuses_them(repo: GitRepo) -> None:
    repo.write("train.py", "print('a: 1')\n")
    repo.write("replicate.toml", '[environment]\nvariables = ["FIRST", "SECOND"]\n')
    repo.commit()
    done = replicate(
        "start", "--", sys.executable, "train.py", cwd=repo.top, variables={"FIRST": "one", "SECOND": "two"}
    )
    assert done.returncode == 0
    current = replicate("rerun", "latest", cwd=repo.top, variables={"FIRST": "other"})
    assert current.returncode == 0
    assert "2 differences from the recorded environment" in current.stderr
    assert "  variables.FIRST: one -> other\n  variables.SECOND: two -> absent\n" in current.stderr
    strict = replicate("rerun", "--env", "strict", "latest~1", cwd=repo.top)
    assert (strict.returncode, strict.stdout) == (1, "")
    assert "variables.FIRST: one -> absent; variables.SECOND: two -> absent" in strict.stderr
    assert len(repo.git("for-each-ref", "refs/experiments/").splitlines()) == 2
    same = replicate("rerun", "--env", "strict", "latest~1", cwd=repo.top, variables={"FIRST": "one", "SECOND": "two"})
    assert same.returncode == 0, same.stderr
