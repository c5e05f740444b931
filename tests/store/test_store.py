"""Runs into git and back: one ref, created once, moved forward only, and whole whatever happens meanwhile."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from git_replicate.core.errors import FormatError, GitError, RefMovedError, StorageError, UserError
from git_replicate.core.record import Code, Output, Status, User, WrittenFile
from git_replicate.git.config import read_config
from git_replicate.git.opening import open_repository
from git_replicate.git.repository import Commit, Mode, Oid, Repository, Signature, TreeEntry
from git_replicate.store.code import SnapshotGoneError
from git_replicate.store.objects import record_path, tree_path
from git_replicate.store.store import (
    Parts,
    RunFiles,
    begin,
    finish,
    list_runs,
    read_files,
    read_run,
    start_of,
)  # fmt: skip
from tests.store.making import ended, make_run, of_head, race, run_id, running
from tests.support import GitRepo

REF = "refs/experiments/digits/20260304-050608-00000001"


@pytest.fixture
def opened(repo: GitRepo) -> Repository:
    return open_repository(str(repo.top), backend="plumbing")


def start_run(opened: Repository, **fields: Any) -> Oid:
    code = of_head(opened)
    record = running(1, **{"code": code, **fields})
    return begin(opened, record, Oid(code.snapshot), Oid(code.tree), Parts(environment=b"e = 1\n", data=b"d = 1\n"))


def snapshot(opened: Repository, content: bytes = b"print('dirty')\n") -> Code:
    """A dirty snapshot: HEAD with another train.py, and a new folder."""
    head, _ = opened.head()
    assert head is not None
    folder = opened.write_tree([TreeEntry(b"new.py", Mode.FILE, opened.write_blob(b"new " + content))])
    entries = [entry for entry in opened.read_tree(opened.read_commit(head).tree) if entry.name != b"train.py"]
    entries += [TreeEntry(b"train.py", Mode.FILE, opened.write_blob(content)), TreeEntry(b"src", Mode.TREE, folder)]
    tree = opened.write_tree(entries)
    who = Signature("snapshot", "s@h", 1)
    return Code(snapshot=opened.write_commit(Commit(tree, (head,), who, who, "s\n")), tree=tree, base=head, dirty=True)


def test_a_run_is_three_commits_on_one_ref_that_plain_git_reads(repo: GitRepo, opened: Repository) -> None:
    code = snapshot(opened)
    record = running(1, code=code, message="why\nnot")
    start = begin(opened, record, Oid(code.snapshot), Oid(code.tree), Parts(environment=b"e = 1\n"))
    done = ended(1, code=code, message="why\nnot", metrics={"accuracy": 0.97, "loss": 0.125})
    end = finish(opened, done, start, Parts(metrics_csv=b"step,time,metric,value\n", log=b"hello\n"))
    assert repo.git("rev-parse", REF) == end
    assert repo.git("rev-list", "--parents", REF, "^HEAD").splitlines() == [
        f"{end} {start}", f"{start} {code.snapshot}", f"{code.snapshot} {code.base}",
    ]  # fmt: skip
    assert repo.git("diff", "--name-only", start, end).splitlines() == [
        ".replicate/metrics.csv", ".replicate/output.log", ".replicate/run.toml",
    ]  # fmt: skip
    assert repo.git("diff", "--name-only", "HEAD", code.snapshot).splitlines() == ["src/new.py", "train.py"]
    assert repo.git("log", "-1", "--format=%an <%ae> %ci%n%B", REF) == (
        "Ada <ada@example.org> 2026-03-04 05:07:08 +0000\n"
        "python train.py: finished, accuracy 0.97, loss 0.125\n\nwhy\nnot\n\nRun: digits/20260304-050608-00000001"
    )
    assert read_run(opened, REF).record == done
    assert read_run(opened, start).record == record
    assert read_files(opened, end) == RunFiles(b"e = 1\n", None, b"step,time,metric,value\n", b"hello\n")
    assert start_of(opened, end) == start_of(opened, start) == start
    assert [(run.name, run.commit) for run in list_runs(opened)] == [("digits/20260304-050608-00000001", end)]
    assert repo.git("fsck", "--strict") == ""
    assert not (repo.top / ".git" / "logs" / REF).exists()


def test_a_run_without_a_snapshot_has_its_record_alone(repo: GitRepo, opened: Repository) -> None:
    start = begin(opened, running(1), None, None, Parts())
    finish(opened, ended(1), start, Parts(log=b"x\n"))
    assert repo.git("ls-tree", "-r", "--name-only", REF).splitlines() == [
        ".replicate/.gitattributes", ".replicate/output.log", ".replicate/run.toml",
    ]  # fmt: skip
    assert repo.git("rev-list", "--count", REF) == "2"


def test_equal_runs_are_equal_objects_on_every_machine(opened: Repository) -> None:
    assert start_run(opened) == "819c5a2452b4708918da499bcdd9302ceb95eb8b"


def test_one_of_sixteen_with_the_same_id_wins(repo: GitRepo, opened: Repository) -> None:
    body = "store.begin(repo, running(1, process=Process(pid=i + 1)), None, None, store.Parts())"
    done, stderr = race(16, body, repo.top)
    assert done == 1
    assert stderr.count("RefMovedError") == 15
    (run,) = list_runs(opened)
    assert 1 <= read_run(opened, run.ref).record.process.pid <= 16


def test_the_same_start_twice_is_one_start(opened: Repository) -> None:
    assert start_run(opened) == start_run(opened)
    with pytest.raises(RefMovedError):
        start_run(opened, message="another")


def test_an_end_goes_on_top_of_what_others_stored_meanwhile(opened: Repository) -> None:
    start = start_run(opened)
    checkpoint = finish(opened, running(1, code=of_head(opened), metrics={"loss": 2.0}), start, Parts(log=b"so far\n"))
    end = finish(opened, ended(1, code=of_head(opened)), start, Parts(log=b"all\n"))
    assert opened.read_commit(end).parents == (checkpoint,)
    assert opened.read_ref(REF) == end


def test_a_run_found_lost_does_not_cover_its_end(opened: Repository) -> None:
    start = start_run(opened)
    end = finish(opened, ended(1, code=of_head(opened)), start, Parts())
    assert finish(opened, ended(1, code=of_head(opened), status=Status.LOST), start, Parts()) == end
    assert read_run(opened, REF).record.status is Status.FINISHED


def test_the_end_stored_twice_is_one_commit_and_keeps_what_only_the_first_saw(opened: Repository) -> None:
    start = start_run(opened)
    files = (WrittenFile("model.pt", 3),)
    seen = replace(of_head(opened), changed_during_run=("train.py",))
    end = finish(opened, ended(1, code=seen, files=files), start, Parts(log=b"x\n"))
    assert finish(opened, ended(1, code=of_head(opened)), start, Parts(log=b"x\n")) == end
    more = finish(opened, ended(1, code=of_head(opened), metrics={"a": 1}), start, Parts(log=b"x\n"))
    record = read_run(opened, more).record
    assert (record.files, record.code.changed_during_run, record.metrics) == (files, ("train.py",), {"a": 1})


def test_a_ref_deleted_by_hand_is_made_again_and_another_runs_is_not_touched(repo: GitRepo, opened: Repository) -> None:
    start = start_run(opened)
    repo.git("update-ref", "-d", REF)
    end = finish(opened, ended(1, code=of_head(opened)), start, Parts())
    assert opened.read_ref(REF) == end
    repo.git("update-ref", REF, make_run(opened, 2))
    with pytest.raises(RefMovedError, match="another run"):
        finish(opened, ended(1, code=of_head(opened)), start, Parts())


def pruning_before_the_ref(
    repo: GitRepo, monkeypatch: pytest.MonkeyPatch, opened: Repository, *commands: str, times: int = 1
) -> list[str]:
    """Have somebody's git run at the worst moment: when everything is written and the ref is not."""
    done: list[str] = []
    moves: Callable[..., None] = type(opened).move_refs

    def meddled(self: Repository, updates: Iterable[object], reason: str) -> None:
        if len(done) < times:
            done.append(reason)
            for command in commands:
                repo.git(*command.split())
        moves(self, updates, reason)

    monkeypatch.setattr(type(opened), "move_refs", meddled)
    return done


