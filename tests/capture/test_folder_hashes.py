"""Hashes of many files by several processes, and of large files read ahead: the same as of each file alone."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from blake3 import blake3

from git_replicate.capture import content, hash_workers, stat_cache
from git_replicate.capture.content import read_content
from git_replicate.capture.folder_hashes import hash_files, hash_path
from git_replicate.capture.hash_workers import shares
from git_replicate.capture.hashing import files_below
from git_replicate.capture.stat_cache import StatCache

NAMES = [b"a", b"b/c", b"b/new\nline", b"caf\xe9", b"-x", b" 7 b", b"empty", b"large", b"z"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Files of odd names, one of them large."""
    top = tmp_path / "d"
    for number, name in enumerate(NAMES):
        path = Path(os.fsdecode(os.fsencode(top) + b"/" + name))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"" if name == b"empty" else bytes([number]) * (2_000_000 if name == b"large" else 100))
    return top


@pytest.fixture(autouse=True)
def processes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three of them for every handful of files."""
    monkeypatch.setattr(hash_workers, "_WORTH_A_PROCESS", 2)
    monkeypatch.setattr(hash_workers, "_processors", lambda: 3)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[StatCache]:
    real = StatCache.now
    monkeypatch.setattr(stat_cache.StatCache, "now", staticmethod(lambda: real() + 3_600 * 10**9))
    with StatCache(str(tmp_path / "cache")) as opened:
        yield opened


def wanted(folder: Path) -> list[tuple[bytes, str]]:
    top = os.fsencode(folder)
    found = []
    for name in sorted(NAMES):
        with open(top + b"/" + name, "rb") as file:
            found.append((name, f"blake3:{blake3(file.read()).hexdigest()}"))
    return found


def test_several_processes_find_the_hashes_that_one_does(folder: Path, cache: StatCache) -> None:
    files = files_below(os.fsencode(folder))
    assert [len(part) for part in shares(files)] != [len(files)]
    assert sorted(name for part in shares(files) for name in (file.name for file in part)) == sorted(NAMES)
    assert hash_files(files, cache) == wanted(folder)
    assert {cache.get(file.path, file.status) or cache._new[file.path][4] for file in files} == {
        digest for _, digest in wanted(folder)
    }


def test_names_relative_to_the_folder_that_one_is_in(
    folder: Path, cache: StatCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder.parent)
    assert hash_files(files_below(b"d"), cache) == wanted(folder)


@pytest.mark.parametrize("obstacle", ["killed", "none can be started", "other Python", "no room"])
def test_what_the_others_do_not_do_is_done_here(
    folder: Path, cache: StatCache, monkeypatch: pytest.MonkeyPatch, obstacle: str
) -> None:
    if obstacle == "killed":
        monkeypatch.setattr(hash_workers, "_CODE", "import os; os.write(1, b'x' * 100); os.kill(os.getpid(), 9)")
    elif obstacle == "none can be started":
        monkeypatch.setattr(sys, "executable", "/nowhere/python")
    elif obstacle == "other Python":
        monkeypatch.setattr(hash_workers, "_CODE", "import nothing_of_that_name")
    else:
        monkeypatch.setattr(tempfile, "TemporaryFile", _no_room)
    assert hash_files(files_below(os.fsencode(folder)), cache) == wanted(folder)


def _no_room() -> Any:
    raise OSError(28, "No space left on device")


def test_a_file_that_has_changed_since_it_was_listed_is_hashed_as_it_is(folder: Path, cache: StatCache) -> None:
    files = files_below(os.fsencode(folder))
    for name in NAMES:
        with open(os.fsencode(folder) + b"/" + name, "ab") as file:
            file.write(b"more")
    assert hash_files(files, cache) == wanted(folder)


def test_a_file_that_cannot_be_read_is_an_error_and_no_process_stays(
    folder: Path, cache: StatCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[subprocess.Popen[bytes]] = []
    popen = subprocess.Popen

    def start(*words: Any, **options: Any) -> subprocess.Popen[bytes]:
        started.append(popen(*words, **options))
        return started[-1]

    monkeypatch.setattr(subprocess, "Popen", start)
    for name in (b"-x", b"z"):  # of the first part, and of the last
        files = files_below(os.fsencode(folder))
        os.unlink(os.fsencode(folder) + b"/" + name)
        with pytest.raises(FileNotFoundError):
            hash_files(files, cache)
    assert len(started) == 4
    assert all(process.poll() is not None for process in started)


@pytest.mark.parametrize("size", [0, 1, 999, 1_000, 1_001, 2_000, 2_001, 5_000, 5_003])
def test_content_read_ahead_has_the_same_hash(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    monkeypatch.setattr(content, "THREADED", 500)
    monkeypatch.setattr(content, "_PIECE", 1_000)
    data = os.urandom(size)
    (tmp_path / "a").write_bytes(data)
    for said in (size, 0, 3_000):  # what a file was known to have may be old
        assert read_content(os.fsencode(tmp_path / "a"), said)[0] == blake3(data).digest()


def test_an_error_while_reading_ahead_is_the_readers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(content, "_PIECE", 400_000)
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "a").write_bytes(bytes(2_000_000))
    real, left = os.readv, [2]

    def fail(descriptor: int, buffers: Any) -> int:
        left[0] -= 1
        if left[0] < 0:
            raise OSError(5, "Input/output error")
        return real(descriptor, buffers)

    monkeypatch.setattr(os, "readv", fail)
    with StatCache("") as cache, pytest.raises(OSError, match="Input/output error"):
        hash_path(os.fsencode(tmp_path / "d"), cache)
