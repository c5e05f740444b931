"""Sweeps: every run a checkout of one snapshot, what is missing done again, nothing lost when somebody is killed."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.support import PROGRAM, GitRepo, replicate

TRAIN = """import argparse
parser = argparse.ArgumentParser()
parser.add_argument("--lr", type=float)
parser.add_argument("--depth", type=int, default=1)
options = parser.parse_args()
print("score:", options.lr * options.depth)
"""
COMMAND = (sys.executable, "train.py", "--lr", "{lr}", "--depth", "{depth}")


@pytest.fixture
def program(repo: GitRepo) -> GitRepo:
    repo.write("train.py", TRAIN)
    repo.commit()
    return repo


def records(repo: GitRepo) -> list[dict[str, Any]]:
    """Every run's record, oldest first."""
    listed: list[dict[str, Any]] = json.loads(replicate("log", "--format", "json", cwd=repo.top).stdout)
    return listed[::-1]


def test_a_grid_runs_every_combination_from_one_snapshot(program: GitRepo) -> None:
    program.write("train.py", TRAIN + "# not committed\n")
    done = replicate("sweep", "-p", "lr=0.5,0.25", "-p", "depth=1..3", "-j", "2", "--", *COMMAND, cwd=program.top)
    assert done.returncode == 0, done.stderr
    runs = records(program)
    assert {(r["params"]["lr"], r["params"]["depth"], r["metrics"]["score"]) for r in runs} == {
        (0.5, 1, 0.5), (0.5, 2, 1.0), (0.5, 3, 1.5), (0.25, 1, 0.25), (0.25, 2, 0.5), (0.25, 3, 0.75),
    }  # fmt: skip
    assert {r["code"]["snapshot"] for r in runs} != {program.git("rev-parse", "HEAD")}
    assert len({r["code"]["snapshot"] for r in runs}) == 1
    assert {r["status"] for r in runs} == {"finished"}
    assert {r["experiment"] for r in runs} == {"train"}
    assert {r["sweep"]["id"] for r in runs} == {done.stdout.strip()}
    assert sorted(r["sweep"]["trial"] for r in runs) == [0, 1, 2, 3, 4, 5]
    assert runs[0]["sweep"]["space"] == {"lr": "0.5,0.25", "depth": "1..3"}
    assert program.git("status", "--porcelain") == "M train.py"
    assert os.listdir(program.top / ".git" / "replicate" / "worktrees") == []


@pytest.mark.slow
def test_resuming_does_what_is_missing_and_retries_what_failed(program: GitRepo) -> None:
    program.write(
        "train.py",
        "import os, sys\nlr = float(sys.argv[1])\nsys.exit(3 if lr == 2 and 'GOOD' not in os.environ else 0)\n",
    )
    program.commit()
    command = ("--", sys.executable, "train.py", "{lr}")
    first = replicate("sweep", "-p", "lr=1,2,3", *command, cwd=program.top)
    assert first.returncode == 1
    identity = first.stdout.strip()
    gone = next(r["id"] for r in records(program) if r["sweep"]["point"]["lr"] == 3)
    assert replicate("rm", gone, cwd=program.top).returncode == 0
    again = replicate("sweep", "--resume", identity, "-j", "2", cwd=program.top, variables={"GOOD": "1"})
    assert (again.returncode, again.stdout.strip()) == (0, identity)
    points = [(r["sweep"]["point"]["lr"], r["status"]) for r in records(program)]
    assert sorted(points) == [(1, "finished"), (2, "failed"), (2, "finished"), (3, "finished")]
    nothing = replicate("sweep", "--resume", "latest", cwd=program.top)
    assert nothing.returncode == 0
    assert len(records(program)) == 4


