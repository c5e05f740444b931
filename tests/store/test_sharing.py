"""Clones that share runs: everyone ends up with the union, nothing is overwritten, nothing removed comes back."""

from __future__ import annotations

import json
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest

from git_replicate.core.errors import GitError, StorageError, UserError
from git_replicate.core.record import Code, Output, Status
from git_replicate.git.bundle import write_bundle
from git_replicate.git.repository import Oid, RefUpdate
from git_replicate.store.annotations import Change, append, read_annotations
from git_replicate.store.notes import read_notes
from git_replicate.store.sharing.elsewhere import elsewhere
from git_replicate.store.sharing.remote import Names, names_below, send_annotations
from git_replicate.store.sharing.remote_removal import delete_there
from git_replicate.store.sharing.union import unite
from git_replicate.store.store import Parts, begin, finish, read_run, start_of
from git_replicate.store.tested import remember_tree, runs_of_tree
from git_replicate.store.trash import find_removed, list_removed, remove, restore
from tests.store.making import ended, make_run, of_head, run_id, running
from tests.store.sharing import Clone, clone_of, make_clones
from tests.support import GitRepo

ADA = ("Ada", "ada@example.org")
NOTES = "refs/notes/experiments-annotations"
ONE, TWO, THREE = (f"digits/{run_id(number)}" for number in (1, 2, 3))


@pytest.fixture
def pair(repo: GitRepo) -> tuple[GitRepo, Clone, Clone]:
    hub, (first, second) = make_clones(repo, "first", "second")
    return hub, first, second


def say(clone: Clone, ref: str, *changes: Change) -> None:
    tip = clone.repo.read_ref(f"refs/experiments/{ref}")
    assert tip is not None
    append(clone.repo, {start_of(clone.repo, tip): changes}, actor=ADA)


def tags(clone: Clone, ref: str) -> set[str]:
    tip = clone.repo.read_ref(f"refs/experiments/{ref}")
    assert tip is not None
    return set(read_annotations(clone.repo)[start_of(clone.repo, tip)].tags)


def test_two_clones_end_up_with_the_union(pair: tuple[GitRepo, Clone, Clone]) -> None:
    hub, first, second = pair
    make_run(first.repo, 1)
    make_run(second.repo, 2)
    assert first.push().runs == 1
    assert second.push().runs == 1
    assert second.fetch().new == [ONE]
    say(first, ONE, Change("tag", "from first"))
    say(second, ONE, Change("tag", "from second"))
    assert first.push().annotations
    assert second.push().annotations
    assert first.fetch().new == [TWO]
    assert first.runs == second.runs == {ONE, TWO}
    assert tags(first, ONE) == tags(second, ONE) == {"from first", "from second"}
    assert first.repo.read_ref(NOTES) == second.repo.read_ref(NOTES) == Oid(hub.git("rev-parse", NOTES))
    for clone in (first, second):
        tips = [run for _, run in clone.repo.list_refs("refs/experiments/")]
        assert set(read_notes(clone.repo, tips)) == set(tips)
        clone.git.git("fsck", "--strict")
    assert (first.push().runs, first.push().annotations) == (0, False)
    assert first.fetch() == second.fetch()


def test_only_run_refs_and_annotations_are_sent(pair: tuple[GitRepo, Clone, Clone]) -> None:
    hub, first, _ = pair
    make_run(first.repo, 1)
    first.git.git("update-ref", "refs/experiments/nested", "HEAD")
    first.git.git("tag", "-a", "-m", "v1", "v1")
    first.git.git("config", "push.followTags", "true")
    first.git.git("notes", "--ref=experiments", "add", "-m", "derived", "HEAD")
    say(first, ONE, Change("tag", "a"))
    first.push()
    assert hub.git("for-each-ref", "--format=%(refname)").split() == [
        f"refs/experiments/{ONE}", "refs/heads/main", NOTES,
    ]  # fmt: skip


