"""The store of big files: files that change while they are copied, and disks that are nearly full."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import NamedTuple

import pytest

from git_replicate.store import blobs


def test_a_file_that_changes_while_it_is_copied_is_copied_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "m.pt").write_bytes(b"first")
    real, calls = blobs._copy, []

    def copy(source: int, target: int) -> None:
        real(source, target)
        calls.append(1)
        if len(calls) == 1:
            (tmp_path / "m.pt").write_bytes(b"second one")

    monkeypatch.setattr(blobs, "_copy", copy)
    kept = blobs.keep(str(tmp_path / "store"), str(tmp_path / "m.pt"))
    assert Path(kept.path).read_bytes() == b"second one"
    assert len(calls) == 2


def test_a_file_that_never_stays_still_is_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "m.pt").write_bytes(b"x")
    real = blobs._copy

    def copy(source: int, target: int) -> None:
        real(source, target)
        with open(tmp_path / "m.pt", "ab") as file:
            file.write(b"x")

    monkeypatch.setattr(blobs, "_copy", copy)
    with pytest.raises(blobs.ChangedError, match="it changes while it is copied"):
        blobs.keep(str(tmp_path / "store"), str(tmp_path / "m.pt"))


def test_a_stored_file_is_no_hard_link(tmp_path: Path) -> None:
    (tmp_path / "m.pt").write_bytes(b"x")
    kept = blobs.keep(str(tmp_path / "store"), str(tmp_path / "m.pt"))
    (tmp_path / "m.pt").write_bytes(b"y")
    assert Path(kept.path).read_bytes() == b"x"


class Usage(NamedTuple):
    total: int
    used: int
    free: int


@pytest.mark.parametrize(
    ("free", "said"), [(99_000_000_000, "99.0 GB (9 %) are left on the disk of /store"), (100_000_000_000, "")]
)
def test_a_disk_that_is_nearly_full_is_said(monkeypatch: pytest.MonkeyPatch, free: int, said: str) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(1_000_000_000_000, 0, free))
    assert blobs.scarce("/store") == said
