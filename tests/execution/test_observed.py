"""What a run was seen to read, in its record: folders that stand for many files."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import GitRepo, replicate

READ = "import os\nfor name in sorted(os.listdir('data')): open('data/' + name).close()\nprint('n:', 1)\n"


def data_of(repo: GitRepo) -> list[str]:
    done = replicate("start", "--", sys.executable, "train.py", cwd=repo.top)
    assert done.returncode == 0, done.stderr
    shown = json.loads(replicate("show", "latest", "--format", "json", cwd=repo.top).stdout)
    return sorted(shown.get("data", {}))


def many(folder: Path) -> None:
    folder.mkdir()
    for number in range(1_001):
        (folder / f"{number}.bin").touch()
        os.utime(folder / f"{number}.bin", (1e9, 1e9))


def test_a_folder_of_which_git_holds_a_part_is_data_if_more_was_read(repo: GitRepo) -> None:
    many(repo.top / "data")
    repo.write("data/README", "from far away\n")
    repo.write(".gitignore", "*.bin\n")
    repo.write("train.py", READ)
    assert data_of(repo) == ["data"]


def test_a_script_that_starts_another_python_than_is_described_is_warned_about(
    repo: GitRepo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "there"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    info = folder / "lib" / "python{}.{}".format(*sys.version_info[:2]) / "site-packages" / "numpy-0.1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Name: numpy\nVersion: 0.1\n")
    repo.write("train.py", "print('k:', 1)\n")
    script = repo.write("train.sh", f"#!/bin/sh\n{folder}/bin/python train.py\n")
    script.chmod(0o755)
    warned = "but the program ran in another (Python {}.{}.{}, 1 packages)".format(*sys.version_info[:3])
    for command in (("./train.sh",), ("sh", "train.sh")):
        done = replicate("start", "--", *command, cwd=repo.top)
        assert (done.returncode, warned in done.stderr) == (0, True), done.stderr
    monkeypatch.setenv("PATH", f"{folder}/bin:{os.environ['PATH']}")
    done = replicate("start", "--", "./train.sh", cwd=repo.top)
    assert (done.returncode, "another" in done.stderr) == (0, False), done.stderr
    shown = json.loads(replicate("show", "latest", "--format", "json", cwd=repo.top).stdout)
    assert shown["environment"]["packages"] == {"numpy": "0.1"}


def test_a_folder_that_the_snapshot_holds_is_no_data(repo: GitRepo) -> None:
    many(repo.top / "data")
    repo.write("train.py", READ)
    assert data_of(repo) == []
