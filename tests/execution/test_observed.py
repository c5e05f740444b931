"""What a run was seen to read, in its record: folders that stand for many files."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

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


def test_a_folder_that_the_snapshot_holds_is_no_data(repo: GitRepo) -> None:
    many(repo.top / "data")
    repo.write("train.py", READ)
    assert data_of(repo) == []
