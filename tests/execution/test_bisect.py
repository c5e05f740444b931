"""Proving what makes two runs differ, on real programs in real repositories."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support import GitRepo, replicate

TRAIN = """
import argparse, helper, settings
p = argparse.ArgumentParser()
p.add_argument("--lr", type=float, default=0.1)
p.add_argument("--steps", type=int, default=3)
o = p.parse_args()
rows = [float(line) for line in open("data/rows.txt")]
w = 0.0
for step in range(o.steps):
    w += o.lr * helper.RATE * sum(rows) + helper.OFFSET
    print(f"step={step} loss={1 / (1 + w):.6f}")
"""


@pytest.fixture
def program(repo: GitRepo) -> GitRepo:
    repo.write("train.py", TRAIN)
    repo.write("helper.py", "RATE = 1.0\nOFFSET = 0.0\nUNUSED = 1\n")
    repo.write("settings.py", "VERBOSE = 1\n")
    repo.write("data/rows.txt", "1\n2\n3\n")
    repo.write(".gitignore", "__pycache__/\nlocal/\n")
    repo.write("replicate.toml", '[data]\npaths = ["data/rows.txt"]\n')
    repo.commit()
    return repo


def start(repo: GitRepo, *words: str, python: str = sys.executable) -> None:
    done = replicate("start", "-q", *words[:-1], "--", python, *words[-1].split(), cwd=repo.top)
    assert done.returncode == 0, done.stderr


def bisect(repo: GitRepo, first: str = "latest~1", second: str = "latest") -> tuple[dict[str, Any], str]:
    done = replicate("why", "--bisect", first, second, "--format", "json", cwd=repo.top)
    assert done.returncode == 0, done.stderr
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer, done.stderr


@pytest.mark.slow
def test_of_two_changed_lines_and_a_changed_file_the_line_that_matters_is_found(program: GitRepo) -> None:
    start(program, "train.py")
    program.write("helper.py", "RATE = 1.0\nOFFSET = 0.25\nUNUSED = 2\n")
    program.write("settings.py", "VERBOSE = 2\n")
    start(program, "train.py")
    answer, _ = bisect(program)
    assert (answer["outcome"], answer["metric"]) == ("found", "loss")
    (cause,) = answer["causes"]
    assert cause == {
        "kind": "code", "name": "helper.py", "from": "OFFSET = 0.0", "to": "OFFSET = 0.25", "score": 1.0,
        "proved": True, "lines": "2",
    }  # fmt: skip
    assert program.git("status", "--porcelain") == "M helper.py\n M settings.py"


def test_the_param_is_found_among_params_and_changed_code(program: GitRepo) -> None:
    start(program, "train.py --lr 0.1 --steps 3")
    program.write("settings.py", "VERBOSE = 2\n")
    start(program, "train.py --lr 0.2 --steps 3")
    (cause,) = bisect(program)[0]["causes"]
    assert (cause["kind"], cause["name"], cause["from"], cause["to"]) == ("params", "lr", 0.1, 0.2)


@pytest.mark.slow
def test_a_param_of_a_params_file_is_found_by_its_name(program: GitRepo) -> None:
    program.write("params.toml", "lr = 0.1\n\n[model]\nwidth = 2\ndepth = 3\n")
    program.write("replicate.toml", '[params]\nfiles = ["params.toml"]\n')
    program.write(
        "train.py", "import tomllib\nprint('a:', tomllib.load(open('params.toml', 'rb'))['model']['depth'])\n"
    )
    program.commit()
    start(program, "train.py")
    program.write("params.toml", "lr = 0.2\n\n[model]\nwidth = 4\ndepth = 5\n")
    start(program, "train.py")
    (cause,) = bisect(program)[0]["causes"]
    assert (cause["kind"], cause["name"], cause["to"]) == ("params", "model.depth", "depth = 5")


@pytest.mark.slow
def test_changed_data_is_found_and_is_no_code(program: GitRepo) -> None:
    start(program, "train.py")
    program.write("data/rows.txt", "1\n2\n30\n")
    program.write("settings.py", "VERBOSE = 2\n")
    start(program, "train.py")
    (cause,) = bisect(program)[0]["causes"]
    assert (cause["kind"], cause["name"], cause["to"]) == ("data", "data/rows.txt", "30")


@pytest.mark.slow
def test_data_that_git_does_not_have_is_found_though_its_old_content_is_gone(program: GitRepo) -> None:
    program.write("local/rows.txt", "1\n2\n")
    program.write("train.py", TRAIN.replace("data/rows.txt", "local/rows.txt"))
    program.commit()
    start(program, "--data", "local/rows.txt", "train.py")
    program.write("local/rows.txt", "1\n20\n")
    program.write("settings.py", "VERBOSE = 2\n")
    start(program, "--data", "local/rows.txt", "train.py")
    (cause,) = bisect(program)[0]["causes"]
    assert (cause["kind"], cause["name"], cause["proved"]) == ("data", "local/rows.txt", True)


@pytest.mark.slow
def test_old_data_that_lies_beside_the_new_is_used(program: GitRepo) -> None:
    program.write("local/rows.txt", "1\n2\n")
    program.write("train.py", TRAIN.replace("data/rows.txt", "local/rows.txt"))
    program.commit()
    start(program, "--data", "local/rows.txt", "train.py")
    program.write("local/before.txt", "1\n2\n")
    program.write("local/rows.txt", "1\n20\n")
    program.write("helper.py", "RATE = 1.0\nOFFSET = 0.001\nUNUSED = 1\n")
    start(program, "--data", "local/rows.txt", "train.py")
    answer, said = bisect(program)
    assert [cause["name"] for cause in answer["causes"]] == ["local/rows.txt"]
    assert "A again: " in said.splitlines()[1]
    assert "like A" in said.splitlines()[1]
    assert (program.top / "local" / "rows.txt").read_text() == "1\n20\n"


@pytest.mark.slow
def test_a_package_is_found_between_two_environments(program: GitRepo, tmp_path: Path) -> None:
    program.write("train.py", "import widget\nprint('a:', widget.K)\n")
    program.commit()
    for version in (1, 2):
        start(program, "train.py", python=environment(tmp_path / f"env{version}", version))
        program.write("settings.py", f"VERBOSE = 1{version}\n")
    (cause,) = bisect(program)[0]["causes"]
    assert (cause["kind"], cause["name"], cause["from"], cause["to"]) == ("environment", "widget", "1", "2")


def environment(folder: Path, version: int) -> str:
    """A Python with a package `widget` of some version; its interpreter."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    (packages,) = (folder / "lib").glob("python*/site-packages")
    (packages / "widget.py").write_text(f"K = {version}\n")
    info = packages / f"widget-{version}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: widget\nVersion: {version}\n")
    return str(folder / "bin" / "python")


