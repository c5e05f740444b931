"""Runs in the jobs of a real Slurm: queued, begun, requeued, cancelled, in arrays and in parallel."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import tomli

from tests import slurm
from tests.slurm import Slurm, wait_for
from tests.support import PROGRAM, GitRepo, replicate

pytestmark = pytest.mark.slow

PYTHON = sys.executable
WAITS = """
import os, signal, sys, time
print("epoch=0 loss=1.0", flush=True)
again = os.path.exists("checkpoint.txt")
open("checkpoint.txt", "a").write("x")
print("again" if again else "first", flush=True)
if not again:
    open(os.environ["STARTED"], "w").close()
    time.sleep(600)
print("epoch=1 loss=0.5", flush=True)
"""


@pytest.fixture(scope="module")
def cluster(_no_real_home: Path) -> Iterator[Slurm]:
    if reason := slurm.why_not():
        pytest.skip(reason)
    with slurm.single_machine() as here:
        yield here


@pytest.fixture
def queue(cluster: Slurm, template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[GitRepo]:
    """A repository whose path has a space, on the cluster's login node."""
    for name, value in cluster.variables.items():
        monkeypatch.setenv(name, value)
    top = tmp_path / "my repo"
    shutil.copytree(template, top, symlinks=True)
    monkeypatch.chdir(top)
    yield GitRepo(top)
    cluster.ask("scancel", "--user=root", check=False)


def submit(repo: GitRepo, *words: str, **variables: str) -> str:
    """Submit a run; its name."""
    done = replicate("start", "--submit", *words, cwd=repo.top, variables=variables)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def record(repo: GitRepo, name: str, at: str = "") -> dict[str, Any]:
    return tomli.loads(repo.git("show", f"refs/experiments/{name}{at}:.replicate/run.toml"))


def statuses(repo: GitRepo, name: str) -> list[str]:
    """What the commits of a run say, oldest first, each once."""
    snapshot = record(repo, name)["code"]["snapshot"]
    commits = repo.git("rev-list", "--reverse", f"{snapshot}..refs/experiments/{name}").split()
    found = [tomli.loads(repo.git("show", f"{commit}:.replicate/run.toml"))["status"] for commit in commits]
    return [status for n, status in enumerate(found) if n == 0 or found[n - 1] != status]


def job_of(repo: GitRepo, name: str) -> str:
    return str(record(repo, name)["scheduler"]["job"])


def wait_for_status(repo: GitRepo, name: str, *wanted: str) -> None:
    def look() -> str:
        status = str(record(repo, name)["status"])
        return status if status in wanted else ""

    wait_for(look, f"{name} to be {wanted}, not {record(repo, name)['status']}")


def log(repo: GitRepo, name: str) -> str:
    return repo.git("show", f"refs/experiments/{name}:.replicate/output.log")


def test_a_submitted_run_is_what_was_there_then(cluster: Slurm, queue: GitRepo) -> None:
    queue.write("sub/train.py", "import helper, sys\nprint('accuracy:', helper.VALUE + float(sys.argv[2]))\n")
    queue.write("sub/helper.py", "VALUE = 0.5\n")
    queue.write("replicate.toml", 'experiment = "digits"\n')
    words = ["--submit-option=--hold", "-p", "lr=0.25", "--tag", "mine", "--", PYTHON, "train.py", "--lr", "{lr}"]
    done = replicate("start", "--submit", *words, cwd=queue.top / "sub")
    assert done.returncode == 0, done.stderr
    name = done.stdout.strip()
    assert done.stderr == f"queued as slurm job {job_of(queue, name)}\n"
    assert record(queue, name)["status"] == "queued"
    listed = replicate("status", cwd=queue.top).stdout
    assert listed.startswith(f"{name}  queued  ")
    assert f"slurm job {job_of(queue, name)} (JobHeldUser)" in listed
    # The worktree goes on: nothing of it is looked at again.
    shutil.rmtree(queue.top / "sub")
    queue.write("replicate.toml", "this is not TOML")
    queue.git("gc", "-q", "--prune=now")
    cluster.ask("scontrol", "release", job_of(queue, name))
    wait_for_status(queue, name, "finished")
    found = record(queue, name)
    assert (found["experiment"], found["metrics"], found["params"]) == ("digits", {"accuracy": 0.75}, {"lr": 0.25})
    assert found["directory"] == "sub"
    assert found["scheduler"]["cluster"] == "testing"
    assert "attempts" not in found
    assert statuses(queue, name) == ["queued", "running", "finished"]
    run, snapshot = f"refs/experiments/{name}", found["code"]["snapshot"]
    assert queue.git("diff", "--stat", snapshot, run, "--", ":!.replicate") == ""
    assert replicate("status", cwd=queue.top).stdout == ""
    queue.git("checkout", "-q", ".")
    (queue.top / "replicate.toml").unlink()
    assert "mine" in replicate("show", "latest", cwd=queue.top).stdout
    assert queue.git("worktree", "list").count("\n") == 0
    assert list((queue.top / ".git/replicate/worktrees").iterdir()) == []


