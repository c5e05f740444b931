"""Declared data: hashes, folders, the stat cache."""

from __future__ import annotations

import hashlib
import os
import socket
import sqlite3
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import tomli
from blake3 import blake3

from git_replicate.capture import content, hashing, stat_cache
from git_replicate.capture.data import capture_data
from git_replicate.capture.folder_hashes import hash_path, stamp_of
from git_replicate.capture.hashing import files_below
from git_replicate.capture.stat_cache import StatCache
from git_replicate.core.errors import UserError
from git_replicate.core.settings import NamedData
from git_replicate.git import lfs
from git_replicate.git.command import Git
from git_replicate.git.opening import open_repository
from tests.support import GitRepo


def digest(data: bytes) -> str:
    return "blake3:" + blake3(data).hexdigest()


def capture(top: Path, *paths: str, **named: NamedData) -> dict[str, Any]:
    text = capture_data(paths, named, top=str(top), common_dir=str(top / "git"))
    return dict(tomli.loads(text.decode())["data"])


def age(path: Path) -> None:
    os.utime(path, (1_000, 1_000))


@pytest.fixture
def unhurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """A clock that is an hour ahead, so that no file is too fresh to be remembered."""
    real = stat_cache.StatCache.now
    monkeypatch.setattr(stat_cache.StatCache, "now", staticmethod(lambda: real() + 3_600 * 10**9))


def test_nothing_declared_is_no_text(tmp_path: Path) -> None:
    assert capture_data((), {}, top=str(tmp_path), common_dir=str(tmp_path / "git")) == b""
    assert not (tmp_path / "git").exists()


def test_a_file_and_a_folder(tmp_path: Path) -> None:
    (tmp_path / "d" / "sub").mkdir(parents=True)
    (tmp_path / "d" / "sub" / "b").write_bytes(b"bb")
    (tmp_path / "d" / "a").write_bytes(b"a")
    (tmp_path / "big").write_bytes(b"x" * 1_500_000)
    found = capture(tmp_path, "d/", "big")
    lines = b"a\0" + digest(b"a").encode() + b"\nsub/b\0" + digest(b"bb").encode() + b"\n"
    assert found == {
        "big": {"hash": digest(b"x" * 1_500_000), "bytes": 1_500_000},
        "d": {
            "hash": digest(lines), "bytes": 3, "files": 2, "list": {"a": digest(b"a"), "sub/b": digest(b"bb")},
        },
    }  # fmt: skip


def test_links_are_followed_once_and_links_to_nothing_are_data_too(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "real").write_bytes(b"r")
    (tmp_path / "d" / "link").symlink_to("../real")
    (tmp_path / "d" / "loop").symlink_to(".")
    (tmp_path / "d" / "gone").symlink_to("nowhere")
    os.mkfifo(tmp_path / "d" / "pipe")
    assert capture(tmp_path, "d")["d"]["list"] == {"gone": digest(b"link:nowhere"), "link": digest(b"r")}


def test_named_data_do_not_tell_where_they_are(tmp_path: Path) -> None:
    for place in ("one", "two"):
        (tmp_path / place).mkdir()
        (tmp_path / place / "a").write_bytes(b"a")
    first = capture(tmp_path, images=NamedData(str(tmp_path / "one")))
    assert first == capture(tmp_path, images=NamedData("two"))
    assert list(first) == ["images"]


def test_data_that_is_too_big_to_read_has_a_fingerprint_of_its_stats(tmp_path: Path) -> None:
    (tmp_path / "big").write_bytes(b"x")
    age(tmp_path / "big")
    first = capture(tmp_path, big=NamedData("big", "stat"))["big"]
    assert first["hash"].startswith("stat:")
    os.utime(tmp_path / "big", (2_000, 2_000))
    assert capture(tmp_path, big=NamedData("big", "stat"))["big"]["hash"] != first["hash"]


