"""The snapshot as a whole: what it stores, what it leaves alone, what it leaves out, and what the end scan sees."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
from pathlib import Path

import pytest

from git_replicate.core.errors import UserError
from git_replicate.core.settings import SnapshotSettings
from git_replicate.git.opening import open_repository
from git_replicate.store.snapshot import EndScan, Snapshot, scan_end, take_snapshot
from git_replicate.store.written import hold_outputs, remember_written
from tests.git.oracle import oracle_tree
from tests.support import GitRepo

HOOKS = [
    "applypatch-msg", "commit-msg", "fsmonitor-watchman", "post-applypatch", "post-checkout", "post-commit",
    "post-index-change", "post-merge", "post-rewrite", "pre-commit", "pre-push", "prepare-commit-msg",
    "reference-transaction", "sendemail-validate",
]  # fmt: skip


@pytest.fixture
def scratch(tmp_path: Path) -> str:
    folder = tmp_path / "scratch"
    folder.mkdir()
    return str(folder)


def take(scratch: str, settings: SnapshotSettings | None = None, directory: str = ".") -> Snapshot:
    for entry in os.listdir(scratch):
        full = os.path.join(scratch, entry)
        shutil.rmtree(full) if os.path.isdir(full) else os.unlink(full)
    repo = open_repository(directory, backend="plumbing")
    return take_snapshot(repo, settings or SnapshotSettings(), scratch=scratch)


def end(snapshot: Snapshot, scratch: str) -> EndScan:
    return scan_end(open_repository(".", backend="plumbing"), snapshot, scratch=scratch)


def names(repo: GitRepo, tree: str) -> list[str]:
    return repo.git("ls-tree", "-r", "--name-only", tree).splitlines()


def reasons(snapshot: Snapshot) -> dict[str, str]:
    return {entry.path: entry.reason for entry in snapshot.left_out}


def objects(repo: GitRepo) -> set[str]:
    return set(repo.git("cat-file", "--batch-all-objects", "--batch-check=%(objectname)", "--unordered").split())


def test_a_clean_head_is_its_own_snapshot(repo: GitRepo, scratch: str) -> None:
    head = repo.git("rev-parse", "HEAD")
    snapshot = take(scratch)
    assert (snapshot.commit, snapshot.base, snapshot.branch, snapshot.dirty) == (head, head, "main", False)


def test_the_commit_is_a_pure_function_of_tree_and_parent(
    repo: GitRepo, scratch: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    repo.write("train.py", "edited\n")
    first = take(scratch)
    monkeypatch.setenv("GIT_AUTHOR_NAME", "Somebody Else")
    monkeypatch.setenv("GIT_COMMITTER_DATE", "2030-01-01T00:00:00Z")
    repo.git("config", "user.name", "Nobody")
    repo.git("config", "commit.gpgSign", "true")
    repo.git("config", "i18n.commitEncoding", "latin1")
    assert take(scratch).commit == first.commit
    assert first.commit == "4053babeb16636aac65adc1fc7aba75e3c1b1e8b"
    assert first.dirty
    assert repo.git("log", "-1", "--format=%an <%ae> %at %ct %s", first.commit) == (
        "git replicate <git-replicate@localhost> 1704164645 1704164645 snapshot of the working tree"
    )


def test_unborn_detached_and_bare(repo: GitRepo, scratch: str, tmp_path: Path) -> None:
    repo.git("checkout", "-q", "--detach")
    assert take(scratch).branch is None
    repo.git("checkout", "-q", "--orphan", "fresh")
    unborn = take(scratch)
    assert (unborn.base, unborn.branch, unborn.dirty) == (None, "fresh", True)
    assert repo.git("rev-list", "--count", unborn.commit) == "1"
    repo.git("init", "-q", "--bare", str(tmp_path / "bare.git"))
    with pytest.raises(UserError, match="this is a bare repository"):
        take(scratch, directory=str(tmp_path / "bare.git"))


def untouchable(top: Path) -> dict[str, tuple[int, int, bytes]]:
    """Everything of the user's: files with mode, time and content, objects and our own folder apart."""
    found = {}
    for folder, folders, files in os.walk(top):
        if folder == str(top / ".git"):
            folders[:] = [name for name in folders if name not in ("objects", "replicate")]
        for name in files:
            path = Path(folder, name)
            status = path.lstat()
            found[str(path)] = (status.st_mode, status.st_mtime_ns, path.read_bytes())
    return found