@pytest.mark.slow
def test_nothing_of_one_run_is_seen_by_the_next_in_its_checkout(repo: GitRepo) -> None:
    repo.write(".gitignore", "*.log\n")
    repo.write("kept/file", "as committed\n")
    repo.write(
        "train.py",
        "import os, subprocess\n"
        "found = sorted(os.path.join(d, f) for d, _, files in os.walk('.') for f in files if '__pycache__' not in d)\n"
        "print('files:', len(found))\nprint('dirs:', sum(1 for d, _, _ in os.walk('.') if '__pycache__' not in d))\n"
        "print('length:', os.path.getsize('kept/file'))\n"
        "print('status:', len(subprocess.check_output(['git', 'status', '--porcelain']).splitlines()))\n"
        "os.makedirs('empty/deep')\n"
        "open('x.log', 'w').write('x')\n"
        "open('kept/file', 'a').write('more')\n"
        "os.chmod('train.py', 0o755)\n"
        "os.remove('README')\n"
        "subprocess.check_call(['git', 'add', '-A'])\n"
        "subprocess.check_call(['git', 'commit', '-q', '-m', 'of the run'])\n",
    )
    repo.commit()
    done = replicate("sweep", "-p", "x=1..3", "--", sys.executable, "train.py", "{x}", cwd=repo.top)
    assert done.returncode == 0, done.stderr
    runs = records(repo)
    assert len(runs) == 3
    assert len({str(sorted(r["metrics"].items())) for r in runs}) == 1
    assert set(runs[0]["metrics"]) == {"files", "dirs", "length", "status"}
    assert runs[0]["metrics"]["status"] == 0
    for run in runs:
        moved = {entry["path"]: entry["moved_to"] for entry in run["files"]}
        assert (repo.top / ".git" / moved["x.log"]).read_text() == "x"


def sweep(repo: GitRepo, *words: str, **variables: str) -> Any:
    return replicate("sweep", *words, cwd=repo.top, variables=variables)


def test_a_param_that_reaches_nothing_is_an_error_before_anything_runs(program: GitRepo) -> None:
    done = sweep(program, "-p", "lr=0.5,0.25", "-p", "depth=1,2", "--", "python3", "train.py", "--lr", "0.5")
    assert done.returncode == 1
    assert "-p lr, depth: reaches nothing: the command has no {lr}" in done.stderr
    assert "hint: git replicate sweep ... -- python3 train.py --lr {lr} --depth {depth}" in done.stderr
    assert records(program) == []


def test_a_params_file_that_cannot_be_changed_without_pyyaml_is_named(repo: GitRepo, tmp_path: Path) -> None:
    repo.write("replicate.toml", '[params]\nfiles = ["conf/p.yaml"]\n')
    repo.write("conf/p.yaml", "model:\n  lr: 0.1\n")
    repo.commit()
    (tmp_path / "yaml.py").write_text("raise ImportError")
    hint = "python3? -m pip install pyyaml"

    def without_yaml(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, str(PROGRAM), *words, "-p", "model.lr=0.2", "--", "cat", "conf/p.yaml"], cwd=repo.top,
            env={**os.environ, "PYTHONPATH": str(tmp_path)}, capture_output=True, text=True, check=False,
        )  # fmt: skip

    swept, started = without_yaml("sweep"), without_yaml("start", "--isolated")
    assert "-p model.lr: reaches nothing, unless through conf/p.yaml: changing YAML takes PyYAML" in swept.stderr
    assert re.search(f"hint: .*{hint}", swept.stderr)
    assert re.search(f"conf/p.yaml keeps its values: changing YAML takes PyYAML .*{hint}", started.stderr)


@pytest.mark.slow
def test_a_param_that_the_program_parses_as_another_stops_the_sweep(repo: GitRepo) -> None:
    repo.write(
        "train.py",
        "import argparse\nparser = argparse.ArgumentParser()\nparser.add_argument('--lr', type=float)\n"
        "options = parser.parse_args(['--lr', '3.0'])\nprint('score:', 1)\n",
    )
    repo.commit()
    done = sweep(repo, "-p", "lr=1.0,2.0", "-p", "n=1..9", "--", sys.executable, "train.py", "{lr}", "{n}")
    assert done.returncode == 1
    assert "-p lr: 1.0 was asked for, and the program parsed lr = 3.0" in done.stderr
    assert len(records(repo)) == 1


