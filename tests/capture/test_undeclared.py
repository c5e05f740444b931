"""Data that a run read without declaring them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from blake3 import blake3

from git_replicate.capture import undeclared
from git_replicate.capture.opened import Read
from git_replicate.capture.undeclared import capture_undeclared, complete_entries, is_data


def capture(tmp_path: Path, *paths: Path, **options: Any) -> dict[str, dict[str, Any]]:
    reads = [Read(str(path)) for path in paths]
    (tmp_path / "top").mkdir(exist_ok=True)
    return capture_undeclared(reads, top=str(tmp_path / "top"), common_dir=str(tmp_path / "git"), **options)


def write(path: Path, data: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/data/imagenet/a.jpg", True),
        ("/home/ada/data.csv", True),
        ("/home/ada/.cache/torch/hub/checkpoints/resnet50.pth", True),
        ("/scratch/process/x", True),
        ("/proc/self/status", False),
        ("/usr/share/zoneinfo/UTC", False),
        ("/etc/ssl/cert.pem", False),
        ("/home/ada/venv/lib/python3.11/encodings/utf_8.txt", False),
        ("/home/ada/venv/lib/python3.11/site-packages/sklearn/datasets/data/iris.csv", False),
        ("/home/ada/venv/x/site-packages/a.pth", False),
        ("/home/ada/helpers.py", False),
        ("/opt/lib/libfoo.so.1.2", False),
        ("/home/ada/.config/wandb/settings", False),
    ],
)
def test_system_files_and_code_are_no_data(path: str, expected: bool) -> None:
    assert is_data(path) is expected


def test_files_are_hashed_under_their_paths(tmp_path: Path) -> None:
    outside, inside = write(tmp_path / "data" / "a.bin", b"a"), write(tmp_path / "top" / "cache" / "b.bin", b"bb")
    assert capture(tmp_path, outside, inside, outside, tmp_path / "gone") == {
        str(outside): {"hash": "blake3:" + blake3(b"a").hexdigest(), "bytes": 1, "undeclared": True},
        "cache/b.bin": {"hash": "blake3:" + blake3(b"bb").hexdigest(), "bytes": 2, "undeclared": True},
    }


def test_what_is_accounted_for_is_left_out(tmp_path: Path) -> None:
    path = write(tmp_path / "data" / "deep" / "a.bin", b"a")
    assert capture(tmp_path, path, known={str(tmp_path / "data")}) == {}


def test_beyond_the_limits_there_is_a_fingerprint_and_the_hash_comes_later(tmp_path: Path) -> None:
    small, large = write(tmp_path / "data" / "small", b"s"), write(tmp_path / "data" / "large", b"l" * 1_000)
    found = capture(tmp_path, large, small, most_bytes=100)
    assert "unhashed" not in found[str(small)]
    assert found[str(large)]["unhashed"] is True
    assert found[str(large)]["hash"].startswith("stat:")
    done, problems = complete_entries(found, top=str(tmp_path / "top"), common_dir=str(tmp_path / "git"))
    assert problems == []
    assert done == {
        str(large): {"hash": "blake3:" + blake3(b"l" * 1_000).hexdigest(), "bytes": 1_000, "undeclared": True}
    }
    os.utime(large, (1, 1))
    done, problems = complete_entries(found, top=str(tmp_path / "top"), common_dir=str(tmp_path / "git"))
    assert (done, problems) == ({}, [f"{large}: changed since the run"])
    large.unlink()
    _, problems = complete_entries(found, top=str(tmp_path / "top"), common_dir=str(tmp_path / "git"))
    assert problems == [f"{large}: it is not there any more"]


def test_without_time_nothing_is_hashed(tmp_path: Path) -> None:
    path = write(tmp_path / "data" / "a", b"abc")
    assert capture(tmp_path, path, seconds=-1)[str(path)]["unhashed"] is True


def test_many_files_of_a_folder_are_one_entry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(undeclared, "MOST_IN_FOLDER", 3)
    many = [write(tmp_path / "data" / "train" / f"{n}", b"x") for n in range(4)]
    other = write(tmp_path / "data" / "labels", b"y")
    found = capture(tmp_path, *many, other)
    assert set(found) == {str(tmp_path / "data" / "train"), str(other)}
    assert found[str(tmp_path / "data" / "train")]["files"] == 4


def test_a_hub_cache_is_repository_and_revision(tmp_path: Path) -> None:
    snapshot = tmp_path / "hub" / "models--google--bert" / "snapshots" / ("a" * 40)
    found = capture(tmp_path, write(snapshot / "config.json", b"{}"), write(snapshot / "model.bin", b"m"))
    assert found == {"huggingface:models/google/bert": {"revision": "a" * 40, "undeclared": True}}


def test_a_file_that_changed_after_it_was_read_says_so(tmp_path: Path) -> None:
    path = write(tmp_path / "data" / "a", b"abc")
    (tmp_path / "top").mkdir()
    reads = [Read(str(path), 1.0, mtime_ns=5)]
    found = capture_undeclared(reads, top=str(tmp_path / "top"), common_dir=str(tmp_path / "git"))
    assert found[str(path)]["changed_after_read"] is True


def test_pipes_are_no_data(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    os.mkfifo(tmp_path / "data" / "pipe")
    assert capture(tmp_path, tmp_path / "data" / "pipe") == {}
