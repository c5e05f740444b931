"""Runs in a checkout, and replications of runs: what is restored, what is compared, what is left behind."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import tomli

from tests.support import GitRepo, replicate

TRAIN = """
import argparse, json, helper
p = argparse.ArgumentParser()
p.add_argument("--lr", type=float, default=0.1)
lr = p.parse_args().lr
w = 0.0
for step in range(4):
    w += lr * helper.K * (step + 1)
    print(f"step={step} loss={1 / (1 + w):.6f}")
json.dump({"accuracy": w}, open("metrics.json", "w"))
"""


def records(repo: GitRepo) -> list[dict[str, Any]]:
    """Every run's record, oldest first."""
    refs = repo.git("for-each-ref", "--format=%(refname)", "refs/experiments/").split()
    found = [tomli.loads(repo.git("show", f"{ref}:.replicate/run.toml")) for ref in refs]
    return sorted(found, key=lambda record: record["started"])


def data_of(repo: GitRepo, record: dict[str, Any]) -> dict[str, Any]:
    """The entries of a run's data."""
    shown = json.loads(replicate("show", record["id"], "--format", "json", cwd=repo.top).stdout)
    found: dict[str, Any] = shown.get("data", {})
    return found


@pytest.fixture
def program(repo: GitRepo) -> GitRepo:
    repo.write("train.py", TRAIN)
    repo.write("helper.py", "K = 1.0\n")
    repo.write(".gitignore", "__pycache__/\nmetrics.json\ndata/\n*.bin\n")
    repo.write("replicate.toml", '[results]\nmetrics = ["metrics.json"]\n')
    repo.commit()
    return repo


def start(repo: GitRepo, *words: str) -> subprocess.CompletedProcess[str]:
    done = replicate("start", *words, cwd=repo.top)
    assert done.returncode == 0, done.stderr
    return done


def test_a_rerun_is_identical_though_the_worktree_has_changed_since(program: GitRepo) -> None:
    start(program, "--", sys.executable, "train.py", "--lr", "0.2")
    program.write("helper.py", "K = 2.0\n")
    done = replicate("rerun", "latest", cwd=program.top)
    assert (done.returncode, done.stdout.split(": ")[1]) == (0, "identical\n")
    first, second = records(program)
    assert second["verdict"]["outcome"] == "identical"
    assert second["rerun_of"] == f"train/{first['id']}"
    assert second["code"] == first["code"]
    assert second["seeds"]["run"] == first["seeds"]["run"]
    assert (program.top / "helper.py").read_text() == "K = 2.0\n"


def test_other_code_differs_from_the_step_on_where_the_curves_part(program: GitRepo) -> None:
    program.write(
        "train.py", TRAIN.replace("helper.K", "(helper.K if step < 2 else 1.0)").replace("metrics.json", "x.bin")
    )
    program.commit()
    start(program, "--", sys.executable, "train.py")
    program.write("helper.py", "K = 2.0\n")
    program.write(
        "train.py", TRAIN.replace("helper.K", "(1.0 if step < 2 else helper.K)").replace("metrics.json", "x.bin")
    )
    commit = program.commit()
    done = replicate("rerun", "latest", "--onto", commit, "--format", "json", cwd=program.top)
    assert done.returncode == 3
    (verdict,) = json.loads(done.stdout)
    assert verdict["curves"]["loss"]["first_divergence"] == 2
    assert {cause["name"] for cause in verdict["causes"]} == {"train.py", "helper.py"}
    assert records(program)[1]["code"]["snapshot"] == commit


@pytest.mark.slow
def test_a_difference_within_the_tolerance_is_none(program: GitRepo) -> None:
    start(program, "--", sys.executable, "train.py")
    program.write("helper.py", "K = 1.0001\n")
    commit = program.commit()
    tight = replicate("rerun", "latest", "--onto", commit, cwd=program.top)
    loose = replicate("rerun", "latest~1", "--onto", commit, "--rtol", "1e-2", cwd=program.top)
    assert (tight.returncode, loose.returncode) == (3, 0)
    assert "within tolerance" in loose.stdout


