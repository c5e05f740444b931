"""What programs say of themselves, in the records of their runs: under `start`, in runs of their own, in notebooks."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support import PROGRAM, GitRepo, replicate


def only_run(repo: GitRepo) -> str:
    (ref,) = repo.git("for-each-ref", "--format=%(refname)", "refs/experiments").splitlines()
    return ref


def shown(repo: GitRepo, name: str = "latest") -> dict[str, Any]:
    found: dict[str, Any] = json.loads(replicate("show", name, "--format", "json", "--curves", cwd=repo.top).stdout)
    return found


LOGS = """
import git_replicate as replicate, json
lr = replicate.param("lr", 0.1)
for step in range(3): replicate.log(step=step, loss=lr / (step + 1))
json.dump({"loss": 9, "acc": 0.5}, open("m.json", "w"))
open(replicate.output("model.txt"), "w").write("weights")
print("printed: 7")
"""


def test_what_a_program_says_comes_first_in_its_record(repo: GitRepo) -> None:
    repo.write("train.py", LOGS)
    done = replicate("start", "-p", "lr=3", "--metrics", "m.json", "--", sys.executable, "train.py", cwd=repo.top)
    assert done.returncode == 0
    assert "warning" not in done.stderr
    found = shown(repo)
    assert found["metrics"] == {"loss": 1.0, "acc": 0.5}
    assert found["metrics_source"] == {"loss": "api", "acc": "m.json"}
    assert [(p["step"], p["value"]) for p in found["curves"]["loss"]] == [(0, 3.0), (1, 1.5), (2, 1.0)]
    assert (found["params"], found["params_source"]) == ({"lr": 3.0}, {"lr": "api"})
    assert found["outputs"]["model.txt"]["kept"] == "tree"
    assert repo.git("show", f"{only_run(repo)}:.replicate/outputs/model.txt") == "weights"


def test_a_request_that_nothing_reads_is_said_when_the_program_has_ended(repo: GitRepo) -> None:
    repo.write("train.py", LOGS)
    done = replicate("start", "-p", "typo=3", "--", sys.executable, "train.py", cwd=repo.top)
    assert done.stderr.count("-p typo=3 reaches nothing") == 1
    assert shown(repo)["params_unused"] == {"typo": 3}


def test_what_goes_wrong_in_the_probe_is_a_part_of_the_record(repo: GitRepo) -> None:
    repo.write("train.py", "import git_replicate as replicate\nfor _ in range(3): replicate.log(5)\n")
    assert replicate("start", "-q", "--", sys.executable, "train.py", cwd=repo.top).returncode == 0
    (missing,) = shown(repo)["missing"]
    assert missing.startswith("probe: api log: TypeError(")


@pytest.mark.slow
def test_a_rerun_asks_for_what_was_read(repo: GitRepo) -> None:
    repo.write("train.py", LOGS)
    repo.commit()
    replicate("start", "-q", "-p", "lr=3", "--", sys.executable, "train.py", cwd=repo.top)
    done = replicate("rerun", "latest", cwd=repo.top)
    assert done.returncode == 0, done.stderr
    again = shown(repo)
    assert (again["params"], again["metrics"]["loss"]) == ({"lr": 3.0}, 1.0)
    assert again["verdict"]["outcome"] == "identical"
    assert replicate("rerun", "latest", "--set", "lr=6", cwd=repo.top).returncode == 0
    assert (shown(repo)["params"], shown(repo)["metrics"]["loss"]) == ({"lr": 6.0}, 2.0)


def test_a_sweep_reaches_a_program_that_asks(repo: GitRepo) -> None:
    repo.write("train.py", LOGS + "print(replicate.seed(0))\n")
    done = replicate("sweep", "-p", "lr=3,6", "--seeds", "2", "--", sys.executable, "train.py", cwd=repo.top)
    assert done.returncode == 0, done.stderr
    found = json.loads(replicate("log", "--format", "json", cwd=repo.top).stdout)
    assert sorted((run["params"]["lr"], run["metrics"]["loss"], run["seeds"]["run"]) for run in found) == [
        (3.0, 1.0, 0), (3.0, 1.0, 1), (6.0, 2.0, 0), (6.0, 2.0, 1),
    ]  # fmt: skip


def test_a_killed_program_leaves_what_it_has_logged(repo: GitRepo) -> None:
    repo.write("train.py", LOGS + "import os; os.kill(os.getppid(), 9); os.kill(os.getpid(), 9)\n")
    replicate("start", "-q", "--", sys.executable, "train.py", cwd=repo.top)
    found = shown(repo)
    assert (found["status"], found["metrics"]["loss"]) == ("lost", pytest.approx(0.1 / 3))
    assert found["outputs"]["model.txt"]["bytes"] == 7


@pytest.fixture
def tool(tmp_path: Path) -> str:
    """A PATH on which there is `git-replicate`."""
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "git-replicate").write_text(f'#!/bin/sh\nexec "{sys.executable}" "{PROGRAM}" "$@"\n')
    (folder / "git-replicate").chmod(0o755)
    return os.pathsep.join([str(folder), os.environ["PATH"]])


def run_alone(repo: GitRepo, tool: str, code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    repo.write("alone.py", code)
    words = [sys.executable, "alone.py", *arguments]
    return subprocess.run(words, cwd=repo.top, env={**os.environ, "PATH": tool}, capture_output=True, text=True)


OWN = """
import os, random, sys
import git_replicate as replicate
with replicate.run(message="by hand", tags=["mine"], seed=5) as run:
    replicate.log(step=1, loss=replicate.param("lr", 0.1))
    print(run.name, os.environ["GIT_REPLICATE_RUN"] == run.name, random.random() == random.Random(5).random())
    with replicate.run("inner") as inner: print(inner.name == run.name)
    END
