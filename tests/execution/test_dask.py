"""Sweeps on a real Dask cluster of several worker processes, with the repository in sight and without."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import tomli

from git_replicate.core.settings import SubmitSettings
from git_replicate.execution.sweeping.dask_engine import JOBQUEUE, jobqueue_cluster
from tests import dask_cluster
from tests.dask_cluster import Dask
from tests.slurm import wait_for
from tests.support import PROGRAM, GitRepo, replicate

pytestmark = pytest.mark.slow

TRAIN = "import os, sys\nprint('y:', 2 * int(sys.argv[1]))\nopen('out.txt', 'w').write(sys.argv[1])\n"
WAITS = """
import os, sys, time
first = not os.path.exists(os.environ["STARTED"])
open(os.environ["STARTED"], "w").close()
print("epoch=0 loss=1.0", flush=True)
while first and not os.path.exists(os.environ["GO"]):
    time.sleep(0.02)
print("epoch=1 loss=0.5", flush=True)
"""


@pytest.fixture
def dask(_no_real_home: Path) -> Iterator[Dask]:
    if reason := dask_cluster.why_not():
        pytest.skip(reason)
    with dask_cluster.scheduler() as here:
        yield here


def records(repo: GitRepo) -> list[dict[str, Any]]:
    refs = repo.git("for-each-ref", "--format=%(refname)", "refs/experiments").split()
    return [tomli.loads(repo.git("show", f"{ref}:.replicate/run.toml")) for ref in refs]


def sweep_words(dask: Dask, values: str) -> list[str]:
    return ["sweep", "--engine", dask.address.replace("tcp", "dask"), "-p", f"x={values}", "--", sys.executable]


def test_a_sweep_runs_on_all_workers(repo: GitRepo, dask: Dask) -> None:
    dask.start_worker()
    dask.start_worker()
    repo.write("train.py", TRAIN)
    done = replicate(*sweep_words(dask, "1..6"), "train.py", "{x}", cwd=repo.top)
    assert done.returncode == 0, done.stderr
    found = records(repo)
    assert sorted((item["params"]["x"], item["metrics"]["y"]) for item in found) == [(n, 2 * n) for n in range(1, 7)]
    assert {item["status"] for item in found} == {"finished"}
    assert len({item["process"]["pid"] for item in found}) == 2
    assert replicate("status", cwd=repo.top).stdout == ""
    again = replicate(
        "sweep", "--resume", done.stdout.strip(), "--engine", dask.address.replace("tcp", "dask"), cwd=repo.top
    )
    assert (again.returncode, len(records(repo))) == (0, 6)


def test_workers_without_the_repository_have_clones_of_their_own(repo: GitRepo, dask: Dask) -> None:
    if reason := dask_cluster.why_not_hidden():
        pytest.skip(reason)
    dask.start_worker(hidden=repo.top)
    dask.start_worker(hidden=repo.top)
    repo.write("train.py", TRAIN)
    words = sweep_words(dask, "1..6")
    done = replicate(*words[:1], "--output", "out.txt", *words[1:], "train.py", "{x}", cwd=repo.top)
    assert done.returncode == 0, done.stderr
    found = records(repo)
    assert sorted((item["params"]["x"], item["metrics"]["y"]) for item in found) == [(n, 2 * n) for n in range(1, 7)]
    assert len({item["process"]["pid"] for item in found}) == 2
    refs = repo.git("for-each-ref", "--format=%(refname)", "refs/experiments").split()
    assert sorted(repo.git("show", f"{ref}:.replicate/outputs/out.txt") for ref in refs) == list("123456")
    repo.git("fsck", "--strict", "--no-dangling")


def test_workers_without_the_repository_may_use_a_remote(repo: GitRepo, dask: Dask, tmp_path: Path) -> None:
    if reason := dask_cluster.why_not_hidden():
        pytest.skip(reason)
    subprocess.run(["git", "init", "-q", "--bare", str(tmp_path / "bare.git")], check=True)
    repo.git("remote", "add", "lab", str(tmp_path / "bare.git"))
    dask.start_worker(hidden=repo.top)
    repo.write("train.py", TRAIN)
    words = [*sweep_words(dask, "1,2"), "train.py", "{x}"]
    refused = replicate(*words[:1], "--via", "lab", *words[1:], cwd=repo.top)
    assert refused.stderr.splitlines() == [
        "git replicate: nobody has agreed to publish runs to lab yet", "hint: git replicate push lab",
    ]  # fmt: skip
    replicate("start", "--", sys.executable, "train.py", "0", cwd=repo.top)
    assert replicate("push", "lab", "--yes", cwd=repo.top).returncode == 0
    done = replicate(*words[:1], "--via", "lab", *words[1:], cwd=repo.top)
    assert done.returncode == 0, done.stderr
    listed = GitRepo(tmp_path / "bare.git").git("for-each-ref", "--format=%(objectname)", "refs/experiments")
    assert len(listed.split()) == 3
    assert listed == repo.git("for-each-ref", "--format=%(objectname)", "refs/experiments")


@pytest.mark.parametrize("node", ["survives", "dies"])
def test_a_worker_that_is_killed_costs_no_run(repo: GitRepo, dask: Dask, tmp_path: Path, node: str) -> None:
    repo.write("train.py", WAITS)
    files = {"STARTED": str(tmp_path / "started"), "GO": str(tmp_path / "go")}
    os.environ.update(files)
    worker = dask.start_worker()
    sweep = subprocess.Popen(
        [sys.executable, str(PROGRAM), *sweep_words(dask, "1"), "train.py", "{x}"], cwd=repo.top,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    wait_for((tmp_path / "started").exists, "the run")
    worker.kill()
    if node == "dies":
        (file,) = (repo.top / ".git/replicate/spool").rglob("process.json")
        processes = json.loads(file.read_text())
        for role in ("recorder", "holder", "command"):
            os.kill(processes[role]["pid"], signal.SIGKILL)
    else:
        (tmp_path / "go").touch()
    dask.start_worker()
    _, err = sweep.communicate(timeout=90)
    assert sweep.returncode == 0, err
    (found,) = records(repo)
    assert (found["status"], found["metrics"]) == ("finished", {"loss": 0.5})
    assert found.get("attempts", 1) == (2 if node == "dies" else 1)


def test_a_scheduler_that_is_not_there_is_said_and_nothing_is_queued(repo: GitRepo, dask: Dask) -> None:
    done = replicate("sweep", "--engine", "dask:none.json", "--seeds", "2", "--", "sh", cwd=repo.top)
    assert done.returncode == 1
    assert done.stderr.startswith("git replicate: --engine dask:none.json: there is no such file\n")
    assert records(repo) == []


def test_without_dask_the_extra_is_named(repo: GitRepo, tmp_path: Path) -> None:
    (tmp_path / "distributed.py").write_text("raise ImportError('not here')\n")
    words = ["sweep", "--engine", "dask://127.0.0.1:1", "--seeds", "2", "--", "sh"]
    done = replicate(*words, cwd=repo.top, variables={"PYTHONPATH": str(tmp_path)})
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == f"hint: {sys.executable} -m pip install distributed dask-jobqueue"


def test_an_engine_that_nobody_knows_is_refused(repo: GitRepo) -> None:
    done = replicate("sweep", "--engine", "spark", "--seeds", "2", "--", "sh", cwd=repo.top)
    assert done.returncode == 2
    assert "there is no engine 'spark'" in done.stderr


def test_workers_of_every_scheduler_can_be_described(tmp_path: Path) -> None:
    pytest.importorskip("dask_jobqueue", reason="no dask-jobqueue here: pip install dask-jobqueue")
    settings = SubmitSettings(options=("--mine=1",), setup=("module load mine",))
    for name in JOBQUEUE:
        cluster = jobqueue_cluster(name, settings, str(tmp_path / "log folder"), [])
        try:
            script = cluster.job_script()
        finally:
            cluster.close()
        assert "dask_worker" in script, name
        if name == "slurm":
            lines = script.splitlines()
            assert [line for line in lines if line.startswith("#SBATCH")] == [
                "#SBATCH -J dask-worker", "#SBATCH -n 1", "#SBATCH --cpus-per-task=1",
                f"#SBATCH --output='{tmp_path}/log folder/worker-%j.log'", "#SBATCH --mine=1",
            ]  # fmt: skip
            assert "module load mine" in lines
        else:
            assert "mine" in script.replace("module load mine", ""), name