def test_pruning_loses_nothing(pair: tuple[GitRepo, Clone, Clone]) -> None:
    _, first, second = pair
    for clone in (first, second):
        clone.git.git("config", "fetch.prune", "true")
        clone.git.git("config", "fetch.pruneTags", "true")
    make_run(first.repo, 1)
    make_run(second.repo, 2)
    say(second, TWO, Change("tag", "kept"))
    first.push()
    second.git.git("fetch", "-q", "--prune", "origin")
    second.fetch()
    second.git.git("fetch", "-q", "--prune", "origin")
    assert second.runs == {ONE, TWO}
    assert tags(second, TWO) == {"kept"}
    assert "experiments" not in second.git.git("config", "--list")


@pytest.mark.parametrize(
    "setting",
    ["remote.origin.mirror=true", "push.gpgSign=false", "remote.origin.fetch=+refs/*:refs/copies/*", "fetch.all=true"],
)
def test_what_is_configured_for_branches_changes_nothing(pair: tuple[GitRepo, Clone, Clone], setting: str) -> None:
    hub, first, second = pair
    for clone in (first, second):
        clone.git.git("config", *setting.split("=", 1))
    make_run(first.repo, 1)
    assert first.push().runs == 1
    assert second.fetch().new == [ONE]
    assert second.git.git("for-each-ref", "refs/copies") == ""
    assert len(hub.git("for-each-ref").splitlines()) == 2


def test_hooks_of_this_side_do_not_run(pair: tuple[GitRepo, Clone, Clone], tmp_path: Path) -> None:
    _, first, second = pair
    for clone in (first, second):
        for name in ("pre-push", "reference-transaction", "post-merge", "post-checkout", "pre-auto-gc"):
            hook = clone.git.write(f".git/hooks/{name}", f"#!/bin/sh\necho {name} >> '{tmp_path}/ran'\nexit 1\n")
            hook.chmod(0o755)
    make_run(first.repo, 1)
    say(first, ONE, Change("tag", "a"))
    first.push()
    second.fetch()
    assert second.runs == {ONE}
    assert not (tmp_path / "ran").exists()


def test_a_run_only_moves_forward(pair: tuple[GitRepo, Clone, Clone]) -> None:
    _, first, second = pair
    code = of_head(first.repo)
    start = begin(first.repo, running(1, code=code), Oid(code.snapshot), Oid(code.tree), Parts())
    first.push()
    assert second.fetch().new == [ONE]
    assert elsewhere(second.repo.layout) == {run_id(1)}
    end = finish(first.repo, ended(1, code=code), start, Parts())
    assert second.push().runs == 0
    first.push()
    assert second.push().runs == 0  # it is further there than here
    assert second.fetch().moved == [ONE]
    assert second.repo.read_ref(f"refs/experiments/{ONE}") == end
    assert elsewhere(second.repo.layout) == set()


def test_histories_that_part_are_both_kept(pair: tuple[GitRepo, Clone, Clone]) -> None:
    hub, first, second = pair
    code = of_head(first.repo)
    start = begin(first.repo, running(1, code=code), Oid(code.snapshot), Oid(code.tree), Parts())
    first.push()
    second.fetch()
    ours = finish(first.repo, ended(1, code=code), start, Parts())
    theirs = finish(second.repo, ended(1, code=code, status=Status.LOST), start, Parts())
    first.push()
    assert second.fetch().parted == [ONE]
    sent = second.push()
    assert (sent.runs, sent.refused) == (0, [])
    assert second.repo.read_ref(f"refs/experiments/{ONE}") == theirs
    assert hub.git("rev-parse", f"refs/experiments/{ONE}") == ours


def test_a_removed_run_stays_removed_in_every_clone(pair: tuple[GitRepo, Clone, Clone]) -> None:
    hub, first, second = pair
    make_run(first.repo, 1)
    make_run(first.repo, 2)
    first.push()
    second.fetch()
    remove(first.repo, f"refs/experiments/{ONE}", actor=ADA)
    assert first.fetch().hidden == 0
    first.push()
    assert second.push().runs == 0
    assert second.runs == {TWO}
    _, (third,) = make_clones_of(hub, "third")
    taken = third.fetch()
    assert (taken.new, taken.hidden) == ([TWO], 1)
    assert third.fetch().hidden == 0
    assert third.git.git("for-each-ref", "refs/replicate/trash") == ""