@pytest.mark.slow
def test_params_go_into_a_declared_file_of_the_checkout_and_never_into_the_worktree(repo: GitRepo) -> None:
    repo.write("replicate.toml", '[params]\nfiles = ["conf/params.toml", "more.json"]\n')
    repo.write("conf/params.toml", "# a comment\nlr = 0.1\n[model]\ndepth = 3\n")
    repo.write("more.json", '{"name": "x", "n": null}\n')
    repo.write(
        "train.py",
        "import json, tomllib\nconf = tomllib.load(open('conf/params.toml', 'rb'))\n"
        "print('score:', conf['lr'] * conf['model']['depth'])\nprint('got:', json.load(open('more.json'))['n'])\n",
    )
    repo.commit()
    done = sweep(repo, "-p", "lr=0.5", "-p", "model.depth=1,2", "-p", "n=7", "--", sys.executable, "train.py")
    assert done.returncode == 0, done.stderr
    runs = records(repo)
    assert sorted((r["metrics"]["score"], r["metrics"]["got"]) for r in runs) == [(0.5, 7), (1.0, 7)]
    assert runs[0]["params"] == {"lr": 0.5, "model": {"depth": 1}, "name": "x", "n": 7}
    assert runs[0]["params_source"]["model.depth"] == "requested"
    assert "changed_during_run" not in runs[0]["code"]
    assert "files" not in runs[0]
    assert repo.git("status", "--porcelain") == ""
    again = replicate("rerun", runs[1]["id"], cwd=repo.top)
    assert again.returncode == 0, again.stdout + again.stderr
    assert records(repo)[2]["metrics"]["score"] == 1.0


def test_all_params_reach_a_program_that_reads_a_params_file(repo: GitRepo) -> None:
    repo.write("train.py", "import json, sys\np = json.load(open(sys.argv[1]))\nprint('score:', p['model']['depth'])\n")
    repo.commit()
    done = sweep(repo, "-p", "model.depth=4,5", "--", sys.executable, "train.py", "{params_file}")
    assert done.returncode == 0, done.stderr
    assert [r["metrics"]["score"] for r in records(repo)] == [4, 5]


SEEDED = """import argparse, random
parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
options = parser.parse_args()
random.seed(options.seed)
print("score:", options.seed)
"""


@pytest.mark.slow
@pytest.mark.parametrize("command", [["--seed", "{seed}"], ["--seed", "9"], []], ids=["named", "given", "parsed"])
def test_seeds_reach_the_option_of_the_program(repo: GitRepo, command: list[str]) -> None:
    repo.write("train.py", SEEDED)
    repo.commit()
    done = sweep(repo, "--seeds", "3", "--", sys.executable, "train.py", *command)
    assert done.returncode == 0, done.stderr
    assert [(r["metrics"]["score"], r["seeds"]["run"], r["seeds"]["mode"]) for r in records(repo)] == [
        (0, 0, "given"), (1, 1, "given"), (2, 2, "given"),
    ]  # fmt: skip


@pytest.mark.slow
def test_a_program_with_another_parsed_seed_stops_the_sweep_after_its_first_run(repo: GitRepo) -> None:
    repo.write("train.py", SEEDED.replace('"--seed"', "'-'*2+'seed'").replace("default=0", "default=5"))
    repo.commit()
    done = sweep(repo, "--seeds", "3", "--", sys.executable, "train.py")
    assert done.returncode == 1
    assert "the program parsed seed = 5, not the run's seed 0" in done.stderr
    assert "python train.py --seed {seed}" in done.stderr
    assert len(records(repo)) == 1
    again = sweep(repo, "--seeds", "3", "--", sys.executable, "train.py")  # now it is known what the program parses
    assert again.returncode == 0, again.stderr
    assert [r["metrics"]["score"] for r in records(repo)][1:] == [0, 1, 2]


def test_code_of_the_worktree_stops_a_sweep(repo: GitRepo) -> None:
    repo.write("lib.py", "K = 1\n")
    repo.write("train.py", f"import runpy\nprint('k:', runpy.run_path({str(repo.top / 'lib.py')!r})['K'])\n")
    repo.commit()
    done = sweep(repo, "-p", "x=1..5", "--", sys.executable, "train.py", "{x}")
    assert done.returncode == 1
    assert "read files of your own worktree" in done.stderr
    assert len(records(repo)) == 1


