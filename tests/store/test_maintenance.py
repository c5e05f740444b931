"""Packing what is ours: everything stays readable, and nothing of the user's is touched."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from git_replicate.git import packing
from git_replicate.git.opening import open_repository
from git_replicate.git.packing import pack_refs
from git_replicate.git.repository import Repository
from git_replicate.store import due, maintenance
from git_replicate.store.annotations import annotate, read_annotations
from git_replicate.store.lock import try_lock
from git_replicate.store.maintenance import maintain
from git_replicate.store.notes import read_notes, write_notes
from git_replicate.store.store import list_runs, read_run, start_of
from git_replicate.store.trash import remove
from tests.store.making import make_run, race
from tests.support import CHECKOUT, GitRepo

NOTES = "refs/notes/experiments"


@pytest.fixture(autouse=True)
def few_are_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packing, "_MANY", 1)


@pytest.fixture
def opened(repo: GitRepo) -> Repository:
    return open_repository(str(repo.top), backend="plumbing")


def loose(top: Path) -> dict[str, int]:
    """The loose objects and when they were written."""
    folder = top / ".git" / "objects"
    return {f"{p.parent.name}{p.name}": p.stat().st_mtime_ns for p in folder.glob("??/*") if len(p.parent.name) == 2}


def loose_refs(top: Path) -> dict[str, bytes]:
    folder = top / ".git" / "refs"
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def counted(repo: GitRepo) -> dict[str, int]:
    return {name: int(n) for name, n in (line.split(": ") for line in repo.git("count-objects", "-v").splitlines())}


def every_ref(repo: GitRepo) -> str:
    return repo.git("for-each-ref", "--format=%(objectname) %(refname) %(*objectname)")


def make_users_things(repo: GitRepo) -> None:
    """Branches, tags, a stash, a reflog, staged and dangling objects, all loose."""
    repo.write("a.txt", "a\n")
    repo.commit("second")
    repo.git("tag", "-a", "-m", "tagged", "v1")
    repo.write("a.txt", "stashed\n")
    repo.git("stash")
    repo.write("a.txt", "amended\n")
    repo.commit("to be amended")
    repo.git("commit", "-q", "--amend", "-m", "amended")
    repo.git("branch", "other", "HEAD~1")
    repo.write("staged.txt", "staged\n")
    repo.git("add", "staged.txt")
    repo.git("hash-object", "-w", "--stdin", stdin=b"dangling\n")


def test_our_objects_and_refs_are_packed_and_the_users_are_as_they_were(repo: GitRepo, opened: Repository) -> None:
    make_users_things(repo)
    objects, refs, index = loose(repo.top), loose_refs(repo.top), (repo.top / ".git" / "index").read_bytes()
    reflog = repo.git("reflog", "--all")
    commits = [make_run(opened, number) for number in range(6)]
    write_notes(opened)
    annotate(opened, start_of(opened, commits[0]), tags=["kept"])
    before = every_ref(repo)
    assert maintain(opened) == "runs that left the trash: 0; refs packed: 6; packs: 1"
    assert loose(repo.top) == objects
    ours = {f"notes/experiments{end}": opened.read_ref(f"{NOTES}{end}") for end in ("", "-annotations")}
    assert loose_refs(repo.top) == {**refs, **{name: f"{oid}\n".encode() for name, oid in ours.items()}}
    assert (repo.top / ".git" / "index").read_bytes() == index
    assert repo.git("reflog", "--all") == reflog
    assert every_ref(repo) == before
    fresh = open_repository(str(repo.top))
    assert [read_run(fresh, commit).record.process.pid for commit in commits] == [0, 1, 2, 3, 4, 5]
    assert len(read_notes(fresh, commits)) == 6
    assert read_annotations(fresh)[start_of(fresh, commits[0])].tags == {"kept"}
    assert repo.git("fsck", "--strict", "--no-dangling") == ""
    assert counted(repo)["garbage"] == counted(repo)["prune-packable"] == 0


def test_runs_go_on_after_packing_and_are_packed_the_next_time(repo: GitRepo, opened: Repository) -> None:
    first = make_run(opened, 1)
    maintain(opened)
    second = make_run(opened, 2)
    write_notes(opened)
    assert maintain(opened) == "runs that left the trash: 0; refs packed: 1; packs: 2"
    assert [run.commit for run in list_runs(opened)] == [first, second]
    remove(opened, list_runs(opened)[0].ref, actor=("a", "b"))
    assert [run.commit for run in list_runs(opened)] == [second]
    assert repo.git("fsck", "--strict", "--no-dangling") == ""


def test_many_packs_of_ours_become_one(repo: GitRepo, opened: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    repo.git("repack", "-q", "-a", "-d")
    users = {p.name for p in (repo.top / ".git" / "objects" / "pack").iterdir()}
    monkeypatch.setattr(packing, "_MOST_PACKS", 3)
    for number in range(4):
        make_run(opened, number)
        maintain(opened)
    packs = {p.name for p in (repo.top / ".git" / "objects" / "pack").iterdir()}
    assert users < packs
    assert counted(repo)["packs"] == 2
    assert counted(repo)["count"] == 0
    assert len((repo.top / ".git" / "replicate" / "packs").read_text().split()) == 1
    assert repo.git("fsck", "--strict", "--no-dangling") == ""


def test_a_pack_that_somebody_marked_is_left_alone(
    repo: GitRepo, opened: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packing, "_MOST_PACKS", 2)
    make_run(opened, 0)
    maintain(opened)
    (kept,) = (repo.top / ".git" / "replicate" / "packs").read_text().split()
    (repo.top / ".git" / "objects" / "pack" / f"{kept}.keep").touch()
    for number in range(1, 5):
        make_run(opened, number)
        maintain(opened)
    assert (repo.top / ".git" / "objects" / "pack" / f"{kept}.pack").exists()
    assert kept not in (repo.top / ".git" / "replicate" / "packs").read_text()
    assert repo.git("fsck", "--strict", "--no-dangling") == ""


def test_packed_refs_of_the_users_keep_their_peeled_values(repo: GitRepo, opened: Repository) -> None:
    make_users_things(repo)
    repo.git("pack-refs", "--all")
    tags = repo.git("show-ref", "-d")
    make_run(opened)
    maintain(opened)
    text = (repo.top / ".git" / "packed-refs").read_text()
    assert text.startswith("# pack-refs with: peeled fully-peeled sorted \n")
    assert "\n^" in text
    assert set(tags.splitlines()) < set(repo.git("show-ref", "-d").splitlines())
    names = [line.split()[1] for line in text.splitlines() if line[0] not in "#^"]
    assert names == sorted(names)


def test_refs_that_others_hold_locked_or_have_moved_stay(repo: GitRepo, opened: Repository) -> None:
    for number in range(3):
        make_run(opened, number)
    folder = repo.top / ".git" / "refs" / "experiments" / "digits"
    locked, *_ = sorted(p.name for p in folder.iterdir())
    (folder / f"{locked}.lock").touch()
    (folder / "symbolic").write_text("ref: refs/heads/main\n")
    (folder / "broken").write_text("not an id\n")
    assert pack_refs(opened.layout, "refs/experiments/", str(repo.top / "scratch")) == 2
    assert {p.name for p in folder.iterdir()} == {locked, f"{locked}.lock", "symbolic", "broken"}
    assert not (repo.top / "scratch").exists()


def test_nothing_happens_while_somebody_else_writes_packed_refs(repo: GitRepo, opened: Repository) -> None:
    make_run(opened)
    lock = repo.top / ".git" / "packed-refs.lock"
    lock.touch()
    before = loose_refs(repo.top)
    assert maintain(opened).startswith("runs that left the trash: 0; refs packed: 0")
    assert loose_refs(repo.top) == before
    assert lock.exists()


def test_one_at_a_time(repo: GitRepo, opened: Repository) -> None:
    make_run(opened)
    with try_lock(str(repo.top / ".git" / "replicate" / "maintenance.lock")):
        assert maintain(opened) == "another process is at it"


@pytest.mark.slow
def test_it_is_safe_beside_runs_that_start_and_end_and_git_itself(repo: GitRepo) -> None:
    make_users_things(repo)
    meddler = subprocess.Popen(
        ["sh", "-c", "for i in 1 2 3; do git gc -q; git pack-refs --all; git branch b$i; done"],
        cwd=repo.top, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    body = (
        "(setattr(maintenance.sys.modules['git_replicate.git.packing'], '_MANY', 1), maintenance.maintain(repo))"
        " if i % 4 == 0 else (make_run(repo, i), notes.write_notes(repo))"
    )
    done, stderr = race(32, body, repo.top)
    meddler.wait()
    assert (done, stderr) == (32, "")
    opened = open_repository(str(repo.top))
    assert [run.id[-2:] for run in list_runs(opened)] == [f"{i:02x}" for i in range(32) if i % 4]
    assert [read_run(opened, run.ref).record.process.pid for run in list_runs(opened)] == [
        i for i in range(32) if i % 4
    ]
    assert repo.git("fsck", "--strict", "--no-dangling") == ""
    assert repo.git("stash", "show", "-p").endswith("+stashed")


def test_a_wider_hash_and_a_linked_worktree(tmp_path: Path) -> None:
    top = tmp_path / "wide"
    subprocess.run(["git", "init", "-q", "--object-format=sha256", str(top)], check=True)
    wide = GitRepo(top)
    wide.write("a", "a\n")
    wide.commit("first")
    wide.git("worktree", "add", "-q", "--detach", str(tmp_path / "linked"))
    linked = GitRepo(tmp_path / "linked")
    linked.write("b", "b\n")
    linked.commit("on no branch")
    before = loose(top)
    opened = open_repository(str(linked.top))
    commits = [make_run(opened, number) for number in range(3)]
    assert maintain(opened) == "runs that left the trash: 0; refs packed: 3; packs: 1"
    assert loose(top) == before
    assert [run.commit for run in list_runs(open_repository(str(top)))] == commits
    assert wide.git("fsck", "--strict", "--no-dangling") == ""


def test_objects_of_an_alternate_stay_there(repo: GitRepo, tmp_path: Path) -> None:
    make_run(open_repository(str(repo.top)), 1)
    subprocess.run(["git", "clone", "-q", "--shared", str(repo.top), str(tmp_path / "copy")], check=True)
    copy = GitRepo(tmp_path / "copy")
    copy.git("fetch", "-q", "origin", "refs/experiments/*:refs/experiments/*")
    before = loose(repo.top)
    copy.git("repack", "-q", "-a", "-d", "-l")
    opened = open_repository(str(copy.top))
    make_run(opened, 2)
    maintain(opened)
    assert loose(repo.top).keys() == before.keys()
    assert loose(copy.top) == {}
    assert len(list_runs(opened)) == 2
    assert copy.git("fsck", "--strict", "--no-dangling") == ""


def test_a_partial_clone_fetches_nothing_for_it(repo: GitRepo, tmp_path: Path) -> None:
    repo.git("config", "uploadpack.allowFilter", "true")
    source, top = f"file://{repo.top}", tmp_path / "partial"
    subprocess.run(["git", "clone", "-q", "--no-checkout", "--filter=blob:none", source, str(top)], check=True)
    partial = GitRepo(top)
    opened = open_repository(str(top))
    commit = make_run(opened)
    maintain(opened)
    assert counted(partial)["count"] == 0
    assert read_run(opened, commit).record.process.pid == 1
    missing = partial.git("rev-list", "--objects", "--all", "--missing=print")
    assert len([line for line in missing.splitlines() if line.startswith("?")]) == 3
    assert partial.git("fsck", "--strict", "--no-dangling") == ""


def test_the_trash_is_emptied_in_passing(opened: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    make_run(opened)
    remove(opened, list_runs(opened)[0].ref, actor=("a", "b"))
    assert maintain(opened).startswith("runs that left the trash: 0")
    monkeypatch.setattr("git_replicate.store.trash.KEPT_DAYS", -1)
    assert maintain(opened).startswith("runs that left the trash: 1")


def test_it_starts_by_itself_after_enough_runs(
    repo: GitRepo, opened: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(due, "RUNS_BETWEEN", 12)
    monkeypatch.setenv("PYTHONPATH", str(CHECKOUT))
    for number in range(11):
        make_run(opened, number)
        write_notes(opened)
    log = repo.top / ".git" / "replicate" / "maintenance.log"
    assert not log.exists()
    make_run(opened, 11)
    write_notes(opened)
    deadline = time.monotonic() + 60
    while not log.exists() or not log.read_bytes().endswith(b"\n"):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert log.read_text() == "runs that left the trash: 0; refs packed: 12; packs: 1\n"
    assert not (repo.top / ".git" / "replicate" / "runs-unpacked").exists()
    assert repo.git("fsck", "--strict", "--no-dangling") == ""


def test_who_turned_gits_own_off_has_none_of_it(repo: GitRepo, opened: Repository) -> None:
    repo.git("config", "gc.auto", "0")
    make_run(opened)
    before = loose(repo.top)
    done = subprocess.run(
        [sys.executable, "-m", "git_replicate.store.maintenance", str(repo.top)],
        env={**os.environ, "PYTHONPATH": str(CHECKOUT)}, capture_output=True, text=True,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (0, "gc.auto is 0: nothing is done\n")
    assert loose(repo.top) == before


def test_a_repository_that_is_gone_is_said_in_one_line(tmp_path: Path) -> None:
    assert maintenance.main(str(tmp_path / "none")).startswith("NotARepositoryError: there is no folder")