def test_the_clock_differs_and_the_metric_is_named(repo: GitRepo) -> None:
    repo.write("train.py", "import time\nprint('accuracy: 0.5')\nprint(f'moment: {time.time_ns()}')\n")
    repo.commit()
    start(repo, "--", sys.executable, "train.py")
    done = replicate("rerun", "latest", cwd=repo.top)
    assert done.returncode == 3
    assert "  moment: " in done.stdout
    assert "nothing that is recorded differs: environment variables, a clock" in done.stdout
    assert "accuracy" not in done.stdout


@pytest.mark.slow
def test_a_run_that_fails_again_alike_is_identical_and_another_exit_differs(repo: GitRepo) -> None:
    repo.write("train.py", "import os, sys\nprint(__file__, os.getcwd())\nsys.exit(int(os.environ['CODE']))\n")
    repo.commit()
    replicate("start", "--", sys.executable, "train.py", cwd=repo.top, variables={"CODE": "3"})
    again = replicate("rerun", "latest", cwd=repo.top, variables={"CODE": "3"})
    other = replicate("rerun", "latest~1", cwd=repo.top, variables={"CODE": "4"})
    assert (again.returncode, other.returncode) == (0, 3)
    assert "failed with exit 3, the run failed with exit 4" in other.stdout


def test_a_changed_param_is_recorded_and_never_an_error(program: GitRepo) -> None:
    start(program, "--", sys.executable, "train.py", "--lr", "0.2")
    done = replicate("rerun", "latest", "--set", "lr=0.4", cwd=program.top)
    assert done.returncode == 0
    assert records(program)[1]["params"] == {"lr": 0.4}
    wrong = replicate("rerun", "latest", "--set", "depth=4", cwd=program.top)
    assert wrong.returncode == 1
    assert "--set depth: the command does not take it" in wrong.stderr


def test_fresh_seeds_show_the_spread(repo: GitRepo) -> None:
    repo.write("train.py", "import os\nprint(f\"accuracy: {int(os.environ['GIT_REPLICATE_SEED']) % 97}\")\n")
    repo.commit()
    start(repo, "--seed", "1", "--", sys.executable, "train.py")
    done = replicate("rerun", "latest", "--seeds", "3", cwd=repo.top)
    assert done.returncode == 0
    assert "over 3 fresh seeds" in done.stdout
    assert len({record["seeds"]["run"] for record in records(repo)}) == 4


@pytest.mark.slow
def test_signals_reach_every_run_of_a_rerun_as_they_reached_the_first(repo: GitRepo) -> None:
    repo.write("handled.py", "import signal\nprint(signal.getsignal(15), signal.getsignal(1))\n")
    repo.commit()
    start(repo, "--", sys.executable, "handled.py")
    done = replicate("rerun", "latest", "latest", cwd=repo.top)
    assert done.returncode == 0, done.stdout


def test_fresh_seeds_on_other_code_are_held_against_the_seeds_before(repo: GitRepo) -> None:
    text = "import os\nprint('accuracy:', {} + int(os.environ['GIT_REPLICATE_SEED']) % 7 / 100)\n"
    repo.write("train.py", text.format(0))
    repo.commit()
    for seed in ("1", "2", "4"):
        start(repo, "--seed", seed, "--", sys.executable, "train.py")
    repo.write("train.py", text.format(5))
    commit = repo.commit()
    done = replicate("rerun", "latest", "--onto", commit, "--seeds", "3", "--format", "json", cwd=repo.top)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)[0]["statistics"]["accuracy"]
    assert (found["outcome"], sorted(found["before"])) == ("apart", [0.01, 0.02, 0.04])
    assert 4.5 < found["difference"] < 5.5


