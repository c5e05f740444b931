"""Removed runs: a tombstone, the way back, and what a kill in between leaves."""

from __future__ import annotations

import time

import pytest

from git_replicate.core.errors import UserError
from git_replicate.core.record import Status
from git_replicate.git.opening import open_repository
from git_replicate.git.repository import Oid, Repository
from git_replicate.store.annotations import Change, append, read_annotations
from git_replicate.store.store import Parts, begin, finish, list_runs, read_run, start_of
from git_replicate.store.trash import expire, find_removed, list_removed, remove, restore, settle
from tests.store.making import ended, make_run, of_head, running
from tests.support import GitRepo

ADA = ("Ada", "ada@example.org")
REF = "refs/experiments/digits/20260304-050608-00000001"
TRASHED = "refs/replicate/trash/digits/20260304-050608-00000001"
DAY = 86_400


@pytest.fixture
def opened(repo: GitRepo) -> Repository:
    return open_repository(str(repo.top), backend="plumbing")


def test_a_removed_run_leaves_a_tombstone_and_comes_back(repo: GitRepo, opened: Repository) -> None:
    commit = make_run(opened)
    remove(opened, REF, actor=ADA)
    assert list_runs(opened) == []
    assert repo.git("rev-parse", TRASHED) == commit
    assert read_annotations(opened)[start_of(opened, commit)].removed
    restore(opened, find_removed(opened, "00000001"), actor=ADA)
    assert [run.commit for run in list_runs(opened)] == [commit]
    assert list_removed(opened) == []
    assert not read_annotations(opened)[start_of(opened, commit)].removed
    repo.git("fsck", "--strict")


def test_a_run_removed_while_it_runs_ends_in_the_trash(opened: Repository) -> None:
    code = of_head(opened)
    start = begin(opened, running(1, code=code), Oid(code.snapshot), Oid(code.tree), Parts())
    remove(opened, REF, actor=ADA)
    end = finish(opened, ended(1, code=code), start, Parts())
    assert opened.read_ref(REF) is None
    assert opened.read_ref(TRASHED) == end
    restore(opened, find_removed(opened, "digits/20260304-050608-00000001"), actor=ADA)
    assert read_run(opened, REF).record.status is Status.FINISHED


def test_a_tombstone_without_its_removal_is_completed(opened: Repository) -> None:
    first, second = make_run(opened, 1), make_run(opened, 2)
    append(opened, {start_of(opened, first): [Change("remove", "2026-03-04")]}, actor=ADA)
    assert settle(opened) == ["digits/20260304-050608-00000001"]
    assert [run.commit for run in list_runs(opened)] == [second]
    assert opened.read_ref(TRASHED) == first
    assert settle(opened) == []


def test_undo_finds_a_run_whose_removal_was_cut_short(opened: Repository) -> None:
    commit = make_run(opened)
    append(opened, {start_of(opened, commit): [Change("remove", "2026-03-04")]}, actor=ADA)
    restore(opened, find_removed(opened, "20260304"), actor=ADA)
    assert [run.commit for run in list_runs(opened)] == [commit]


def test_a_restoration_that_was_cut_short_is_not_expired_and_can_be_repeated(opened: Repository) -> None:
    commit = make_run(opened)
    remove(opened, REF, actor=ADA)
    append(opened, {start_of(opened, commit): [Change("restore")]}, actor=ADA)
    assert expire(opened, now=time.time() + 90 * DAY) == []
    restore(opened, find_removed(opened, "00000001"), actor=ADA)
    assert [run.commit for run in list_runs(opened)] == [commit]


def test_the_tombstone_of_a_run_that_is_not_here_moves_nothing(repo: GitRepo, opened: Repository) -> None:
    make_run(opened)
    append(
        opened, {Oid("1" * 40): [Change("remove")], Oid(repo.git("rev-parse", "HEAD")): [Change("remove")]}, actor=ADA
    )
    assert settle(opened) == []
    assert len(list_runs(opened)) == 1


def test_removed_runs_are_kept_for_thirty_days(opened: Repository) -> None:
    make_run(opened)
    remove(opened, REF, actor=ADA)
    assert expire(opened) == []
    assert expire(opened, now=time.time() + 29 * DAY) == []
    assert [run.name for run in expire(opened, now=time.time() + 31 * DAY)] == ["digits/20260304-050608-00000001"]
    assert opened.read_ref(TRASHED) is None
    assert opened.read_ref(REF) is None


def test_thirty_days_count_from_the_last_removal_whatever_the_order_of_lines(repo: GitRepo, opened: Repository) -> None:
    start = start_of(opened, make_run(opened))
    remove(opened, REF, actor=ADA)
    lines = repo.git("notes", "--ref=experiments-annotations", "show", start).splitlines()
    older = '{"actor": "zoe", "op": "remove", "time": "2020-01-01T00:00:00.000000+00:00", "value": "2020-01-01"}'
    repo.git(
        "notes", "--ref=experiments-annotations", "add", "-f", "-F", "-", start,
        stdin="\n".join([*lines, "not a line", older]).encode(),
    )  # fmt: skip
    assert expire(opened, now=time.time() + DAY) == []


def test_a_run_that_came_back_by_itself_loses_nothing_by_being_restored(repo: GitRepo, opened: Repository) -> None:
    commit = make_run(opened)
    start = start_of(opened, commit)
    remove(opened, REF, actor=ADA)
    append(opened, {start: [Change("restore")]}, actor=ADA)
    repo.git("update-ref", REF, start)  # an older state of it, fetched
    restore(opened, find_removed(opened, "00000001"), actor=ADA)
    assert opened.read_ref(REF) == commit
    remove(opened, REF, actor=ADA)
    append(opened, {start: [Change("restore")]}, actor=ADA)
    repo.git("update-ref", REF, repo.git("rev-parse", "HEAD"))
    with pytest.raises(UserError, match="leads to another run"):
        restore(opened, find_removed(opened, "00000001"), actor=ADA)


def test_names_of_removed_runs(opened: Repository) -> None:
    make_run(opened, 1)
    make_run(opened, 2, experiment="digits/deep")
    for run in list_runs(opened):
        remove(opened, run.ref, actor=ADA)
    with pytest.raises(UserError, match="ambiguous: digits/20260304-050608-00000001; digits/deep/20260304"):
        find_removed(opened, "20260304")
    assert find_removed(opened, "digits/20260304").experiment == "digits"
    assert find_removed(opened, "digits/deep/20260304").experiment == "digits/deep"
    with pytest.raises(UserError, match="no removed run is called 'ffff'"):
        find_removed(opened, "ffff")
