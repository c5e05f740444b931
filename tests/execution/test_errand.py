"""A sweep's runs by any executor: in the same repository, and in one that is filled from what is carried."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from git_replicate.capture.config import load_settings
from git_replicate.core.space import parse_space
from git_replicate.core.sweep import Options, Planned, Sweep
from git_replicate.execution.place import Place
from git_replicate.execution.recover import recover_runs
from git_replicate.execution.replication.rerun import frozen_code
from git_replicate.execution.sweeping import errand
from git_replicate.execution.sweeping.errand import Answer, Errand, do_errand
from git_replicate.execution.sweeping.remote import RemoteEngine, Via
from git_replicate.execution.sweeping.sweep import Job, Listed, carry_out
from git_replicate.execution.sweeping.trial import Ended, run_trial
from git_replicate.git.config import read_config
from git_replicate.git.opening import open_repository
from git_replicate.git.remotes import Remote
from git_replicate.git.transport import Transport
from git_replicate.store.indexing.index import Index
from git_replicate.store.sharing.remote import names_below
from git_replicate.store.store import Parts, finish, read_run
from git_replicate.store.trash import remove
from tests.support import GitRepo


class Watcher:
    def __init__(self) -> None:
        self.found: list[Ended] = []

    def begun(self, planned: Planned) -> None: ...
    def ended(self, planned: Planned, ended: Ended) -> None:
        self.found.append(ended)

    def stopping(self, why: str, left: int) -> None: ...
    def tick(self) -> None: ...


class Direct(Executor):
    """Does each errand in this process, changed on its way there by a function."""

    def __init__(self, change: Callable[[Errand], Errand] = lambda errand: errand) -> None:
        self._change = change
        self._pool = ThreadPoolExecutor(1)
        self.sent: list[Errand] = []

    def submit(self, function: Callable[..., Any], /, *arguments: Any, **keywords: Any) -> Future[Any]:
        self.sent.append(arguments[0])
        return self._pool.submit(errand.carry, self._change(arguments[0]))


def elsewhere(errand: Errand) -> Errand:
    """As on a machine on which the repository is not."""
    return replace(errand, top="/nowhere/at/all")


def of_no_run(errand: Errand) -> Errand:
    return replace(errand, asked=replace(errand.asked, run="t/20260102-030405-00000000"))


@pytest.fixture(autouse=True)
def _no_worker_stays() -> Iterator[None]:
    yield
    while errand._engines:
        errand._engines.pop().shutdown()


def make_place(repo: GitRepo) -> tuple[Place, list[str]]:
    warned: list[str] = []
    repository = open_repository(str(repo.top))
    config = read_config(repository.layout)
    settings = load_settings(repository.layout, config)
    return Place(repository, config, settings, lambda line: None, warned.append), warned


def sweep(
    repo: GitRepo,
    executor: Executor,
    values: str = "1,2",
    outputs: tuple[str, ...] = (),
    slots: int = 2,
    remote: Path | None = None,
) -> list[Ended]:
    place, _ = make_place(repo)
    command = (sys.executable, "train.py", "{x}")
    options = Options(outputs=outputs)
    job = Job(
        Sweep("20260102-030405-00000000", command, parse_space([f"x={values}"]), options=options),
        frozen_code(place), str(repo.top),
    )  # fmt: skip
    via = None
    if remote is not None:
        other = Remote(str(remote), (str(remote),))
        via = Via(Transport(place.repository.layout, other, interactive=False), names_below(""))
    engine = RemoteEngine(place, executor, lambda: slots, lambda number: 0, via=via)
    watcher = Watcher()
    try:
        carry_out(job, Listed(job.sweep.plan()), engine, watcher)
    finally:
        engine.close()
    return watcher.found


def refs(repo: GitRepo) -> list[str]:
    return repo.git("for-each-ref", "--format=%(refname)", "refs/experiments").split()


@pytest.mark.parametrize("change", [lambda errand: errand, elsewhere], ids=["here", "elsewhere"])
def test_every_run_comes_back_whole(repo: GitRepo, change: Callable[[Errand], Errand]) -> None:
    body = "open('out.txt', 'w').write(sys.argv[1])\nprint('y:', helper.f(sys.argv[1]))\n"
    repo.write("train.py", f"import sys, helper\n{body}")
    repo.write("helper.py", "def f(x):\n    return 2 * int(x)\n")
    executor = Direct(change)
    found = sweep(repo, executor, outputs=("out.txt",), slots=1)
    assert [ended.problem for ended in found] == ["", ""]
    place, _ = make_place(repo)
    records = [read_run(place.repository, ref).record for ref in refs(repo)]
    assert sorted((record.params["x"], record.metrics["y"]) for record in records) == [(1, 2), (2, 4)]
    assert {str(record.status) for record in records} == {"finished"}
    for ref in refs(repo):
        assert repo.git("show", f"{ref}:.replicate/outputs/out.txt") in ("1", "2")
        assert (
            repo.git("diff", "--stat", read_run(place.repository, ref).record.code.snapshot, ref, "--", ":!.replicate")
            == ""
        )
    repo.git("fsck", "--strict", "--no-dangling")
    index = Index.open(place.repository)
    index.refresh()
    assert len(index.select("status = 'finished'")) == 2
    # The snapshot is sent once.
    packs = [bool(errand.pack) for errand in executor.sent]
    assert packs.count(True) == (1 if change is elsewhere else 0)


@pytest.fixture
def bare(tmp_path: Path) -> GitRepo:
    subprocess.run(["git", "init", "-q", "--bare", str(tmp_path / "bare.git")], check=True)
    return GitRepo(tmp_path / "bare.git")


@pytest.mark.slow
def test_runs_go_by_way_of_a_remote_and_are_there_as_well(repo: GitRepo, bare: GitRepo) -> None:
    repo.write("train.py", "import sys\nprint('y:', 2 * int(sys.argv[1]))\n")
    executor = Direct(elsewhere)
    found = sweep(repo, executor, remote=bare.top)
    assert [ended.warnings for ended in found] == [(), ()]
    assert [errand.pack for errand in executor.sent] == [b"", b""]
    place, _ = make_place(repo)
    assert sorted(read_run(place.repository, ref).record.metrics["y"] for ref in refs(repo)) == [2, 4]
    shown = ["for-each-ref", "--format=%(refname) %(objectname)", "refs/experiments"]
    assert bare.git(*shown) == repo.git(*shown)


def test_a_remote_that_takes_no_more_loses_no_run(repo: GitRepo, bare: GitRepo) -> None:
    repo.write("train.py", "print('y: 1')\n")
    hook = bare.write("hooks/pre-receive", "#!/bin/sh\nread old new ref\ncase $old in *[1-9]*) exit 1;; esac\n")
    hook.chmod(0o755)
    (ended,) = sweep(repo, Direct(elsewhere), values="1", remote=bare.top)
    assert "for the remote did not take it: pre-receive hook declined" in ended.warnings[0]
    place, _ = make_place(repo)
    assert str(read_run(place.repository, refs(repo)[0]).record.status) == "finished"


def test_big_outputs_are_carried_back(repo: GitRepo) -> None:
    repo.write("replicate.toml", "[outputs]\nlarge_bytes = 1000\n")
    repo.write("train.py", "open('model.bin', 'wb').write(b'm' * 5000)\n")
    (ended,) = sweep(repo, Direct(elsewhere), values="1", outputs=("model.bin",))
    assert ended.record is not None
    output = ended.record.outputs["model.bin"]
    digest = output.hash.removeprefix("sha256:")
    assert (output.kept, output.bytes) == ("store", 5000)
    (kept,) = (repo.top / ".git" / "lfs" / "objects").rglob(digest)
    assert kept.read_bytes() == b"m" * 5000


def test_what_is_missing_on_a_worker_is_said_with_the_workers_name(repo: GitRepo) -> None:
    repo.write(".gitignore", "data.txt\n")
    repo.write("data.txt", "1\n")
    repo.write("replicate.toml", '[data]\npaths = ["data.txt"]\n')
    place, _ = make_place(repo)
    with pytest.raises(Exception, match=r"data\.txt.*on " + os.uname().nodename):
        sweep(repo, Direct(elsewhere), values="1")
    assert [str(read_run(place.repository, ref).record.status) for ref in refs(repo)] == ["queued"]


@pytest.mark.slow
def test_an_errand_done_twice_is_one_run(repo: GitRepo, monkeypatch: pytest.MonkeyPatch) -> None:
    repo.write("train.py", "print('y: 1')\n")
    executor = Direct()
    (first,) = sweep(repo, executor, values="1")
    again: Answer = do_errand(replace(executor.sent[0], token=str(repo.top / "README")))
    assert first.record is not None
    assert again.ended.record is not None
    assert again.ended.record.id == first.record.id
    assert len(refs(repo)) == 1


@pytest.mark.slow
def test_a_copy_of_the_repository_under_the_same_path_is_not_taken_for_it(repo: GitRepo) -> None:
    """A worker's own clone may have fetched the run: what happened there would never come here."""
    executor = Direct(lambda errand: replace(errand, token=f"{errand.token}-of-another"))
    (ended,) = sweep(repo, executor, values="1")
    assert ended.record is not None
    assert [bool(errand.pack) for errand in executor.sent] == [False, True]
    place, _ = make_place(repo)
    assert str(read_run(place.repository, refs(repo)[0]).record.status) == "finished"


