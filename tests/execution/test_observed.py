"""What a run was seen to read, in its record: folders that stand for many files."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
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


def installed_copy(repo: GitRepo, folder: Path, *, source: str) -> Path:
    """An environment in which `pip install ./pk` has put a copy of the repository's package."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    site = folder / "lib" / "python{}.{}".format(*sys.version_info[:2]) / "site-packages"
    info = site / "pk-1.0.dist-info"
    info.mkdir()
    (site / "pk").mkdir()
    (site / "pk" / "__init__.py").write_text(source)
    (site / "pk" / "other.py").write_text("X = 1\n")
    (info / "METADATA").write_text("Name: pk\nVersion: 1.0\n")
    (info / "direct_url.json").write_text(json.dumps({"url": f"file://{repo.top}/pk", "dir_info": {}}))
    digest = hashlib.sha256(source.encode()).hexdigest()
    (info / "RECORD").write_text(
        f"pk/__init__.py,sha256={digest},9\npk/other.py,sha256=x,6\n../../../bin/pkrun,sha256=y,9\npk-1.0.dist-info/RECORD,,\n"
    )
    return folder / "bin" / "python"


def test_an_installed_copy_that_is_not_the_worktrees_code_is_said_and_recorded(repo: GitRepo, tmp_path: Path) -> None:
    python = installed_copy(repo, tmp_path / "env", source="V = 1\n")
    repo.write("pk/src/pk/__init__.py", "V = 1\n")
    repo.write("pk/src/pk/other.py", "X = 1\n")
    words = ("start", "--", str(python), "-c", "import pk; print('v:', pk.V)")
    done = replicate(*words, cwd=repo.top)
    assert "copy" not in done.stderr
    repo.write("pk/src/pk/__init__.py", "V = 2\n")
    done = replicate(*words, cwd=repo.top)
    assert (done.returncode, done.stdout) == (0, "v: 1\n")
    said = "pk is installed from this repository, as a copy, and that ran: the worktree has another"
    assert f"{said} pk/src/pk/__init__.py; to have them agree: pip install -e ./pk\n" in done.stderr
    shown = json.loads(replicate("show", "latest", "--format", "json", cwd=repo.top).stdout)
    assert shown["code"]["mixed"]
    content = shown["environment"]["origins"]["pk"]["content"]
    assert (shown["environment"]["origins"]["pk"]["folder"], content[:7]) == ("pk", "blake3:")
    replicate("start", "--", str(python), "-c", "print('v:', 1)", cwd=repo.top)  # nothing of the copy is imported
    assert not json.loads(replicate("show", "latest", "--format", "json", cwd=repo.top).stdout)["code"].get("mixed")


def test_another_content_of_an_installed_copy_is_another_environment(repo: GitRepo, tmp_path: Path) -> None:
    python = installed_copy(repo, tmp_path / "env", source="V = 1\n")
    repo.write("pk/pk/__init__.py", "V = 1\n")
    replicate("start", "--", str(python), "-c", "import pk; print('v:', pk.V)", cwd=repo.top)
    shutil.rmtree(tmp_path / "env")
    installed_copy(repo, tmp_path / "env", source="V = 2\n")
    done = replicate("rerun", "--env", "strict", "latest", cwd=repo.top)
    assert done.returncode == 1
    assert "1 difference from the recorded environment: origins.pk.content" in done.stderr
