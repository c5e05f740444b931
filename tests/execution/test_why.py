"""What explains a difference, and bringing a run's code back."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support import GitRepo, replicate

TRAIN = (
    "import sys, helper\nprint('accuracy:', helper.K * float(sys.argv[1].split('=')[1]) + len(open('d/x').read()))\n"
)


@pytest.fixture
def program(repo: GitRepo) -> GitRepo:
    repo.write("train.py", TRAIN)
    repo.write("helper.py", "K = 1.0\n")
    repo.write("d/x", "five\n")
    repo.write("replicate.toml", '[data]\npaths = ["d"]\n')
    repo.commit()
    start(repo)
    return repo


def start(repo: GitRepo, lr: str = "0.1") -> None:
    done = replicate("start", "--seed", "1", "--", sys.executable, "train.py", f"--lr={lr}", cwd=repo.top)
    assert done.returncode == 0, done.stderr


def why(repo: GitRepo) -> dict[str, Any]:
    done = replicate("why", "latest~1", "latest", "--format", "json", cwd=repo.top)
    assert done.returncode == 0, done.stderr
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def test_two_runs_of_the_same_are_the_same(program: GitRepo) -> None:
    start(program)
    assert why(program) == {"outcome": "same", "metric": "", "causes": []}


def test_the_changed_file_comes_first(program: GitRepo) -> None:
    program.write("helper.py", "K = 20.0\n")  # of another size: Python would take its cached code of the same second
    program.write("README", "other words\n")
    start(program)
    found = why(program)
    assert (found["outcome"], found["metric"]) == ("ranked", "accuracy")
    assert [(cause["kind"], cause["name"]) for cause in found["causes"]] == [("code", "helper.py"), ("code", "README")]


@pytest.mark.slow
def test_a_file_of_which_only_comments_changed_comes_after_data_that_nobody_declared(program: GitRepo) -> None:
    program.write("weights.csv", "1\n")
    start(program)
    program.write("weights.csv", "2\n")
    program.write("train.py", TRAIN.replace("print(", "print(  # the result\n"))
    start(program)
    done = replicate("why", "latest~1", "latest", cwd=program.top)
    lines = [line.split() for line in done.stdout.splitlines()[-2:]]
    assert [(line[0], line[2]) for line in lines] == [("0.50", "weights.csv"), ("0.10", "train.py")]
    assert done.stdout.endswith("(only comments or formatting)\n")
    assert done.stdout.startswith("the metrics are identical\nwhat differs, likeliest first\n")
    assert why(program)["causes"][1]["note"] == "only comments or formatting"


@pytest.mark.slow
def test_without_metrics_nothing_is_said_of_metrics_but_that(repo: GitRepo) -> None:
    for number in (1, 1, 2):
        repo.write("train.py", f"print('it is', {number})\n")
        assert replicate("start", "--", sys.executable, "train.py", cwd=repo.top).returncode == 0
    same = replicate("why", "latest~2", "latest~1", cwd=repo.top)
    assert same.stdout.startswith("there are no metrics to compare; what was printed is the same\n")
    other = replicate("why", "latest~1", "latest", cwd=repo.top)
    assert other.stdout.startswith("there are no metrics to compare; what was printed differs\nwhat differs, ")


def test_a_changed_param_comes_before_changed_code(program: GitRepo) -> None:
    program.write("helper.py", "K = 20.0\n")
    start(program, "0.2")
    first = why(program)["causes"][0]
    assert (first["kind"], first["name"], first["from"], first["to"]) == ("params", "lr", 0.1, 0.2)


@pytest.mark.slow
def test_a_default_that_was_changed_in_the_code_comes_after_the_code(program: GitRepo) -> None:
    text = (
        "import argparse\np = argparse.ArgumentParser()\np.add_argument('--lr', type=float, default={})\n"
        "o = p.parse_args()\nprint('accuracy:', o.lr)\n"
    )
    for default in ("0.1", "0.25"):
        program.write("train.py", text.format(default))
        done = replicate("start", "--seed", "1", "--", sys.executable, "train.py", cwd=program.top)
        assert done.returncode == 0, done.stderr
    assert [(cause["kind"], cause["name"]) for cause in why(program)["causes"]] == [
        ("code", "train.py"),
        ("params", "lr"),
    ]


def test_changed_data_is_named_by_its_file_and_is_no_code(program: GitRepo) -> None:
    program.write("d/x", "sixsix\n")
    start(program)
    (cause,) = why(program)["causes"]
    assert (cause["kind"], cause["name"]) == ("data", "d/x")


def test_a_snapshot_can_be_run_later(program: GitRepo) -> None:
    program.write("helper.py", "K = 3.0\n")
    done = replicate("snapshot", cwd=program.top)
    assert done.returncode == 0
    commit = done.stdout.strip()
    program.git("checkout", "-q", "--", "helper.py")
    assert program.git("show", f"{commit}:helper.py") == "K = 3.0"
    program.git("gc", "-q", "--prune=now")
    ran = replicate("start", "--at", commit, "--", sys.executable, "train.py", "--lr=1", cwd=program.top)
    assert ran.stdout == "accuracy: 8.0\n"


def test_code_is_applied_to_a_clean_worktree_and_head_stays(program: GitRepo) -> None:
    head = program.git("rev-parse", "HEAD")
    program.write("helper.py", "K = 4.0\n")
    program.write("new.py", "1\n")
    start(program)
    program.write("helper.py", "K = 5.0\n")
    program.write("new.py", "2\n")
    refused = replicate("apply", "latest", cwd=program.top)
    assert refused.returncode == 1
    assert "uncommitted work would be overwritten: helper.py, new.py" in refused.stderr
    (program.top / "new.py").unlink()
    program.git("checkout", "-q", "--", "helper.py")
    assert replicate("apply", "latest", cwd=program.top).returncode == 0
    assert (program.top / "helper.py").read_text() == "K = 4.0\n"
    assert (program.top / "new.py").read_text() == "1\n"
    assert program.git("rev-parse", "HEAD") == head
    assert program.git("diff", "--cached", "--name-only") == ""


def test_an_ignored_file_in_the_way_is_not_overwritten(program: GitRepo) -> None:
    program.write("new.py", "1\n")
    start(program)
    program.write(".gitignore", "new.py\n")
    program.commit()
    program.git("rm", "-q", "--cached", "--ignore-unmatch", "new.py")
    program.write("new.py", "mine\n")
    done = replicate("apply", "latest", cwd=program.top)
    assert done.returncode == 1
    assert (program.top / "new.py").read_text() == "mine\n"


def test_params_are_applied_to_the_declared_files_and_no_others(program: GitRepo) -> None:
    program.write("replicate.toml", '[params]\nfiles = ["params.toml"]\n[data]\npaths = ["d"]\n')
    program.write("params.toml", "lr = 0.1  # slow\n")
    program.commit()
    start(program)
    program.write("params.toml", "lr = 0.2\n")
    program.write("helper.py", "K = 7.0\n")
    refused = replicate("apply", "--params", "latest", cwd=program.top)
    assert (refused.returncode, "uncommitted changes would be overwritten: params.toml" in refused.stderr) == (1, True)
    program.commit()
    done = replicate("apply", "--params", "latest", cwd=program.top)
    assert done.returncode == 0, done.stderr
    assert (program.top / "params.toml").read_text() == "lr = 0.1  # slow\n"
    assert (program.top / "helper.py").read_text() == "K = 7.0\n"
    assert program.git("diff", "--name-only") == "params.toml"


@pytest.mark.slow
def test_params_that_a_run_was_handed_are_written_into_the_file(program: GitRepo) -> None:
    program.write("replicate.toml", '[params]\nfiles = ["params.toml"]\n')
    program.write("params.toml", "[model]\ndepth = 3\n")
    program.write(
        "train.py", "import tomllib\nprint('a:', tomllib.load(open('params.toml', 'rb'))['model']['depth'])\n"
    )
    program.commit()
    done = replicate("start", "--", sys.executable, "train.py", cwd=program.top)
    assert done.returncode == 0, done.stderr
    again = replicate("rerun", "--set", "model.depth=5", "latest", cwd=program.top)
    assert (again.returncode, "a: 3 -> 5" in again.stdout) == (0, True), again.stderr
    assert replicate("apply", "--params", "latest", cwd=program.top).returncode == 0
    assert (program.top / "params.toml").read_text() == "[model]\ndepth = 5\n"


def test_a_branch_is_made_at_the_code_and_never_moved(program: GitRepo) -> None:
    program.write("helper.py", "K = 5.0\n")
    start(program)
    assert replicate("branch", "latest", "again", cwd=program.top).returncode == 0
    assert program.git("show", "again:helper.py") == "K = 5.0"
    second = replicate("branch", "latest", "again", cwd=program.top)
    assert (second.returncode, "there is a branch 'again' already" in second.stderr) == (1, True)
    assert replicate("branch", "latest", "-bad..name", cwd=program.top).returncode in (1, 2)


def test_a_worktree_that_is_the_runs_code_already_needs_nothing(program: GitRepo) -> None:
    program.write("helper.py", "K = 4.0\n")
    program.write("new.sh", "1\n").chmod(0o755)
    (program.top / "link").symlink_to("helper.py")
    (program.top / "d" / "x").unlink()
    program.git("rm", "-q", "--cached", "d/x")
    program.write("d/y", "five\n")
    done = replicate("start", "--no-probe", "--", "true", cwd=program.top)
    assert done.returncode == 0, done.stderr
    before = program.git("status", "--porcelain")
    done = replicate("apply", "latest", cwd=program.top)
    assert (done.returncode, done.stderr) == (0, "0 files changed; HEAD is where it was. To look: git diff HEAD\n")
    assert program.git("status", "--porcelain") == before


def test_files_that_are_as_the_run_had_them_are_in_nobodys_way(program: GitRepo) -> None:
    program.write("helper.py", "K = 4.0\n")
    program.write("new.py", "1\n")
    program.write("train.py", TRAIN + "# more\n")
    program.git("rm", "-q", "replicate.toml")
    replicate("start", "--no-probe", "--", "true", cwd=program.top)
    program.git("checkout", "-q", "--", "train.py")
    program.git("reset", "-q", "--hard", "HEAD")
    program.write("helper.py", "K = 4.0\n")
    program.write("d/x", "mine\n")
    done = replicate("apply", "latest", cwd=program.top)
    assert done.returncode == 0, done.stderr
    assert "your uncommitted changes are left as they are: d/x\n" in done.stderr
    assert "2 files changed" in done.stderr  # train.py is written, replicate.toml goes; new.py was there
    assert (program.top / "train.py").read_text() == TRAIN + "# more\n"
    assert (program.top / "helper.py").read_text() == "K = 4.0\n"
    assert not (program.top / "replicate.toml").exists()
    program.write("new.py", "mine\n")
    refused = replicate("apply", "latest", cwd=program.top)
    assert "uncommitted work would be overwritten: new.py\n" in refused.stderr


@pytest.mark.parametrize("back", [False, True])
def test_a_folder_in_place_of_a_file_is_as_the_run_had_it(program: GitRepo, back: bool) -> None:
    if back:
        program.git("rm", "-q", "helper.py")
        program.write("helper.py/inner.py", "K = 4.0\n")
        program.commit()
    (program.top / "train.py").unlink()
    program.git("rm", "-q", "-r", "--cached", "helper.py")
    if back:
        (program.top / "helper.py" / "inner.py").unlink()
        (program.top / "helper.py").rmdir()
        program.write("helper.py", "K = 5.0\n")
    else:
        (program.top / "helper.py").unlink()
        program.write("helper.py/inner.py", "K = 5.0\n")
    replicate("start", "--no-probe", "--", "true", cwd=program.top)
    program.git("checkout", "-q", "--", "train.py")
    done = replicate("apply", "latest", cwd=program.top)
    assert (done.returncode, "1 file changed" in done.stderr) == (0, True), done.stderr
    assert not (program.top / "train.py").exists()
    left = (program.top / "helper.py") if back else (program.top / "helper.py" / "inner.py")
    assert left.read_text() == "K = 5.0\n"


def test_uncommitted_changes_in_a_submodule_are_shown_compared_and_a_cause(repo: GitRepo, tmp_path: Path) -> None:
    inner = GitRepo(tmp_path / "inner")
    inner.top.mkdir()
    inner.git("init", "-q")
    inner.write("factor.sh", "echo factor: 1.0\n")
    inner.commit()
    repo.git("submodule", "add", "-q", str(inner.top), "ext/lib")
    repo.commit()
    for factor in ("1.0", "2.0"):
        repo.write("ext/lib/factor.sh", f"echo factor: {factor}\n")
        replicate("start", "--", "sh", "ext/lib/factor.sh", cwd=repo.top)
    (cause, *_) = why(repo)["causes"]
    assert (cause["kind"], cause["name"], cause["score"]) == ("code", "ext/lib", 0.5)
    patch = replicate("diff", "--code", "latest~1", "latest", cwd=repo.top).stdout
    assert f"Submodule ext/lib {cause['from']}..{cause['to']}\n" in patch
    assert "-echo factor: 1.0\n+echo factor: 2.0\n" in patch
    shown = replicate("show", cwd=repo.top).stdout
    see = f"git -C ext/lib diff {cause['from']} {cause['to']}"
    assert re.search("  dirty +submodules\n", shown)
    assert f"ext/lib {cause['to']} (uncommitted changes; see: {see})" in shown
    assert "+echo factor: 2.0" in subprocess.run(see.split(), cwd=repo.top, capture_output=True, text=True).stdout