def test_a_job_that_is_refused_leaves_no_run(queue: GitRepo) -> None:
    done = replicate("start", "--submit", "--submit-option=--partition=none", "--", PYTHON, "train.py", cwd=queue.top)
    assert done.returncode == 125
    assert "invalid partition" in done.stderr.lower()
    assert done.stdout == ""
    assert queue.git("for-each-ref", "refs/experiments") == ""
    assert list((queue.top / ".git/replicate/queue").iterdir()) == []


def test_a_job_cancelled_in_the_queue_is_ended_by_recover(cluster: Slurm, queue: GitRepo) -> None:
    name = submit(queue, "--submit-option=--hold", "--", PYTHON, "train.py")
    still = replicate("recover", cwd=queue.top)
    assert name not in still.stdout
    assert record(queue, name)["status"] == "queued"
    job = job_of(queue, name)
    cluster.ask("scancel", job)
    assert "hint: git replicate recover" in replicate("status", cwd=queue.top).stderr
    done = replicate("recover", cwd=queue.top)
    assert f"{name}  never began: slurm job {job} ended before the run began: CANCELLED\n" in done.stdout
    found = record(queue, name)
    assert (found["status"], found["reason"]) == (
        "interrupted", f"slurm job {job} ended before the run began: CANCELLED",
    )  # fmt: skip


def test_a_job_that_fails_before_the_run_is_lost_and_its_log_is_named(cluster: Slurm, queue: GitRepo) -> None:
    queue.write("replicate.toml", '[submit]\nsetup = ["echo no such module; exit 7"]\n')
    name = submit(queue, "--", PYTHON, "train.py")
    cluster.wait(job_of(queue, name))
    replicate("recover", cwd=queue.top)
    found = record(queue, name)
    assert found["status"] == "lost"
    printed = Path(found["reason"].rpartition("see ")[2])
    assert printed.read_text() == "no such module\n"


def test_a_requeued_job_goes_on_with_its_run(cluster: Slurm, queue: GitRepo, tmp_path: Path) -> None:
    queue.write("train.py", WAITS)
    started = tmp_path / "started"
    name = submit(queue, "--submit-option=--requeue", "--", PYTHON, "train.py", STARTED=str(started))
    job = job_of(queue, name)
    wait_for(started.exists, "the first attempt")
    cluster.ask("scontrol", "requeue", job)
    wait_for_status(queue, name, "interrupted")
    cluster.wait(job, "PENDING")
    assert name not in replicate("recover", cwd=queue.top).stdout
    cluster.start_again(job)
    wait_for_status(queue, name, "finished")
    found = record(queue, name)
    assert (found["attempts"], found["scheduler"]["restart"]) == (2, 1)
    assert log(queue, name).splitlines() == [
        "epoch=0 loss=1.0", "first", "[git replicate: attempt 2]", "epoch=0 loss=1.0", "again", "epoch=1 loss=0.5",
    ]  # fmt: skip
    curve = queue.git("show", f"refs/experiments/{name}:.replicate/metrics.csv").splitlines()[1:]
    assert [line.split(",")[0::3] for line in curve] == [["0", "1.0"], ["1", "0.5"]]
    assert statuses(queue, name) == ["queued", "running", "interrupted", "running", "finished"]
    cluster.wait(job)  # the record comes first, then what it does not hold is moved
    (kept,) = (queue.top / ".git/replicate/files").rglob("checkpoint.txt")
    assert kept.read_text() == "xx"