@pytest.mark.slow
def test_what_has_finished_before_is_not_done_again_unless_asked(program: GitRepo) -> None:
    first = sweep(program, "-p", "lr=0.5,0.25", "-p", "depth=1", "--", *COMMAND)
    more = sweep(program, "-p", "lr=0.5,0.25,0.125", "-p", "depth=1", "--", *COMMAND)
    assert "1 run, 2 there already" in more.stderr
    assert (first.returncode, more.returncode) == (0, 0)
    assert [r["params"]["lr"] for r in records(program)] == [0.5, 0.25, 0.125]
    ids = [first.stdout.strip(), more.stdout.strip()]
    where = f"sweep in ('{ids[1]}', '{ids[0]}')"
    assert f'collate --where "{where}" --group-by params' in more.stderr
    table = replicate("collate", "--where", where, "--columns", "params.lr", "--format", "csv", cwd=program.top)
    assert table.stdout.splitlines() == ["params.lr", "0.5", "0.25", "0.125"]
    none = sweep(program, "-p", "lr=0.5,0.25", "-p", "depth=1", "--", *COMMAND)
    assert (none.returncode, none.stdout.strip()) == (0, ids[0])
    assert none.stderr.splitlines()[-2:] == [
        "nothing to do, 2 there already (again: --repeat)",
        f"to compare them: git replicate collate --where \"sweep = '{ids[0]}'\" --group-by params",
    ]
    planned = sweep(program, "-p", "lr=0.5,0.25", "-p", "depth=1", "--dry-run", "--", *COMMAND)
    assert (planned.returncode, planned.stdout) == (0, "")
    assert planned.stderr.splitlines()[-1] == "nothing to do, 2 there already (again: --repeat)"
    assert sweep(program, "-p", "lr=0.5", "-p", "depth=1", "--repeat", "--", *COMMAND).returncode == 0
    assert len(records(program)) == 4
    program.write("train.py", TRAIN + "# other code\n")
    assert sweep(program, "-p", "lr=0.5", "-p", "depth=1", "--", *COMMAND).returncode == 0
    assert len(records(program)) == 5


def points(repo: GitRepo) -> list[float]:
    return [r["params"]["lr"] for r in records(repo)]


def remove_newest(repo: GitRepo) -> None:
    assert replicate("rm", "latest", cwd=repo.top).returncode == 0


@pytest.mark.slow
def test_resuming_does_not_repeat_what_other_sweeps_have_finished(program: GitRepo) -> None:
    first = sweep(program, "-p", "lr=1.0,2.0", "-p", "depth=1", "--", *COMMAND).stdout.strip()
    second = sweep(program, "-p", "lr=1.0,2.0,3.0,4.0", "-p", "depth=1", "--", *COMMAND).stdout.strip()
    assert points(program) == [1.0, 2.0, 3.0, 4.0]
    remove_newest(program)
    program.write("train.py", TRAIN + "# other code\n")
    again = sweep(program, "--resume", second)
    assert f"sweep {second}: 1 run, 3 there already (2 of other sweeps)" in again.stderr
    assert f"sweep in ('{second}', '{first}')" in again.stderr
    assert points(program) == [1.0, 2.0, 3.0, 4.0]
    third = sweep(program, "-p", "lr=1.0,4.0", "-p", "depth=1", "--", *COMMAND)
    assert third.returncode == 0
    assert points(program) == [1.0, 2.0, 3.0, 4.0, 1.0, 4.0]  # of other code, nothing is there
    remove_newest(program)
    assert "1 run, 1 there already\n" in sweep(program, "--resume", third.stdout.strip()).stderr


@pytest.mark.slow
def test_a_sweep_that_repeats_does_so_when_it_is_resumed(program: GitRepo) -> None:
    words = ("-p", "lr=1.0,2.0", "-p", "depth=1", "--", *COMMAND)
    assert sweep(program, *words).returncode == 0
    assert sweep(program, "--repeat", *words).returncode == 0
    remove_newest(program)
    again = sweep(program, "--resume", "latest")
    assert "1 run, 1 there already\n" in again.stderr
    assert points(program) == [1.0, 2.0, 1.0, 2.0]


def test_a_run_that_was_called_invalid_is_done_again(program: GitRepo) -> None:
    words = ("-p", "lr=1.0", "-p", "depth=1", "--", *COMMAND)
    assert sweep(program, *words).returncode == 0
    assert replicate("annotate", "latest", "--invalid", "a broken disk", cwd=program.top).returncode == 0
    assert sweep(program, *words).returncode == 0
    assert points(program) == [1.0, 1.0]


@pytest.mark.slow
def test_other_data_or_another_environment_is_another_run(program: GitRepo) -> None:
    program.write(".gitignore", "data\n")
    program.write("replicate.toml", '[data]\npaths = ["data"]\n[environment]\nvariables = ["THREADS"]\n')
    program.write("data", "1")
    words = ("-p", "lr=0.5", "-p", "depth=1", "--", *COMMAND)
    assert sweep(program, *words).returncode == 0
    assert sweep(program, *words).returncode == 0
    assert len(records(program)) == 1
    program.write("data", "2")
    other = sweep(program, *words)
    assert (
        "done again: 1 run of other sweeps had other data, or read some that is not declared (--data)" in other.stderr
    )
    assert len(records(program)) == 2
    other = sweep(program, *words, THREADS="4")
    assert "done again: 1 run of other sweeps had another environment" in other.stderr
    assert len(records(program)) == 3


