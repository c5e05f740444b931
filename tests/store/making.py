"""Runs made without a command, and many processes that do one thing at the same moment."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from git_replicate.core.names import ExperimentName, RunId, new_run_id
from git_replicate.core.record import Code, Process, Record, Status, User
from git_replicate.git.repository import Oid, Repository
from git_replicate.store.store import Parts, begin, finish
from tests.support import CHECKOUT

START = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)


def run_id(number: int) -> RunId:
    return new_run_id(START + timedelta(seconds=number), number.to_bytes(4, "big"))


def running(number: int = 1, **fields: Any) -> Record:
    """The record of a run that has just started."""
    values: dict[str, Any] = {
        "id": run_id(number),
        "experiment": ExperimentName("digits"),
        "status": Status.RUNNING,
        "command": ("python", "train.py"),
        "started": START + timedelta(seconds=number),
        "user": User("Ada", "ada@example.org"),
        "process": Process(host="here", pid=number),
    }
    return Record(**{**values, **fields})


def ended(number: int = 1, **fields: Any) -> Record:
    """The record of a run that has finished."""
    finished = START + timedelta(seconds=number + 60)
    return running(number, **{"status": Status.FINISHED, "finished": finished, "exit_code": 0, **fields})


def of_head(repo: Repository) -> Code:
    """The code of a run that tested HEAD as it is."""
    head, _ = repo.head()
    assert head is not None
    return Code(snapshot=head, tree=repo.read_commit(head).tree, base=head)


def make_run(repo: Repository, number: int = 1, **fields: Any) -> Oid:
    """A run on HEAD from start to end, without its notes; the finish commit."""
    code = of_head(repo)
    first = running(number, **{"code": code, **fields, "status": Status.RUNNING, "metrics": {}})
    start = begin(repo, first, Oid(code.snapshot), Oid(code.tree), Parts(environment=b"python = 3\n"))
    return finish(repo, ended(number, **{"code": code, **fields}), start, Parts(log=f"run {number}\n".encode()))


_RACE = """
import os, sys
from tests.store.making import *
from git_replicate.git.opening import open_repository
from git_replicate.store import annotations, lookup, maintenance, notes, objects, store, trash
gate, opened = os.pipe()
children = []
for i in range({count}):
    child = os.fork()
    if child == 0:
        os.close(opened)
        os.read(gate, 1)
        repo = open_repository(".", backend="plumbing")
        code = 1
        try:
            code = (lambda: {expression})() and 0 or 0
        except BaseException as error:
            print(f"{{type(error).__name__}}: {{error}}", file=sys.stderr, flush=True)
        os._exit(code)
    children.append(child)
os.close(opened)
print(sum(os.waitpid(child, 0)[1] == 0 for child in children))
"""


def race(count: int, expression: str, cwd: Path, **variables: str) -> tuple[int, str]:
    """Evaluate an expression of `repo` and `i` in so many processes at once: how many did not raise, and stderr."""
    done = subprocess.run(
        [sys.executable, "-c", _RACE.format(count=count, expression=expression)],
        cwd=cwd, env={**os.environ, "PYTHONPATH": str(CHECKOUT), **variables}, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return int(done.stdout), done.stderr


def dies(body: str, cwd: Path, variables: Mapping[str, str] | None = None) -> int:
    """Execute statements of `repo` in a process of its own; its exit code."""
    script = _RACE.split("gate, opened", maxsplit=1)[0] + 'repo = open_repository(".", backend="plumbing")\n' + body
    env = {**os.environ, "PYTHONPATH": str(CHECKOUT), **(variables or {})}
    done = subprocess.run([sys.executable, "-c", script], cwd=cwd, env=env, capture_output=True, text=True)
    assert "Traceback" not in done.stderr, done.stderr
    return done.returncode