def test_a_killed_recorder_loses_nothing_when_the_job_is_requeued(
    cluster: Slurm, queue: GitRepo, tmp_path: Path
) -> None:
    queue.write("train.py", WAITS)
    started = tmp_path / "started"
    name = submit(queue, "--submit-option=--requeue", "--", PYTHON, "train.py", STARTED=str(started))
    job = job_of(queue, name)
    wait_for(started.exists, "the first attempt")
    (file,) = (queue.top / ".git/replicate/spool").rglob("process.json")
    processes = json.loads(file.read_text())
    for role in ("recorder", "holder", "command"):
        os.kill(processes[role]["pid"], signal.SIGKILL)
    cluster.wait(job)
    assert record(queue, name)["status"] == "running"
    cluster.ask("scontrol", "requeue", job)
    cluster.wait(job, "PENDING")
    cluster.start_again(job)
    wait_for_status(queue, name, "finished")
    assert record(queue, name)["attempts"] == 2
    assert log(queue, name).splitlines()[:2] == ["epoch=0 loss=1.0", "first"]
    assert "again" in log(queue, name)


def test_a_cancelled_running_job_is_recorded_before_it_is_killed(
    cluster: Slurm, queue: GitRepo, tmp_path: Path
) -> None:
    queue.write("train.py", WAITS)
    started = tmp_path / "started"
    name = submit(queue, "--", PYTHON, "train.py", STARTED=str(started))
    wait_for(started.exists, "the run")
    cluster.ask("scancel", job_of(queue, name))
    wait_for_status(queue, name, "interrupted", "lost", "failed")
    found = record(queue, name)
    assert (found["status"], found["signal"], found["metrics"]) == ("interrupted", "SIGTERM", {"loss": 1.0})


def test_all_tasks_of_srun_are_one_run(cluster: Slurm, queue: GitRepo) -> None:
    queue.write("train.py", "import os\nprint('rank', os.environ['SLURM_PROCID'], os.environ['GIT_REPLICATE_RUN'])\n")
    name = submit(queue, "--submit-option=--ntasks=3", "--", "srun", PYTHON, "train.py")
    wait_for_status(queue, name, "finished", "failed")
    assert sorted(log(queue, name).splitlines()) == [f"rank {n} {name}" for n in range(3)]
    # The other way round: every task starts, one records.
    script = queue.write("job.sh", f"#!/bin/bash\nsrun {PYTHON} {PROGRAM} start -e ranks -- {PYTHON} train.py\n")
    job = cluster.ask("sbatch", "--parsable", "--ntasks=3", "--output", str(queue.top.parent / "job.out"), str(script))
    cluster.wait(job)
    refs = queue.git("for-each-ref", "--format=%(refname)", "refs/experiments/ranks").split()
    assert len(refs) == 1, (queue.top.parent / "job.out").read_text()
    ranks = [line for line in (queue.top.parent / "job.out").read_text().splitlines() if line.startswith("rank ")]
    assert sorted(line.split()[1] for line in ranks) == ["0", "1", "2"]
    assert {line.split()[2] for line in ranks} == {refs[0].removeprefix("refs/experiments/")}


def test_each_task_of_an_array_is_a_run(cluster: Slurm, queue: GitRepo) -> None:
    command = f"{PYTHON} {PROGRAM} start -- {PYTHON} train.py --task $SLURM_ARRAY_TASK_ID"
    script = queue.write("job.sh", f"#!/bin/bash\n{command}\n")
    job = cluster.ask("sbatch", "--parsable", "--array=0-2", "--output", str(queue.top.parent / "%a.out"), str(script))
    cluster.wait(job)
    refs = queue.git("for-each-ref", "--format=%(refname)", "refs/experiments").split()
    found = [tomli.loads(queue.git("show", f"{ref}:.replicate/run.toml")) for ref in refs]
    assert sorted(item["params"]["task"] for item in found) == [0, 1, 2]
    assert {(item["scheduler"]["job"], item["scheduler"]["task"]) for item in found} == {
        (job, str(n)) for n in range(3)
    }


