"""What people say of runs: nobody's words are lost, and the fold does not depend on the order of lines."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from git_replicate.git.opening import open_repository
from git_replicate.git.repository import Oid, Repository
from git_replicate.store.annotations import Annotations, Change, annotate, append, fold, read_annotations
from git_replicate.store.store import start_of
from tests.store.making import make_run, race
from tests.support import GitRepo

REF = "refs/notes/experiments-annotations"
ADA = ("Ada", "ada@example.org")


@pytest.fixture
def opened(repo: GitRepo) -> Repository:
    return open_repository(str(repo.top), backend="plumbing")


@pytest.fixture
def start(opened: Repository) -> Oid:
    return start_of(opened, make_run(opened))


def said(opened: Repository, start: Oid, *changes: Change) -> Annotations:
    append(opened, {start: changes}, actor=ADA)
    return read_annotations(opened)[start]


def test_the_present_state_is_what_was_said_last(opened: Repository, start: Oid) -> None:
    assert said(opened, start, Change("tag", "a"), Change("tag", "b"), Change("comment", "one")).tags == {"a", "b"}
    state = said(opened, start, Change("untag", "a"), Change("comment", "two"), Change("archive"))
    assert state == Annotations(tags=frozenset({"b"}), comment="two", archived=True)
    state = said(
        opened, start, Change("unarchive"), Change("invalid", "bad data"), Change("superseded_by", "digits/x"),
        Change("derived_from", "digits/y"), Change("untag", "b"),
    )  # fmt: skip
    assert state == Annotations(comment="two", invalid="bad data", superseded_by="digits/x", derived_from="digits/y")
    state = said(opened, start, Change("valid"), Change("comment"), Change("remove", "2026-03-04"))
    assert (state.invalid, state.comment, state.removed) == ("", "", True)
    assert state.removed_on[:2] == "20"
    assert said(opened, start, Change("restore")).removed is False


def test_a_line_is_readable_json(repo: GitRepo, opened: Repository, start: Oid) -> None:
    when = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    append(opened, {start: [Change("tag", 'é "quoted"\nline')]}, actor=ADA, now=when)
    line = repo.git("notes", "--ref=experiments-annotations", "show", start)
    assert json.loads(line) == {
        "actor": "Ada <ada@example.org>",
        "op": "tag",
        "time": "2026-01-02T03:04:05.000000+00:00",
        "value": 'é "quoted"\nline',
    }
    assert repo.git("log", "-1", "--format=%an <%ae> %ct %s", REF) == "Ada <ada@example.org> 1767323045 annotate"


def test_nothing_said_writes_nothing(opened: Repository, start: Oid) -> None:
    annotate(opened, start, tags=())
    append(opened, {}, actor=ADA)
    assert opened.read_ref(REF) is None
    assert read_annotations(opened) == {}


@pytest.mark.slow
def test_sixty_four_who_speak_at_once_are_all_heard(repo: GitRepo, opened: Repository, start: Oid) -> None:
    done, stderr = race(64, f'annotations.annotate(repo, "{start}", tags=[f"t{{i}}"], actor=("a", "b"))', repo.top)
    assert (done, stderr) == (64, "")
    assert read_annotations(opened)[start].tags == {f"t{i}" for i in range(64)}
    repo.git("fsck", "--strict")


@pytest.mark.slow
def test_writers_who_cannot_wait_for_each_other_lose_nothing(repo: GitRepo, opened: Repository, start: Oid) -> None:
    no_lock = f'setattr(annotations, "PATIENCE", 0) or annotations.annotate(repo, "{start}", tags=[f"t{{i}}"])'
    done, stderr = race(16, no_lock, repo.top)
    assert (done, stderr) == (16, "")
    assert read_annotations(opened)[start].tags == {f"t{i}" for i in range(16)}


def test_two_clones_unite_by_sorting_their_lines(repo: GitRepo, opened: Repository, start: Oid) -> None:
    append(opened, {start: [Change("tag", "both")]}, actor=ADA)
    repo.git("update-ref", "refs/notes/theirs", REF)
    append(opened, {start: [Change("tag", "mine"), Change("untag", "both"), Change("comment", "z")]}, actor=ADA)
    mine = repo.git("rev-parse", REF)
    repo.git("update-ref", REF, "refs/notes/theirs")
    append(opened, {start: [Change("comment", "a"), Change("tag", "theirs")]}, actor=("Zoe", "zoe@example.org"))
    repo.git("update-ref", "refs/notes/theirs", mine)
    repo.git("notes", "--ref=experiments-annotations", "merge", "-q", "-s", "cat_sort_uniq", "theirs")
    state = read_annotations(opened)[start]
    assert state.tags == {"mine", "theirs"}
    assert state.comment == "a"


def test_the_order_of_what_was_said_together_outlives_sorting() -> None:
    lines = [
        b'{"actor": "", "op": "untag", "time": "2026-01-01T00:00:00.000001+00:00", "value": "a"}',
        b'{"actor": "", "op": "tag", "time": "2026-01-01T00:00:00.000000+00:00", "value": "a"}',
    ]
    assert fold(lines) == fold(reversed(lines)) == Annotations()


@pytest.mark.parametrize(
    "line",
    [b"", b"words", b"3", b"[]", b"null", b'{"op": "tag"}', b"\xff\xfe", b"[" * 100_000, b'{"time": 1, "op": 2}'],
)
def test_what_is_no_line_of_ours_is_passed_over(line: bytes) -> None:
    ours = b'{"time": "2026", "op": "tag", "value": "a"}'
    assert fold([line, ours, line]).tags == {"a"}


def test_a_text_without_its_last_newline_is_gone_on_with(repo: GitRepo, opened: Repository, start: Oid) -> None:
    text = b'{"time": "2026", "op": "tag", "value": "a"}'
    blob = repo.git("hash-object", "-w", "--stdin", stdin=text)
    repo.git("notes", "--ref=experiments-annotations", "add", "-C", blob, start)
    assert said(opened, start, Change("tag", "b")).tags == {"a", "b"}