def test_a_dry_run_shows_the_runs_and_does_none(program: GitRepo) -> None:
    words = ("-p", "lr=0.5,0.25", "-p", "depth=1,2", "--zip", "lr,depth", "--seeds", "2")
    done = sweep(program, *words, "--dry-run", "--", *COMMAND, "{seed}")
    assert done.returncode == 0, done.stderr
    assert [line.split() for line in done.stdout.splitlines()] == [
        ["trial", "lr", "depth", "seed"],
        ["0", "0.5", "1", "0"], ["0", "0.5", "1", "1"], ["1", "0.25", "2", "0"], ["1", "0.25", "2", "1"],
    ]  # fmt: skip
    assert records(program) == []


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["--", "python"], "nothing to sweep over"),
        (["-p", "lr", "--", "python", "{lr}"], "not of the form name=values"),
        (["-p", "lr=0.1..1", "--", "python", "{lr}"], "a grid needs to know how many values"),
        (["-p", "lr=1", "--resume", "latest"], "-p: --resume takes it from the sweep"),
        (["--resume", "latest", "--", "true"], "the command: --resume takes it from the sweep"),
        (["--resume", "latest"], "there is no sweep yet"),
        (["--seeds", "x", "--", "true"], "--seeds x: not seeds"),
        (["--space", "none.toml", "--", "true"], "none.toml"),
        (["-p", "x=1", "--", "no-such-program", "{x}"], "no-such-program: command not found"),
        (["-p", "x=1"], "no command to run"),
        (["-p", "x=1", "--", "sh -c {x}"], "hint: without quotes around it: -- sh -c {x}"),
        (["-p", "x=1", "--", "echo {x} | cat"], "hint: to a shell: -- sh -c 'echo {x} | cat'"),
        (["-p", "x=", "--", "true", "{x}"], "-p x=: no value"),
        (["-p", "x=0.1..", "--", "true", "{x}"], "-p x=0.1..: a range needs two numbers"),
        (["-p", "x=1..8,20", "--", "true", "{x}"], "-p x=1..8,20: a range needs two numbers"),
        (["-p", "x=1..1000000000", "--", "true", "{x}"], "a grid of 1,000,000,000 points: 1,000,000 are the most"),
        (["-p", "x=1..1000", "-p", "y=1..1000", "--seeds", "2", "--", "true", "{x}{y}"], "2,000,000 runs: 1,000,000"),
        (["-p", "x=1", "--", "python3", "absent.py", "{x}"], "absent.py: no such file"),
        (["-p", "x=1", "--", "python3", "ignored.py", "{x}"], "ignored.py is not in the snapshot, so in no checkout"),
    ],
)
def test_what_cannot_be_done_is_said_in_a_line(repo: GitRepo, words: list[str], why: str) -> None:
    repo.write(".gitignore", "ignored.py\n")
    repo.write("ignored.py", "")
    done = sweep(repo, *words)
    assert done.returncode in (1, 2)
    assert why in done.stderr
    assert "Traceback" not in done.stderr
    assert records(repo) == []


def test_a_run_that_cannot_be_recorded_stops_the_sweep_which_says_how_to_go_on(repo: GitRepo) -> None:
    done = sweep(repo, "-p", "x=1..3", "--", "sh", "-c", "rm -r ../git; echo loss: {x}")
    assert done.returncode == 1
    (run,) = records(repo)
    identity = run["sweep"]["id"]
    assert f"2 of 3 runs not done; to go on: git replicate sweep --resume {identity}" in done.stderr


@pytest.mark.slow
def test_each_worker_has_its_own_gpus(repo: GitRepo) -> None:
    repo.write("train.py", "import os\nprint('gpu:', os.environ['CUDA_VISIBLE_DEVICES'])\n")
    repo.commit()
    done = sweep(repo, "-p", "x=1..6", "--gpus", "2,5", "--", sys.executable, "train.py", "{x}")
    assert done.returncode == 0, done.stderr
    assert {r["metrics"]["gpu"] for r in records(repo)} == {2, 5}
    shared = sweep(repo, "-p", "x=1..3", "--gpus", "all", "--", "true", "{x}", CUDA_VISIBLE_DEVICES="")
    assert "no GPU is seen here" in shared.stderr
    assert "not a list of GPUs" in sweep(repo, "-p", "x=1..3", "--gpus", "1,1", "--", "true", "{x}").stderr