def test_a_run_whose_driver_has_gone_is_ended_by_recover(repo: GitRepo) -> None:
    place, _ = make_place(repo)
    with pytest.raises(Exception, match="was removed"):
        sweep(repo, Direct(of_no_run), values="1")
    (ref,) = refs(repo)
    found = read_run(place.repository, ref)

    def recovered() -> list[str]:
        return [item.outcome for item in recover_runs(place.repository) if found.record.id in item.name]

    assert recovered() == []
    gone = replace(found.record, process=replace(found.record.process, pid=2**22 + 1))
    finish(place.repository, gone, found.commit, Parts())
    assert recovered() == ["recorded as lost"]
    assert read_run(place.repository, ref).record.reason == "whoever queued it has gone"


def test_an_engine_that_gives_a_run_up_twice_fails_it(repo: GitRepo) -> None:
    class Gone(Executor):
        def submit(self, function: Callable[..., Any], /, *arguments: Any, **keywords: Any) -> Future[Any]:
            future: Future[Any] = Future()
            future.set_exception(RuntimeError("no worker is left"))
            return future

    with pytest.raises(Exception, match="the engine gave the run up: RuntimeError: no worker is left"):
        sweep(repo, Gone(), values="1")


def test_what_waits_for_a_worker_is_given_up_when_it_is_interrupted(repo: GitRepo) -> None:
    class Idle(Executor):
        def submit(self, function: Callable[..., Any], /, *arguments: Any, **keywords: Any) -> Future[Any]:
            return Future()

    place, _ = make_place(repo)
    command = (sys.executable, "train.py", "{x}")
    job = Job(Sweep("20260102-030405-00000000", command, parse_space(["x=1,2"])), frozen_code(place), str(repo.top))
    engine = RemoteEngine(place, Idle(), lambda: 1, lambda number: 0)
    first, second = (engine.submit(run_trial, job.task(planned)) for planned in job.sweep.plan())
    engine.interrupt(signal.SIGINT)
    for future in (first, second):
        assert "no worker had begun it when the sweep was interrupted" in future.result(30).problem
    engine.close()
    assert [str(read_run(place.repository, ref).record.status) for ref in refs(repo)] == ["queued", "queued"]


@pytest.mark.slow
def test_a_run_removed_while_it_was_elsewhere_stays_removed(repo: GitRepo) -> None:
    repo.write("train.py", "print('y: 1')\n")
    place, _ = make_place(repo)

    def removed(errand: Errand) -> Errand:
        ref = f"refs/experiments/{errand.asked.run}"
        if place.repository.read_ref(ref):
            remove(place.repository, ref, actor=("Ada", "ada@example.org"))
        return elsewhere(errand)

    with pytest.raises(Exception, match="is not stored"):
        sweep(repo, Direct(removed), values="1")
    assert refs(repo) == []


@pytest.mark.slow
def test_the_workers_own_repository_has_no_history_and_goes_when_it_ends(repo: GitRepo, tmp_path: Path) -> None:
    repo.write("big.txt", "x" * 100_000)
    repo.commit()
    (repo.top / "big.txt").unlink()
    repo.commit()
    executor = Direct(elsewhere)
    sweep(repo, executor, values="1")
    pack = max((errand.pack for errand in executor.sent), key=len)
    assert 0 < len(pack) < 5_000
    errand._engines.pop().shutdown()
    assert list(Path(os.environ["TMPDIR"]).glob("git-replicate-worker-*")) == []
