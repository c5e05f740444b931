"""The scan in the states that a repository can be in, each against git's own tree or a literal expectation."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from git_replicate.core.errors import ReplicateError
from git_replicate.git.scan import list_again, list_changes, store
from tests.git.oracle import oracle_tree, private_git, scan
from tests.support import GitRepo


@pytest.fixture
def scratch(tmp_path: Path) -> Path:
    folder = tmp_path / "scratch"
    folder.mkdir()
    return folder


def assert_like_git(repo: GitRepo, scratch: Path) -> str:
    _, stored = scan(repo.top, scratch)
    assert (stored.raw, stored.refused) == ((), ())
    assert stored.tree == oracle_tree(repo.top, scratch)
    return stored.tree


def names(repo: GitRepo, tree: str) -> list[str]:
    return repo.git("ls-tree", "-r", "--name-only", tree).splitlines()


def content(repo: GitRepo, tree: str, path: str) -> bytes:
    return repo.git_bytes("cat-file", "blob", f"{tree}:{path}")


def objects(repo: GitRepo) -> set[str]:
    listed = repo.git("cat-file", "--batch-all-objects", "--batch-check=%(objectname)", "--unordered")
    return set(listed.split())


def clone(repo: GitRepo, target: Path, *options: str) -> GitRepo:
    repo.git("clone", "-q", *options, f"file://{repo.top}", str(target))
    return GitRepo(target)


def test_a_clean_tree_is_heads_tree(repo: GitRepo, scratch: Path) -> None:
    assert assert_like_git(repo, scratch) == repo.git("rev-parse", "HEAD^{tree}")


def test_an_edit_in_the_same_second_and_of_the_same_size_is_seen(repo: GitRepo, scratch: Path) -> None:
    index = repo.top / ".git/index"
    file = repo.write("train.py", "print('accuracy: 0.9')\n")
    repo.git("add", "train.py")
    status = index.stat()
    os.utime(file, ns=(status.st_mtime_ns, status.st_mtime_ns))
    repo.git("update-index", "train.py")
    file.write_text("print('accuracy: 0.8')\n")
    os.utime(file, ns=(status.st_mtime_ns, status.st_mtime_ns))
    os.utime(index, ns=(status.st_mtime_ns, status.st_mtime_ns))
    tree = assert_like_git(repo, scratch)
    assert content(repo, tree, "train.py") == b"print('accuracy: 0.8')\n"


def test_listing_stores_no_object(repo: GitRepo, scratch: Path) -> None:
    repo.write("secret.key", "s3cret")
    repo.write("train.py", "changed")
    before = objects(repo)
    changes = list_changes(private_git(repo.top, scratch))
    assert changes.untracked == (b"secret.key",)
    assert objects(repo) == before


def test_only_the_chosen_paths_are_stored(repo: GitRepo, scratch: Path) -> None:
    repo.write("code.py", "x = 1\n")
    repo.write("secret.key", "s3cret")
    git = private_git(repo.top, scratch)
    stored = store(git, list_changes(git), [b"code.py"])
    assert names(repo, stored.tree) == [".gitignore", "README", "code.py", "train.py"]
    secret = repo.git("hash-object", "secret.key")
    assert secret not in objects(repo)


def test_assume_unchanged_and_skip_worktree_edits_are_recorded(repo: GitRepo, scratch: Path) -> None:
    repo.git("update-index", "--assume-unchanged", "train.py")
    repo.git("update-index", "--skip-worktree", "README")
    repo.write("train.py", "hidden edit\n")
    repo.write("README", "another\n")
    tree = assert_like_git(repo, scratch)
    assert content(repo, tree, "train.py") == b"hidden edit\n"
    assert content(repo, tree, "README") == b"another\n"
    assert repo.git("ls-files", "-v") == "H .gitignore\nS README\nh train.py"


def test_ignored_but_staged_files_and_intent_to_add(repo: GitRepo, scratch: Path) -> None:
    repo.write("kept.log", "staged though ignored")
    repo.git("add", "-f", "kept.log")
    repo.write("new.py", "intended")
    repo.git("add", "-N", "new.py")
    repo.write("gone.py", "intended, then removed")
    repo.git("add", "-N", "gone.py")
    (repo.top / "gone.py").unlink()
    tree = assert_like_git(repo, scratch)
    assert names(repo, tree) == [".gitignore", "README", "kept.log", "new.py", "train.py"]


def test_odd_names(repo: GitRepo, scratch: Path) -> None:
    odd = [
        b"new\nline",
        b"caf\xe9.py",
        b"-rf",
        b":(glob)*",
        b":!train.py",
        b"*",
        b'q"uote',
        b"tab\t",
        b"back\\slash",
        b" ",
    ]
    for name in odd:
        (repo.top / os.fsdecode(name)).write_bytes(name)
    tree = assert_like_git(repo, scratch)
    listed = repo.git_bytes("ls-tree", "-r", "-z", "--name-only", tree).split(b"\0")
    assert set(odd) < set(listed)


def test_symlinks_and_replaced_kinds(repo: GitRepo, scratch: Path) -> None:
    repo.write("folder/inner.py", "1")
    repo.write("other/inner.py", "2")
    repo.write("plain", "file")
    os.symlink("folder", repo.top / "link")
    repo.commit()
    shutil.rmtree(repo.top / "folder")
    os.symlink("other", repo.top / "folder")
    (repo.top / "plain").unlink()
    repo.write("plain/now/a/folder", "x")
    (repo.top / "link").unlink()
    repo.write("link/was/a/link", "y")
    os.symlink("/nowhere", repo.top / "dangling")
    tree = assert_like_git(repo, scratch)
    assert content(repo, tree, "folder") == b"other"


def test_a_file_replaced_by_a_folder_of_ignored_files_is_gone(repo: GitRepo, scratch: Path) -> None:
    (repo.top / "README").unlink()
    repo.write("README/only.log", "ignored")
    tree = assert_like_git(repo, scratch)
    assert names(repo, tree) == [".gitignore", "train.py"]


@pytest.mark.parametrize("trusted", ["true", "false"])
def test_modes(repo: GitRepo, scratch: Path, trusted: str) -> None:
    repo.git("config", "core.fileMode", trusted)
    (repo.top / "train.py").chmod(0o755)
    repo.write("run.sh", "#!/bin/sh\n").chmod(0o755)
    tree = assert_like_git(repo, scratch)
    expected = "100755" if trusted == "true" else "100644"
    assert repo.git("ls-tree", tree, "train.py").split()[0] == expected


@pytest.mark.parametrize("safecrlf", ["true", "warn"])
def test_line_ends_with_safecrlf(repo: GitRepo, scratch: Path, safecrlf: str) -> None:
    repo.git("config", "core.safecrlf", safecrlf)
    repo.git("config", "core.autocrlf", "input")
    repo.write("mixed.txt", "one\r\ntwo\n")
    repo.write("forced.txt", "one\r\n")
    repo.write(".gitattributes", "forced.txt text eol=lf\n")
    tree = assert_like_git(repo, scratch)
    assert content(repo, tree, "forced.txt") == b"one\n"


def test_working_tree_encoding(repo: GitRepo, scratch: Path) -> None:
    repo.write(".gitattributes", "*.u16 text working-tree-encoding=UTF-16\n")
    repo.write("words.u16", "héllo\n".encode("utf-16"))
    tree = assert_like_git(repo, scratch)
    assert content(repo, tree, "words.u16") == "héllo\n".encode()


def test_a_file_in_the_wrong_encoding_is_stored_raw(repo: GitRepo, scratch: Path) -> None:
    repo.write(".gitattributes", "*.u16 text working-tree-encoding=UTF-16\n")
    repo.write("bad.u16", b"odd")
    repo.write("good.py", "fine")
    _, stored = scan(repo.top, scratch)
    assert stored.raw == (b"bad.u16",)
    assert content(repo, stored.tree, "bad.u16") == b"odd"
    assert content(repo, stored.tree, "good.py") == b"fine"


def test_failing_required_filters_lose_no_other_file(repo: GitRepo, scratch: Path) -> None:
    repo.git("config", "filter.picky.clean", "grep -v refuse")
    repo.git("config", "filter.picky.required", "true")
    repo.write(".gitattributes", "*.dat filter=picky\n")
    for number in range(6):
        repo.write(f"f{number}.dat", "refuse\n" if number % 2 else f"keep\nrefuse {number}\n")
    repo.write("f1.dat", "refuse\n").chmod(0o755)
    repo.write("z.py", "fine\n")
    _, stored = scan(repo.top, scratch)
    assert set(stored.raw) == {b"f1.dat", b"f3.dat", b"f5.dat"}
    assert content(repo, stored.tree, "f0.dat") == b"keep\n"
    assert content(repo, stored.tree, "f3.dat") == b"refuse\n"
    assert repo.git("ls-tree", stored.tree, "f1.dat").split()[0] == "100755"
    assert content(repo, stored.tree, "z.py") == b"fine\n"


def test_a_required_filter_that_breaks_after_staging(repo: GitRepo, scratch: Path) -> None:
    repo.git("config", "filter.picky.clean", "tr a-z A-Z")
    repo.git("config", "filter.picky.required", "true")
    repo.write(".gitattributes", "*.dat filter=picky\n")
    file = repo.write("a.dat", "same\n")
    repo.commit()
    repo.git("config", "filter.picky.clean", "false")
    future = (repo.top / ".git/index").stat().st_mtime + 10
    os.utime(file, (future, future))
    repo.git("-c", "filter.picky.clean=tr a-z A-Z", "update-index", "--refresh")
    _, stored = scan(repo.top, scratch)
    assert stored.raw == (b"a.dat",)
    assert content(repo, stored.tree, "a.dat") == b"same\n"


@pytest.mark.skipif(not shutil.which("git-lfs"), reason="git-lfs is not installed")
def test_git_lfs_pointers(repo: GitRepo, scratch: Path) -> None:
    repo.git("lfs", "install", "--local")
    repo.git("lfs", "track", "*.bin")
    repo.write("model.bin", b"\0" * 1000)
    tree = assert_like_git(repo, scratch)
    assert content(repo, tree, "model.bin").startswith(b"version https://git-lfs")


@pytest.mark.parametrize("sparse_index", [False, True])
@pytest.mark.parametrize("cone", [False, True])
def test_sparse_checkouts_keep_what_is_not_checked_out(
    repo: GitRepo, scratch: Path, cone: bool, sparse_index: bool
) -> None:
    for name in ("in/a.py", "out/b.py", "out/deep/c.py"):
        repo.write(name, name)
    repo.commit()
    options = ["--cone"] if cone else ["--no-cone"]
    options += ["--sparse-index"] if sparse_index and cone else []
    repo.git("sparse-checkout", "set", *options, "in" if cone else "/in/")
    assert not (repo.top / "out").exists()
    repo.write("in/a.py", "edited")
    repo.write("out/new.py", "outside the cone")
    repo.write("out/b.py", "came back by hand")
    before = (repo.top / ".git/index").read_bytes()
    tree = assert_like_git(repo, scratch)
    assert {"out/deep/c.py", "out/new.py", "in/a.py"} < set(names(repo, tree))
    assert content(repo, tree, "out/b.py") == b"came back by hand"
    assert (repo.top / ".git/index").read_bytes() == before


@pytest.mark.parametrize("feature", ["split", "untracked-cache", "version-4", "fsmonitor"])
def test_index_extensions(repo: GitRepo, scratch: Path, feature: str) -> None:
    if feature == "split":
        repo.git("config", "core.splitIndex", "true")
        repo.git("update-index", "--split-index")
    elif feature == "untracked-cache":
        repo.git("update-index", "--force-untracked-cache")
        repo.git("status")
    elif feature == "version-4":
        repo.git("update-index", "--index-version", "4")
    else:
        witness = repo.top / ".git/fsmonitor-ran"
        program = repo.write(".git/monitor", f"#!/bin/sh\ntouch {witness}\n")
        program.chmod(0o755)
        repo.git("config", "core.fsmonitor", str(program))
        repo.git("update-index", "--fsmonitor")
        witness.unlink(missing_ok=True)
    repo.write("more.py", "staged")
    repo.git("-c", "core.fsmonitor=false", "add", "more.py")
    repo.write("train.py", "edited")
    repo.write("untracked.py", "new")
    before = (repo.top / ".git/index").read_bytes()
    _, stored = scan(repo.top, scratch)
    assert (repo.top / ".git/index").read_bytes() == before
    assert not (repo.top / ".git/fsmonitor-ran").exists()
    assert stored.tree == oracle_tree(repo.top, scratch)


def test_shallow_clone(repo: GitRepo, scratch: Path, tmp_path: Path) -> None:
    repo.write("train.py", "second")
    repo.commit()
    shallow = clone(repo, tmp_path / "shallow", "--depth=1")
    shallow.write("train.py", "edited")
    assert_like_git(shallow, scratch)


@pytest.mark.parametrize("kind", ["blob:none", "tree:0"])
def test_a_partial_clone_fetches_nothing(repo: GitRepo, scratch: Path, tmp_path: Path, kind: str) -> None:
    repo.git("config", "uploadpack.allowFilter", "true")
    repo.write(".gitattributes", "* text=auto\n")
    for name in ("in/a.py", "out/b.py"):
        repo.write(name, f"{name}\n")
    repo.commit()
    partial = clone(repo, tmp_path / "partial", f"--filter={kind}", "--sparse")
    partial.git("sparse-checkout", "set", "in")
    witness = tmp_path / "contacted"
    partial.git("config", "remote.origin.uploadpack", f"touch {witness}; git-upload-pack")
    partial.write("in/a.py", "edited\r\n")
    partial.write("out/b.py", "by hand\r\n")
    partial.write("new.py", "x")
    _, stored = scan(partial.top, scratch)
    assert not witness.exists()
    # Older gits want the missing blob to decide on line ends; without it, the file is recorded byte for byte.
    content = "by hand\r\n" if stored.raw else "by hand\n"
    assert stored.refused == ()
    assert stored.raw in ((), (b"out/b.py",))
    assert partial.git_bytes("cat-file", "blob", f"{stored.tree}:out/b.py") == content.encode()
    listed = partial.git("ls-tree", "-r", "--name-only", stored.tree, GIT_ALLOW_PROTOCOL="none").split()
    assert set(listed) == {".gitattributes", ".gitignore", "README", "in/a.py", "new.py", "out/b.py", "train.py"}


def test_submodules_at_another_commit_and_never_initialised(repo: GitRepo, scratch: Path, tmp_path: Path) -> None:
    inner = clone(repo, tmp_path / "inner")
    repo.git("submodule", "add", "-q", str(inner.top), "libs/one")
    repo.git("submodule", "add", "-q", str(inner.top), "libs/two")
    repo.commit()
    repo.git("submodule", "deinit", "-q", "-f", "libs/two")
    repo.git("config", "submodule.libs/one.ignore", "all")
    one = GitRepo(repo.top / "libs/one")
    one.write("train.py", "submodule commit")
    moved = one.commit()
    one.write("train.py", "and dirt")
    changes, stored = scan(repo.top, scratch)
    assert stored.tree == oracle_tree(repo.top, scratch)
    assert repo.git("rev-parse", f"{stored.tree}:libs/one") == moved
    assert set(changes.gitlinks) == {b"libs/one", b"libs/two"}


def test_embedded_repositories(repo: GitRepo, scratch: Path) -> None:
    repo.git("init", "-q", "tools/with")
    embedded = GitRepo(repo.top / "tools/with")
    embedded.write("x.py", "x")
    commit = embedded.commit()
    repo.git("init", "-q", "tools/without")
    repo.write("tools/without/y.py", "y")
    git = private_git(repo.top, scratch)
    changes = list_changes(git)
    assert changes.nested == (b"tools/with", b"tools/without")
    stored = store(git, changes, changes.nested)
    assert repo.git("rev-parse", f"{stored.tree}:tools/with") == commit
    assert stored.refused == (b"tools/without",)


def test_unborn_branch_and_missing_index(tmp_path: Path, scratch: Path, repo: GitRepo) -> None:
    repo.git("init", "-q", str(tmp_path / "new"))
    new = GitRepo(tmp_path / "new")
    assert assert_like_git(new, scratch) == "4b825dc642cb6eb9a060e54bf8d69288fbee4904"
    new.write("first.py", "x")
    assert names(new, assert_like_git(new, scratch)) == ["first.py"]
    (repo.top / ".git/index").unlink()
    assert_like_git(repo, scratch)


def test_conflicts_are_recorded_as_the_files_are(repo: GitRepo, scratch: Path) -> None:
    repo.write("removed.py", "base")
    repo.commit("base")
    repo.git("checkout", "-q", "-b", "side")
    repo.write("train.py", "side")
    repo.write("removed.py", "side")
    repo.commit("side")
    repo.git("checkout", "-q", "main")
    repo.write("train.py", "main")
    repo.git("rm", "-q", "removed.py")
    repo.commit("main")
    subprocess.run(["git", "merge", "-q", "side"], cwd=repo.top, capture_output=True)
    (repo.top / "removed.py").unlink(missing_ok=True)
    changes, stored = scan(repo.top, scratch)
    assert set(changes.conflicted) == {b"removed.py", b"train.py"}
    assert stored.tree == oracle_tree(repo.top, scratch)
    assert b"<<<<<<<" in content(repo, stored.tree, "train.py")
    assert "removed.py" not in names(repo, stored.tree)


def test_in_the_middle_of_a_rebase(repo: GitRepo, scratch: Path) -> None:
    repo.git("checkout", "-q", "-b", "side")
    repo.write("train.py", "side")
    repo.commit("side")
    repo.git("checkout", "-q", "main")
    repo.write("train.py", "main")
    repo.commit("main")
    subprocess.run(["git", "rebase", "-q", "side"], cwd=repo.top, capture_output=True)
    assert (repo.top / ".git/rebase-merge").exists()
    assert_like_git(repo, scratch)


def test_a_foreign_index_lock_does_not_matter(repo: GitRepo, scratch: Path) -> None:
    lock = repo.write(".git/index.lock", "")
    repo.write("train.py", "edited")
    _, stored = scan(repo.top, scratch)
    assert content(repo, stored.tree, "train.py") == b"edited"
    assert lock.exists()


def test_core_worktree(repo: GitRepo, scratch: Path, tmp_path: Path) -> None:
    work = tmp_path / "elsewhere"
    work.mkdir()
    (work / "only.py").write_text("x")
    repo.git("config", "core.worktree", str(work))
    git = replace(private_git(repo.top, scratch), directory=str(work), work_tree=str(work))
    stored = store(git, list_changes(git), [b"only.py"])
    assert repo.git("ls-tree", "--name-only", stored.tree, GIT_DIR=str(repo.top / ".git")) == "only.py"


def test_what_is_neither_file_nor_link(repo: GitRepo, scratch: Path) -> None:
    os.mkfifo(repo.top / "pipe")
    with socket.socket(socket.AF_UNIX) as server:
        os.chdir(repo.top)
        server.bind("socket")
    (repo.top / "README").unlink()
    os.mkfifo(repo.top / "README")
    changes, stored = scan(repo.top, scratch)
    assert changes.untracked == ()
    assert stored.refused == (b"README",)
    assert names(repo, stored.tree) == [".gitignore", "train.py"]


def test_a_file_that_vanishes_after_it_was_listed(repo: GitRepo, scratch: Path) -> None:
    repo.write("train.py", "edited")
    repo.write("temporary", "x")
    repo.write("folder/temporary", "x")
    git = private_git(repo.top, scratch)
    changes = list_changes(git)
    (repo.top / "temporary").unlink()
    shutil.rmtree(repo.top / "folder")
    (repo.top / "train.py").unlink()
    stored = store(git, changes, changes.untracked)
    assert names(repo, stored.tree) == [".gitignore", "README"]
    assert stored.refused == ()


def test_nested_ignored_folders_and_personal_excludes(repo: GitRepo, scratch: Path) -> None:
    repo.write("a/.gitignore", "build/\n!keep.log\n")
    repo.write("a/build/x", "x")
    repo.write("a/keep.log", "x")
    repo.write("b/c/d.log", "x")
    repo.write(".git/info/exclude", "private\n")
    repo.write("private", "x")
    tree = assert_like_git(repo, scratch)
    assert names(repo, tree) == [".gitignore", "README", "a/.gitignore", "a/keep.log", "train.py"]


def test_the_reserved_folder_is_left_out_of_the_tree(repo: GitRepo, scratch: Path) -> None:
    repo.write(".replicate/run.toml", "tracked")
    repo.write(".replicated", "not it")
    repo.commit()
    repo.write(".replicate/more", "untracked")
    git = private_git(repo.top, scratch)
    changes = list_changes(git, reserved=b".replicate")
    assert changes.reserved == (b".replicate/run.toml",)
    stored = store(git, changes, changes.untracked)
    assert names(repo, stored.tree) == [".gitignore", ".replicated", "README", "train.py"]


def test_pathspec_variables_of_the_user_do_not_matter(
    repo: GitRepo, scratch: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    repo.write("new.py", "x")
    expected = oracle_tree(repo.top, scratch)
    monkeypatch.setenv("GIT_ICASE_PATHSPECS", "1")
    monkeypatch.setenv("GIT_GLOB_PATHSPECS", "1")
    monkeypatch.setenv("GIT_EXTERNAL_DIFF", "false")
    _, stored = scan(repo.top, scratch)
    assert stored.tree == expected


def test_listing_again_tells_content_from_touching(repo: GitRepo, scratch: Path) -> None:
    git = private_git(repo.top, scratch)
    repo.write("new.py", "x")
    changes = list_changes(git)
    store(git, changes, changes.untracked)
    before = objects(repo)
    os.utime(repo.top / "train.py", (1, 1))
    assert list_again(git) == ((), ())
    repo.write("new.py", "y")
    (repo.top / "README").unlink()
    repo.write("result", "z")
    assert list_again(git) == ((b"new.py", b"README"), (b"result",))
    assert objects(repo) == before


def test_a_full_or_read_only_object_store_is_loud(repo: GitRepo, scratch: Path) -> None:
    objects_folder = repo.top / ".git/objects"
    repo.write("new.py", "x")
    git = private_git(repo.top, scratch)
    changes = list_changes(git)
    shutil.rmtree(objects_folder)
    objects_folder.write_text("not a folder")
    with pytest.raises(ReplicateError):
        store(git, changes, changes.untracked)