def test_a_program_that_seeds_itself_stops_the_sweep_after_its_first_run_and_the_line_is_named(repo: GitRepo) -> None:
    repo.write("src/setup.py", "import random\n\ndef prepare():\n    random.seed(42)\n")
    repo.write(
        "train.py",
        "import sys\nsys.path.insert(0, 'src')\nimport random, setup\n"
        "setup.prepare()\nprint('score:', random.random())\n",
    )
    repo.commit()
    done = sweep(repo, "--seeds", "3", "--", sys.executable, "train.py")
    assert done.returncode == 1
    assert "src/setup.py:4: the program seeds itself (random: seed(42)), whatever the run's seed" in done.stderr
    assert len(records(repo)) == 1


@pytest.mark.slow
def test_the_probe_seeds_a_program_that_does_not_seed_itself(repo: GitRepo) -> None:
    repo.write("train.py", "import random\nprint('score:', random.random())\n")
    repo.commit()
    done = sweep(repo, "--seeds", "3", "-j", "2", "--", sys.executable, "train.py")
    assert done.returncode == 0, done.stderr
    assert len({r["metrics"]["score"] for r in records(repo)}) == 3
    again = sweep(repo, "--seeds", "3", "--repeat", "--", sys.executable, "train.py")
    assert again.returncode == 0
    assert len({r["metrics"]["score"] for r in records(repo)}) == 3


def test_no_secret_is_in_the_record_of_a_sweep(program: GitRepo) -> None:
    command = (sys.executable, "-c", "print('score: 1')", "{x}", "--api-key", "hunter2hunter2")
    assert sweep(program, "-p", "x=1", "--", *command).returncode == 0
    assert "hunter2" not in json.dumps(records(program))
    again = sweep(program, "--resume", "latest")
    assert again.returncode == 1
    assert "had a secret, which is not recorded" in again.stderr
    refused = sweep(program, "-p", "token=abc,def", "--", "true", "{token}")
    assert refused.returncode == 2
    assert "nothing can be swept over it" in refused.stderr


@pytest.mark.slow
def test_a_stage_runs_once_for_all_runs_of_a_sweep(repo: GitRepo) -> None:
    repo.write("raw.txt", "5\n")
    repo.write("prepare.sh", 'cp raw.txt clean.txt; echo ran >> "$COUNT"\n')
    repo.write(
        "replicate.toml",
        '[[stage]]\nname = "prepare"\nscript = "prepare.sh"\ninputs = ["raw.txt"]\noutputs = ["clean.txt"]\n',
    )
    repo.write(".gitignore", "clean.txt\n")
    repo.write("train.py", "print('score:', open('clean.txt').read())\n")
    repo.commit()
    count = repo.top.parent / "count"
    done = sweep(repo, "-p", "x=1..4", "-j", "2", "--", sys.executable, "train.py", "{x}", COUNT=str(count))
    assert done.returncode == 0, done.stderr
    assert {r["metrics"]["score"] for r in records(repo)} == {5}
    assert count.read_text() == "ran\n"


@pytest.mark.slow
def test_a_run_that_another_machine_has_begun_is_left_to_it(program: GitRepo) -> None:
    from git_replicate.core.record import Process, Status
    from git_replicate.git.opening import find_layout, repository_at
    from git_replicate.store.store import Parts, finish, list_runs, read_run

    words = ("-p", "lr=0.5,0.25", "-p", "depth=1", "--", *COMMAND)
    assert sweep(program, *words).returncode == 0
    repository = repository_at(find_layout(str(program.top)), backend="plumbing")
    run = list_runs(repository)[0]
    record = read_run(repository, run.ref).record
    there = replace(record, status=Status.RUNNING, process=Process(host="another-machine"))
    finish(repository, there, run.commit, Parts())
    again = sweep(program, "--resume", "latest")
    assert again.returncode == 0, again.stderr
    assert "1 of its runs, begun on another machine, is left to it" in again.stderr
    assert len(records(program)) == 2
    assert replicate("rm", run.id, cwd=program.top).returncode == 0
    assert sweep(program, "--resume", "latest").returncode == 0
    assert sorted(r["params"]["lr"] for r in records(program)) == [0.25, 0.5]
