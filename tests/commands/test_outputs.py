"""`git replicate outputs`: listing, and restoring checked by hash."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from git_replicate.core.errors import FormatError
from git_replicate.execution.replication.restoring import _target, find_outputs
from git_replicate.git.config import GitConfig
from git_replicate.git.opening import open_repository
from git_replicate.git.repository import Oid, Repository, TreeEntry
from git_replicate.store.store import read_run
from tests.support import GitRepo, replicate


@pytest.fixture
def done(repo: GitRepo) -> GitRepo:
    repo.write(".gitignore", "*.pt\nplots/\n")
    repo.write("replicate.toml", '[results]\noutputs = ["m.pt", "plots"]\n[outputs]\nlarge_bytes = 100\n')
    script = "printf '%200s' '' > m.pt; mkdir -p plots/.git_; echo a > plots/a.txt; echo b > plots/.gitattributes"
    assert replicate("start", "-q", "sh", "-c", script, cwd=repo.top).returncode == 0
    return repo


def test_outputs_are_listed_with_where_they_are(done: GitRepo) -> None:
    table = json.loads(replicate("outputs", "--format", "json", cwd=done.top).stdout)
    assert {path: (entry["kept"], entry["here"]) for path, entry in table.items()} == {
        "m.pt": ("store", True), "plots/.gitattributes": ("tree", True), "plots/a.txt": ("tree", True),
    }  # fmt: skip
    text = replicate("outputs", cwd=done.top).stdout.splitlines()
    assert text[0].startswith("m.pt ")
    assert text[0].endswith("200 bytes  kept in the store")


def test_outputs_come_back_as_they_were(done: GitRepo, tmp_path: Path) -> None:
    assert replicate("outputs", "latest", "-o", str(tmp_path / "out"), cwd=done.top).returncode == 0
    assert (tmp_path / "out" / "m.pt").read_bytes() == b" " * 200
    assert (tmp_path / "out" / "plots" / "a.txt").read_text() == "a\n"
    assert (tmp_path / "out" / "plots" / ".gitattributes").read_text() == "b\n"
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["m.pt", "plots"]


def test_only_what_is_asked_for(done: GitRepo, tmp_path: Path) -> None:
    assert replicate("outputs", "latest", "plots/*.txt", "-o", str(tmp_path / "out"), cwd=done.top).returncode == 0
    assert [path.name for path in (tmp_path / "out").rglob("*") if path.is_file()] == ["a.txt"]
    wrong = replicate("outputs", "latest", "none", cwd=done.top)
    assert (wrong.returncode, "the run has no output none" in wrong.stderr) == (1, True)


def test_a_folder_of_many_outputs_is_read_once(repo: GitRepo, monkeypatch: pytest.MonkeyPatch) -> None:
    script = "mkdir parts; for n in 1 2 3 4 5 6 7 8 9; do echo $n > parts/$n; done"
    assert replicate("start", "-q", "--output", "parts", "sh", "-c", script, cwd=repo.top).returncode == 0
    opened = open_repository(str(repo.top))
    run = read_run(opened, repo.git("for-each-ref", "--format=%(refname)", "refs/experiments/"))
    reads: list[Oid] = []
    read_tree = type(opened).read_tree

    def counted(self: Repository, oid: Oid) -> list[TreeEntry]:
        reads.append(oid)
        return read_tree(self, oid)

    monkeypatch.setattr(type(opened), "read_tree", counted)
    assert all(found.here for found in find_outputs(opened, run, (), GitConfig()))
    assert len(reads) == len({*reads})


def said(repo: GitRepo, *words: str) -> tuple[int, list[str]]:
    ended = replicate("outputs", *words, cwd=repo.top)
    return ended.returncode, ended.stderr.splitlines()


def test_how_many_came_back_is_said(done: GitRepo, tmp_path: Path) -> None:
    folder = str(tmp_path / "out")
    one = said(done, "latest", "m.pt", "-o", folder)
    assert one == (0, ["m.pt  restored", f"restored 1 output into {folder}"])
    assert said(done, "latest", "-o", folder)[1][-1] == f"restored 3 outputs into {folder}"
    (tmp_path / "out" / "m.pt").write_bytes(b"mine")
    assert "not restored: 1 of 1 output" in said(done, "latest", "m.pt", "-o", folder)[1][-2]


def test_a_folder_without_a_name_is_an_error(done: GitRepo) -> None:
    assert said(done, "latest", "-o", "") == (
        2, ["git replicate: -o names no folder", "hint: into this one: -o ."],
    )  # fmt: skip


def test_another_file_is_only_replaced_by_force(done: GitRepo, tmp_path: Path) -> None:
    (tmp_path / "m.pt").write_bytes(b"mine")
    refused = replicate("outputs", "latest", "m.pt", "-o", str(tmp_path), cwd=done.top)
    assert refused.returncode == 1
    assert "m.pt  another file is there (--force replaces it)" in refused.stderr
    assert (tmp_path / "m.pt").read_bytes() == b"mine"
    assert replicate("outputs", "latest", "m.pt", "--force", "-o", str(tmp_path), cwd=done.top).returncode == 0
    assert (tmp_path / "m.pt").read_bytes() == b" " * 200
    assert replicate("outputs", "latest", "m.pt", "-o", str(tmp_path), cwd=done.top).returncode == 0


def test_a_damaged_or_missing_file_is_said(done: GitRepo, tmp_path: Path) -> None:
    digest = hashlib.sha256(b" " * 200).hexdigest()
    stored = done.top / ".git" / "lfs" / "objects" / digest[:2] / digest[2:4] / digest
    stored.write_bytes(b"x")
    damaged = replicate("outputs", "latest", "m.pt", "-o", str(tmp_path / "out"), cwd=done.top)
    assert (damaged.returncode, "damaged: its content is not what the record says" in damaged.stderr) == (1, True)
    assert list((tmp_path / "out").iterdir()) == []
    stored.unlink()
    gone = replicate("outputs", "latest", "m.pt", "-o", str(tmp_path / "out"), cwd=done.top)
    assert (gone.returncode, "m.pt  not on this machine; try: git lfs fetch" in gone.stderr) == (1, True)
    assert replicate("outputs", cwd=done.top).stdout.splitlines()[0].endswith("but not on this machine")


@pytest.mark.parametrize(
    "path", ["../x", "/etc/x", "a/../../x", "a//b", ".git/hooks/x", "a/.GIT/x", '"a\\000b"', "link/x"]
)
def test_a_foreign_record_cannot_write_elsewhere(tmp_path: Path, path: str) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "link").symlink_to(tmp_path)
    with pytest.raises(FormatError):
        _target(str(tmp_path / "out"), path)


def test_a_store_of_ones_own(repo: GitRepo, tmp_path: Path) -> None:
    repo.git("config", "replicate.store", str(tmp_path / "store"))
    repo.write("replicate.toml", '[results]\noutputs = ["m.pt"]\n[outputs]\nlarge_bytes = 100\n')
    assert replicate("start", "-q", "sh", "-c", "printf '%200s' '' > m.pt", cwd=repo.top).returncode == 0
    assert [path.stat().st_size for path in (tmp_path / "store").rglob("*") if path.is_file()] == [200]
    assert not (repo.top / ".git" / "lfs").exists()
    assert replicate("outputs", "latest", "-o", str(tmp_path / "out"), cwd=repo.top).returncode == 0
    assert (tmp_path / "out" / "m.pt").read_bytes() == b" " * 200
