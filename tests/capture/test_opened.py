"""Files that many processes opened, united within bounds."""

from __future__ import annotations

from typing import Any

import pytest

from git_replicate.capture.opened import Opened, Read


def reads(folder: str, *names: str, time: float = 100.0, mtime: int = 1) -> dict[str, Any]:
    return {
        "kind": "reads", "folders": [folder], "time": time, "files": [[0, n, mtime, i / 8] for i, n in enumerate(names)]
    }  # fmt: skip


def test_a_file_that_many_processes_read_is_kept_once_as_it_was_first() -> None:
    opened = Opened()
    for time, mtime in ((101.0, 7), (100.0, 6), (102.0, 8)):
        assert opened.add(reads("/data", "a", "b", time=time, mtime=mtime))
    assert opened.reads == {"/data/a": Read("/data/a", 100.0, 6), "/data/b": Read("/data/b", 100.125, 6)}


def test_paths_are_put_together_whatever_their_folder() -> None:
    opened = Opened()
    note = {"kind": "reads", "folders": ["", "/a/../b"], "time": 1.0, "files": [[0, "x", 1, 0], [1, "y", 1, 0]]}
    assert opened.add(note)
    assert opened.add({**note, "kind": "writes"})
    assert sorted(opened.reads) == sorted(opened.written) == ["/b/y", "/x"]
    assert not opened.add({"kind": "code", "path": "/x"})


def test_beyond_what_memory_is_for_folders_stand_for_their_files() -> None:
    opened = Opened(most=2_500)
    for part in range(30):
        opened.add(reads(f"/data/{part}", *map(str, range(100))))
        opened.add(reads("/few", *map(str, range(100))))
        assert len(opened.reads) <= 2_500
    assert opened.folders == {"/data"}
    assert sum(path.startswith("/few/") for path in opened.reads) == 100
    assert not opened.cut


def test_where_no_folder_can_stand_the_rest_is_cut_and_that_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    opened = Opened.in_worktree("/home/me/work")
    opened.most = 2_000
    opened.add(reads("/home/me/work", *map(str, range(2_001))))
    assert (opened.folders, len(opened.reads), opened.cut) == (set(), 1_000, True)
