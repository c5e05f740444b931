"""Declared outputs: matched, hashed, and where they are kept."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from git_replicate.capture.outputs import collect_outputs, is_unwritten, stamp_files


def sha(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


def test_names_globs_and_folders_are_found_and_hashed(tmp_path: Path) -> None:
    for path, data in {
        "model.pt": b"m" * 20,
        "plots/a.png": b"a",
        "plots/deep/b.png": b"b",
        "odd[1].txt": b"o",
    }.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_bytes(data)
    found = collect_outputs(["model.pt", "plots", "plots/**/*.png", "odd[1].txt"], str(tmp_path), large_bytes=10)
    assert {path: (output.hash, output.bytes, output.kept) for path, output in found.outputs.items()} == {
        "model.pt": (sha(b"m" * 20), 20, "store"), "odd[1].txt": (sha(b"o"), 1, "tree"),
        "plots/a.png": (sha(b"a"), 1, "tree"), "plots/deep/b.png": (sha(b"b"), 1, "tree"),
    }  # fmt: skip
    assert found.store == {"model.pt": str(tmp_path / "model.pt")}
    assert sorted(found.tree) == ["odd[1].txt", "plots/a.png", "plots/deep/b.png"]
    assert found.notices == ()


def test_what_is_missing_old_unreadable_or_no_file_is_a_notice(tmp_path: Path) -> None:
    (tmp_path / "old.pt").touch()
    os.utime(tmp_path / "old.pt", (1_000, 1_000))
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "dangling").symlink_to("nowhere")
    found = collect_outputs(["old.pt", "pipe", "none.pt", "dangling"], str(tmp_path), since=5_000)
    assert found.outputs == {}
    assert set(found.notices) == {
        "output none.pt: nothing there", "output old.pt: not written by this run", "output pipe: not a regular file",
        "output dangling: No such file or directory",
    }  # fmt: skip


def test_git_and_the_record_itself_are_never_outputs(tmp_path: Path) -> None:
    for folder in (".git", ".replicate", "sub/.git"):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "x").touch()
    assert collect_outputs(["**", ".git", ".replicate/x", "sub"], str(tmp_path)).outputs == {}


def test_a_name_that_is_not_utf8_is_quoted_in_the_record(tmp_path: Path) -> None:
    path = os.fsencode(tmp_path) + b"/caf\xe9.pt"
    with open(path, "wb") as file:
        file.write(b"x")
    found = collect_outputs(["*.pt"], str(tmp_path))
    assert list(found.outputs) == ['"caf\\351.pt"']
    assert list(found.tree) == [os.fsdecode(b"caf\xe9.pt")]


def test_files_outside_the_worktree_are_only_hashed_and_said_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "top").mkdir()
    for number in range(5):
        (tmp_path / f"model{number}.pt").write_bytes(b"x")
    found = collect_outputs(["../*.pt"], str(tmp_path / "top"))
    assert {output.kept for output in found.outputs.values()} == {"no"}
    assert found.notices == (
        "outputs outside the worktree, of which only hashes are kept: "
        "../model0.pt, ../model1.pt, ../model2.pt and 2 more",
    )


@pytest.mark.parametrize(("keep", "kept"), [("hash", "no"), ("all", "tree"), ("last 3", "tree")])
def test_keep_decides(tmp_path: Path, keep: str, kept: str) -> None:
    (tmp_path / "m").write_bytes(b"x")
    assert collect_outputs(["m"], str(tmp_path), keep=keep).outputs["m"].kept == kept


def test_a_file_that_is_still_as_it_was_is_not_the_runs(tmp_path: Path) -> None:
    (tmp_path / "same").write_bytes(b"x")
    (tmp_path / "new[1]").write_bytes(b"x")
    before = stamp_files(["*"], str(tmp_path))
    os.utime(tmp_path / "new[1]", ns=(1, 1))
    assert is_unwritten("same", str(tmp_path), before)
    assert not is_unwritten("new[1]", str(tmp_path), before)
    assert list(collect_outputs(["*"], str(tmp_path), before=before).outputs) == ["new[1]"]