def make_clones_of(hub: GitRepo, name: str) -> tuple[GitRepo, list[Clone]]:
    top = hub.top.parent / name
    hub.git("clone", "-q", str(hub.top), str(top))
    return hub, [clone_of(GitRepo(top))]


def test_a_tombstone_that_names_no_run_is_honoured_after_the_fetch(pair: tuple[GitRepo, Clone, Clone]) -> None:
    _, first, second = pair
    make_run(first.repo, 1)
    say(first, ONE, Change("remove", "2026-03-04"))
    tip = first.repo.read_ref(f"refs/experiments/{ONE}")
    first.git.git("push", "-q", "origin", f"{tip}:refs/experiments/{ONE}", f"{NOTES}:{NOTES}")
    taken = second.fetch()
    assert (taken.new, second.runs) == ([], set())
    assert [run.name for run in list_removed(second.repo)] == [ONE]


def test_a_run_that_is_brought_back_comes_back_everywhere(pair: tuple[GitRepo, Clone, Clone]) -> None:
    _, first, second = pair
    make_run(first.repo, 1)
    first.push()
    second.fetch()
    remove(second.repo, f"refs/experiments/{ONE}", actor=ADA)
    second.push()
    assert first.fetch().removed == [ONE]
    restore(second.repo, find_removed(second.repo, ONE), actor=ADA)
    second.push()
    assert first.fetch().restored == [ONE]
    assert first.runs == second.runs == {ONE}
    assert list_removed(first.repo) == []


def test_annotations_that_went_different_ways_unite_to_the_same_commit(pair: tuple[GitRepo, Clone, Clone]) -> None:
    _, first, second = pair
    make_run(first.repo, 1)
    make_run(first.repo, 2)
    first.push()
    second.fetch()
    say(first, ONE, Change("tag", "a"), Change("comment", "one"))
    say(second, ONE, Change("tag", "b"))
    say(second, TWO, Change("tag", "c"))
    ours, theirs = first.repo.read_ref(NOTES), second.repo.read_ref(NOTES)
    assert ours is not None
    assert theirs is not None
    first.git.git("fetch", "-q", str(second.git.top), NOTES)
    second.git.git("fetch", "-q", str(first.git.top), NOTES)
    united = unite(first.repo, theirs)
    assert united == unite(second.repo, ours)
    assert unite(first.repo, theirs) == united
    lines = first.git.git("notes", "--ref=experiments-annotations", "show", start_of(first.repo, Oid(tip(first, ONE))))
    assert sorted(json.loads(line)["value"] for line in lines.splitlines()) == ["a", "b", "one"]
    first.git.git("fsck", "--strict")


def tip(clone: Clone, ref: str) -> str:
    return clone.git.git("rev-parse", f"refs/experiments/{ref}")


def test_annotations_unite_whatever_their_fan_out(pair: tuple[GitRepo, Clone, Clone]) -> None:
    _, first, second = pair
    make_run(first.repo, 1)
    first.push()
    second.fetch()
    start = start_of(first.repo, Oid(tip(first, ONE)))
    say(first, ONE, Change("tag", "flat"))
    blob = second.git.git("hash-object", "-w", "--stdin", stdin=b'{"time": "2026", "op": "tag", "value": "folders"}')
    inner = second.git.git("mktree", stdin=f"100644 blob {blob}\t{start[2:]}\n".encode())
    tree = second.git.git("mktree", stdin=f"040000 tree {inner}\t{start[:2]}\n100644 blob {blob}\tREADME\n".encode())
    commit = second.git.git("commit-tree", "-m", "by hand", tree)
    second.git.git("update-ref", NOTES, commit)
    second.push()
    first.fetch()
    assert tags(first, ONE) == {"flat", "folders"}
    listed = first.git.git("notes", "--ref=experiments-annotations", "list").splitlines()
    assert [line.split()[1] for line in listed if len(line.split()) == 2] == [start]


def test_annotations_that_are_none_are_refused_and_ours_stay(pair: tuple[GitRepo, Clone, Clone]) -> None:
    hub, first, _ = pair
    make_run(first.repo, 1)
    say(first, ONE, Change("tag", "mine"))
    blob = hub.git("hash-object", "-w", "--stdin", stdin=b"x")
    hub.git("update-ref", NOTES, blob)
    with pytest.raises(GitError, match="is no commit of notes"):
        first.fetch()
    assert tags(first, ONE) == {"mine"}