print("GIT_REPLICATE_RUN" in os.environ, replicate.log(loss=9))
"""


def test_a_program_begins_a_run_of_its_own(repo: GitRepo, tool: str) -> None:
    done = run_alone(repo, tool, OWN.replace("END", "pass"), "--depth", "3")
    assert (done.returncode, done.stderr) == (0, "")
    name = only_run(repo).removeprefix("refs/experiments/")
    assert done.stdout.splitlines() == [f"{name} True True", "True", "False None"]
    found = shown(repo)
    assert name.startswith("alone/")
    assert (found["status"], found["message"], found["tags"]) == ("finished", "by hand", ["mine"])
    assert (found["metrics"], found["params"]) == ({"loss": 0.1}, {"lr": 0.1, "depth": 3})
    assert found["command"][1:] == ["alone.py", "--depth", "3"]
    assert found["seeds"]["run"] == 5
    assert "alone.py" in repo.git("ls-tree", "--name-only", only_run(repo))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("end", "status", "reason"),
    [
        ("raise ValueError('bad\\nworse')", "failed", "ValueError: bad"),
        ("raise SystemExit(3)", "failed", "SystemExit: 3"),
        ("raise KeyboardInterrupt", "failed", "KeyboardInterrupt"),
    ],
)
def test_a_run_of_its_own_fails_with_its_block(repo: GitRepo, tool: str, end: str, status: str, reason: str) -> None:
    done = run_alone(repo, tool, OWN.replace("END", end))
    assert done.returncode != 0
    assert (shown(repo)["status"], shown(repo)["reason"]) == (status, reason)


@pytest.mark.slow
def test_a_run_without_a_block_ends_with_its_process(repo: GitRepo, tool: str) -> None:
    code = """
import sys, git_replicate as replicate
replicate.run("first"); replicate.log(acc=1)
if len(sys.argv) > 1: raise ValueError("no")
"""
    assert run_alone(repo, tool, code).stderr == ""
    assert (shown(repo)["status"], shown(repo)["metrics"]) == ("finished", {"acc": 1})
    run_alone(repo, tool, code, "fail")
    assert (shown(repo)["status"], shown(repo)["reason"]) == ("failed", "ValueError: no")


@pytest.mark.slow
def test_several_runs_of_one_process_keep_their_own(repo: GitRepo, tool: str) -> None:
    code = """
import git_replicate as replicate
for number in range(2):
    with replicate.run("many"): replicate.log(number=number)
"""
    assert run_alone(repo, tool, code).stderr == ""
    assert [shown(repo, name)["metrics"] for name in ("latest~1", "latest")] == [{"number": 0}, {"number": 1}]


def test_a_killed_process_leaves_its_run_open_with_what_it_logged(repo: GitRepo, tool: str) -> None:
    done = run_alone(repo, tool, OWN.replace("END", "os.kill(os.getpid(), 9)"))
    assert done.returncode == -9
    assert "open" in replicate("status", cwd=repo.top).stdout
    assert replicate("finish", "--failed", "killed", cwd=repo.top).returncode == 0
    assert (shown(repo)["status"], shown(repo)["metrics"]) == ("failed", {"loss": 0.1})


JOINS = """
import os, sys, git_replicate as replicate
try:
    with replicate.run(join=True) as run: replicate.log(loss=float(sys.argv[1]))
    print(run.name)