@pytest.mark.slow
def test_nothing_that_a_run_wrote_is_lost_nor_seen_by_the_next(program: GitRepo) -> None:
    count = "import os\nprint('count:', len(os.listdir('.')))\n"
    program.write("train.py", f"{count}open('a.bin', 'w').write('x')\nopen('helper.py', 'a').write('#')\n")
    program.commit()
    start(program, "--isolated", "--", sys.executable, "train.py")
    done = replicate("rerun", "latest", "--seeds", "2", cwd=program.top)
    assert done.returncode == 0, done.stderr
    assert len({record["metrics"]["count"] for record in records(program)}) == 1
    assert not (program.top / "a.bin").exists()
    assert program.git("status", "--porcelain") == ""
    assert program.git("worktree", "list").count("\n") == 0
    for record in records(program):
        (moved,) = [entry["moved_to"] for entry in record["files"] if entry["path"] == "a.bin"]
        assert (program.top / ".git" / moved).read_text() == "x"
    assert list((program.top / ".git" / "replicate" / "worktrees").iterdir()) == []


def test_git_works_in_the_checkout(program: GitRepo) -> None:
    done = start(program, "--isolated", "--", "git", "status", "--porcelain", "--branch")
    assert done.stdout == "## HEAD (no branch)\n"


@pytest.mark.slow
def test_declared_data_is_linked_and_checked_before_anything_runs(program: GitRepo) -> None:
    program.write("data/x.txt", "5\n")
    program.write("train.py", "print('accuracy:', open('data/x.txt').read())\n")
    program.commit()
    start(program, "--data", "data/x.txt", "--", sys.executable, "train.py")
    assert replicate("rerun", "latest", cwd=program.top).returncode == 0
    program.write("data/x.txt", "6\n")
    before = len(records(program))
    done = replicate("rerun", "latest", cwd=program.top)
    assert done.returncode == 1
    assert "data/x.txt is blake3:" in done.stderr
    assert ", and was blake3:" in done.stderr
    assert len(records(program)) == before
    assert replicate("rerun", "latest", "--allow-different-data", cwd=program.top).returncode == 3
    assert replicate("rerun", "latest~2", "--allow-different-data", cwd=program.top).returncode == 3
    program.write("train.py", "import os\nprint('accuracy:', 5 if os.path.exists('data/x.txt') else 0)\n")
    start(program, "--data", "data/x.txt", "--", sys.executable, "train.py")
    (program.top / "data" / "x.txt").unlink()
    gone = replicate("rerun", "latest", cwd=program.top)
    assert (gone.returncode, "data/x.txt is missing here, and was blake3:" in gone.stderr) == (1, True)
    without = replicate("rerun", "latest", "--allow-different-data", cwd=program.top)
    assert without.returncode == 3
    assert "accuracy: 5 -> 0 differs" in without.stdout
    assert "data data/x.txt: blake3:" in without.stdout
    assert "  data/x.txt  missing" in replicate("show", "latest", cwd=program.top).stdout


def test_a_param_that_one_side_lacks_is_a_cause_that_can_be_recorded(repo: GitRepo) -> None:
    text = "import argparse\np = argparse.ArgumentParser()\np.add_argument('--lr')\n"
    repo.write("train.py", text + "p.add_argument('--more', default='x')\np.parse_args()\nprint('k:', 1)\n")
    repo.commit()
    start(repo, "--", sys.executable, "train.py", "--lr", "1")
    repo.write("train.py", text + "p.parse_args()\nprint('k:', 2)\n")
    repo.commit()
    done = replicate("rerun", "latest", "--onto", "HEAD", cwd=repo.top)
    assert done.returncode == 3, done.stderr
    assert "params more: x -> absent" in done.stdout
    causes = {cause["name"]: cause for cause in records(repo)[1]["verdict"]["causes"]}
    assert (causes["more"]["from"], "to" in causes["more"]) == ("x", False)


def test_what_somebody_else_recorded_is_run_only_when_confirmed(program: GitRepo) -> None:
    start(program, "--", sys.executable, "train.py")
    program.git("config", "user.email", "eve@example.org")
    done = replicate("rerun", "latest", cwd=program.top)
    assert done.returncode == 1
    assert "nobody is there to be asked\nhint: git replicate rerun --yes latest\n" in done.stderr
    assert len(records(program)) == 1
    assert replicate("rerun", "latest", "--yes", cwd=program.top).returncode == 0