def test_missing_data_stops_the_run_and_missing_unused_named_data_does_not(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="data none: No such file"):
        capture(tmp_path, "none")
    named = {"images": NamedData("/nowhere")}
    assert capture(tmp_path, images=named["images"]) == {"images": {"missing": True}}
    with pytest.raises(UserError) as caught:
        capture_data((), named, top=str(tmp_path), common_dir=str(tmp_path / "git"), used={"images"})
    assert caught.value.hint == "say where it is on this machine: git config replicate.data.images PATH"


def test_a_device_or_pipe_is_no_data_and_is_not_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(UserError, match="not a regular file"):
        capture(tmp_path, "pipe")


@pytest.mark.usefixtures("unhurried")
def test_an_unchanged_file_is_not_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a").write_bytes(b"one")
    first = capture(tmp_path, "a")
    with monkeypatch.context() as patch:
        patch.setattr(hashing, "read_content", None)
        assert capture(tmp_path, "a") == first
    (tmp_path / "a").write_bytes(b"two")
    assert capture(tmp_path, "a")["a"]["hash"] == digest(b"two")


def test_a_file_changed_just_before_it_was_hashed_is_read_again(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"one")
    status = os.stat(tmp_path / "a")
    capture(tmp_path, "a")
    with stat_cache.StatCache(str(tmp_path / "git" / "replicate" / "data-hashes.sqlite")) as cache:
        assert cache.get(os.fsencode(tmp_path / "a"), status) is None


@pytest.mark.parametrize("obstacle", ["folder", "rubbish", "file above"])
def test_a_cache_that_cannot_be_used_changes_nothing(tmp_path: Path, obstacle: str) -> None:
    (tmp_path / "a").write_bytes(b"one")
    cache = tmp_path / "git" / "replicate" / "data-hashes.sqlite"
    if obstacle == "folder":
        cache.mkdir(parents=True)
    elif obstacle == "rubbish":
        cache.parent.mkdir(parents=True)
        cache.write_bytes(b"rubbish" * 1000)
    else:
        (tmp_path / "git").touch()
    assert capture(tmp_path, "a")["a"]["hash"] == digest(b"one")


def test_a_folder_of_many_files_is_one_entry(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    for n in range(1_001):
        (tmp_path / "d" / f"{n}").touch()
    entry = capture(tmp_path, "d")["d"]
    assert entry["files"] == 1_001
    assert "list" not in entry


@pytest.mark.usefixtures("unhurried")
@pytest.mark.parametrize("change", ["content", "name", "one more", "one less", "another of the same times"])
def test_a_folder_of_many_files_is_known_as_a_whole_until_one_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    folder = tmp_path / "d"
    folder.mkdir()
    for n in range(1_010):
        (folder / f"{n}").touch()
    first = capture(tmp_path, "d")
    with monkeypatch.context() as patch:
        patch.setattr(stat_cache.StatCache, "get", None)
        patch.setattr(stat_cache.StatCache, "expect", None)
        assert capture(tmp_path, "d") == first
    if change == "content":
        (folder / "7").write_bytes(b"x")
    elif change == "name":
        (folder / "7").rename(folder / "seven")
    elif change == "one more":
        (folder / "more").touch()
    elif change == "one less":
        (folder / "7").unlink()
    else:
        status = os.stat(folder / "7")
        (folder / "other").write_bytes(b"x")
        (folder / "8").write_bytes(b"y")
        os.replace(folder / "other", folder / "7")
        os.utime(folder / "7", ns=(status.st_atime_ns, status.st_mtime_ns))
    changed = capture(tmp_path, "d")
    assert changed["d"]["hash"] != first["d"]["hash"]
    with StatCache("") as nothing_known:
        assert changed["d"]["hash"] == hash_path(os.fsencode(folder), nothing_known)


@pytest.mark.usefixtures("unhurried")
@pytest.mark.parametrize("broken", [False, True])
def test_of_a_folder_of_many_files_only_what_changed_is_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken: bool
) -> None:
    for n in range(1_010):
        (tmp_path / "d" / f"{n % 3}").mkdir(parents=True, exist_ok=True)
        (tmp_path / "d" / f"{n % 3}" / f"{n}").write_text(f"{n}")
    read: list[bytes] = []
    really = content.read_content

    def count(path: bytes, size: int) -> Any:
        read.append(path)
        return really(path, size)

    monkeypatch.setattr(hashing, "read_content", count)
    for round_, changed in enumerate(("0/3", "1/4", "1/4")):
        capture(tmp_path, "d")
        assert len(read) == (1_010 if round_ == 0 or broken else 1)
        read.clear()
        (tmp_path / "d" / changed).write_text(f"changed {round_}")
        if broken:
            with sqlite3.connect(tmp_path / "git" / "replicate" / "data-hashes.sqlite") as database:
                database.execute("UPDATE whole_folders SET files = ?", (b"rubbish",))