except RuntimeError as error: print(error)
"""


@pytest.mark.slow
def test_programs_join_a_session_that_lasts_until_it_is_finished(repo: GitRepo, tool: str) -> None:
    assert run_alone(repo, tool, JOINS, "1").stdout.startswith("git replicate: no session is open\n")
    name = replicate("start", "--open", "-e", "nb", cwd=repo.top).stdout.strip()
    for value in ("3", "2"):
        done = run_alone(repo, tool, JOINS, value)
        assert (done.stdout, done.stderr) == (f"{name}\n", "")
    assert "open" in replicate("status", cwd=repo.top).stdout
    replicate("finish", cwd=repo.top)
    assert [point["value"] for point in shown(repo)["curves"]["loss"]] == [3, 2]
    for _ in range(2):
        replicate("start", "--open", cwd=repo.top)
    assert "several sessions are open" in run_alone(repo, tool, JOINS, "1").stdout


def test_where_there_is_no_repository_a_run_of_its_own_is_refused_in_words(
    repo: GitRepo, tool: str, tmp_path: Path
) -> None:
    words = [sys.executable, "-c", "import git_replicate; git_replicate.run()"]
    done = subprocess.run(words, cwd=tmp_path, env={**os.environ, "PATH": tool}, capture_output=True, text=True)
    assert done.returncode == 1
    assert "RuntimeError: git replicate: not a git repository\nhint: git init" in done.stderr


def notebook(path: Path, *sources: str) -> None:
    listed: list[dict[str, Any]] = [
        {"cell_type": "code", "id": f"cell{n}", "source": s, "metadata": {}, "outputs": [], "execution_count": None}
        for n, s in enumerate(sources)
    ]
    path.write_text(json.dumps({"cells": listed, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}))


def cells(repo: GitRepo, ref: str) -> list[dict[str, Any]]:
    lines = repo.git("show", f"{ref}:.replicate/cells.jsonl").splitlines()
    return [json.loads(line) for line in lines]


EXECUTE = """
import nbformat, sys
from nbclient import NotebookClient
NotebookClient(nbformat.read(sys.argv[1], 4), allow_errors=True).execute()
"""


@pytest.mark.frameworks("nbclient", "ipykernel")
def test_the_cells_of_a_notebook_under_start_are_recorded_in_order(repo: GitRepo, framework_python: str) -> None:
    notebook(repo.top / "a.ipynb", "import git_replicate as r\nx = 1", "r.log(acc=x)", "1/0")
    repo.write("execute.py", EXECUTE)
    done = replicate("start", "--", framework_python, "execute.py", "a.ipynb", cwd=repo.top)
    assert done.returncode == 0, done.stderr
    found = cells(repo, only_run(repo))
    assert [(cell["count"], cell["source"], cell["error"]) for cell in found] == [
        (1, "import git_replicate as r\nx = 1", ""),
        (2, "r.log(acc=x)", ""),
        (3, "1/0", "ZeroDivisionError: division by zero"),
    ]
    assert all("out_of_order" not in cell for cell in found)
    assert (shown(repo)["metrics"], shown(repo)["runtime"]["cells"]) == ({"acc": 1}, 3)


@pytest.mark.frameworks("nbclient", "ipykernel")
def test_a_notebook_has_a_run_of_its_own_with_the_cells_in_between(
    repo: GitRepo, framework_python: str, tool: str
) -> None:
    package = f"import sys; sys.path.append({str(PROGRAM.parent.parent)!r})"
    notebook(
        repo.top / "a.ipynb", package, "import git_replicate as r\nrun = r.run('nb')", "r.log(acc=1)", "r.log(acc=1)",
        "run.finish()", "r.log(acc=9)",
    )  # fmt: skip
    repo.write("execute.py", EXECUTE)
    done = subprocess.run(
        [framework_python, "execute.py", "a.ipynb"], cwd=repo.top, capture_output=True, text=True,
        env={**os.environ, "PATH": tool},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = cells(repo, only_run(repo))
    assert [(cell["count"], cell.get("out_of_order")) for cell in found] == [(2, "gap"), (3, None), (4, "again")]
    assert (shown(repo)["metrics"], shown(repo)["runtime"]["cells_out_of_order"]) == ({"acc": 1}, 2)


@pytest.mark.frameworks("wandb", "torch", "tensorboard")
def test_a_record_holds_what_went_to_trackers_and_where_their_runs_are(repo: GitRepo, framework_python: str) -> None:
    repo.write(
        "train.py",
        """
import wandb, os
from torch.utils.tensorboard import SummaryWriter
run = wandb.init(project="digits", config={"lr": 0.1, "width": 3})
writer = SummaryWriter("runs")
for step in range(3):
    wandb.log({"loss": 1 / (step + 1)})
    writer.add_scalar("loss", 9, step); writer.add_scalar("val/acc", step / 10, step)
print("loss: 7")
os.kill(os.getpid(), 9)
""",
    )
    words = ["--", framework_python, "train.py", "--width", "4"]
    replicate("start", *words, cwd=repo.top, variables={"WANDB_MODE": "offline", "WANDB_SILENT": "true"})
    found = shown(repo)
    assert (found["status"], found["signal"]) == ("failed", "SIGKILL")
    assert found["metrics"] == {"loss": pytest.approx(1 / 3), "val/acc": 0.2}
    assert found["metrics_source"] == {"loss": "wandb", "val/acc": "tensorboard"}
    assert [point["step"] for point in found["curves"]["val/acc"]] == [0, 1, 2]
    assert (found["params"], found["params_source"]["lr"]) == ({"lr": 0.1, "width": 3}, "wandb")
    assert found["trackers"]["tensorboard"] == [{"directory": "runs"}]
    (entry,) = found["trackers"]["wandb"]
    assert (entry["project"], entry["offline"]) == ("digits", True)
    text = replicate("show", cwd=repo.top).stdout
    assert f"  wandb  {entry['id']} wandb/offline-run" in text
