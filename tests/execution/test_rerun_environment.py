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


@pytest.mark.slow
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


BACKEND = """
import os, zipfile
def build_editable(folder, config_settings=None, metadata_directory=None):
    info = "mypkg-1.dist-info"
    with zipfile.ZipFile(os.path.join(folder, "mypkg-1-py3-none-any.whl"), "w") as wheel:
        wheel.writestr("mypkg.pth", os.path.abspath("src") + "\\n")
        wheel.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\\nName: mypkg\\nVersion: 1\\n")
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
        wheel.writestr(f"{info}/RECORD", "")
    return "mypkg-1-py3-none-any.whl"
"""


@pytest.mark.slow
def test_a_package_installed_in_place_is_the_checkouts_and_is_built_once(repo: GitRepo, tmp_path: Path) -> None:
    repo.write("src/mypkg.py", "K = 1\n")
    repo.write("backend.py", BACKEND)
    repo.write(
        "pyproject.toml",
        '[project]\nname = "mypkg"\nversion = "1"\n'
        '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n',
    )
    repo.write("train.py", "import mypkg\nprint('k:', mypkg.K)\n")
    repo.commit()
    python = installed_in_place(tmp_path / "there", repo.top)
    done = replicate("start", "--", python, "train.py", cwd=repo.top)
    assert (done.returncode, done.stdout) == (0, "k: 1\n"), done.stderr
    repo.write("src/mypkg.py", "K = 2\n")
    for run, builds in (("latest", 1), ("latest~1", 0)):
        again = replicate("rerun", "--env", "recorded", run, cwd=repo.top)
        assert (again.returncode, again.stdout.partition(": ")[2]) == (0, "identical\n"), again.stderr
        assert again.stderr.count("building the environment") == builds
    why = replicate("why", "latest~2", "latest", cwd=repo.top)
    assert why.stdout == "the metrics are identical\nnothing that is recorded differs\n"
    assert repo.git("status", "--porcelain", "--untracked-files=no") == "M src/mypkg.py"


def installed_in_place(folder: Path, top: Path) -> str:
    """A Python with an editable install of a worktree, as installers make one; its interpreter."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    (packages,) = (folder / "lib").glob("python*/site-packages")
    (packages / "mypkg.pth").write_text(f"{top / 'src'}\n")
    info = packages / "mypkg-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: mypkg\nVersion: 1\n")
    (info / "direct_url.json").write_text(f'{{"url": "file://{top}", "dir_info": {{"editable": true}}}}')
    return str(folder / "bin" / "python")