def test_a_folder_of_many_files_one_of_which_has_just_changed_is_not_known_as_a_whole(tmp_path: Path) -> None:
    folder = tmp_path / "d"
    folder.mkdir()
    for n in range(1_010):
        (folder / f"{n}").touch()
    capture(tmp_path, "d")
    with StatCache(str(tmp_path / "git" / "replicate" / "data-hashes.sqlite")) as cache:
        assert cache.get_folder(os.fsencode(folder), stamp_of(files_below(os.fsencode(folder)))) is None


def test_odd_names(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    for name in (b"caf\xe9", b"new\nline", b"-x"):
        with open(os.fsencode(tmp_path / "d") + b"/" + name, "wb"):
            pass
    assert set(capture(tmp_path, "d")["d"]["list"]) == {'"caf\\351"', '"new\\nline"', "-x"}


def test_links_that_lead_to_themselves_and_sockets_do_no_harm(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "self").symlink_to("self")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(os.path.relpath(tmp_path / "d" / "socket"))
        assert capture(tmp_path, "d")["d"]["list"] == {"self": digest(b"link:self")}


def test_a_file_that_keeps_changing_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a").write_bytes(b"one")
    real = os.read

    def grow(descriptor: int, length: int) -> bytes:
        data = real(descriptor, length)
        with open(tmp_path / "a", "ab") as file:
            file.write(b"x")
        return data

    monkeypatch.setattr(os, "read", grow)
    with pytest.raises(UserError, match="data a: it changes while it is read"):
        capture(tmp_path, "a")


@pytest.mark.usefixtures("unhurried")
def test_an_unchanged_folder_is_not_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "d" / "e").mkdir(parents=True)
    (tmp_path / "d" / "e" / "a").write_bytes(b"one")
    (tmp_path / "d.txt").write_bytes(b"two")
    first = capture(tmp_path, "d")
    monkeypatch.setattr(hashing, "read_content", None)
    assert capture(tmp_path, "d") == first


def test_a_file_system_that_gives_less_than_was_asked_for_makes_no_other_hash(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a").write_bytes(b"one and two")
    read = os.read
    monkeypatch.setattr(os, "read", lambda descriptor, length: read(descriptor, min(length, 3)))
    assert capture(tmp_path, "a")["a"]["hash"] == digest(b"one and two")


def test_an_unreadable_file_is_an_error_with_a_hint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a").write_bytes(b"one")

    def refuse(path: bytes, size: int) -> object:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(hashing, "read_content", refuse)
    with pytest.raises(UserError, match="data a: Permission denied") as caught:
        capture(tmp_path, "a")
    assert caught.value.hint == "look: ls -ld a"


def test_files_of_git_annex_have_the_id_that_it_gave_them(tmp_path: Path) -> None:
    key = "SHA256E-s3--" + "ab" * 32 + ".bin"
    store = tmp_path / ".git" / "annex" / "objects" / "aa" / "bb" / key / key
    store.parent.mkdir(parents=True)
    store.write_bytes(b"one")
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "a.bin").symlink_to(f"../.git/annex/objects/aa/bb/{key}/{key}")
    assert capture(tmp_path, "d")["d"]["list"] == {"a.bin": "sha256:" + "ab" * 32}
    assert capture(tmp_path, "d/a.bin")["d/a.bin"]["hash"] == "sha256:" + "ab" * 32
    store.unlink()
    for path in ("d", "d/a.bin"):
        with pytest.raises(UserError, match=r"data d/a\.bin: its content is not here") as caught:
            capture(tmp_path, path)
        assert caught.value.hint == "git annex get d/a.bin"