def test_nothing_of_the_users_changes_and_no_hook_runs(repo: GitRepo, scratch: str) -> None:
    witness = repo.top.parent / "ran"
    for hook in HOOKS:
        repo.write(f".git/hooks/{hook}", f"#!/bin/sh\necho {hook} >> {witness}\n").chmod(0o755)
    repo.write("stashed.py", "x")
    repo.git("-c", "core.hooksPath=/dev/null", "stash", "-q", "-u")
    repo.git("config", "core.fsmonitor", str(repo.top / ".git/hooks/fsmonitor-watchman"))
    repo.git("config", "core.untrackedCache", "true")
    repo.write("train.py", "edited\n")
    repo.write("new.py", "new\n")
    os.utime(repo.top / "README", (1, 1))
    witness.unlink(missing_ok=True)
    before = untouchable(repo.top)
    snapshot = take(scratch)
    end(snapshot, scratch)
    assert untouchable(repo.top) == before
    assert not witness.exists()


def test_from_a_subdirectory_and_a_linked_worktree(
    repo: GitRepo, scratch: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    repo.write("sub/deep/x.py", "x")
    repo.write("train.py", "edited")
    monkeypatch.chdir(repo.top / "sub/deep")
    assert names(repo, take(scratch).tree) == [".gitignore", "README", "sub/deep/x.py", "train.py"]
    repo.git("worktree", "add", "-q", "-b", "side", str(tmp_path / "linked"))
    linked = GitRepo(tmp_path / "linked")
    linked.write("only-here.py", "x")
    monkeypatch.chdir(linked.top)
    snapshot = take(scratch)
    assert snapshot.branch == "side"
    assert names(linked, snapshot.tree) == [".gitignore", "README", "only-here.py", "train.py"]


def test_a_worktree_inside_the_worktree_is_a_gitlink_and_no_dirt(repo: GitRepo, scratch: str) -> None:
    repo.git("worktree", "add", "-q", "-b", "side", "inner")
    repo.write("inner/dirt.py", "x")
    snapshot = take(scratch)
    assert snapshot.tree == oracle_tree(repo.top, Path(scratch))
    assert snapshot.submodules == ()


def test_git_variables_in_the_environment(
    repo: GitRepo, scratch: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    repo.write("staged.log", "ignored, but staged in another index")
    other = tmp_path / "other-index"
    shutil.copy(repo.top / ".git/index", other)
    repo.git("add", "-f", "staged.log", GIT_INDEX_FILE=str(other))
    monkeypatch.setenv("GIT_INDEX_FILE", str(other))
    assert "staged.log" in names(repo, take(scratch).tree)
    monkeypatch.setenv("GIT_INDEX_FILE", ".git/gone.lock")
    assert "staged.log" not in names(repo, take(scratch).tree)
    monkeypatch.delenv("GIT_INDEX_FILE")
    monkeypatch.setenv("GIT_DIR", str(repo.top / ".git"))
    monkeypatch.setenv("GIT_WORK_TREE", str(repo.top))
    assert names(repo, take(scratch).tree) == [".gitignore", "README", "train.py"]


def test_secrets_and_large_files_never_enter_the_object_store(repo: GitRepo, scratch: str) -> None:
    repo.write(".env", "TOKEN=1\n")
    repo.write("notes.txt", "my key is ghp_" + "a1B2" * 10 + "\n")
    repo.write("big.bin", os.urandom(5000))
    repo.write("code.py", "x\n")
    secret = [repo.git("hash-object", name) for name in (".env", "notes.txt", "big.bin")]
    snapshot = take(scratch, SnapshotSettings(large_bytes=4000))
    assert reasons(snapshot) == {".env": "secret", "big.bin": "large", "notes.txt": "secret"}
    assert snapshot.left_out[1].size == 5000
    assert snapshot.left_out[1].hash.startswith("blake3:")
    assert names(repo, snapshot.tree) == [".gitignore", "README", "code.py", "train.py"]
    assert not set(secret) & objects(repo)
    assert snapshot.warnings == ()
    assert {(offer.line, offer.reason) for offer in snapshot.offers} == {
        ("/.env", "secret"), ("/big.bin", "large"), ("/notes.txt", "secret"),
    }  # fmt: skip


def test_tracked_files_always_go_in(repo: GitRepo, scratch: str) -> None:
    repo.write(".env", "TOKEN=1\n")
    repo.write("node_modules/x.js", "x")
    repo.git("add", "-f", ".env", "node_modules/x.js")
    assert reasons(take(scratch, SnapshotSettings(exclude=("*",), large_bytes=1))) == {}


def test_folders_left_out_by_what_they_are(repo: GitRepo, scratch: str) -> None:
    for path in (
        "env/pyvenv.cfg", "env/lib/a.py", "conda/conda-meta/history", "conda/bin/python", "web/node_modules/a/b.js",
        "pkg/__pycache__/a.pyc", "wandb/run/log.txt", "mlruns/0/meta.yaml", "src/wandb/__init__.py", "src/wandb/api.py",
        "scratch/a.txt", "kept.py",
    ):  # fmt: skip
        repo.write(path, "x")
    snapshot = take(scratch, SnapshotSettings(exclude=("scratch/**",)))
    assert reasons(snapshot) == {
        "conda/": "environment", "env/": "environment", "mlruns/": "tracker", "pkg/__pycache__/": "cache",
        "scratch/a.txt": "excluded", "wandb/": "tracker", "web/node_modules/": "environment",
    }  # fmt: skip
    assert set(names(repo, snapshot.tree)) >= {"kept.py", "src/wandb/__init__.py", "src/wandb/api.py"}


def test_only_the_deepest_big_folder_is_left_out(repo: GitRepo, scratch: str) -> None:
    repo.write("project/code.py", "x")
    for number in range(6):
        repo.write(f"project/data/class{number}/a.txt", "x")
    repo.write("weights/a.bin", b"x" * 600)
    repo.write("weights/b.bin", b"x" * 600)
    snapshot = take(scratch, SnapshotSettings(folder_files=5, folder_bytes=1000))
    assert reasons(snapshot) == {"project/data/": "folder", "weights/": "folder"}
    assert "project/code.py" in names(repo, snapshot.tree)


def test_what_a_run_wrote_is_left_out_until_somebody_changes_it(repo: GitRepo, scratch: str) -> None:
    repo.write("already.json", "before")
    snapshot = take(scratch)
    assert "already.json" in names(repo, snapshot.tree)
    repo.write("result.json", "1")
    repo.write("already.json", "after the run")
    repo.write("train.py", "edited during the run")
    (repo.top / "README").unlink()
    seen = objects(repo)
    ended = end(snapshot, scratch)
    assert objects(repo) == seen
    assert ended.changed == ("README", "already.json", "train.py")
    assert [item.path for item in ended.written] == ["already.json", "result.json"]
    remember_written(open_repository(".").layout, "20240102-030405-00000000", ended.written)
    assert reasons(take(scratch)) == {"already.json": "written-by-run", "result.json": "written-by-run"}
    repo.write("result.json", "edited by a person")
    assert reasons(take(scratch)) == {"already.json": "written-by-run"}


def test_a_run_that_overlapped_a_later_one_leaves_out_what_it_wrote_last(repo: GitRepo, scratch: str) -> None:
    take(scratch)
    opened = open_repository(".")
    for run, content in (("20240102-030407-00000000", "short"), ("20240102-030405-00000000", "the long run's")):
        snapshot = take(scratch)
        repo.write("model.bin", content)
        remember_written(opened.layout, run, end(snapshot, scratch).written)
    assert reasons(take(scratch)) == {"model.bin": "written-by-run"}


def test_a_run_may_write_a_file_with_an_old_time_of_change(repo: GitRepo, scratch: str) -> None:
    opened = open_repository(".")
    for run, seconds in (("20240102-030405-00000000", 2_000_000_000), ("20240102-030406-00000000", 1_000_000_000)):
        snapshot = take(scratch)
        os.utime(repo.write("unpacked.csv", "1,2"), (seconds, seconds))
        remember_written(opened.layout, run, end(snapshot, scratch).written)
    assert reasons(take(scratch)) == {"unpacked.csv": "written-by-run"}


def test_a_product_that_got_into_a_snapshot_is_left_out_once_a_run_writes_it_again(repo: GitRepo, scratch: str) -> None:
    opened = open_repository(".")
    repo.write("helper.py", "by hand")
    snapshot = take(scratch)
    os.utime(repo.write("result.json", "1"), (1_700_000_000, 1_700_000_000))
    remember_written(opened.layout, "20240102-030405-00000000", end(snapshot, scratch).written)
    os.utime(repo.top / "result.json", (1_700_000_001, 1_700_000_001))
    snapshot = take(scratch)
    assert reasons(snapshot) == {}
    os.utime(repo.top / "helper.py", (1_700_000_002, 1_700_000_002))
    os.utime(repo.write("result.json", "1"), (1_700_000_002, 1_700_000_002))
    ended = end(snapshot, scratch)
    assert (ended.changed, [item.path for item in ended.written]) == ((), ["result.json"])
    remember_written(opened.layout, "20240102-030406-00000000", ended.written)
    assert reasons(take(scratch)) == {"result.json": "written-by-run"}


def test_a_file_that_output_goes_to_is_left_out_while_and_after_it_is_written(repo: GitRepo, scratch: str) -> None:
    opened = open_repository(".")
    release = hold_outputs(opened.layout, [b"train.out"])
    for text in ("", "epoch 1", "epoch 1\nepoch 2"):
        repo.write("train.out", text)
        assert reasons(take(scratch)) == {"train.out": "written-by-run"}
    release()
    assert reasons(take(scratch)) == {"train.out": "written-by-run"}
    repo.write("train.out", "edited by a person")
    assert reasons(take(scratch)) == {}
    snapshot = take_snapshot(opened, SnapshotSettings(), scratch=scratch, outputs=[b"train.out", b"train.py"])
    assert (reasons(snapshot), snapshot.offers) == ({"train.out": "written-by-run"}, ())


def test_an_empty_file_that_is_written_into_is_a_result_unless_it_is_code(repo: GitRepo, scratch: str) -> None:
    for name in ("results.csv", "gone.csv", "module.py"):
        repo.write(name, "")
    snapshot = take(scratch)
    repo.write("results.csv", "1,2")
    repo.write("module.py", "x = 1")
    (repo.top / "gone.csv").unlink()
    ended = end(snapshot, scratch)
    assert ended.changed == ("gone.csv", "module.py")
    assert [item.path for item in ended.written] == ["module.py", "results.csv"]


def test_touched_and_left_out_files_are_no_change(repo: GitRepo, scratch: str) -> None:
    repo.write(".env", "x")
    snapshot = take(scratch)
    os.utime(repo.top / "train.py", (1, 1))
    assert end(snapshot, scratch) == EndScan((), ())
    repo.write(".env", "other")
    assert [item.path for item in end(snapshot, scratch).written] == [".env"]


@pytest.mark.slow
def test_many_runs_are_remembered_in_few_files(repo: GitRepo, scratch: str) -> None:
    snapshot = take(scratch)
    for number in range(70):
        repo.write(f"out/{number}.txt", "x")
        opened = open_repository(".")
        written = [item for item in end(snapshot, scratch).written if item.path == f"out/{number}.txt"]
        remember_written(opened.layout, f"20240102-030405-{number:08x}", written)
    assert len(os.listdir(repo.top / ".git/replicate/written/main")) < 66
    assert len(reasons(take(scratch))) == 70


def test_a_dirty_and_an_unpushed_submodule_get_snapshots_of_their_own(
    repo: GitRepo, scratch: str, tmp_path: Path
) -> None:
    repo.git("clone", "-q", ".", str(tmp_path / "upstream"))
    for name in ("clean", "dirty", "unpushed"):
        repo.git("submodule", "add", "-q", str(tmp_path / "upstream"), name)
    repo.commit()
    GitRepo(repo.top / "dirty").write("train.py", "dirt")
    GitRepo(repo.top / "dirty").write(".env", "secret")
    GitRepo(repo.top / "unpushed").write("train.py", "local")
    moved = GitRepo(repo.top / "unpushed").commit()
    base = repo.git("rev-parse", "HEAD:clean")
    snapshot = take(scratch)
    assert snapshot.tree == oracle_tree(repo.top, Path(scratch))
    assert snapshot.dirty
    assert {sub.path: (sub.commit, sub.dirty) for sub in snapshot.submodules} == {
        "dirty": (base, True), "unpushed": (moved, False)
    }  # fmt: skip
    kept = {sub.path: sub.snapshot for sub in snapshot.submodules}
    assert kept["unpushed"] == moved
    inner = GitRepo(repo.top / "dirty")
    assert inner.git("show", f"{kept['dirty']}:train.py") == "dirt"
    assert inner.git("for-each-ref", "--format=%(refname)", "refs/experiments") == (
        f"refs/experiments/snapshots/{kept['dirty']}"
    )
    assert reasons(snapshot) == {"dirty/.env": "secret"}
    assert take(scratch).submodules == snapshot.submodules
    inner.write("train.py", "more dirt")
    assert end(snapshot, scratch).changed == ("dirty/train.py",)


def test_embedded_repositories_with_and_without_commits(
    repo: GitRepo, scratch: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("with", "without"):
        repo.git("init", "-q", name)
    commit = ""
    embedded = GitRepo(repo.top / "with")
    embedded.write("x.py", "x")
    commit = embedded.commit()
    repo.write("without/y.py", "y")
    monkeypatch.setenv("GIT_DIR", str(repo.top / ".git"))
    monkeypatch.setenv("GIT_WORK_TREE", str(repo.top))
    snapshot = take(scratch)
    monkeypatch.undo()
    assert repo.git("-C", str(repo.top), "rev-parse", f"{snapshot.tree}:with") == commit
    found = {sub.path: sub for sub in snapshot.submodules}
    assert (found["with"].commit, found["with"].dirty) == (commit, False)
    assert found["without"].commit == ""
    assert GitRepo(repo.top / "without").git("show", f"{found['without'].snapshot}:y.py") == "y"


def test_a_tracked_reserved_folder_is_warned_about_and_no_difference(repo: GitRepo, scratch: str) -> None:
    repo.write(".replicate/x", "x")
    repo.commit()
    snapshot = take(scratch)
    assert names(repo, snapshot.tree) == [".gitignore", "README", "train.py"]
    assert not snapshot.dirty
    assert "git rm -r --cached .replicate" in snapshot.warnings[0]


def test_a_file_that_a_filter_refuses_is_named_and_stays_unchanged_at_the_end(repo: GitRepo, scratch: str) -> None:
    repo.git("config", "filter.broken.clean", "false")
    repo.git("config", "filter.broken.required", "true")
    repo.write(".gitattributes", "*.dat filter=broken\n")
    repo.write("a.dat", "raw")
    snapshot = take(scratch)
    assert snapshot.filter_failed == ("a.dat",)
    assert snapshot.warnings == ("git's filters failed; raw bytes are recorded: a.dat",)
    assert repo.git("show", f"{snapshot.tree}:a.dat") == "raw"
    assert end(snapshot, scratch).changed == ()
    repo.write("a.dat", "other bytes")
    assert end(snapshot, scratch).changed == ("a.dat",)


def test_names_that_are_not_text_are_quoted(repo: GitRepo, scratch: str) -> None:
    (repo.top / os.fsdecode(b"caf\xe9.pem")).write_bytes(b"x")
    snapshot = take(scratch)
    assert reasons(snapshot) == {'"caf\\351.pem"': "secret"}
    assert [offer.line for offer in snapshot.offers] == ["/caf?.pem"]


def test_the_index_mode_is_private(repo: GitRepo, scratch: str) -> None:
    take(scratch)
    assert stat.S_ISREG(os.stat(os.path.join(scratch, "index")).st_mode)
    assert subprocess.run(["git", "fsck", "--strict"], capture_output=True, check=True).stderr == b""


def test_a_merge_conflict_is_in_the_record(repo: GitRepo, scratch: str) -> None:
    assert take(scratch).code().conflicted == ()
    repo.git("checkout", "-q", "-b", "other")
    repo.write("train.py", "theirs\n")
    repo.commit("theirs")
    repo.git("checkout", "-q", "-")
    repo.write("train.py", "ours\n")
    repo.commit("ours")
    merged = subprocess.run(["git", "merge", "-q", "other"], cwd=repo.top, capture_output=True, check=False)
    assert merged.returncode == 1
    snapshot = take(scratch)
    assert snapshot.code().conflicted == ("train.py",)
    assert b"<<<<<<<" in repo.git("cat-file", "blob", f"{snapshot.tree}:train.py").encode()
