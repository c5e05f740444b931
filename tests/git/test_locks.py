"""Locks and collections that somebody else holds, or left behind."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from git_replicate.core.errors import RefLockedError
from git_replicate.git import collecting, plumbing
from git_replicate.git.opening import find_layout, open_repository
from git_replicate.git.repository import RefUpdate
from tests.support import CHECKOUT, GitRepo

REF = "refs/experiments/digits/20260304-050608-00000001"


def locked(repo: GitRepo, path: str, age: float) -> Path:
    lock = repo.write(f".git/{path}.lock", "")
    moment = time.time() - age
    os.utime(lock, (moment, moment))
    return lock


def test_a_lock_that_was_left_behind_is_removed_after_a_minute(repo: GitRepo, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plumbing, "LOCK_PATIENCE", 0.02)
    opened = open_repository(str(repo.top), backend="plumbing")
    head, _ = opened.head()
    fresh = locked(repo, REF, 30)
    with pytest.raises(RefLockedError) as caught:
        opened.move_refs([RefUpdate(REF, None, head)], "make")
    assert caught.value.hint == f"if no other git is running: rm {fresh}"
    assert fresh.exists()
    locked(repo, REF, 90)
    opened.move_refs([RefUpdate(REF, None, head)], "make")
    assert opened.read_ref(REF) == head
    assert not fresh.exists()


def test_the_lock_of_all_packed_refs_is_never_removed(repo: GitRepo, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plumbing, "LOCK_PATIENCE", 0.02)
    repo.git("update-ref", REF, "HEAD")
    repo.git("pack-refs", "--all")
    opened = open_repository(str(repo.top), backend="plumbing")
    lock = locked(repo, "packed-refs", 3600)
    with pytest.raises(RefLockedError):
        opened.move_refs([RefUpdate(REF, opened.read_ref(REF), None)], "remove")
    assert lock.exists()


_INTERRUPTED = """
import os, signal, sys, threading
from git_replicate.git.command import Git
threading.Timer(0.3, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
try:
    Git(".").run("wait", "replicate-waits", apart=True)
except KeyboardInterrupt:
    sys.exit(9)
"""


def test_an_interrupt_lets_git_end_and_take_its_locks_away(repo: GitRepo, tmp_path: Path) -> None:
    tool = tmp_path / "git-replicate-waits"
    tool.write_text(f"#!/bin/sh\n: > {tmp_path}/lock\nsleep 0.6\nrm {tmp_path}/lock\n: > {tmp_path}/done\n")
    tool.chmod(0o755)
    done = subprocess.run(
        [sys.executable, "-c", _INTERRUPTED], cwd=repo.top, capture_output=True, text=True,
        env={**os.environ, "PYTHONPATH": str(CHECKOUT), "PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}"},
    )  # fmt: skip
    assert done.returncode == 9, done.stderr
    assert ((tmp_path / "lock").exists(), (tmp_path / "done").exists()) == (False, True)


@pytest.mark.parametrize(
    ("text", "age", "waits"),
    [
        ("{me} {here}", 5, True),
        ("{nobody} {here}", 5, False),
        ("{me} {here}", 13 * 3600, False),
        ("7 another-machine", 5, True),
        ("7 another-machine", 90, False),
        ("", 5, False),
        ("nonsense", 5, False),
    ],
)
def test_only_a_collection_that_is_under_way_is_waited_for(repo: GitRepo, text: str, age: float, waits: bool) -> None:
    text = text.format(me=os.getpid(), nobody=2**22 + 1, here=os.uname().nodename)
    file = repo.write(".git/gc.pid", text)
    moment = time.time() - age
    os.utime(file, (moment, moment))
    assert collecting.await_collection(find_layout(str(repo.top)), patience=0.0) is not waits


def test_a_later_collection_is_not_waited_for(repo: GitRepo, monkeypatch: pytest.MonkeyPatch) -> None:
    repo.write(".git/gc.pid", f"{os.getpid()} {os.uname().nodename}")

    def next_one(longest: float) -> None:
        repo.write(".git/gc.pid", f"{os.getppid()} {os.uname().nodename}")

    monkeypatch.setattr(collecting, "wait", next_one)
    assert collecting.await_collection(find_layout(str(repo.top)))


def test_objects_that_a_collection_takes_after_the_ref_was_made_are_written_again(
    repo: GitRepo, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A `git gc --prune=now` that looked before the ref was there, and removes just after it was made."""
    from git_replicate.store import objects
    from git_replicate.store.store import read_run
    from tests.store.making import make_run

    opened = open_repository(str(repo.top), backend="plumbing")
    taken: list[str] = []

    def collect(layout: object) -> bool:
        if not taken:
            tip = repo.git("for-each-ref", "--format=%(objectname)", "refs/experiments").split()[0]
            taken.append(tip)
            (repo.top / ".git" / "objects" / tip[:2] / tip[2:]).unlink()
        return True

    monkeypatch.setattr(objects, "await_collection", collect)
    make_run(opened)
    assert taken
    assert read_run(opened, REF).record.id == "20260304-050608-00000001"
    repo.git("fsck", "--strict")
