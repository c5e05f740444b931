"""Loose objects are written however often somebody prunes meanwhile."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from git_replicate.core.errors import StorageError
from git_replicate.git.loose import LooseObjects
from git_replicate.git.opening import open_repository
from tests.support import GitRepo


def test_a_prune_that_takes_the_unnamed_file_does_not_stop_the_object(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    replace, taken = os.replace, list[str]()

    def pruned_first(source: str, target: str) -> None:
        if len(taken) < 3:
            taken.append(source)
            os.unlink(source)
            os.rmdir(os.path.dirname(source))
        replace(source, target)

    monkeypatch.setattr(os, "replace", pruned_first)
    objects = LooseObjects(str(tmp_path), "sha1")
    oid = objects.write("blob", b"hello\n")
    assert oid == "ce013625030ba8dba906f756967f9e9ca394464a"
    assert len(set(taken)) == 3
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == [oid[2:]]


def test_a_prune_without_end_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "replace", lambda source, target: os.rename(source + " is gone", target))
    with pytest.raises(StorageError, match="write a blob: No such file or directory"):
        LooseObjects(str(tmp_path), "sha1").write("blob", b"hello\n")
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


class Vanishing:
    """libgit2's object database, whose files a prune takes before they have their names."""

    def __init__(self, times: int) -> None:
        self.left = times

    def write(self, kind: int, content: bytes) -> str:
        self.left -= 1
        if self.left >= 0:
            raise OSError("failed to rename lockfile to '.git/objects/60/b711': No such file or directory")
        return f"{kind} {content!r}"


def test_libgit2_writes_an_object_again_whose_folder_a_prune_took(
    repo: GitRepo, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = open_repository(str(repo.top), backend="libgit2")
    monkeypatch.setitem(opened.__dict__, "_odb", Vanishing(3))
    assert opened.write_blob(b"x") == "3 b'x'"
    monkeypatch.setitem(opened.__dict__, "_odb", Vanishing(100))
    with pytest.raises(StorageError, match="write a blob: failed to rename"):
        opened.write_blob(b"x")