def test_a_removed_queued_run_does_not_begin(cluster: Slurm, queue: GitRepo) -> None:
    name = submit(queue, "--submit-option=--hold", "--", PYTHON, "train.py")
    job = job_of(queue, name)
    done = replicate("rm", name, cwd=queue.top)
    assert f"to cancel it: scancel {job}" in done.stderr
    cluster.ask("scontrol", "release", job)
    assert cluster.wait(job) == "FAILED"
    (printed,) = (queue.top / ".git/replicate/queue").rglob("job-*.log")
    assert "was removed while it was queued: nothing is run" in printed.read_text()
    assert queue.git("for-each-ref", "refs/experiments") == ""


def test_a_script_brings_its_own_options_and_a_run_may_submit(cluster: Slurm, queue: GitRepo) -> None:
    options = "#SBATCH --job-name=mine\n#SBATCH --comment=theirs --hold\n"
    body = "echo $SLURM_JOB_NAME\necho run=$GIT_REPLICATE_RUN\n"
    queue.write("job.sh", f"#!/bin/bash\n{options}{body}").chmod(0o755)
    words = ["start", "--submit", "--submit-option=--comment=ours", "-e", "inner", "--", "./job.sh"]
    done = replicate("start", "-q", "-e", "outer", "--", PYTHON, str(PROGRAM), *words, cwd=queue.top)
    name = done.stdout.strip()
    assert done.returncode == 0, done.stderr
    assert name.startswith("inner/")
    job = job_of(queue, name)
    assert cluster.ask("squeue", "-h", "-o", "%i %j %k %r") == f"{job} mine ours JobHeldUser"
    cluster.ask("scontrol", "release", job)
    wait_for_status(queue, name, "finished", "failed")
    assert log(queue, name).splitlines() == ["mine", f"run={name}"]


def test_an_environment_and_a_stage_are_made_when_submitting(cluster: Slurm, queue: GitRepo) -> None:
    queue.write("prepare.sh", 'mkdir -p clean && echo made >> "$MADE" && echo 7 > clean/data.txt\n')
    queue.write("env.sh", 'echo built >> "$MADE"; mkdir -p "$GIT_REPLICATE_ENVIRONMENT/bin"\n')
    stage = '[[stage]]\nname = "prepare"\nscript = "prepare.sh"\noutputs = ["clean"]\n'
    queue.write("replicate.toml", f'[environment]\ncreate = "env.sh"\nprepare = true\n{stage}')
    queue.write("train.py", "print('value:', open('clean/data.txt').read())\n")
    made = queue.top.parent / "made"
    name = submit(queue, "--submit-option=--hold", "--", PYTHON, "train.py", MADE=str(made))
    assert sorted(made.read_text().split()) == ["built", "made"]
    cluster.ask("scontrol", "release", job_of(queue, name))
    wait_for_status(queue, name, "finished", "failed", "lost")
    assert record(queue, name)["metrics"] == {"value": 7}
    assert sorted(made.read_text().split()) == ["built", "made"]


def test_a_job_of_that_number_on_another_cluster_is_not_asked_about(queue: GitRepo) -> None:
    name = submit(queue, "--submit-option=--hold", "--", PYTHON, "train.py")
    (file,) = (queue.top / ".git/replicate/queue").rglob("job.json")
    table = json.loads(file.read_text())
    file.write_text(json.dumps({**table, "job": "9999", "cluster": "other"}))
    assert replicate("status", cwd=queue.top).stdout.endswith("slurm job 9999 (does not say how it stands)\n")
    replicate("recover", cwd=queue.top)
    assert record(queue, name)["status"] == "queued"
    file.write_text(json.dumps({**table, "job": "9999"}))
    replicate("recover", cwd=queue.top)
    assert record(queue, name)["status"] == "lost"


def test_no_answer_from_the_scheduler_ends_no_run(queue: GitRepo, tmp_path: Path) -> None:
    name = submit(queue, "--submit-option=--hold", "--", PYTHON, "train.py")
    folder = tmp_path / "bin"
    folder.mkdir()
    for program in ("squeue", "scontrol"):
        file = folder / program
        file.write_text("#!/bin/sh\necho slurm_load_jobs error: Unable to contact slurm controller >&2\nexit 1\n")
        file.chmod(0o755)
    variables = {"PATH": f"{folder}{os.pathsep}{os.environ['PATH']}"}
    assert "does not say how it stands" in replicate("status", cwd=queue.top, variables=variables).stdout
    replicate("recover", cwd=queue.top, variables=variables)
    assert record(queue, name)["status"] == "queued"