def test_experiments_are_chosen_by_name(pair: tuple[GitRepo, Clone, Clone]) -> None:
    _, first, second = pair
    make_run(first.repo, 1)
    make_run(first.repo, 2, experiment="digits/deep")
    make_run(first.repo, 3, experiment="digits-two")
    assert first.push("digits").runs == 2
    assert first.push().runs == 1
    assert second.fetch("digits-two", "digits/deep").new == [f"digits-two/{run_id(3)}", f"digits/deep/{run_id(2)}"]
    with pytest.raises(UserError, match="is called 'digit'"):
        second.fetch("digit")


def test_hosts_that_take_only_branches_have_runs_below_a_prefix(pair: tuple[GitRepo, Clone, Clone]) -> None:
    hub, first, second = pair
    hub.write("hooks/update", "#!/bin/sh\ncase $1 in refs/heads/*) ;; *) exit 1;; esac\n").chmod(0o755)
    make_run(first.repo, 1)
    say(first, ONE, Change("tag", "a"))
    sent = first.push()
    assert sent.refused == [(ONE, "hook declined")]
    names = names_below("experiments")
    assert first.push(names=names).runs == 1
    assert hub.git("for-each-ref", "--format=%(refname)").split() == [
        "refs/heads/experiments-annotations", f"refs/heads/experiments/{ONE}", "refs/heads/main",
    ]  # fmt: skip
    assert second.fetch(names=names).new == [ONE]
    assert tags(second, ONE) == {"a"}


@pytest.mark.parametrize("prefix", ["refs/heads/", "a b", "refs/heads/../x", "-x", "refs/"])
def test_a_prefix_that_cannot_be_one_is_refused(prefix: str) -> None:
    with pytest.raises(UserError):
        names_below(prefix)


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        (f"refs/experiments/{ONE}", f"refs/experiments/{ONE}"),
        ("refs/experiments/digits/nothing", None),
        (f"refs/experiments/{run_id(1)}", None),
        (f"refs/experiments/a\x1b[31m/{run_id(1)}", None),
        (f"refs/experiments/-o/{run_id(1)}", None),
        (f"refs/experiments/../x/{run_id(1)}", None),
        (f"refs/experiments/{run_id(2)}/{run_id(1)}", None),
        (f"refs/heads/{run_id(1)}", None),
    ],
)
def test_a_name_from_elsewhere_is_taken_only_if_it_is_one_of_ours(theirs: str, ours: str | None) -> None:
    assert Names().ours(theirs) == ours


def test_odd_refs_are_counted_and_left(pair: tuple[GitRepo, Clone, Clone]) -> None:
    hub, first, _ = pair
    hub.git("update-ref", "refs/experiments/odd", "refs/heads/main")
    blob = hub.git("hash-object", "-w", "--stdin", stdin=b"x")
    hub.git("update-ref", f"refs/experiments/{ONE}", blob)
    hub.git("update-ref", f"refs/experiments/{TWO}", "refs/heads/main")
    taken = first.fetch()
    assert (taken.odd, taken.unreadable) == (1, 2)
    assert first.fetch().new == []


def test_a_record_that_names_a_path_writes_nowhere_else(pair: tuple[GitRepo, Clone, Clone]) -> None:
    _, first, second = pair
    hostile = ended(
        1, code=Code(tree="../../../escaped"), outputs={"../../x": Output(hash="sha256:../../y", kept="store")}
    )
    start = begin(first.repo, running(1), None, None, Parts())
    finish(first.repo, hostile, start, Parts())
    first.push()
    second.fetch()
    assert read_run(second.repo, f"refs/experiments/{ONE}").record.code.tree == "../../../escaped"
    assert not (second.git.top / ".git" / "escaped").exists()
    assert not (second.git.top / "escaped").exists()
    remember_tree(second.repo.layout, "../out", f"refs/experiments/{ONE}")
    assert runs_of_tree(second.repo.layout, "../out") == []


