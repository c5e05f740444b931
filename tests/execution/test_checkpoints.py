"""Checkpoints of live runs: they cost what is new, never cover an end, and are what other clones see."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path

import pytest

from git_replicate.capture.curves import Curves
from git_replicate.core import record as records
from git_replicate.core.record import Status
from git_replicate.execution.checkpoint import write_checkpoint
from git_replicate.execution.checkpoints import Checkpoints
from git_replicate.execution.plan import Plan, dump_plan
from git_replicate.execution.spool import Spool
from git_replicate.git.opening import open_repository
from git_replicate.git.repository import Oid, Repository
from git_replicate.store.store import Parts, begin, checkpoint, finish, read_files, read_run
from git_replicate.store.trash import remove
from tests.store.making import ended, of_head, run_id, running
from tests.store.sharing import make_clones
from tests.support import CHECKOUT, GitRepo, replicate

REF = f"refs/experiments/digits/{run_id(1)}"
ADA = ("Ada", "ada@example.org")


@pytest.fixture
def opened(repo: GitRepo) -> Repository:
    return open_repository(str(repo.top), backend="plumbing")


def begun(repo: Repository, **plan: object) -> tuple[Spool, Oid]:
    """A live run with a spool, as a recorder has it."""
    code = of_head(repo)
    record = running(1, code=code)
    start = begin(repo, record, Oid(code.snapshot), Oid(code.tree), Parts())
    spool = Spool.create(os.path.join(repo.layout.common_dir, "replicate", "spool", run_id(1)))
    spool.write("run.toml", records.dumps(record))
    spool.write("plan.json", dump_plan(Plan(top=str(repo.layout.top), **plan)))  # type: ignore[arg-type]
    spool.write("start", start.encode())
    return spool, start


def printed(spool: Spool, text: str, stream: str = "stdout") -> None:
    with open(spool.path(stream), "a") as file:
        file.write(text)
    with open(spool.path("events"), "a") as file:
        file.write(f"{stream} {len(text)} 1.0\n")


def test_every_checkpoint_stores_only_what_is_new(repo: GitRepo, opened: Repository) -> None:
    spool, _ = begun(opened)
    printed(spool, "epoch=1 loss=0.5\nhalf a li")
    assert write_checkpoint(opened, spool) == opened.read_ref(REF)
    printed(spool, "ne\nepoch=2 loss=0.25\n")
    printed(spool, "to stderr\n", "stderr")
    commit = write_checkpoint(opened, spool)
    assert commit is not None
    listed = repo.git("ls-tree", "-r", "--name-only", REF, ".replicate/checkpoints/").split()
    assert [os.path.basename(path) for path in listed] == ["0001.csv", "0001.log", "0002.csv", "0002.log"]
    assert repo.git("show", f"{REF}:.replicate/checkpoints/0001.log") == "epoch=1 loss=0.5"
    assert repo.git("show", f"{REF}:.replicate/checkpoints/0002.log") == "half a line\nepoch=2 loss=0.25\nto stderr"
    files = read_files(opened, commit)
    assert files.log == b"epoch=1 loss=0.5\nhalf a line\nepoch=2 loss=0.25\nto stderr\n"
    assert [(p.step, p.value) for p in Curves.from_csv(files.metrics_csv or b"")] == [(1, 0.5), (2, 0.25)]
    record = read_run(opened, REF).record
    assert (record.status, record.metrics) == (Status.RUNNING, {"loss": 0.25})
    repo.git("fsck", "--strict")


def test_many_checkpoints_store_hardly_more_than_one(opened: Repository) -> None:
    spool, _ = begun(opened)
    for number in range(20):
        printed(spool, f"{'x' * 500} {number}\nstep={number} loss={1 / (number + 1)}\n")
        write_checkpoint(opened, spool)
    tip = opened.read_ref(REF)
    assert tip is not None
    pieces = [
        next(iter(opened.read_many([f"{tip}:.replicate/checkpoints/{number:04}.log"]))) for number in range(1, 21)
    ]
    assert max(len(piece or b"") for piece in pieces) < 600
    assert len(read_files(opened, tip).log or b"") == sum(len(piece or b"") for piece in pieces)


def test_a_long_log_is_cut_in_checkpoints_too(opened: Repository) -> None:
    spool, _ = begun(opened, log_bytes=1000)
    for _ in range(3):
        printed(spool, "a line of output\n" * 20_000)
        assert write_checkpoint(opened, spool)
    log = read_files(opened, opened.read_ref(REF) or Oid("")).log or b""
    assert len(log) < 310_000
    assert log.count(b"bytes of output were cut here") == 3


def test_a_checkpoint_covers_no_end_and_brings_no_removed_run_back(opened: Repository) -> None:
    spool, start = begun(opened)
    printed(spool, "loss: 1\n")
    write_checkpoint(opened, spool)
    end = finish(opened, ended(1, code=of_head(opened)), start, Parts(log=b"all of it\n"))
    assert write_checkpoint(opened, spool) is None
    assert opened.read_ref(REF) == end
    assert read_files(opened, end).log == b"all of it\n"
    assert [entry.name for entry in opened.read_tree(_folder(opened, end))] == [
        b".gitattributes", b"metrics.csv", b"output.log", b"run.toml",
    ]  # fmt: skip
    remove(opened, REF, actor=ADA)
    assert checkpoint(opened, running(1), start, Parts(), datetime.now(UTC)) is None
    assert opened.read_ref(REF) is None


def _folder(repo: Repository, commit: Oid) -> Oid:
    tree = repo.read_tree(repo.read_commit(commit).tree)
    return next(entry.oid for entry in tree if entry.name == b".replicate")


def test_of_a_run_whose_machine_is_gone_the_checkpoints_are_what_is_left(opened: Repository) -> None:
    spool, start = begun(opened)
    for text in ("step=1 loss=2\n", "step=2 loss=1\n"):
        printed(spool, text)
        write_checkpoint(opened, spool)
    spool.remove()
    last = read_run(opened, REF).record
    end = finish(opened, records.loads(records.dumps(last).replace(b'"running"', b'"lost"')), start, Parts())
    files = read_files(opened, end)
    assert files.log == b"step=1 loss=2\nstep=2 loss=1\n"
    assert [(p.step, p.value) for p in Curves.from_csv(files.metrics_csv or b"")] == [(1, 2), (2, 1)]
    assert (files.metrics_csv or b"").count(b"step,time") == 1
    assert read_run(opened, end).record.metrics == {"loss": 1}


def test_a_second_attempt_goes_on_after_the_first(opened: Repository) -> None:
    spool, start = begun(opened, attempt=2)
    finish(opened, ended(1, code=of_head(opened), status=Status.INTERRUPTED), start, Parts(log=b"one\n"))
    finish(opened, running(1, code=of_head(opened), attempts=2), start, Parts())
    spool.write("earlier.log", b"one\n")
    printed(spool, "two\n")
    commit = write_checkpoint(opened, spool)
    assert commit is not None
    assert read_files(opened, commit).log == b"one\n[git replicate: attempt 2]\ntwo\n"


def test_intervals_grow_to_an_hour_and_with_the_cost(opened: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    spool, _ = begun(opened)
    started: list[float] = []
    clock, lasts = 0.0, 0.0

    class Child:
        def __init__(self) -> None:
            self.until = clock + lasts

        def poll(self) -> int | None:
            return 0 if clock >= self.until else None

    def start(self: Checkpoints) -> Child:
        started.append(clock)
        return Child()

    monkeypatch.setattr(Checkpoints, "_start", start)
    every = Checkpoints(opened.layout.common_dir, spool)
    while clock < 4 * 3600:
        clock += 1
        every.look(clock)
    gaps = [round((after - before) / 60) for before, after in zip([0.0, *started], started, strict=False)]
    assert gaps == [1, 2, 4, 8, 16, 32, 60, 60]
    lasts = 200.0
    while clock < 12 * 3600:
        clock += 1
        every.look(clock)
    assert min(after - before for before, after in pairwise(started[8:])) > 10_000


_FAST = """
import sys
from git_replicate.execution import checkpoints
checkpoints.FIRST_SECONDS, checkpoints._COST = 0.02, 0
from git_replicate.cli import main
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.slow
def test_another_clone_sees_how_a_live_run_goes_on(repo: GitRepo, tmp_path: Path) -> None:
    """The command waits, in the middle, until a checkpoint of its first half is there and was shared."""
    _, (first, second) = make_clones(repo, "first", "second")
    script = 'echo "step=1 loss=0.5"; while [ ! -e go ]; do sleep 0.02; done; echo "step=2 loss=0.25"'
    first.git.write(".gitignore", "go\n")
    recorder = subprocess.Popen(
        [sys.executable, "-c", _FAST, "start", "-q", "-e", "digits", "--", "sh", "-c", script], cwd=first.git.top,
        env={**os.environ, "PYTHONPATH": str(CHECKOUT)}, stdout=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        deadline = datetime.now(UTC).timestamp() + 60
        while "running, loss 0.5" not in first.git.git("for-each-ref", "--format=%(subject)", "refs/experiments"):
            assert datetime.now(UTC).timestamp() < deadline
            assert recorder.poll() is None
        assert first.push().runs == 1
        (name,) = second.fetch().new
        done = replicate("status", "--format", "json", cwd=second.git.top)
        (facts,) = json.loads(done.stdout)
        assert (facts["run"], facts["last_line"], facts["metrics"]) == (name, "step=1 loss=0.5", {"loss": 0.5})
        assert facts["state"].startswith("running on ")
        shown = replicate("status", cwd=second.git.top)
        assert shown.stdout.splitlines()[1:] == ["    loss 0.5", "    step=1 loss=0.5"]
        assert shown.stderr == "hint: to see how runs of other clones go on: git replicate fetch\n"
        (here,) = json.loads(replicate("status", "--format", "json", cwd=first.git.top).stdout)
        assert (here["state"], here["metrics"]) == ("running", {"loss": 0.5})
    finally:
        (first.git.top / "go").touch()
    assert recorder.wait(60) == 0
    first.push()
    assert second.fetch().moved == [name]
    record = read_run(second.repo, f"refs/experiments/{name}").record
    assert (record.status, record.metrics) == (Status.FINISHED, {"loss": 0.25})
    log = second.git.git("show", f"refs/experiments/{name}:.replicate/output.log")
    assert log == "step=1 loss=0.5\nstep=2 loss=0.25"
    assert replicate("status", cwd=second.git.top).stderr == "no live runs\n"
    assert first.git.git("fsck", "--strict", "--no-dangling") == ""
