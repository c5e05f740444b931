"""Batch jobs: one recorder for all ranks, and runs that go on when their job is started again."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import tomli

from git_replicate.execution.jobs import JobRun, announce, earlier_run, find_run, identify, wait_for_run
from tests.support import PROGRAM, GitRepo, replicate

JOB = {"SLURM_JOB_ID": "7", "SLURM_CLUSTER_NAME": "c"}
SAY = "echo run=$GIT_REPLICATE_RUN seed=$GIT_REPLICATE_SEED"


def runs(repo: GitRepo) -> list[str]:
    """The runs' refs, in the order in which they started."""
    refs = repo.git("for-each-ref", "--format=%(refname)", "refs/experiments/").split()
    return sorted(refs, key=lambda ref: record(repo, ref)["started"])


def record(repo: GitRepo, ref: str) -> dict[str, Any]:
    return tomli.loads(repo.git("show", f"{ref}:.replicate/run.toml"))


def start(repo: GitRepo, *words: str, **variables: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, str(PROGRAM), "start", *words], cwd=repo.top, env={**os.environ, **variables},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def wait_for(condition: Callable[[], Any], what: str, seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"waited in vain for {what}"
        time.sleep(0.01)


def test_all_ranks_of_a_job_are_one_run(repo: GitRepo) -> None:
    upper = [start(repo, "sh", "-c", SAY, **JOB, SLURM_PROCID=str(rank)) for rank in (1, 2, 3)]
    first = start(repo, "sh", "-c", SAY, **JOB, SLURM_PROCID="0")
    said = {process.communicate(timeout=60)[0] for process in (first, *upper)}
    (ref,) = runs(repo)
    seed = record(repo, ref)["seeds"]["run"]
    assert said == {f"run={ref.removeprefix('refs/experiments/')} seed={seed}\n"}
    assert [process.returncode for process in upper] == [0, 0, 0]


def test_a_ranks_command_gets_what_rank_0_was_asked_for(repo: GitRepo) -> None:
    words = ["-q", "--seed", "5", "-p", "lr=0.1", "--", "sh", "-c", 'echo "$@"; cat $3', "sh", "{lr}", "{seed}"]
    words += ["{params_file}"]
    first = replicate("start", *words, cwd=repo.top, variables=JOB)
    second = replicate("start", *words, cwd=repo.top, variables={**JOB, "SLURM_PROCID": "1"})
    assert first.stdout.splitlines()[0].startswith("0.1 5 /")
    assert second.stdout.splitlines()[0].startswith("0.1 5 /")
    for done in (first, second):
        assert json.loads(done.stdout.partition("\n")[2]) == {"lr": 0.1}


def test_two_starts_of_a_command_in_one_job_are_two_runs_for_every_rank(repo: GitRepo) -> None:
    for _ in range(2):
        replicate("start", "-q", "sh", "-c", SAY, cwd=repo.top, variables={**JOB, "SLURM_PROCID": "0"})
    found = [
        replicate("start", "sh", "-c", SAY, cwd=repo.top, variables={**JOB, "SLURM_PROCID": "1"}).stdout
        for _ in range(2)
    ]
    names = sorted(ref.removeprefix("refs/experiments/") for ref in runs(repo))
    assert sorted(line.split()[0] for line in found) == [f"run={name}" for name in names]
    assert len(names) == 2


def test_a_rank_whose_run_does_not_appear_is_added_to_it_by_recover(repo: GitRepo) -> None:
    alone = {**JOB, "SLURM_PROCID": "1", "GIT_REPLICATE_RANK_WAIT": "0.1"}
    command = ["--", "sh", "-c", "echo from $SLURM_PROCID; exit 3"]
    upper = replicate("start", *command, cwd=repo.top, variables=alone)
    assert (upper.returncode, upper.stdout) == (3, "from 1\n")
    assert "git replicate recover" in upper.stderr
    assert "rank 0 has recorded no run" in replicate("recover", cwd=repo.top).stdout
    replicate("start", *command, cwd=repo.top, variables={**JOB, "SLURM_PROCID": "0"})
    (ref,) = runs(repo)
    before = record(repo, ref)
    said = replicate("recover", cwd=repo.top).stdout
    assert said == f"rank 1 of job 7  added to {ref.removeprefix('refs/experiments/')}\n"
    assert record(repo, ref) == before
    assert repo.git("show", f"{ref}:.replicate/ranks/1/output.log") == "from 1"
    table = tomli.loads(repo.git("show", f"{ref}:.replicate/ranks/1/rank.toml"))
    assert (table["rank"], table["exit_code"]) == (1, 3)
    assert list((repo.top / ".git" / "replicate" / "spool").iterdir()) == []


def test_a_rank_outside_any_job_waits_for_nobody(repo: GitRepo, tmp_path: Path) -> None:
    variables = {"RANK": "1", "WORLD_SIZE": "2", "GIT_REPLICATE_RANK_WAIT": "1000"}
    assert replicate("start", "sh", "-c", "exit 4", cwd=tmp_path, variables=variables).returncode == 4


def test_a_nested_start_uses_the_configured_command_and_fills_it(repo: GitRepo) -> None:
    repo.write("replicate.toml", 'command = ["echo", "{lr}", "{seed}"]\n')
    inner = f"{sys.executable} {PROGRAM} start -p lr=3"
    done = replicate("start", "-q", "--seed", "9", "--", "sh", "-c", inner, cwd=repo.top)
    assert done.stdout == "3 9\n"
    assert len(runs(repo)) == 1


def at(folder: Path, environ: Mapping[str, str], *command: str) -> Any:
    found = identify(str(folder), environ, command)
    assert found is not None
    return found


def test_what_an_earlier_job_of_the_same_number_left_is_not_joined(tmp_path: Path) -> None:
    first = at(tmp_path, JOB, "train")
    announce(first, JobRun("a/1", first.attempt, time.time() - 7200))
    other = at(tmp_path, {**JOB, "SLURM_PROCID": "1", "GIT_REPLICATE_RANK_WAIT": "0"}, "train")
    assert other.key == first.key
    assert wait_for_run(other, {"GIT_REPLICATE_RANK_WAIT": "0"}) is None
    announce(first, JobRun("a/1", first.attempt, time.time() - 90 * 86400))
    assert find_run(first.folder, first.key) is None
    announce(first, JobRun("a/1", first.attempt, time.time()))
    assert wait_for_run(other, {}) is not None


def test_what_makes_starts_the_same(tmp_path: Path) -> None:
    first = at(tmp_path, JOB, "train")
    assert at(tmp_path, {**JOB, "SLURM_PROCID": "2"}, "train").key == first.key
    assert at(tmp_path, {**JOB, "SLURM_RESTART_COUNT": "1"}, "train").key == first.key
    others = [
        at(tmp_path, JOB, "train"),
        at(tmp_path, JOB, "train", "-x"),
        at(tmp_path, {**JOB, "SLURM_STEP_ID": "1"}, "train"),
        at(tmp_path, {**JOB, "SLURM_ARRAY_TASK_ID": "1"}, "train"),
        at(tmp_path, {**JOB, "SLURM_JOB_ID": "8"}, "train"),
        at(tmp_path, {"PMIX_NAMESPACE": "prte-1"}, "train"),
    ]
    assert len({first.key, *(other.key for other in others)}) == 7
    assert identify(str(tmp_path), {}, ["train"]) is None


def test_only_a_restarted_job_has_an_earlier_run(tmp_path: Path) -> None:
    first = at(tmp_path, JOB, "train")
    announce(first, JobRun("a/1", first.attempt, time.time()))
    again = {**JOB, "SLURM_RESTART_COUNT": "1"}
    assert earlier_run(at(tmp_path, {**JOB, "SLURM_JOB_START_TIME": "5"}, "train"), JOB) is None
    assert earlier_run(at(tmp_path, again, "train"), again) == find_run(first.folder, first.key)
    assert earlier_run(at(tmp_path, again, "train"), again) is None


STEPS = """
i=$(cat step 2>/dev/null || echo 0)
while [ $i -lt 4 ]; do
  echo "step=$i loss=$((10 - i))"; i=$((i + 1)); echo $i > step
  if [ $i = ${STOP:-none} ]; then kill -${SIGNAL:-TERM} $$ $PPID; sleep 60; fi
done
"""


@pytest.fixture
def job(repo: GitRepo) -> GitRepo:
    repo.write("steps.sh", STEPS)
    repo.commit()
    return repo


def attempt(repo: GitRepo, number: int, *options: str, **variables: str) -> subprocess.CompletedProcess[str]:
    restart = {"SLURM_RESTART_COUNT": str(number)} if number else {}
    return replicate("start", *options, "--", "sh", "steps.sh", cwd=repo.top, variables={**JOB, **restart, **variables})


def test_a_restarted_job_goes_on_with_its_run(job: GitRepo) -> None:
    first = attempt(job, 0, "-m", "long", STOP="2")
    (ref,) = runs(job)
    before, tip = record(job, ref), job.git("rev-parse", ref)
    assert (before["status"], before["metrics"]) == ("interrupted", {"loss": 9})
    second = attempt(job, 1)
    assert (first.returncode, second.returncode) == (143, 0)
    assert runs(job) == [ref]
    found = record(job, ref)
    assert (found["status"], found["attempts"], found["message"]) == ("finished", 2, "long")
    assert found["seeds"] == before["seeds"]
    assert found["started"] == before["started"]
    assert found["scheduler"]["restart"] == 1
    assert found["seconds"] > before["seconds"]
    assert "reason" not in found
    assert "signal" not in found
    log = job.git("show", f"{ref}:.replicate/output.log").splitlines()
    assert log == ["step=0 loss=10", "step=1 loss=9", "[git replicate: attempt 2]", "step=2 loss=8", "step=3 loss=7"]
    points = [line.split(",") for line in job.git("show", f"{ref}:.replicate/metrics.csv").splitlines()[1:]]
    assert [(step, value) for step, _, _, value in points] == [("0", "10"), ("1", "9"), ("2", "8"), ("3", "7")]
    assert [float(time) for _, time, _, _ in points] == sorted(float(time) for _, time, _, _ in points)
    assert found["metrics_best"]["loss"] == {"min": 7, "min_step": 3, "max": 10, "max_step": 0}
    job.git("merge-base", "--is-ancestor", tip, ref)
    job.git("fsck", "--strict")


def test_a_third_attempt_keeps_what_both_before_it_printed(job: GitRepo) -> None:
    for number, stop in enumerate(("1", "3", "none")):
        attempt(job, number, STOP=stop)
    (ref,) = runs(job)
    assert record(job, ref)["attempts"] == 3
    assert record(job, ref)["metrics"] == {"loss": 7}
    log = job.git("show", f"{ref}:.replicate/output.log")
    assert [line for line in log.splitlines() if line.startswith("step")] == [
        "step=0 loss=10", "step=1 loss=9", "step=2 loss=8", "step=3 loss=7",
    ]  # fmt: skip


def test_an_attempt_that_was_killed_with_its_recorder_is_stored_first(job: GitRepo) -> None:
    spools = job.top / ".git" / "replicate" / "spool"
    process = start(job, "--", "sh", "steps.sh", **JOB, STOP="2", SIGNAL="STOP")
    wait_for(lambda: any("step=1" in path.read_text() for path in spools.glob("*/stdout")), "the second step")
    (spool,) = spools.iterdir()
    wait_for(lambda: '"command"' in (spool / "process.json").read_text(), "the processes' names")
    pids = [entry["pid"] for entry in json.loads((spool / "process.json").read_text()).values() if "pid" in entry]
    os.killpg(pids[2], signal.SIGKILL)
    for pid in pids[:2]:
        os.kill(pid, signal.SIGKILL)
    process.communicate(timeout=30)
    (spool / "exit.json").unlink(missing_ok=True)
    done = attempt(job, 1)
    (ref,) = runs(job)
    found = record(job, ref)
    assert done.returncode == 0
    assert (found["status"], found["attempts"], found["metrics"]) == ("finished", 2, {"loss": 7})
    assert job.git("show", f"{ref}:.replicate/output.log").splitlines()[0] == "step=0 loss=10"
    statuses = [tomli.loads(job.git("show", f"{c}:.replicate/run.toml"))["status"] for c in history(job, ref)]
    assert statuses == ["finished", "running", "lost", "running"]
    assert list(spools.iterdir()) == []


def history(repo: GitRepo, ref: str) -> list[str]:
    """The run's commits, newest first."""
    return repo.git("rev-list", "--first-parent", ref, f"^{record(repo, ref)['code']['snapshot']}").split()


@pytest.mark.slow
def test_a_finished_run_a_wish_and_a_job_that_was_not_restarted_begin_new_runs(job: GitRepo) -> None:
    attempt(job, 0)
    attempt(job, 1, STOP="none")
    assert len(runs(job)) == 2
    (job.top / "step").unlink()
    attempt(job, 0, SLURM_JOB_ID="8", STOP="2")
    attempt(job, 1, "--new-run", SLURM_JOB_ID="8", STOP="3")
    assert len(runs(job)) == 4
    attempt(job, 0, SLURM_JOB_ID="8")
    assert [record(job, ref).get("attempts", 1) for ref in runs(job)] == [1] * 5


def test_code_that_changed_since_is_another_run(job: GitRepo) -> None:
    attempt(job, 0, STOP="2")
    (ref,) = runs(job)
    job.write("steps.sh", STEPS + "echo more\n")
    done = attempt(job, 1)
    assert f"run {ref.removeprefix('refs/experiments/')} of this job's earlier attempt is not continued" in done.stderr
    assert "(steps.sh)" in done.stderr
    assert [record(job, each)["status"] for each in runs(job)] == ["interrupted", "finished"]
    assert "step=1" not in job.git("show", f"{runs(job)[1]}:.replicate/output.log")


@pytest.mark.slow
def test_a_script_with_two_starts_goes_on_with_the_second(job: GitRepo) -> None:
    attempt(job, 0)
    (job.top / "step").unlink()
    attempt(job, 0, STOP="2")
    assert [record(job, ref)["status"] for ref in runs(job)] == ["finished", "interrupted"]
    kept = (job.top / "step").read_text()
    (job.top / "step").unlink()
    attempt(job, 1)
    (job.top / "step").write_text(kept)
    attempt(job, 1)
    found = [(record(job, ref)["status"], record(job, ref).get("attempts", 1)) for ref in runs(job)]
    assert found == [("finished", 1), ("finished", 2), ("finished", 1)]