@pytest.mark.parametrize("layout", ["path", "finder", "redirector", "links"])
def test_an_editable_install_of_the_worktree_is_that_of_the_checkout(
    repo: GitRepo, tmp_path: Path, layout: str
) -> None:
    python = editable_environment(tmp_path, repo.top, layout)
    repo.write("src/mypkg/__init__.py", "K = 1\n")
    repo.write("train.py", "import mypkg\nprint('k:', mypkg.K)\n")
    repo.commit()
    start(repo, "--", python, "train.py")
    repo.write("src/mypkg/__init__.py", "K = 2\n")
    done = replicate("rerun", "latest", cwd=repo.top)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "leaked" not in records(repo)[1]["code"]


@pytest.mark.parametrize(
    "line",
    [
        "k = runpy.run_path(top + '/lib.py')['K']",
        "k = int(open(top + '/lib.py').read()[4:])",
        "k = len(open(top + '/words.txt').read())",
    ],
)
def test_a_file_of_the_worktree_that_is_read_all_the_same_leaves_no_verdict(repo: GitRepo, line: str) -> None:
    repo.write("lib.py", "K = 1\n")
    repo.write("words.txt", "a")
    repo.write("train.py", f"import runpy\ntop = {str(repo.top)!r}\n{line}\nprint('k:', k)\n")
    repo.commit()
    start(repo, "--", sys.executable, "train.py")
    repo.write("lib.py", "K = 2\n")
    repo.write("words.txt", "ab")
    done = replicate("rerun", "latest", cwd=repo.top)
    assert done.returncode == 1
    record = records(repo)[1]
    assert record["code"]["leaked"] is True
    assert record["verdict"]["outcome"] == "none"


def test_a_file_of_the_worktree_that_is_as_in_the_snapshot_may_be_read(repo: GitRepo) -> None:
    repo.write("words.txt", "a")
    repo.write("train.py", f"print('k:', len(open({str(repo.top / 'words.txt')!r}).read()))\n")
    repo.commit()
    start(repo, "--", sys.executable, "train.py")
    assert replicate("rerun", "latest", cwd=repo.top).returncode == 0
    assert [data_of(repo, record) for record in records(repo)] == [{}, {}]


def test_a_path_that_the_program_adds_itself_leads_into_the_checkout(repo: GitRepo) -> None:
    repo.write("lib/one.py", "K = 1\n")
    repo.write(
        "train.py", f"import sys\nsys.path.insert(0, {str(repo.top / 'lib')!r})\nimport one\nprint('k:', one.K)\n"
    )
    repo.commit()
    start(repo, "--", sys.executable, "train.py")
    repo.write("lib/one.py", "K = 2\n")
    done = replicate("rerun", "latest", cwd=repo.top)
    assert (done.returncode, done.stdout[-10:]) == (0, "identical\n"), done.stderr


def test_a_program_of_an_environment_in_the_worktree_is_no_code_of_it(repo: GitRepo) -> None:
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(repo.top / ".venv")], check=True)
    repo.write(".gitignore", ".venv/\n")
    repo.write("train.py", "print('k: 1')\n")
    repo.commit()
    program = repo.top / ".venv" / "bin" / "mytrain"
    program.write_text(f"#!{repo.top}/.venv/bin/python\nimport sys\nsys.path.insert(0, '.')\nimport train\n")
    program.chmod(0o755)
    start(repo, "--", ".venv/bin/mytrain")
    done = replicate("rerun", "latest", cwd=repo.top)
    assert done.returncode == 0, done.stdout + done.stderr
    assert [record["code"]["executed"] for record in records(repo)] == [["train.py"], ["train.py"]]


def test_absolute_paths_and_python_path_lead_into_the_checkout(repo: GitRepo) -> None:
    repo.write("lib/one.py", "K = 1\n")
    repo.write("train.py", "import one, sys\nprint('k:', one.K)\n")
    repo.commit()
    variables = {"PYTHONPATH": str(repo.top / "lib")}
    command = ("--", sys.executable, str(repo.top / "train.py"))
    assert replicate("start", *command, cwd=repo.top, variables=variables).returncode == 0
    repo.write("lib/one.py", "K = 2\n")
    repo.write("train.py", "print('k: 9')\n")
    done = replicate("rerun", "latest", cwd=repo.top, variables=variables)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("absolute", [False, True])
