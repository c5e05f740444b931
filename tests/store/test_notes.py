"""Notes: every ended run has one, git reads each, and none is lost to whoever writes at the same time."""

from __future__ import annotations

import hashlib
import os
import subprocess
from pathlib import Path

import pytest
import tomli

from git_replicate.core.errors import GitError
from git_replicate.core.names import ANNOTATIONS_REF
from git_replicate.core.record import Status
from git_replicate.git.opening import open_repository
from git_replicate.git.repository import Mode, Oid, Repository, TreeEntry
from git_replicate.store.annotations import annotate
from git_replicate.store.note_tree import list_notes, put_notes, read_note
from git_replicate.store.notes import heal_notes, note_tested, read_notes, rebuild_notes, write_notes
from git_replicate.store.store import Parts, begin, finish, list_runs
from git_replicate.store.tested import merge_note, remember_tree
from tests.store.making import ended, make_run, of_head, race, running
from tests.support import GitRepo

NOTES = "refs/notes/experiments"
WHO = ("a", "b")


@pytest.fixture
def opened(repo: GitRepo) -> Repository:
    return open_repository(str(repo.top), backend="plumbing")


def noted(repo: GitRepo) -> dict[str, str]:
    """Object to blob, as git lists them; two notes of one object would show as a duplicate."""
    listed = [line.split() for line in repo.git("notes", "--ref=experiments", "list").splitlines()]
    assert len({target for _, target in listed}) == len(listed)
    return {target: blob for blob, target in listed}


def names(count: int, salt: str = "") -> list[Oid]:
    return [Oid(hashlib.sha1(f"{salt}{i}".encode()).hexdigest()) for i in range(count)]


def test_the_note_of_a_run_is_its_record(repo: GitRepo, opened: Repository) -> None:
    commit = make_run(opened, 1, metrics={"accuracy": 0.5})
    write_notes(opened)
    assert repo.git("notes", "--ref=experiments", "show", commit) == repo.git("show", f"{commit}:.replicate/run.toml")
    code = tomli.loads(repo.git("notes", "--ref=experiments", "show", "HEAD"))
    assert code == {
        "run": [
            {
                "id": "20260304-050608-00000001",
                "experiment": "digits",
                "status": "finished",
                "metrics": {"accuracy": 0.5},
            }
        ]
    }
    assert len(noted(repo)) == 2
    repo.git("fsck", "--strict")


def test_nothing_is_written_when_nothing_has_ended(repo: GitRepo, opened: Repository) -> None:
    write_notes(opened)
    assert opened.read_ref(NOTES) is None
    make_run(opened)
    write_notes(opened)
    tip = opened.read_ref(NOTES)
    write_notes(opened)
    assert opened.read_ref(NOTES) == tip


def test_a_later_end_takes_the_note_of_the_earlier_with_it(repo: GitRepo, opened: Repository) -> None:
    code = of_head(opened)
    start = begin(opened, running(1, code=code), Oid(code.snapshot), Oid(code.tree), Parts())
    first = finish(opened, ended(1, code=code, status=Status.INTERRUPTED), start, Parts())
    write_notes(opened)
    second = finish(opened, ended(1, code=code, status=Status.INTERRUPTED), first, Parts(log=b"all of it\n"))
    write_notes(opened)
    assert set(noted(repo)) == {second, repo.git("rev-parse", "HEAD")}


@pytest.mark.slow
def test_sixty_four_runs_that_end_at_once_have_sixty_four_notes(repo: GitRepo) -> None:
    done, said = race(64, "(make_run(repo, i), notes.write_notes(repo))", repo.top)
    assert (done, said) == (64, "")
    opened = open_repository(str(repo.top), backend="plumbing")
    commits = {run.commit for run in list_runs(opened)}
    assert len(commits) == 64
    assert set(noted(repo)) == commits | {repo.git("rev-parse", "HEAD")}
    code = tomli.loads(repo.git("notes", "--ref=experiments", "show", "HEAD"))
    assert (len(code["run"]), code["older_runs"]) == (50, 14)
    repo.git("fsck", "--strict")