def test_links_into_the_cache_of_dvc_have_the_id_that_it_gave_them(tmp_path: Path) -> None:
    kept = tmp_path / ".dvc" / "cache" / "files" / "md5" / "ab" / ("cd" * 15)
    kept.parent.mkdir(parents=True)
    kept.write_bytes(b"one")
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "a.csv").symlink_to(kept)
    assert capture(tmp_path, "d")["d"]["list"] == {"a.csv": "md5:ab" + "cd" * 15}
    kept.unlink()
    with pytest.raises(UserError, match=r"data d/a\.csv: its content is not here") as caught:
        capture(tmp_path, "d")
    assert caught.value.hint == "dvc pull d/a.csv"


@pytest.mark.parametrize("path", ["d", "d/a.bin"])
def test_a_pointer_of_git_lfs_is_not_the_data(tmp_path: Path, path: str) -> None:
    (tmp_path / "d").mkdir()
    text = f"version https://git-lfs.github.com/spec/v1\noid sha256:{'ab' * 32}\nsize 12345\n"
    (tmp_path / "d" / "a.bin").write_text(text)
    with pytest.raises(UserError, match=r"data d/a\.bin: its content is not here, only a pointer to it") as caught:
        capture(tmp_path, path)
    assert caught.value.hint == "git lfs pull --include d/a.bin"


@pytest.mark.skipif(not lfs.is_installed(), reason="git-lfs is not installed")
def test_files_of_git_lfs_have_its_ids_unread_until_they_are_changed(
    repo: GitRepo, monkeypatch: pytest.MonkeyPatch, unhurried: None
) -> None:
    repo.git("lfs", "install", "--local")
    repo.write(".gitattributes", "*.bin filter=lfs -text\n")
    for name, text in (("d/a.bin", "one\n"), ("d/sub/b.bin", "two\n"), ("d/c.txt", "three\n"), ("top.bin", "four\n")):
        age(repo.write(name, text))
    repo.commit()
    ids = partial(lfs.content_ids, open_repository(str(repo.top)))

    def hashes(*paths: str) -> dict[str, str]:
        text = capture_data(paths, {}, top=str(repo.top), common_dir=str(repo.top / "git"), tracked_ids=ids)
        found: dict[str, Any] = tomli.loads(text.decode())["data"]
        return {name: digest for entry in found.values() for name, digest in entry.get("list", entry).items()}

    def sha256(text: str) -> str:
        return "sha256:" + hashlib.sha256(text.encode()).hexdigest()

    with monkeypatch.context() as unread:
        unread.setattr(hashing, "read_sha256", None)
        assert hashes("d") == {"a.bin": sha256("one\n"), "c.txt": digest(b"three\n"), "sub/b.bin": sha256("two\n")}
        assert hashes("./top.bin")["hash"] == sha256("four\n")
        assert hashes(".")["d/a.bin"] == sha256("one\n")
        unread.setattr(Git, "run", None)
        assert hashes("d")["a.bin"] == sha256("one\n")  # known by its stat now
    (repo.top / "d" / "a.bin").write_text("other\n")
    assert hashes("d")["a.bin"] == hashes("d/a.bin")["hash"] == sha256("other\n")
    (repo.top.parent / "outside.bin").touch()
    assert hashes("../outside.bin")["hash"] == digest(b"")