@pytest.mark.slow
def test_an_interrupted_search_goes_on_with_the_runs_it_has(program: GitRepo) -> None:
    start(program, "train.py --lr 0.1")
    start(program, "train.py --lr 0.2")
    first, second = (
        record["id"] for record in reversed(json.loads(replicate("log", "--format", "json", cwd=program.top).stdout))
    )
    answer, _ = bisect(program, first, second)
    again, said = bisect(program, first, second)
    assert again == answer
    assert said.count("(run before)") == len(said.splitlines()) - 1
    assert len(program.git("for-each-ref", "refs/experiments/").splitlines()) == 2 + len(answer["runs"])


@pytest.mark.slow
def test_a_program_that_asks_the_system_for_randomness_is_noise(repo: GitRepo) -> None:
    repo.write("train.py", "import os\nprint('a:', int.from_bytes(os.urandom(3), 'big'))\n")
    repo.commit()
    start(repo, "--seed", "1", "train.py")
    repo.write("other.py", "1\n")
    start(repo, "--seed", "1", "train.py")
    answer, _ = bisect(repo)
    assert (answer["outcome"], answer["causes"]) == ("noise", [])


@pytest.mark.slow
def test_what_depends_on_the_place_does_not_come_again(repo: GitRepo) -> None:
    repo.write("train.py", "import os\nprint('a:', int(os.path.exists('local.txt')))\n")
    repo.write(".gitignore", "local.txt\n")
    repo.commit()
    start(repo, "--seed", "1", "train.py")
    repo.write("local.txt", "x\n")
    start(repo, "--seed", "1", "train.py")
    answer, _ = bisect(repo)
    assert answer["outcome"] == "not-reproduced"
    assert answer["reason"].startswith("both runs, made again, come to the same: 0")