def test_a_python_path_into_the_worktree_is_restored_where_none_is_set(
    repo: GitRepo, tmp_path: Path, *, absolute: bool
) -> None:
    repo.write("src/pkg/__init__.py", "")
    repo.write("src/pkg/train.py", "print('k: 1')\n")
    repo.commit()
    path = f"{repo.top / 'src'}:/nowhere" if absolute else "src:/nowhere"
    command = ("--", sys.executable, "-m", "pkg.train")
    assert replicate("start", *command, cwd=repo.top, variables={"PYTHONPATH": path}).returncode == 0
    repo.write("src/pkg/train.py", "print('k: 2')\n")
    done = replicate("rerun", "latest", cwd=repo.top, variables={"PYTHONPATH": ""})
    assert done.returncode == 0, done.stdout + done.stderr
    environment = json.loads(replicate("show", "latest~1", "--format", "json", cwd=repo.top).stdout)["environment"]
    assert environment["variables"]["PYTHONPATH"] == "./src:/nowhere"
    clone = tmp_path / "clone"
    repo.git("clone", "-q", ".", str(clone))
    subprocess.run(["git", "fetch", "-q", "origin", "refs/experiments/*:refs/experiments/*"], cwd=clone, check=True)
    done = replicate("rerun", "--yes", "latest~1", cwd=clone, variables={"PYTHONPATH": ""})
    assert done.returncode == 0, done.stdout + done.stderr
    replicate("start", *command, cwd=repo.top, variables={"PYTHONPATH": "other"})
    why = replicate("why", "latest~2", "latest", "--format", "json", cwd=repo.top)
    assert "variables.PYTHONPATH" in {cause["name"] for cause in json.loads(why.stdout)["causes"]}