def test_a_submitted_sweep_is_an_array_whose_tasks_need_nobody(cluster: Slurm, queue: GitRepo) -> None:
    queue.write("train.py", "import sys\nprint('y:', 2 * int(sys.argv[1]))\nsys.exit(int(sys.argv[1]) == 3)\n")
    words = ["--submit-option=--hold", "-p", "x=1..4", "--", PYTHON, "train.py", "{x}"]
    done = replicate("sweep", "--submit", "-j", "2", *words, cwd=queue.top)
    assert done.returncode == 0, done.stderr
    sweep = done.stdout.strip()
    refs = queue.git("for-each-ref", "--format=%(refname)", "refs/experiments").split()
    names = [ref.removeprefix("refs/experiments/") for ref in refs]
    assert {record(queue, name)["status"] for name in names} == {"queued"}
    job = done.stderr.split()[-1]
    assert done.stderr == f"sweep {sweep}: 4 runs queued as job {job}\n"
    assert cluster.ask("squeue", "-h", "-o", "%i") == f"{job}_[0-3%2]"
    status = replicate("status", cwd=queue.top).stdout
    assert f"sweep {sweep}  4 of 4 runs queued" in status
    # Neither the sweep's own command nor another resumption does what its jobs will do.
    resumed = replicate("sweep", "--resume", sweep, cwd=queue.top)
    assert "4 runs wait for their jobs" in resumed.stderr
    queue.write("train.py", "raise SystemExit('edited')\n")
    cluster.ask("scontrol", "release", job)
    cluster.wait(job)
    found = [record(queue, name) for name in names]
    assert sorted((item["params"]["x"], item["metrics"]["y"], item["status"]) for item in found) == [
        (1, 2, "finished"), (2, 4, "finished"), (3, 6, "failed"), (4, 8, "finished"),
    ]  # fmt: skip
    assert sorted(item["scheduler"]["task"] for item in found) == ["0", "1", "2", "3"]
    again = replicate("sweep", "--submit", "--resume", sweep, cwd=queue.top)
    assert again.stderr.startswith(f"sweep {sweep}: 1 run queued as job "), again.stderr
    assert again.stderr.endswith(", 3 there already\n")
    cluster.wait(again.stderr.split("as job ")[1].split(",")[0])


def test_a_sweep_runs_on_workers_that_slurm_starts(cluster: Slurm, queue: GitRepo) -> None:
    pytest.importorskip("dask_jobqueue", reason="no dask-jobqueue here: pip install dask-jobqueue")
    queue.write("train.py", "import sys\nprint('y:', 2 * int(sys.argv[1]))\n")
    words = ["sweep", "--engine", "slurm", "-j", "2", "-p", "x=1..4", "--", PYTHON, "train.py", "{x}"]
    done = replicate(*words, cwd=queue.top)
    assert done.returncode == 0, done.stderr
    refs = queue.git("for-each-ref", "--format=%(refname)", "refs/experiments").split()
    found = [tomli.loads(queue.git("show", f"{ref}:.replicate/run.toml")) for ref in refs]
    assert sorted(item["metrics"]["y"] for item in found) == [2, 4, 6, 8]
    assert {item["scheduler"]["cluster"] for item in found} == {"testing"}
    wait_for(lambda: not cluster.ask("squeue", "-h"), "the workers to go")


def test_workers_that_slurm_refuses_are_said_and_nothing_is_queued(cluster: Slurm, queue: GitRepo) -> None:
    pytest.importorskip("dask_jobqueue", reason="no dask-jobqueue here: pip install dask-jobqueue")
    queue.write("replicate.toml", '[submit]\noptions = ["--partition=none"]\n')
    done = replicate("sweep", "--engine", "slurm", "--seeds", "2", "--", PYTHON, "train.py", cwd=queue.top)
    assert done.returncode == 1
    assert "the workers' jobs were not taken: sbatch: error: invalid partition specified: none" in done.stderr
    assert "Traceback" not in done.stderr
    assert queue.git("for-each-ref", "refs/experiments") == ""