@pytest.mark.slow
def test_an_undeclared_input_that_is_here_as_neither_run_had_it_is_named(repo: GitRepo) -> None:
    repo.write("train.py", "print('a:', float(open('local.txt').read()))\n")
    repo.write(".gitignore", "local.txt\n")
    repo.commit()
    for value in ("1", "2", "3"):
        repo.write("local.txt", f"{value}\n")
        start(repo, "--seed", "1", "train.py")
    found, _ = bisect(repo)
    assert (found["outcome"], [cause["name"] for cause in found["causes"]]) == ("found", ["local.txt"])
    newest_first = json.loads(replicate("log", "--format", "json", cwd=repo.top).stdout)
    runs = [record["id"] for record in newest_first if not record.get("rerun_of")]
    lost, said = bisect(repo, runs[2], runs[1])
    assert (lost["outcome"], "not as it was: the content of local.txt" in lost["reason"]) == ("not-reproduced", True)
    assert "here as neither had it: local.txt" in said


@pytest.mark.slow
def test_a_pointer_of_git_lfs_is_exchanged_whole(repo: GitRepo) -> None:
    pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:{}\nsize {}\n"
    repo.write("model.txt", pointer.format("a" * 64, 10))
    repo.write("train.py", "print('a:', int(open('model.txt').read().split()[-1]))\n")
    repo.commit()
    start(repo, "train.py")
    repo.write("model.txt", pointer.format("b" * 64, 20))
    start(repo, "train.py")
    (cause,) = bisect(repo)[0]["causes"]
    assert (cause["name"], "lines" in cause) == ("model.txt", False)


@pytest.mark.slow
def test_a_run_that_fails_is_explained_too(program: GitRepo) -> None:
    start(program, "--seed", "1", "train.py")
    program.write("helper.py", "RATE = 1.0\nOFFSET = 0.0\nUNUSED = 1\nraise SystemExit(4)\n")
    program.write("settings.py", "VERBOSE = 2\n")
    replicate("start", "-q", "--seed", "1", "--", sys.executable, "train.py", cwd=program.top)
    (cause,) = bisect(program)[0]["causes"]
    assert (cause["name"], cause["from"], cause["to"]) == ("helper.py", None, "raise SystemExit(4)")


def test_two_runs_of_the_same_results_are_the_same(program: GitRepo) -> None:
    start(program, "train.py")
    start(program, "train.py")
    assert bisect(program)[0]["outcome"] == "same"


def test_a_file_that_became_executable_is_a_cause_whatever_else_changed_in_it(repo: GitRepo) -> None:
    repo.write("hook.sh", "one\n")
    repo.write("other.sh", "one\n")
    repo.write("train.py", "import os\nprint('a:', 1 + os.access('hook.sh', os.X_OK))\n")
    repo.commit()
    start(repo, "train.py")
    (repo.top / "hook.sh").chmod(0o755)
    repo.write("other.sh", "two\n")
    start(repo, "train.py")
    (cause,) = bisect(repo)[0]["causes"]
    assert (cause["name"], cause["from"], cause["to"]) == ("hook.sh", "mode 100644", "mode 100755")
    repo.write("hook.sh", "two\n")
    start(repo, "train.py")
    (cause,) = bisect(repo, "latest~2")[0]["causes"]
    assert (cause["name"], "lines" in cause) == ("hook.sh", False)