@pytest.mark.parametrize("command", ["prune --expire=now", "gc -q --prune=now"])
def test_objects_that_vanish_before_the_ref_exists_are_written_again(
    repo: GitRepo, opened: Repository, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    done = pruning_before_the_ref(repo, monkeypatch, opened, command, times=2)
    start = start_run(opened)
    assert len(done) == 2
    assert read_run(opened, start).record.status is Status.RUNNING
    finish(opened, ended(1, code=of_head(opened)), start, Parts(log=b"x\n"))
    assert repo.git("fsck", "--strict", "--no-dangling") == ""


def test_objects_that_keep_vanishing_are_an_error_and_leave_no_ref(
    repo: GitRepo, opened: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    pruning_before_the_ref(repo, monkeypatch, opened, "prune --expire=now", times=99)
    with pytest.raises(StorageError, match="the objects vanish while they are written"):
        start_run(opened)
    assert opened.read_ref(REF) is None


def test_a_snapshot_that_vanishes_leaves_no_ref(
    repo: GitRepo, opened: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = snapshot(opened)
    pruning_before_the_ref(repo, monkeypatch, opened, "prune --expire=now")
    with pytest.raises(SnapshotGoneError, match="gone"):
        begin(opened, running(1, code=code), Oid(code.snapshot), Oid(code.tree), Parts())
    assert list_runs(opened) == []
    assert repo.git("fsck", "--strict", "--no-dangling") == ""
    code = snapshot(opened)
    begin(opened, running(1, code=code), Oid(code.snapshot), Oid(code.tree), Parts())
    assert repo.git("fsck", "--strict", "--no-dangling") == ""


@pytest.mark.parametrize("path", ["train.py", "src/new.py", "src"])
def test_a_part_of_the_snapshot_that_vanishes_is_noticed(repo: GitRepo, opened: Repository, path: str) -> None:
    code = snapshot(opened)
    oid = repo.git("rev-parse", f"{code.snapshot}:{path}")
    (repo.top / ".git" / "objects" / oid[:2] / oid[2:]).unlink()
    with pytest.raises(SnapshotGoneError, match="gone"):
        begin(opened, running(1, code=code), Oid(code.snapshot), Oid(code.tree), Parts())
    assert list_runs(opened) == []


def test_both_kinds_of_repository_hold_the_same_run(tmp_path: Path) -> None:
    for name in ("sha1", "sha256"):
        subprocess.run(["git", "init", "-q", f"--object-format={name}", str(tmp_path / name)], check=True)
        user = GitRepo(tmp_path / name)
        user.write("train.py", "print(1)\n")
        user.commit("first")
        opened = open_repository(str(user.top))
        end = make_run(opened)
        assert len(end) == {"sha1": 40, "sha256": 64}[name]
        assert read_run(opened, REF).record.exit_code == 0
        assert user.git("fsck", "--strict") == ""


def test_identities_that_git_would_refuse_are_stored_all_the_same(
    repo: GitRepo, monkeypatch: pytest.MonkeyPatch, opened: Repository
) -> None:
    odd = User("<Ada>\n\ud800 Lovelace.", " a b<>@x \n")
    finish(opened, ended(1, user=odd), begin(opened, running(1, user=odd), None, None, Parts()), Parts())
    assert repo.git("log", "-1", "--format=%an|%ae", REF) == "Ada  Lovelace|ab@x"
    repo.git("fsck", "--strict")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    name, email = read_config(opened.layout).identity()
    assert name
    assert "@" in email
    begin(opened, running(2, user=User()), None, None, Parts())
    ref = f"refs/experiments/digits/{run_id(2)}"
    assert repo.git("log", "-1", "--format=%an|%ae", ref) == "unknown|unknown@localhost"


@pytest.mark.parametrize(
    "path", ["model.pt", "plots/a b.png", ".git/config", ".GIT/x", "a/.gitattributes", ".gitmodules", "git~1",
             '"a\\\\b"', "%41", ".g\u200cit", '"\\377.bin"'],
)  # fmt: skip
def test_any_output_is_kept_under_a_name_that_git_takes(
    repo: GitRepo, opened: Repository, tmp_path: Path, path: str
) -> None:
    file = tmp_path / "output"
    file.write_bytes(b"kept\r\n")
    start = begin(opened, running(1), None, None, Parts())
    finish(opened, ended(1, outputs={path: Output()}), start, Parts(outputs={path: str(file)}))
    assert read_run(opened, REF).record.outputs[path].kept == "tree"
    assert record_path(tree_path(path)) == path
    names = repo.git_bytes("ls-tree", "-r", "--name-only", "-z", f"{REF}:.replicate/outputs").split(b"\0")
    assert names[0] == b"/".join(tree_path(path))
    assert repo.git("fsck", "--strict") == ""


@pytest.mark.parametrize("path", ["../out", "/etc/passwd", "a//b", "a/./b", "", '"\\000"'])
def test_paths_that_lead_elsewhere_are_not_kept(opened: Repository, tmp_path: Path, path: str) -> None:
    with pytest.raises(FormatError, match="not a path that can be kept"):
        tree_path(path)
    start = begin(opened, running(1), None, None, Parts())
    finish(opened, ended(1, outputs={path: Output()}), start, Parts(outputs={path: str(tmp_path)}))
    record = read_run(opened, REF).record
    assert record.outputs[path].kept == "no"
    assert any("not a path that can be kept" in line for line in record.missing)


def test_an_output_that_is_gone_is_said_in_the_record(opened: Repository) -> None:
    start = begin(opened, running(1), None, None, Parts())
    finish(opened, ended(1, outputs={"model.pt": Output()}), start, Parts(outputs={"model.pt": "/no/such/file"}))
    assert read_run(opened, REF).record.missing == ("output model.pt: No such file or directory",)


def test_big_outputs_go_to_the_store_of_big_files(repo: GitRepo, opened: Repository, tmp_path: Path) -> None:
    file = tmp_path / "big"
    file.write_bytes(b"big")
    start = begin(opened, running(1), None, None, Parts())
    parts = Parts(large={"model.pt": str(file)}, pointers=True)
    finish(opened, ended(1, outputs={"model.pt": Output()}), start, parts)
    output = read_run(opened, REF).record.outputs["model.pt"]
    assert output.hash == "sha256:2a21fe6d592a19b7de898b50eb53c429608de1a66f3e9f62da19714a770553d1"
    kept = (
        repo.top
        / ".git"
        / "lfs"
        / "objects"
        / "2a"
        / "21"
        / "2a21fe6d592a19b7de898b50eb53c429608de1a66f3e9f62da19714a770553d1"
    )
    assert kept.read_bytes() == b"big"
    assert (output.kept, output.bytes) == ("store", 3)
    pointer = repo.git("show", f"{REF}:.replicate/outputs/model.pt")
    assert pointer == f"version https://git-lfs.github.com/spec/v1\noid {output.hash}\nsize 3"
    kept.chmod(0o644)
    kept.write_bytes(b"")  # what a power cut leaves
    finish(opened, ended(1, outputs={"model.pt": Output()}, metrics={"a": 1}), start, parts)
    assert kept.read_bytes() == b"big"


def test_names_of_refs_that_are_no_runs(repo: GitRepo, opened: Repository) -> None:
    repo.git("update-ref", "refs/experiments/snapshots/x", "HEAD")
    assert list_runs(opened) == []
    with pytest.raises(UserError, match="not a run"):
        read_run(opened, "refs/experiments/snapshots/x")
    with pytest.raises(UserError, match="no such run"):
        read_run(opened, "refs/experiments/none")


def test_a_record_of_a_newer_version_says_so(repo: GitRepo, opened: Repository) -> None:
    blob = repo.git("hash-object", "-w", "--stdin", stdin=b"format = 99\n")
    inner = repo.git("mktree", stdin=f"100644 blob {blob}\trun.toml\n".encode())
    tree = repo.git("mktree", stdin=f"040000 tree {inner}\t.replicate\n".encode())
    repo.git("update-ref", REF, repo.git("commit-tree", "-m", "new", tree))
    with pytest.raises(FormatError, match="this version reads format 1") as caught:
        read_run(opened, REF)
    assert caught.value.hint.startswith("a newer git replicate reads it")


def test_a_start_commit_that_is_gone_is_an_error_of_git(repo: GitRepo, opened: Repository) -> None:
    start = start_run(opened)
    repo.git("update-ref", "-d", REF)
    repo.git("prune", "--expire=now")
    with pytest.raises(GitError, match="no such object"):
        finish(opened, ended(1), start, Parts())