def test_a_shallow_clone_sends_its_runs_or_is_told_how(repo: GitRepo) -> None:
    hub, _ = make_clones(repo)
    top = repo.top.parent / "shallow"
    repo.write("more", "more\n")
    repo.commit("second")
    repo.git("push", "-q", str(hub.top), "HEAD:refs/heads/main")
    repo.git("clone", "-q", "--depth", "1", f"file://{hub.top}", str(top))
    shallow = clone_of(GitRepo(top))
    make_run(shallow.repo, 1)
    assert shallow.push().runs == 1  # the other side has what lies below
    other = GitRepo(repo.top.parent / "other.git")
    repo.git("init", "-q", "--bare", str(other.top))
    sent = shallow.push(remote=str(other.top))
    assert sent.refused == [(ONE, "shallow update not allowed")]
    assert sent.advice == f"this clone is shallow: git fetch --unshallow {other.top}"


def test_a_refusal_says_whose_words_they_are(pair: tuple[GitRepo, Clone, Clone]) -> None:
    hub, first, _ = pair
    hub.write("hooks/pre-receive", "#!/bin/sh\necho no runs here, please >&2\nexit 1\n").chmod(0o755)
    make_run(first.repo, 1)
    sent = first.push()
    assert sent.refused == [(ONE, "pre-receive hook declined")]
    assert sent.said == ["no runs here, please"]


def test_a_lock_over_there_is_waited_for(pair: tuple[GitRepo, Clone, Clone]) -> None:
    """The first push meets a lock that its own rejection takes away."""
    hub, first, _ = pair
    make_run(first.repo, 1)
    lock = hub.write(f"refs/experiments/{ONE}.lock", "")
    hub.write(
        "hooks/pre-receive", f'#!/bin/sh\nif mkdir "{hub.top}/once" 2>/dev/null; then :; else rm -f "{lock}"; fi\n'
    )
    (hub.top / "hooks" / "pre-receive").chmod(0o755)
    sent = first.push()
    assert (sent.runs, sent.refused) == (1, [])
    assert ((hub.top / "once").exists(), lock.exists()) == (True, False)


def test_whoever_cannot_be_reached_is_said_in_one_line(repo: GitRepo, tmp_path: Path) -> None:
    _, (first,) = make_clones(repo, "first")
    (tmp_path / "folder").mkdir()
    with pytest.raises(GitError, match="does not appear to be a git repository") as caught:
        first.fetch(remote=str(tmp_path / "folder"))
    assert caught.value.hint.startswith("is the address right")
    with pytest.raises(GitError, match=r"https://ada:\*\*\*@127\.0\.0\.1:1/x") as caught:
        first.fetch(remote="https://ada:hunter2secret@127.0.0.1:1/x")
    assert "hunter2secret" not in caught.value.message + caught.value.hint
    with pytest.raises(UserError, match="there is no repository and no bundle at"):
        first.fetch(remote="/nowhere/at/all")


def test_many_runs_go_in_batches(pair: tuple[GitRepo, Clone, Clone], monkeypatch: pytest.MonkeyPatch) -> None:
    from git_replicate.store.sharing import fetch, push

    monkeypatch.setattr(push, "BATCH", 3)
    monkeypatch.setattr(fetch, "BATCH", 3)
    monkeypatch.setattr(fetch, "_FEW", 3)
    _, first, second = pair
    commit = make_run(first.repo, 1)
    names = [f"digits/{run_id(number)}" for number in range(2, 9)]
    first.repo.move_refs([RefUpdate(f"refs/experiments/{name}", None, commit) for name in names], "copies")
    assert first.push().runs == 8
    assert len(second.fetch().new) == 8
    assert second.git.git("notes", "--ref=experiments", "list").split()[1] in {
        commit,
        second.git.git("rev-parse", "HEAD"),
    }


