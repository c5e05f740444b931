"""Killing `git replicate start` at every step: `python -m tests.chaos FIRST STRIDE` in a repository.

A recorder that is killed with SIGKILL at its so-many-th step (see `tests.store.crash`) has either not begun, and then
its command did not run, or its run is found: `recover` finishes it with the log and the metrics so far. A server
that has imported everything forks one recorder after the other, each killed STRIDE steps later than the one before.
Prints how many were killed, and how many of these had begun.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from itertools import count

import git_replicate.execution.recover
import git_replicate.execution.run  # noqa: F401  imported before the forks
from git_replicate.cli import main
from git_replicate.core.record import Status
from git_replicate.git.opening import open_repository
from git_replicate.store.notes import read_notes
from git_replicate.store.store import list_runs, read_files, read_run
from tests.store.crash import arm

COMMAND = ("sh", "-c", "echo > ran; echo 'loss: 0.5'; echo kept > out.txt")


def replicate(words: Sequence[str], *, step: int = 0) -> int:
    """Our own command in a child, killed at a step; its wait status."""
    child = os.fork()
    if child == 0:
        code = 70
        try:
            silence = os.open(os.devnull, os.O_RDWR)
            for stream in (0, 1, 2):
                os.dup2(silence, stream)
            if step:
                arm(step)
            code = main(list(words))
        finally:
            os._exit(code)
    return os.waitpid(child, 0)[1]


def git(*words: str) -> str:
    done = subprocess.run(["git", *words], capture_output=True, text=True)
    assert done.returncode == 0, f"{words}: {done.stderr}"
    return done.stdout


def settle(step: int) -> None:
    """Recover until nothing is left: the command may outlive its recorder for a moment."""
    deadline = time.monotonic() + 60
    while True:
        assert replicate(["recover"]) == 0, f"step {step}: recover failed"
        root = ".git/replicate/spool"
        if not any(os.path.exists(os.path.join(root, name, "run.toml")) for name in os.listdir(root)):
            return
        assert time.monotonic() < deadline, f"step {step}: {os.listdir(root)}"
        time.sleep(0.01)


def check(step: int, before: set[str]) -> set[str]:
    """What must hold after a kill; the runs there are."""
    ran = os.path.exists("ran")
    if os.path.isdir(".git/replicate/spool"):
        settle(step)
    repo = open_repository(".", backend="plumbing")
    runs = list_runs(repo)
    fresh = [run for run in runs if run.id not in before]
    assert len(fresh) == len(runs) - len(before) <= 1, f"step {step}: {len(fresh)} runs"
    ran = ran or os.path.exists("ran")
    if not fresh:
        assert not ran, f"step {step}: the command ran and no run is listed"
        return before
    (run,) = fresh
    record = read_run(repo, run.ref).record
    assert record.status in (Status.FINISHED, Status.LOST), f"step {step}: {record.status}"
    if ran:
        assert record.status is Status.FINISHED, f"step {step}: it ran and is {record.status}"
        assert record.metrics == {"loss": 0.5}, f"step {step}: {record.metrics}"
        assert read_files(repo, run.commit).log == b"loss: 0.5\n", f"step {step}"
        assert record.outputs["out.txt"].kept == "tree", f"step {step}"
    assert run.commit in read_notes(repo, [run.commit]), f"step {step}: no note"
    assert git("fsck", "--strict", "--no-dangling") == "", f"step {step}"
    return {*before, run.id}


def chaos(first: int, stride: int) -> tuple[int, int]:
    begun = set[str]()
    for killed, step in enumerate(count(first, stride)):
        for name in ("ran", "out.txt"):
            if os.path.exists(name):
                os.unlink(name)
        with open("train.py", "w") as file:
            file.write(f"print({step})\n")
        status = replicate(["start", "-e", "chaos", "--output", "out.txt", "--tag", "t", "--", *COMMAND], step=step)
        before = len(begun)
        begun = check(step, begun)
        if not os.WIFSIGNALED(status):
            assert os.WEXITSTATUS(status) == 0, f"step {step}: exit {os.WEXITSTATUS(status)}"
            assert len(begun) == before + 1
            return killed, before
    raise AssertionError


if __name__ == "__main__":
    os.write(1, b"%d %d\n" % chaos(int(sys.argv[1]), int(sys.argv[2])))