def editable_environment(folder: Path, top: Path, layout: str) -> str:
    """A Python with an editable install of `mypkg` from `src`, as setuptools or hatchling make one; its interpreter."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder / "venv")], check=True)
    (packages,) = (folder / "venv" / "lib").glob("python*/site-packages")
    if layout == "path":
        (packages / "__editable__.mypkg-1.pth").write_text(f"{top / 'src'}\n")
    elif layout == "links":
        tree = top / "build" / "__editable__.mypkg-1"
        (tree / "mypkg").mkdir(parents=True)
        (top / ".gitignore").write_text("build/\n")
        (tree / "mypkg" / "__init__.py").symlink_to(top / "src" / "mypkg" / "__init__.py")
        (packages / "__editable__.mypkg-1.pth").write_text(f"{tree}\n")
    elif layout == "redirector":
        (packages / "_editable_impl_mypkg.pth").write_text("import _editable_impl_mypkg\n")
        (packages / "_editable_impl_mypkg.py").write_text(
            "import sys\nfrom importlib.util import spec_from_file_location\n"
            "class Redirector:\n    where = {'mypkg': " + repr(str(top / "src" / "mypkg" / "__init__.py")) + "}\n"
            "    @classmethod\n    def find_spec(cls, name, path=None, target=None):\n"
            "        return spec_from_file_location(name, cls.where[name]) if name in cls.where else None\n"
            "sys.meta_path.append(Redirector)\n"
        )
    else:
        (packages / "__editable__.mypkg-1.pth").write_text("import __editable___mypkg_finder\n")
        (packages / "__editable___mypkg_finder.py").write_text(
            "import sys, os\nfrom importlib.machinery import PathFinder\n"
            f"MAPPING = {{'mypkg': {str(top / 'src' / 'mypkg')!r}}}\nNAMESPACES = {{}}\n"
            "class Finder:\n    @classmethod\n    def find_spec(cls, name, path=None, target=None):\n"
            "        return PathFinder.find_spec(name, [os.path.dirname(MAPPING[name])]) if name in MAPPING else None\n"
            "sys.meta_path.append(Finder)\n"
        )
    return str(folder / "venv" / "bin" / "python")


@pytest.mark.slow
def test_code_that_git_ignores_is_linked_into_the_checkout_and_said_if_it_is_other(repo: GitRepo) -> None:
    repo.write(".gitignore", "_version.py\n")
    repo.write("_version.py", "K = 1\n")
    repo.write("train.py", "import _version\nprint('k:', _version.K)\n")
    repo.commit()
    start(repo, "--", sys.executable, "train.py")
    assert replicate("rerun", "latest", cwd=repo.top).returncode == 0
    isolated = replicate("start", "--isolated", "--", sys.executable, "train.py", cwd=repo.top)
    assert (isolated.returncode, isolated.stdout) == (0, "k: 1\n")
    repo.write("_version.py", "K = 22\n")
    done = replicate("rerun", "latest", cwd=repo.top)
    assert done.returncode == 3
    assert "other than it was: _version.py is blake3:" in done.stderr
    assert "data _version.py: blake3:" in done.stdout


def test_a_module_of_the_worktree_that_no_commit_has_can_be_linked(repo: GitRepo) -> None:
    repo.write(".gitignore", "built/\n")
    repo.write("built/fast.py", "K = 1\n")
    text = f"import sys\nsys.path.insert(0, {str(repo.top / 'built')!r})\nimport fast\nprint('k:', fast.K)\n"
    repo.write("train.py", text)
    repo.commit()
    words = ("start", "--isolated", "--", sys.executable, "train.py")
    done = replicate(*words, cwd=repo.top)
    assert (
        "read instead of the checkout's: built/fast.py; what no commit has can be linked: replicate.toml, "
        in done.stderr
    )
    assert '[isolated] link = ["built/fast.py"]' in done.stderr
    repo.write("replicate.toml", '[isolated]\nlink = ["built/fast.py"]\n')
    done = replicate(*words, cwd=repo.top)
    assert (done.returncode, done.stdout) == (0, "k: 1\n")
    assert ["leaked" in record["code"] for record in records(repo)] == [True, False]
    assert data_of(repo, records(repo)[1])["built/fast.py"]["undeclared"] is True


def test_a_session_cannot_be_run_again(repo: GitRepo) -> None:
    assert replicate("start", "--open", "-e", "cells", cwd=repo.top).returncode == 0
    assert replicate("finish", cwd=repo.top).returncode == 0
    done = replicate("rerun", "latest", cwd=repo.top)
    assert done.returncode == 1
    assert "was a session: there is no command to run again" in done.stderr


def test_params_that_placeholders_filled_are_those_of_the_rerun_too(repo: GitRepo) -> None:
    repo.write("train.sh", "echo a: $1$2\n")
    repo.commit()
    start(repo, "-p", "x=3", "-p", "y=7", "--", "sh", "train.sh", "{x}", "out-{y}")
    same = replicate("rerun", "latest", cwd=repo.top)
    assert (same.returncode, "reaches nothing" in same.stderr) == (0, False)
    other = replicate("rerun", "latest~1", "--set", "x=5", cwd=repo.top)
    assert other.returncode == 0, other.stderr
    found = records(repo)
    assert [record["params"] for record in found[:2]] == [{"x": 3, "y": 7}] * 2
    assert [record["params_source"] for record in found[:2]] == [{"x": "requested", "y": "requested"}] * 2
    assert (found[2]["params"], found[2]["command"][2:]) == ({"x": 5, "y": 7}, ["5", "out-7"])
    assert "reaches nothing" not in other.stderr


def test_a_changed_param_that_the_program_does_not_take_up_is_said(repo: GitRepo) -> None:
    parse = "import argparse\np = argparse.ArgumentParser()\np.add_argument('--lr', type=float, default=0.1)\n"
    repo.write("train.py", parse + "a = p.parse_args()\na.lr = 0.5\nagain = p.parse_args(['--lr', '0.5'])\n")
    repo.commit()
    start(repo, "--", sys.executable, "train.py", "--lr", "0.2")
    done = replicate("rerun", "latest", "--set", "lr=0.4", cwd=repo.top)
    assert "--set lr=0.4 has no effect: the program has lr = 0.5" in done.stderr
    assert records(repo)[1]["params_unused"] == {"lr": 0.4}