def test_a_run_that_goes_away_meanwhile_does_not_stop_the_others(
    pair: tuple[GitRepo, Clone, Clone], monkeypatch: pytest.MonkeyPatch
) -> None:
    hub, first, second = pair
    for number in (1, 2):
        make_run(first.repo, number)
    first.push()
    from git_replicate.git import transport

    fetched = transport.Transport.fetch

    def fetch(self: transport.Transport, refspecs: list[str]) -> None:
        if f"refs/experiments/{ONE}" in hub.git("for-each-ref", "--format=%(refname)"):
            hub.git("update-ref", "-d", f"refs/experiments/{ONE}")
        fetched(self, refspecs)

    monkeypatch.setattr(transport.Transport, "fetch", fetch)
    assert second.fetch().new == [TWO]


def test_a_clone_of_sha256_shares_with_its_like(tmp_path: Path) -> None:
    def git(*words: str) -> None:
        subprocess.run(["git", *words], check=True, cwd=tmp_path, capture_output=True)

    git("init", "-q", "--bare", "--object-format=sha256", "hub.git")
    for name in ("first", "second"):
        git("init", "-q", "--object-format=sha256", name)
        git("-C", name, "remote", "add", "origin", "../hub.git")
    first, second = (clone_of(GitRepo(tmp_path / name)) for name in ("first", "second"))
    first.git.write("train.py", "print(1)\n")
    first.git.commit("first")
    make_run(first.repo, 1)
    say(first, ONE, Change("tag", "a"))
    first.push()
    assert second.fetch().new == [ONE]
    assert tags(second, ONE) == {"a"}


def test_runs_are_deleted_over_there_and_nobody_sends_them_again(pair: tuple[GitRepo, Clone, Clone]) -> None:
    hub, first, second = pair
    for number in (1, 2):
        make_run(first.repo, number)
    first.push()
    second.fetch()
    transport = first.transport()
    with pytest.raises(UserError, match="is not removed here"):
        delete_there(first.repo, transport, Names(), [ONE])
    remove(first.repo, f"refs/experiments/{ONE}", actor=ADA)
    found = delete_there(first.repo, transport, Names(), [ONE])
    assert (found.deleted, found.absent, found.refused) == ([ONE], [], {})
    assert delete_there(first.repo, transport, Names(), [ONE]).absent == [ONE]
    assert second.push().runs == 0
    assert second.runs == {TWO}
    assert hub.git("for-each-ref", "--format=%(refname)", "refs/experiments").split() == [f"refs/experiments/{TWO}"]
    restore(first.repo, find_removed(first.repo, ONE), actor=ADA)
    first.push()
    assert second.fetch().restored == [ONE]
    assert hub.git("rev-parse", f"refs/experiments/{ONE}") == tip(first, ONE)


def test_a_host_that_deletes_nothing_still_gets_the_tombstone(pair: tuple[GitRepo, Clone, Clone]) -> None:
    hub, first, second = pair
    hub.git("config", "receive.denyDeletes", "true")
    names = names_below("experiments")
    make_run(first.repo, 1)
    first.push(names=names)
    remove(first.repo, f"refs/experiments/{ONE}", actor=ADA)
    assert delete_there(first.repo, first.transport(), names, [ONE]).refused == {ONE: "deletion prohibited"}
    assert second.fetch(names=names).hidden == 1
    assert second.fetch(names=names).hidden == 0


