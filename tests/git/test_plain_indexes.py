"""Which indexes are listed entry by entry: every one once, and those with anything odd in them every time."""

from __future__ import annotations

from pathlib import Path
from unittest.mock import patch

import pytest

from git_replicate.git import scan
from git_replicate.git.command import Git
from git_replicate.git.scan import Changes, list_changes
from tests.git.oracle import private_git
from tests.support import GitRepo


@pytest.fixture
def scratch(tmp_path: Path) -> Path:
    folder = tmp_path / "scratch"
    folder.mkdir()
    return folder


def listed_entries(git: Git, plain: Path) -> tuple[bool, Changes]:
    """Whether a scan lists every entry of the index, and what it finds."""
    with patch("git_replicate.git.scan._start", side_effect=scan._start) as started:
        changes = list_changes(git, reserved=b".replicate", plain=str(plain))
    return ("ls-files", "-v") in {(call.args[1], call.args[3]) for call in started.call_args_list}, changes


def test_an_index_of_plain_files_is_listed_once_and_one_that_changed_again(repo: GitRepo, scratch: Path) -> None:
    plain = scratch / "state" / "plain"
    repo.write("train.py", "edited\n")
    for expected in (True, False):
        listed, changes = listed_entries(private_git(repo.top, scratch), plain)
        assert (listed, b"train.py" in changes.modified) == (expected, True)
    repo.git("update-index", "--assume-unchanged", "train.py")
    for _ in range(2):
        listed, changes = listed_entries(private_git(repo.top, scratch), plain)
        assert (listed, b"train.py" in changes.modified) == (True, True)
    repo.git("update-index", "--no-assume-unchanged", "train.py")
    assert [listed_entries(private_git(repo.top, scratch), plain)[0] for _ in range(2)] == [True, False]
    repo.write(".replicate/x", "1")
    repo.git("add", "-f", ".replicate/x")
    for _ in range(2):
        listed, changes = listed_entries(private_git(repo.top, scratch), plain)
        assert (listed, changes.reserved) == (True, (b".replicate/x",))


def test_an_index_without_a_checksum_is_listed_every_time(repo: GitRepo, scratch: Path) -> None:
    for _ in range(2):
        git = private_git(repo.top, scratch)
        assert git.index is not None
        data = Path(git.index).read_bytes()
        Path(git.index).write_bytes(data[:-20] + bytes(20))
        assert listed_entries(git, scratch / "plain")[0]


@pytest.mark.parametrize("damage", [b"", b"\xff\0\n", b"0" * 61 + b"\n"])
def test_a_damaged_memory_of_indexes_costs_a_listing(repo: GitRepo, scratch: Path, damage: bytes) -> None:
    plain = scratch / "plain"
    plain.write_bytes(damage)
    git = private_git(repo.top, scratch)
    assert [listed_entries(git, plain)[0] for _ in range(2)] == [True, False]


def test_where_nothing_can_be_remembered_a_scan_goes_on(repo: GitRepo, scratch: Path) -> None:
    (scratch / "file").touch()
    git = private_git(repo.top, scratch)
    assert [listed_entries(git, scratch / "file" / "plain")[0] for _ in range(2)] == [True, True]
