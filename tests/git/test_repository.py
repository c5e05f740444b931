"""One contract over both backends: what is written is git's own, and refs move by compare-and-swap."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from git_replicate.core.errors import GitError, NotARepositoryError, RefLockedError, RefMovedError
from git_replicate.git import plumbing
from git_replicate.git.opening import Backend, find_layout, open_repository
from git_replicate.git.repository import Commit, Mode, Oid, RefUpdate, Repository, Signature, TreeEntry
from git_replicate.git.trees import Leaf, edit_tree, read_path, walk, without
from tests.support import CHECKOUT, GitRepo

WHO = Signature("Ada", "ada@example.org", 1_700_000_000, 90)


_FORMATS = {"sha256": "--object-format=sha256", "reftable": "--ref-format=reftable"}


@pytest.fixture(params=["libgit2", "plumbing", *_FORMATS])
def opened(request: pytest.FixtureRequest, repo: GitRepo, tmp_path: Path) -> tuple[GitRepo, Repository]:
    if request.param not in _FORMATS:
        return repo, open_repository(str(repo.top), backend=request.param)
    top = tmp_path / "other"
    made = subprocess.run(["git", "init", "-q", _FORMATS[request.param], str(top)], capture_output=True, check=False)
    if made.returncode:
        pytest.skip(f"this git knows no {request.param}")
    other = GitRepo(top)
    other.write("a", "a\n")
    other.commit("first")
    return other, open_repository(str(top))


def test_objects_are_the_ones_that_git_makes(opened: tuple[GitRepo, Repository]) -> None:
    user, repo = opened
    blob = repo.write_blob(b"hello\0\xff")
    assert blob == user.git("hash-object", "--stdin", stdin=b"hello\0\xff")
    inner = repo.write_tree([TreeEntry(b"x", Mode.EXECUTABLE, blob)])
    entries = [TreeEntry(b"a.b", Mode.FILE, blob), TreeEntry(b"a", Mode.TREE, inner), TreeEntry(b"a0", Mode.FILE, blob)]
    tree = repo.write_tree(entries)
    assert tree == user.git("mktree", stdin=user.git_bytes("ls-tree", tree))
    commit = repo.write_commit(Commit(tree, (), WHO, WHO, "subject\n\nbody é\n"))
    assert repo.read_commit(commit) == Commit(tree, (), WHO, WHO, "subject\n\nbody é\n")
    assert user.git("log", "-1", "--format=%an %ai %s", commit) == "Ada 2023-11-14 23:43:20 +0130 subject"
    assert {entry.name for entry in repo.read_tree(tree)} == {b"a", b"a.b", b"a0"}
    assert repo.read_blob(blob) == b"hello\0\xff"
    user.git("fsck", "--strict")


def test_files_are_stored_raw_whatever_the_attributes_say(opened: tuple[GitRepo, Repository]) -> None:
    user, repo = opened
    user.write(".gitattributes", "* text eol=crlf\n")
    path = user.write("data.txt", b"a\r\nb\r\n")
    assert repo.read_blob(repo.write_blob_from(str(path))) == b"a\r\nb\r\n"


def test_what_is_not_there_is_an_error_or_none(opened: tuple[GitRepo, Repository]) -> None:
    user, repo = opened
    width = len(user.git("rev-parse", "HEAD"))
    absent = Oid("1" * width)
    with pytest.raises(GitError, match="no such object"):
        repo.read_blob(absent)
    with pytest.raises(GitError, match="it is a commit"):
        repo.read_tree(Oid(user.git("rev-parse", "HEAD")))
    assert not repo.exists(absent)
    assert repo.read_ref("refs/heads/none") is None
    assert repo.resolve("no-such-thing") is None
    assert repo.resolve("--all") is None
    head = user.git("rev-parse", "HEAD")
    assert list(repo.read_many([absent, f"{head}:none", "x y"])) == [None, None, None]


def test_refs_are_created_moved_and_deleted_only_from_what_they_were(opened: tuple[GitRepo, Repository]) -> None:
    user, repo = opened
    first = Oid(user.git("rev-parse", "HEAD"))
    second = repo.write_commit(Commit(repo.read_commit(first).tree, (first,), WHO, WHO, "second\n"))
    repo.move_refs([RefUpdate("refs/x/a", None, first)], "create")
    with pytest.raises(RefMovedError):
        repo.move_refs([RefUpdate("refs/x/a", None, second)], "create again")
    with pytest.raises(RefMovedError):
        repo.move_refs([RefUpdate("refs/x/b", None, second), RefUpdate("refs/x/a", second, first)], "both or none")
    assert repo.list_refs("refs/x/") == [("refs/x/a", first)]
    repo.move_refs([RefUpdate("refs/x/a", first, second), RefUpdate("refs/x/b", None, first)], "both")
    assert repo.list_refs("refs/x/") == [("refs/x/a", second), ("refs/x/b", first)]
    repo.move_refs([RefUpdate("refs/x/a", second, None)], "delete")
    assert repo.read_ref("refs/x/a") is None
    assert not list(Path(repo.layout.common_dir, "logs").glob("refs/x/*"))


def test_a_lock_that_stays_held_is_named(opened: tuple[GitRepo, Repository], monkeypatch: pytest.MonkeyPatch) -> None:
    user, repo = opened
    monkeypatch.setattr(plumbing, "LOCK_PATIENCE", 0.05)
    tables = repo.layout.ref_format == "reftable"
    lock = Path(repo.layout.common_dir, "reftable/tables.list.lock" if tables else "refs/x/a.lock")
    lock.parent.mkdir(parents=True, exist_ok=True)
    lock.touch()
    with pytest.raises(RefLockedError) as raised:
        repo.move_refs([RefUpdate("refs/x/a", None, Oid(user.git("rev-parse", "HEAD")))], "create")
    assert raised.value.hint == f"if no other git is running: rm {lock}"


@pytest.mark.parametrize("backend", ["libgit2", "plumbing"])
def test_one_of_many_creators_wins(repo: GitRepo, backend: Backend) -> None:
    script = (
        "import sys; from git_replicate.git.opening import open_repository\n"
        "from git_replicate.git.repository import *\n"
        "from git_replicate.core.errors import RefMovedError\n"
        "r = open_repository('.', backend=sys.argv[1]); w = Signature(sys.argv[2], 'x', 1)\n"
        "c = r.write_commit(Commit(r.read_commit(r.head()[0]).tree, (), w, w, 'm'))\n"
        "try: r.move_refs([RefUpdate('refs/x/a', None, c)], 'create'); print('won')\n"
        "except RefMovedError: print('lost')\n"
    )
    env = {**os.environ, "PYTHONPATH": str(CHECKOUT)}
    racers = [
        subprocess.Popen([sys.executable, "-c", script, backend, str(i)], cwd=repo.top, env=env, stdout=subprocess.PIPE)
        for i in range(8)
    ]
    results = [racer.communicate()[0].decode().strip() for racer in racers]
    assert sorted(results) == ["lost"] * 7 + ["won"]


def test_trees_are_edited_by_path(opened: tuple[GitRepo, Repository]) -> None:
    _, repo = opened
    blob = repo.write_blob(b"x")
    leaf = Leaf(Mode.FILE, blob)
    base = edit_tree(repo, None, {b"a/b/c": leaf, b"a/d": leaf, b"e": leaf})
    assert [path for path, _ in walk(repo, base)] == [b"a/b/c", b"a/d", b"e"]
    edited = edit_tree(repo, base, {b"a/b/c": None, b"e": None, b"e/f": leaf, b"gone/x": None})
    assert [path for path, _ in walk(repo, edited)] == [b"a/d", b"e/f"]
    assert read_path(repo, edited, b"e/f") == TreeEntry(b"f", Mode.FILE, blob)
    assert read_path(repo, edited, b"a/d/x") is None
    assert without(repo, edited, b"nothing") == edited


def _detach(repo: GitRepo) -> None:
    repo.git("checkout", "-q", "--detach")


def _unborn(repo: GitRepo) -> None:
    repo.git("checkout", "-q", "--orphan", "fresh")


@pytest.mark.parametrize(
    ("prepare", "expected"),
    [(lambda repo: None, (True, "refs/heads/main")), (_detach, (True, None)), (_unborn, (False, "refs/heads/fresh"))],
)
def test_head_in_its_three_states(
    repo: GitRepo, prepare: Callable[[GitRepo], None], expected: tuple[bool, str | None]
) -> None:
    prepare(repo)
    commit, branch = open_repository(str(repo.top)).head()
    assert (commit is not None, branch) == expected


def test_layout_of_odd_places(repo: GitRepo, tmp_path: Path) -> None:
    odd = tmp_path / "new\nline é"
    repo.git("worktree", "add", "-q", str(odd), "-b", "other")
    (odd / "sub dir").mkdir()
    layout = find_layout(str(odd / "sub dir"))
    assert (layout.top, layout.prefix) == (str(odd), "sub dir/")
    assert layout.common_dir == str(repo.top / ".git")
    with pytest.raises(NotARepositoryError, match="not a git repository"):
        find_layout(str(tmp_path))
    with pytest.raises(NotARepositoryError, match="no folder"):
        find_layout(str(tmp_path / "none"))


def test_a_working_tree_named_from_outside_is_found(
    repo: GitRepo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT_DIR", str(repo.top / ".git"))
    monkeypatch.setenv("GIT_WORK_TREE", str(repo.top))
    monkeypatch.chdir(tmp_path)
    layout = find_layout()
    assert (layout.top, layout.prefix, layout.git_dir) == (str(repo.top), "", str(repo.top / ".git"))


def test_a_working_tree_named_by_the_configuration_is_found(repo: GitRepo, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    repo.git("config", "core.worktree", str(tmp_path / "elsewhere"))
    assert find_layout(str(repo.top)).top == str(tmp_path / "elsewhere")


@pytest.mark.parametrize("folder", [".git", ".git/refs/heads"])
def test_inside_the_git_folder_the_hint_leads_out(repo: GitRepo, folder: str) -> None:
    with pytest.raises(NotARepositoryError, match=r"inside of a repository's \.git folder") as raised:
        find_layout(str(repo.top / folder))
    assert raised.value.hint == f"cd {repo.top}"


def test_a_bare_repository_is_called_so(tmp_path: Path) -> None:
    subprocess.run(["git", "init", "-q", "--bare", str(tmp_path / "bare.git")], check=True)
    with pytest.raises(NotARepositoryError, match="this is a bare repository") as raised:
        find_layout(str(tmp_path / "bare.git"))
    assert raised.value.hint == "to read those that are here: GIT_DIR=. git replicate log"