@pytest.mark.parametrize("stands_on", ["the notes it read", "the last batch"])
def test_what_git_notes_overwrote_comes_back_with_the_next_batch(
    repo: GitRepo, opened: Repository, stands_on: str
) -> None:
    make_run(opened, 1)
    write_notes(opened)
    tree = repo.git("rev-parse", f"{NOTES}^{{tree}}")
    stale = repo.git("rev-parse", NOTES)
    make_run(opened, 2)
    write_notes(opened)
    # What a `git notes add` does that had read the notes before, and the ref before or after.
    parent = stale if stands_on == "the notes it read" else repo.git("rev-parse", NOTES)
    overwriting = repo.git("commit-tree", "-p", parent, "-m", "Notes added by 'git notes add'", tree)
    repo.git("update-ref", NOTES, overwriting)
    make_run(opened, 3)
    write_notes(opened)
    assert set(noted(repo)) == {run.commit for run in list_runs(opened)} | {repo.git("rev-parse", "HEAD")}
    runs = tomli.loads(repo.git("notes", "--ref=experiments", "show", "HEAD"))["run"]
    assert [run["id"][-1] for run in runs] == ["1", "2", "3"]


def test_an_overwrite_between_reading_and_writing_loses_nothing(
    repo: GitRepo, opened: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_run(opened, 1)
    write_notes(opened)
    overwriting = repo.git("commit-tree", "-m", "blind", repo.git("mktree", stdin=b""))
    make_run(opened, 2)
    moves = type(opened).move_refs
    done: list[str] = []

    def meddled(self: Repository, updates: list[object], reason: str) -> None:
        if not done:
            done.append(reason)
            repo.git("update-ref", NOTES, overwriting)
        moves(self, updates, reason)  # type: ignore[arg-type]

    monkeypatch.setattr(type(opened), "move_refs", meddled)
    write_notes(opened)
    assert done
    assert set(noted(repo)) == {run.commit for run in list_runs(opened)} | {repo.git("rev-parse", "HEAD")}


@pytest.mark.slow
def test_git_notes_at_work_meanwhile_loses_no_note_for_good(repo: GitRepo) -> None:
    targets = [repo.git("hash-object", "-w", "--stdin", stdin=str(i).encode()) for i in range(10)]
    meddler = subprocess.Popen(
        ["sh", "-c", f"for t in {' '.join(targets)}; do git notes --ref=experiments add -m mine $t; done"],
        cwd=repo.top, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    done, said = race(12, "(make_run(repo, i), notes.write_notes(repo))", repo.top)
    meddler.wait()
    assert (done, said) == (12, "")
    opened = open_repository(str(repo.top), backend="plumbing")
    make_run(opened, 99)
    write_notes(opened)
    assert set(noted(repo)) >= {run.commit for run in list_runs(opened)}
    repo.git("fsck", "--strict")


def test_a_note_that_git_itself_added_is_no_reason_to_look_at_every_run(
    repo: GitRepo, opened: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_run(opened, 1)
    write_notes(opened)
    repo.git("notes", "--ref=experiments", "add", "-m", "mine", "HEAD:README")
    make_run(opened, 2)
    monkeypatch.setattr("git_replicate.store.notes._every_run", lambda *_: pytest.fail("looked at every run"))
    write_notes(opened)
    assert repo.git("notes", "--ref=experiments", "show", "HEAD:README") == "mine"
    assert len(noted(repo)) == 4


@pytest.mark.slow
@pytest.mark.parametrize("count", [10, 300, 3000])
def test_git_reads_every_note_at_any_size(repo: GitRepo, opened: Repository, count: int) -> None:
    blob = opened.write_blob(b"text\n")
    targets = names(count)
    for at in range(0, count, 500):
        batch = dict.fromkeys(targets[at : at + 500], blob)
        put_notes(opened, NOTES, lambda _, batch=batch: batch, who=WHO, when=1, message="x")  # type: ignore[misc]
    assert noted(repo) == dict.fromkeys(targets, blob)
    for target in targets[:: count // 10]:
        assert _show(repo, target) == "text"
    tree = opened.read_commit(Oid(repo.git("rev-parse", NOTES))).tree
    assert dict(list_notes(opened, tree)) == dict.fromkeys(targets, blob)
    assert all(read_note(opened, tree, target) == blob for target in targets[:: max(count // 100, 1)])


def _show(repo: GitRepo, target: str) -> str:
    """`git notes show` wants the object itself; the listing of one object does not."""
    return repo.git("cat-file", "blob", repo.git("notes", "--ref=experiments", "list", target))


@pytest.mark.parametrize("count", [20, 700])
def test_notes_that_git_made_are_read_changed_and_removed(repo: GitRepo, opened: Repository, count: int) -> None:
    targets = names(count)
    blob = opened.write_blob(b"text\n")
    repo.git("notes", "--ref=experiments", "add", "-C", blob, "HEAD")
    head = repo.git("rev-parse", "HEAD")
    pairs = "".join(f"{head} {target}\n" for target in targets)
    repo.git("notes", "--ref=experiments", "copy", "--stdin", stdin=pairs.encode())
    repo.git("notes", "--ref=experiments", "remove", "HEAD")
    tree = opened.read_commit(Oid(repo.git("rev-parse", NOTES))).tree
    assert dict(list_notes(opened, tree)) == dict.fromkeys(targets, blob)
    other = opened.write_blob(b"other\n")
    change: dict[Oid, Oid | bytes | None] = {**dict.fromkeys(targets[: count // 2]), targets[-1]: other}
    change.update(dict.fromkeys(names(count, "new"), blob))
    put_notes(opened, NOTES, lambda _: change, who=WHO, when=1, message="x")
    expected = {**dict.fromkeys([*targets[count // 2 :], *names(count, "new")], blob), targets[-1]: other}
    assert noted(repo) == expected
    repo.git("notes", "--ref=experiments", "add", "-m", "git's own", "HEAD")
    assert len(noted(repo)) == len(expected) + 1
    repo.git("fsck", "--strict")


def nested(repo: GitRepo, opened: Repository, target: str, blob: Oid, levels: int) -> Oid:
    """A tree that holds one note below so many folders."""
    parts = [target[2 * level : 2 * level + 2] for level in range(levels)]
    tree = opened.write_tree([TreeEntry(target[2 * levels :].encode(), Mode.FILE, blob)])
    for part in reversed(parts):
        tree = opened.write_tree([TreeEntry(part.encode(), Mode.TREE, tree)])
    return tree


@pytest.mark.parametrize("levels", [0, 1, 2, 5])
def test_any_fan_out_is_read_and_kept_without_a_second_note(repo: GitRepo, opened: Repository, levels: int) -> None:
    (target,) = names(1)
    old, new = opened.write_blob(b"old\n"), opened.write_blob(b"new\n")
    tree = nested(repo, opened, target, old, levels)
    repo.git("update-ref", NOTES, repo.git("commit-tree", "-m", "made", tree))
    assert read_notes(opened, [target]) == {target: b"old\n"}
    put_notes(opened, NOTES, lambda _: {target: new}, who=WHO, when=1, message="x")
    assert noted(repo) == {target: new}
    put_notes(opened, NOTES, lambda _: {target: None}, who=WHO, when=1, message="x")
    assert noted(repo) == {}


def test_an_entry_beside_its_own_folder_is_not_kept_twice(repo: GitRepo, opened: Repository) -> None:
    target, other = (Oid("ab" + name[2:]) for name in names(2))
    blob, new = opened.write_blob(b"text\n"), opened.write_blob(b"new\n")
    folder = opened.write_tree([TreeEntry(other[2:].encode(), Mode.FILE, blob)])
    tree = opened.write_tree([TreeEntry(b"ab", Mode.TREE, folder), TreeEntry(target.encode(), Mode.FILE, blob)])
    repo.git("update-ref", NOTES, repo.git("commit-tree", "-m", "made", tree))
    assert read_notes(opened, [target]) == {target: b"text\n"}
    put_notes(opened, NOTES, lambda _: {target: new}, who=WHO, when=1, message="x")
    assert noted(repo) == {target: new, other: blob}


def test_what_others_keep_among_the_notes_stays(repo: GitRepo, opened: Repository) -> None:
    blob = opened.write_blob(b"text\n")
    odd = opened.write_tree([TreeEntry(b"cafe", Mode.FILE, blob)])
    tree = opened.write_tree([TreeEntry(b"README", Mode.FILE, blob), TreeEntry(b"docs", Mode.TREE, odd)])
    repo.git("update-ref", NOTES, repo.git("commit-tree", "-m", "made", tree))
    targets = names(300)
    put_notes(opened, NOTES, lambda _: dict.fromkeys(targets, blob), who=WHO, when=1, message="x")
    assert {"README", "docs/cafe"} < set(repo.git("ls-tree", "-r", "--name-only", NOTES).split())
    assert dict(list_notes(opened, opened.read_commit(Oid(repo.git("rev-parse", NOTES))).tree)).keys() == set(targets)
    assert noted(repo).keys() == set(targets)


def test_notes_in_a_wider_hash(tmp_path: Path) -> None:
    top = tmp_path / "wide"
    subprocess.run(["git", "init", "-q", "--object-format=sha256", str(top)], check=True)
    wide = GitRepo(top)
    wide.write("a", "a\n")
    wide.commit("first")
    opened = open_repository(str(top))
    commits = [make_run(opened, number) for number in range(5)]
    write_notes(opened)
    assert set(noted(wide)) == {*commits, wide.git("rev-parse", "HEAD")}
    targets = [Oid(hashlib.sha256(str(i).encode()).hexdigest()) for i in range(600)]
    blob = opened.write_blob(b"text\n")
    put_notes(opened, NOTES, lambda _: dict.fromkeys(targets, blob), who=WHO, when=1, message="x")
    assert set(noted(wide)) == {*commits, wide.git("rev-parse", "HEAD"), *targets}
    wide.git("fsck", "--strict")


def test_notes_are_made_again_from_the_records(repo: GitRepo, opened: Repository) -> None:
    commits = {make_run(opened, number) for number in range(3)}
    write_notes(opened)
    before = noted(repo)
    repo.git("update-ref", "-d", NOTES)
    rebuild_notes(opened)
    assert noted(repo) == before
    assert before.keys() == commits | {repo.git("rev-parse", "HEAD")}


def test_an_empty_mark_left_by_a_power_cut_is_taken_away(repo: GitRepo, opened: Repository) -> None:
    make_run(opened)
    pending = repo.top / ".git" / "replicate" / "notes-pending"
    (pending / "20260304-050607-00000000").touch()
    write_notes(opened)
    assert list(pending.iterdir()) == []
    assert len(noted(repo)) == 2


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes everywhere")
def test_marks_that_cannot_be_taken_away_do_not_keep_the_writer_busy(repo: GitRepo, opened: Repository) -> None:
    make_run(opened)
    pending = repo.top / ".git" / "replicate" / "notes-pending"
    pending.chmod(0o500)
    try:
        write_notes(opened)
    finally:
        pending.chmod(0o700)
    assert len(noted(repo)) == 2


def test_a_commit_of_a_tested_tree_is_noted_with_its_runs(repo: GitRepo, opened: Repository) -> None:
    make_run(opened, 1, metrics={"accuracy": 0.5})
    tree = repo.git("rev-parse", "HEAD^{tree}")
    remember_tree(opened.layout, tree, "refs/experiments/digits/20260304-050608-00000001")
    again = Oid(repo.git("commit-tree", "-m", "the same once more", tree))
    assert note_tested(opened, again) == 1
    assert tomli.loads(read_notes(opened, [again])[again].decode())["run"][0]["metrics"] == {"accuracy": 0.5}
    untested = Oid(repo.git("commit-tree", "-m", "other", repo.git("mktree", stdin=b"")))
    assert note_tested(opened, untested) == 0


def test_the_note_on_code_keeps_the_newest_runs_and_counts_the_others() -> None:
    entries = [{"id": f"{number:03}", "status": "finished"} for number in range(60)]
    note = merge_note(None, entries[:55])
    note = merge_note(note, entries[55:])
    document = tomli.loads(note.decode())
    assert (document["older_runs"], len(document["run"])) == (10, 50)
    assert (document["run"][0]["id"], document["run"][-1]["id"]) == ("010", "059")
    assert merge_note(note, entries, again=True) == note


@pytest.mark.parametrize("text", [b"my own words", b"run = 3\nolder_runs = 'x'\n", b"[[run]]\nx = 1\n", b"\xff"])
def test_a_note_that_somebody_wrote_over_ours_is_replaced(text: bytes) -> None:
    assert tomli.loads(merge_note(text, [{"id": "1"}]).decode()) == {"run": [{"id": "1"}]}


def broken(repo: GitRepo, ref: str, how: str) -> None:
    """Make a ref unreadable in one of the ways that disks and collectors do."""
    path = repo.top / ".git" / ref
    if how == "empty":
        path.write_bytes(b"")
        return
    gone = repo.git("rev-parse", ref if how == "commit" else f"{ref}^{{tree}}")
    (repo.top / ".git" / "objects" / gone[:2] / gone[2:]).unlink()


@pytest.mark.parametrize("how", ["empty", "commit", "tree"])
def test_notes_that_cannot_be_read_are_made_again_from_the_runs(repo: GitRepo, opened: Repository, how: str) -> None:
    first = make_run(opened, 1)
    write_notes(opened)
    blob = noted(repo)[first]
    broken(repo, "refs/notes/experiments", how)
    second = make_run(opened, 2)
    write_notes(open_repository(str(repo.top), backend="plumbing"))
    found = noted(repo)
    assert found.keys() == {first, second, repo.git("rev-parse", "HEAD")}
    assert found[first] == blob
    assert repo.git("fsck", "--strict", "--no-dangling") == ""


@pytest.mark.parametrize("how", ["empty", "commit", "tree", "deleted"])
def test_healing_makes_lost_notes_again_without_waiting_for_a_run(repo: GitRepo, opened: Repository, how: str) -> None:
    first = make_run(opened, 1)
    write_notes(opened)
    whole = noted(repo)
    assert not heal_notes(open_repository(str(repo.top), backend="plumbing"))
    if how == "deleted":
        repo.git("update-ref", "-d", "refs/notes/experiments")
    else:
        broken(repo, "refs/notes/experiments", how)
    assert heal_notes(open_repository(str(repo.top), backend="plumbing"))
    assert noted(repo) == whole
    assert first in whole
    assert not heal_notes(open_repository(str(repo.top), backend="plumbing"))


def test_there_is_nothing_to_heal_where_nothing_was_recorded(repo: GitRepo, opened: Repository) -> None:
    assert not heal_notes(opened)
    assert not (repo.top / ".git" / "replicate").exists()


@pytest.mark.parametrize("how", ["empty", "commit"])
def test_annotations_that_cannot_be_read_are_left_as_they_are_and_said(
    repo: GitRepo, opened: Repository, how: str
) -> None:
    start = Oid(repo.git("rev-parse", "HEAD"))
    annotate(opened, start, tags=["baseline"])
    broken(repo, ANNOTATIONS_REF, how)
    found = (repo.top / ".git" / ANNOTATIONS_REF).read_bytes()
    with pytest.raises(GitError, match="refs/notes/experiments-annotations cannot be read"):
        annotate(open_repository(str(repo.top), backend="plumbing"), start, tags=["other"])
    assert (repo.top / ".git" / ANNOTATIONS_REF).read_bytes() == found
