"""Loose objects are written however often somebody prunes meanwhile."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from git_replicate.core.errors import StorageError
from git_replicate.git.loose import LooseObjects


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