def test_a_run_that_goes_on_while_it_is_deleted_is_deleted(
    pair: tuple[GitRepo, Clone, Clone], monkeypatch: pytest.MonkeyPatch
) -> None:
    hub, first, second = pair
    code = of_head(first.repo)
    start = begin(first.repo, running(1, code=code), Oid(code.snapshot), Oid(code.tree), Parts())
    first.push()
    second.fetch()
    remove(second.repo, f"refs/experiments/{ONE}", actor=ADA)
    finish(first.repo, ended(1, code=code), start, Parts())
    from git_replicate.store.sharing import remote_removal

    def send(*arguments: object) -> bool:
        first.git.git("push", "-q", "origin", f"refs/experiments/{ONE}")
        return send_annotations(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(remote_removal, "send_annotations", send)
    assert delete_there(second.repo, second.transport(), Names(), [ONE]).deleted == [ONE]
    assert hub.git("for-each-ref", "refs/experiments") == ""


def test_a_bundle_carries_runs_and_annotations(pair: tuple[GitRepo, Clone, Clone], tmp_path: Path) -> None:
    _, first, second = pair
    make_run(first.repo, 1)
    make_run(first.repo, 2, experiment="other")
    say(first, ONE, Change("tag", "carried"))
    whole, part = str(tmp_path / "whole.bundle"), str(tmp_path / "part.bundle")
    write_bundle(first.repo.layout, whole, [f"refs/experiments/{ONE}", NOTES], [])
    write_bundle(first.repo.layout, part, [f"refs/experiments/other/{run_id(2)}"], [first.git.git("rev-parse", "HEAD")])
    assert second.fetch(remote=part).new == [f"other/{run_id(2)}"]
    taken = second.fetch(remote=whole)
    assert (taken.new, taken.moved) == ([ONE], [])
    assert tags(second, ONE) == {"carried"}
    empty = GitRepo(tmp_path / "empty")
    first.git.git("init", "-q", str(empty.top))
    with pytest.raises(GitError, match="it builds on commits that are not here"):
        clone_of(empty).fetch(remote=part)
    assert clone_of(empty).fetch(remote=whole).new == [ONE]
    empty.git("fsck", "--strict")
    with pytest.raises(GitError, match="all of it is in what --not leaves out"):
        write_bundle(first.repo.layout, whole, [f"refs/experiments/{ONE}"], [tip(first, ONE)])
    assert clone_of(empty).fetch(remote=whole).new == []  # the file that was there is still whole


def test_a_bundle_that_cannot_be_written_is_said(pair: tuple[GitRepo, Clone, Clone]) -> None:
    _, first, _ = pair
    make_run(first.repo, 1)
    with pytest.raises(StorageError, match="write /nowhere/at/all: No such file or directory"):
        write_bundle(first.repo.layout, "/nowhere/at/all", [f"refs/experiments/{ONE}"], [])


def test_runs_that_a_server_hides_come_through_a_remote_that_asks_for_them(pair: tuple[GitRepo, Clone, Clone]) -> None:
    """The settings of docs/hosting.md."""
    hub, first, second = pair
    hub.git("config", "uploadpack.hideRefs", "refs/experiments")
    make_run(first.repo, 1)
    assert first.push().runs == 1
    assert second.fetch().new == []
    second.git.git("remote", "add", "runs", str(hub.top))
    second.git.git("config", "remote.runs.uploadpack", "git -c uploadpack.hideRefs=!refs/experiments upload-pack")
    assert second.fetch(remote="runs").new == [ONE]


def test_a_partial_clone_takes_and_sends_whole_runs(repo: GitRepo) -> None:
    hub, (first,) = make_clones(repo, "first")
    hub.git("config", "uploadpack.allowFilter", "true")
    make_run(first.repo, 1)
    first.push()
    top = repo.top.parent / "partial"
    repo.git("clone", "-q", "--filter=blob:none", f"file://{hub.top}", str(top))
    partial = clone_of(GitRepo(top))
    taken = partial.fetch()
    assert (taken.new, taken.unreadable) == ([ONE], 0)
    assert read_run(partial.repo, f"refs/experiments/{ONE}").record.status is Status.FINISHED
    make_run(partial.repo, 2)
    assert partial.push().runs == 1
    assert first.fetch().new == [TWO]
    assert partial.git.git("config", "remote.origin.partialclonefilter") == "blob:none"


def test_clones_whose_clocks_agree_to_the_microsecond_agree_on_what_was_said(
    pair: tuple[GitRepo, Clone, Clone],
) -> None:
    _, first, second = pair
    make_run(first.repo, 1)
    first.push()
    second.fetch()
    moment = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
    start = start_of(first.repo, Oid(tip(first, ONE)))
    for clone, word in ((first, "alpha"), (second, "beta")):
        changes = [Change("comment", word), Change("tag", word), Change("invalid", word)]
        append(clone.repo, {start: changes}, actor=(word, f"{word}@example.org"), now=moment)
    first.push()
    second.push()
    first.fetch()
    state = read_annotations(first.repo)[start]
    assert state == read_annotations(second.repo)[start]
    assert (set(state.tags), state.comment, state.invalid) == ({"alpha", "beta"}, "beta", "beta")
