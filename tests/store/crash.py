"""Killing the store at every step: `python -m tests.store.crash SCENARIO` in a repository.

A step is whatever leaves a trace on the disk: a file opened for writing, renamed, linked or removed, a folder made, a
process started. A child is killed with SIGKILL at its first step, the next one at its second, and so on until one
gets to its end; after each, what must hold then is asserted.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any

from git_replicate.core.record import Status
from git_replicate.git import packing
from git_replicate.git.opening import open_repository
from git_replicate.git.repository import Oid, Repository
from git_replicate.store.annotations import Change, append, read_annotations
from git_replicate.store.maintenance import maintain
from git_replicate.store.notes import read_notes, write_notes
from git_replicate.store.store import Parts, begin, finish, list_runs, read_run, start_of
from git_replicate.store.trash import expire, find_removed, list_removed, remove, restore, settle
from tests.store.making import ended, make_run, of_head, run_id, running
from tests.store.sharing import Clone, clone_of
from tests.support import GitRepo

_STEPS = frozenset({"os.rename", "os.remove", "os.link", "os.mkdir", "os.rmdir", "subprocess.Popen"})
_ACTOR = ("Ada", "ada@example.org")
_OLD = datetime(2020, 1, 1, tzinfo=UTC)


def arm(step: int) -> None:
    """Have this very process killed at its so-many-th step; processes that it forks go on."""
    me, left = os.getpid(), [step]

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        writes = event == "open" and isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR)
        if (writes or event in _STEPS) and os.getpid() == me:
            left[0] -= 1
            if left[0] == 0:
                os.kill(me, signal.SIGKILL)

    sys.addaudithook(hook)


def opened() -> Repository:
    return open_repository(".", backend="plumbing")


def killed_at_every_step(
    body: Callable[[Repository, int], None], check: Callable[[Repository, int], None], stride: int = 1
) -> int:
    """Do something in children, each killed some steps later than the one before; the number of steps."""
    for step in count(1, stride):
        child = os.fork()
        if child == 0:
            code = 1
            try:
                repo = opened()
                arm(step)
                body(repo, step)
                code = 0
            finally:
                os._exit(code)
        _, status = os.waitpid(child, 0)
        assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0, f"step {step}: exit {status}"
        check(opened(), step)
        if not os.WIFSIGNALED(status):
            return step - 1
    raise AssertionError


def _tip(repo: Repository, number: int) -> Oid | None:
    return repo.read_ref(f"refs/experiments/digits/{run_id(number)}")


def _start(repo: Repository, number: int) -> Oid:
    code = of_head(repo)
    return begin(repo, running(number, code=code), Oid(code.snapshot), Oid(code.tree), Parts(data=b"x = 1\n"))


def begin_steps() -> int:
    def check(repo: Repository, number: int) -> None:
        tip = _tip(repo, number)
        if tip is not None:
            assert read_run(repo, tip).record == running(number, code=of_head(repo))
        assert _start(repo, number) == _tip(repo, number)

    return killed_at_every_step(lambda repo, number: void(_start(repo, number)), check)


def finish_steps() -> int:
    """The same record once more, as recovery has it, without what only the recorder saw."""

    def record(repo: Repository, number: int, *, seen: bool) -> Any:
        files = ("changed.py",) if seen else ()
        from dataclasses import replace

        return ended(number, code=replace(of_head(repo), changed_during_run=files))

    def body(repo: Repository, number: int) -> None:
        finish(repo, record(repo, number, seen=True), _tip(repo, number) or Oid(""), Parts(log=b"log\n"))
        write_notes(repo)

    def check(repo: Repository, number: int) -> None:
        before = _tip(repo, number)
        assert before is not None
        start = start_of(repo, before)
        known = read_run(repo, before).record
        assert known.status in (Status.RUNNING, Status.FINISHED)
        end = finish(repo, record(repo, number, seen=False), start, Parts(log=b"log\n"))
        found = read_run(repo, end).record
        assert repo.read_commit(end).parents == (start,)
        assert found.status is Status.FINISHED
        assert found.code.changed_during_run == known.code.changed_during_run
        write_notes(repo)
        assert set(read_notes(repo, [start, end])) == {end}
        _start(repo, number + 1)

    _start(opened(), 1)
    return killed_at_every_step(body, check)


def notes_steps() -> int:
    def check(repo: Repository, number: int) -> None:
        write_notes(repo)
        assert len(read_notes(repo, [run.commit for run in list_runs(repo)])) == number
        make_run(repo, number + 1)

    make_run(opened(), 1)
    return killed_at_every_step(lambda repo, number: write_notes(repo), check)


def annotations_steps() -> int:
    start = start_of(opened(), make_run(opened(), 1))
    append(opened(), {start: [Change("tag", "first")]}, actor=_ACTOR)
    written: set[str] = {"first"}

    def check(repo: Repository, number: int) -> None:
        tags = set(read_annotations(repo)[start].tags)
        assert written <= tags <= written | {f"t{number}"}
        append(repo, {start: [Change("tag", f"t{number}")]}, actor=_ACTOR)
        written.add(f"t{number}")
        assert set(read_annotations(repo)[start].tags) == written

    return killed_at_every_step(
        lambda repo, number: append(repo, {start: [Change("tag", f"t{number}")]}, actor=_ACTOR), check
    )


def remove_steps() -> int:
    commit = make_run(opened(), 1)
    ref = f"refs/experiments/digits/{run_id(1)}"

    def check(repo: Repository, number: int) -> None:
        removed = read_annotations(repo).get(start_of(repo, commit))
        settle(repo)
        there = [run.commit for run in (*list_runs(repo), *list_removed(repo))]
        assert there == [commit]
        if removed is not None and removed.removed:
            assert list_runs(repo) == []
            restore(repo, find_removed(repo, run_id(1)), actor=_ACTOR)
        assert [run.commit for run in list_runs(repo)] == [commit]

    return killed_at_every_step(lambda repo, number: remove(repo, ref, actor=_ACTOR), check)


def restore_steps() -> int:
    commit = make_run(opened(), 1)
    ref = f"refs/experiments/digits/{run_id(1)}"
    remove(opened(), ref, actor=_ACTOR)

    def check(repo: Repository, number: int) -> None:
        if not list_runs(repo):
            restore(repo, find_removed(repo, run_id(1)), actor=_ACTOR)
        assert [run.commit for run in list_runs(repo)] == [commit]
        assert not read_annotations(repo)[start_of(repo, commit)].removed
        remove(repo, ref, actor=_ACTOR)

    return killed_at_every_step(lambda repo, number: restore(repo, find_removed(repo, run_id(1)), actor=_ACTOR), check)


def maintenance_steps() -> int:
    """Locks that a killed process left must not stop the next one, nor git."""
    packing._MANY, packing._MOST_PACKS = 1, 1
    expired = make_run(opened(), 1000)
    start = start_of(opened(), expired)
    append(opened(), {start: [Change("remove")]}, actor=_ACTOR, now=_OLD)
    settle(opened())
    made = [make_run(opened(), 1)]

    def check(repo: Repository, number: int) -> None:
        assert sorted(run.commit for run in list_runs(repo)) == sorted(made)
        assert _git("fsck", "--strict", "--no-dangling") == ""
        assert maintain(repo).startswith("runs that left the trash")
        assert sorted(run.commit for run in list_runs(repo)) == sorted(made)
        assert _git("for-each-ref", "refs/replicate") == ""
        assert [name for _, _, names in os.walk(".git/refs/experiments") for name in names] == []
        assert not os.path.exists(".git/packed-refs.lock")
        _git("branch", "for-a-moment")
        _git("pack-refs", "--all")
        _git("branch", "-D", "for-a-moment")
        made.append(make_run(repo, number + 1))
        write_notes(repo)

    return killed_at_every_step(lambda repo, number: void(maintain(repo)), check)


def expire_steps() -> int:
    def check(repo: Repository, number: int) -> None:
        expire(repo)
        assert list_removed(repo) == []
        assert list_runs(repo) == []
        add(repo, number + 1)

    def add(repo: Repository, number: int) -> None:
        start = start_of(repo, make_run(repo, number))
        append(repo, {start: [Change("remove")]}, actor=_ACTOR, now=_OLD)

    add(opened(), 1)
    return killed_at_every_step(lambda repo, number: void(expire(repo)), check)


def void(_: object) -> None:
    """For lambdas that only do something."""


def _git(*words: str) -> str:
    done = subprocess.run(["git", *words], capture_output=True, text=True)
    assert done.returncode == 0, f"{words}: {done.stderr}"
    return done.stdout


def share_steps() -> int:
    """A clone that fetches and pushes, beside another that records, annotates and removes at every turn."""
    for words in (("init", "-q", "--bare", "../hub.git"), ("remote", "add", "origin", "../hub.git")):
        subprocess.run(["git", *words], check=True)
    subprocess.run(["git", "push", "-q", "origin", "HEAD:refs/heads/main"], check=True)
    subprocess.run(["git", "clone", "-q", "-b", "main", "../hub.git", "../other"], check=True)
    ours, other = Clone(GitRepo(Path.cwd()), opened()), clone_of(GitRepo(Path.cwd().parent / "other"))

    turn = [0]

    def record() -> None:
        turn[0] += 1
        make_run(opened(), 2 * turn[0])
        make_run(other.repo, 2 * turn[0] + 1)
        start = start_of(other.repo, _tip(other.repo, 2 * turn[0] + 1) or Oid(""))
        append(other.repo, {start: [Change("tag", f"t{turn[0]}")]}, actor=_ACTOR)
        if turn[0] % 3 == 0:
            remove(other.repo, f"refs/experiments/digits/{run_id(2 * turn[0] - 1)}", actor=_ACTOR)
        other.push()

    def body(repo: Repository, step: int) -> None:
        clone = Clone(ours.git, repo)
        clone.fetch()
        clone.push()

    def check(repo: Repository, step: int) -> None:
        here = Clone(ours.git, repo)
        here.fetch()
        here.push()
        other.fetch()
        assert here.runs == other.runs, f"step {step}"
        assert len(here.runs) == 2 * turn[0] - turn[0] // 3, f"step {step}"
        assert read_annotations(repo) == read_annotations(other.repo), f"step {step}"
        tips = {oid for _, oid in repo.list_refs("refs/experiments/")}
        write_notes(repo)
        assert tips <= set(read_notes(repo, tips)), f"step {step}"
        record()

    record()
    return killed_at_every_step(body, check, stride=int(sys.argv[2]) if len(sys.argv) > 2 else 1)


SCENARIOS: Mapping[str, Callable[[], int]] = {
    "begin": begin_steps, "finish": finish_steps, "notes": notes_steps, "annotations": annotations_steps,
    "remove": remove_steps, "restore": restore_steps, "expire": expire_steps, "maintenance": maintenance_steps,
    "share": share_steps,
}  # fmt: skip

if __name__ == "__main__":
    steps = SCENARIOS[sys.argv[1]]()
    assert _git("fsck", "--strict", "--no-dangling") == ""
    os.write(1, b"%d\n" % steps)
