"""Preparation stages: what makes one stale, their order, failure, restoring, and several runs at once."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
import tomli

from git_replicate.capture.stages import ordered_stages
from git_replicate.core.errors import ConfigError
from git_replicate.core.settings import StageSettings
from tests.support import PROGRAM, GitRepo, replicate

PREPARE = "mkdir -p data/clean\ntr a-z A-Z < data/raw.txt > data/clean/x\necho ran >> runs.log\n"


@pytest.fixture
def staged(repo: GitRepo) -> GitRepo:
    repo.write(".gitignore", "data/\n*.log\n")
    repo.write("data/raw.txt", "abc\n")
    repo.write("prepare.sh", PREPARE)
    configure(repo)
    return repo


def configure(repo: GitRepo, extra: str = "") -> None:
    repo.write(
        "replicate.toml",
        '[[stage]]\nname = "prepare"\nscript = "prepare.sh"\ninputs = ["data/raw.txt"]\noutputs = ["data/clean"]\n'
        + extra,
    )


def start(repo: GitRepo, *words: str) -> subprocess.CompletedProcess[str]:
    return replicate("start", *(words or ("cat", "data/clean/x")), cwd=repo.top)


def times_run(repo: GitRepo) -> int:
    log = repo.top / "runs.log"
    return len(log.read_text().splitlines()) if log.exists() else 0


def latest(repo: GitRepo) -> dict[str, object]:
    document: dict[str, object] = json.loads(replicate("show", "--format", "json", cwd=repo.top).stdout)
    return document


def test_a_stage_runs_before_the_run_once(staged: GitRepo) -> None:
    first = start(staged)
    assert (first.returncode, first.stdout) == (0, "ABC\n")
    assert "stage prepare runs: prepare.sh" in first.stderr
    stage = latest(staged)["stages"]
    assert isinstance(stage, dict)
    assert stage["prepare"]["reused"] is False
    assert "stages\n  prepare  run\n" in replicate("show", cwd=staged.top).stdout
    assert set(stage["prepare"]["inputs"]) == {"data/raw.txt"}
    os.utime(staged.top / "prepare.sh", (1, 1))
    os.utime(staged.top / "data" / "raw.txt", (1, 1))
    os.utime(staged.top / "data" / "clean" / "x", (1, 1))
    second = start(staged)
    assert "stage" not in second.stderr
    assert times_run(staged) == 1
    again = latest(staged)["stages"]
    assert isinstance(again, dict)
    assert again["prepare"]["reused"] is True
    refs = staged.git("for-each-ref", "--format=%(refname)", "refs/experiments/").split()
    assert len({staged.git("rev-parse", f"{ref}:.replicate/data.toml") for ref in refs}) == 1


@pytest.mark.parametrize("path", ["prepare.sh", "data/raw.txt"])
def test_one_byte_of_the_script_or_an_input_makes_it_stale(staged: GitRepo, path: str) -> None:
    start(staged)
    before = (staged.top / path).read_bytes()
    staged.write(path, before + b"\n")
    start(staged)
    assert times_run(staged) == 2


def test_what_was_made_before_is_restored(staged: GitRepo) -> None:
    start(staged)
    staged.write("data/raw.txt", "xyz\n")
    assert start(staged).stdout == "XYZ\n"
    staged.write("data/raw.txt", "abc\n")
    back = start(staged)
    assert (back.stdout, times_run(staged)) == ("ABC\n", 2)
    assert "stage prepare restored" in back.stderr
    (staged.top / "data" / "clean" / "x").unlink()
    (staged.top / "data" / "clean").rmdir()
    assert (start(staged).stdout, times_run(staged)) == ("ABC\n", 2)


def test_outputs_that_somebody_changed_are_made_again(staged: GitRepo) -> None:
    start(staged)
    staged.write("data/clean/x", "edited\n")
    done = start(staged)
    assert (done.stdout, times_run(staged)) == ("ABC\n", 2)
    assert "data/clean is not as made" in done.stderr


def test_content_that_is_damaged_is_made_again(staged: GitRepo) -> None:
    start(staged)
    (staged.top / "data" / "clean" / "x").unlink()
    for path in (staged.top / ".git" / "replicate" / "stages" / "content").rglob("*"):
        if path.is_file() and "lists" not in path.parts:
            path.write_bytes(b"rotten")
    assert (start(staged).stdout, times_run(staged)) == ("ABC\n", 2)


def test_a_record_of_another_clone_is_enough_to_know_a_stage_is_fresh(staged: GitRepo) -> None:
    start(staged)
    (staged.top / ".git" / "replicate" / "stages" / "made.json").unlink()
    start(staged)
    assert times_run(staged) == 1


def test_a_stage_that_fails_stops_the_run_with_its_log(staged: GitRepo) -> None:
    staged.write("prepare.sh", "echo no such column: age >&2\nexit 3\n")
    done = start(staged)
    assert done.returncode == 125
    assert "  no such column: age\n" in done.stderr
    assert "stage prepare failed (exit 3); nothing was run" in done.stderr
    log = done.stderr.partition("hint: less ")[2].strip()
    with open(log, encoding="utf-8") as file:
        assert file.read() == "no such column: age\n"
    assert staged.git("for-each-ref", "refs/experiments/") == ""


@pytest.mark.parametrize(
    ("break_it", "said"),
    [
        ("true\n", "stage prepare did not make data/clean"),
        (None, "stage prepare: there is no script prepare.sh"),
    ],
)
def test_what_a_stage_lacks_is_one_line(staged: GitRepo, break_it: str | None, said: str) -> None:
    if break_it is None:
        (staged.top / "prepare.sh").unlink()
    else:
        staged.write("prepare.sh", break_it)
    done = start(staged)
    assert (done.returncode, said in done.stderr) == (125, True), done.stderr


def test_a_missing_input_is_an_error(staged: GitRepo) -> None:
    (staged.top / "data" / "raw.txt").unlink()
    done = start(staged)
    assert done.returncode == 125
    assert "stage prepare: input data/raw.txt: No such file or directory\nhint: look: ls -ld" in done.stderr


def test_stages_run_in_the_order_of_their_needs() -> None:
    last = StageSettings("last", "c", ("b/x",), ("c",))
    middle = StageSettings("middle", "b", ("a",), ("b",))
    first = StageSettings("first", "a", (), ("a",))
    assert [stage.name for stage in ordered_stages([last, first, middle])] == ["first", "middle", "last"]


def test_stages_that_need_each_other_are_named() -> None:
    one = StageSettings("one", "a", ("y",), ("x",))
    two = StageSettings("two", "b", ("x/part",), ("y",))
    with pytest.raises(ConfigError, match="stages need each other: one -> two -> one"):
        ordered_stages([one, two])
    with pytest.raises(ConfigError, match="stage own reads what it writes"):
        ordered_stages([StageSettings("own", "a", ("data/raw",), ("data",))])


def test_a_command_line_is_a_script_too(staged: GitRepo) -> None:
    staged.write("make.py", "import sys; open('data/made', 'w').write(sys.argv[1])")
    staged.write(
        "replicate.toml",
        f"[[stage]]\nname = \"made\"\nscript = '''{sys.executable} make.py 7'''\noutputs = [\"data/made\"]\n",
    )
    assert start(staged, "cat", "data/made").stdout == "7"
    staged.write("replicate.toml", (staged.top / "replicate.toml").read_text().replace(" 7", " 8"))
    assert start(staged, "cat", "data/made").stdout == "8"


@pytest.mark.slow
def test_runs_at_once_make_a_stage_once_and_see_all_of_it(staged: GitRepo) -> None:
    staged.write("prepare.sh", PREPARE.replace("echo ran", "sleep 0.3; echo more >> data/clean/x; echo ran"))
    command = [sys.executable, str(PROGRAM), "start", "-q", "cat", "data/clean/x"]
    runs = [subprocess.Popen(command, cwd=staged.top, stdout=subprocess.PIPE, text=True) for _ in range(4)]
    assert [run.communicate()[0] for run in runs] == ["ABC\nmore\n"] * 4
    assert times_run(staged) == 1


def test_data_shows_runs_and_forces(staged: GitRepo) -> None:
    configure(staged, '[data]\npaths = ["data/raw.txt"]\n')
    shown = replicate("data", cwd=staged.top)
    assert shown.stdout.splitlines()[1] == "stage prepare  stale (no record of this script with these inputs)"
    assert shown.stdout.startswith("data/raw.txt  blake3:")
    assert replicate("data", "run", cwd=staged.top).returncode == 0
    assert "stage prepare is fresh" in replicate("data", "run", "prepare", cwd=staged.top).stderr
    assert times_run(staged) == 1
    assert replicate("data", "run", "prepare", "--force", cwd=staged.top).returncode == 0
    assert times_run(staged) == 2
    start(staged)
    told = json.loads(replicate("data", "--format", "json", cwd=staged.top).stdout)
    assert told["stages"]["prepare"]["status"] == "fresh"
    assert told["data"]["data/raw.txt"]["status"] == "unchanged"
    wrong = replicate("data", "run", "nothing", cwd=staged.top)
    assert (wrong.returncode, "there is no stage 'nothing' (configured: prepare)" in wrong.stderr) == (1, True)


def test_a_stage_that_reads_from_a_stale_one_is_stale_whether_that_has_made_anything_or_not(staged: GitRepo) -> None:
    staged.write("count.sh", "wc -l data/clean/x > data/lines\n")
    configure(
        staged,
        '[[stage]]\nname = "count"\nscript = "count.sh"\ninputs = ["data/clean"]\noutputs = ["data/lines"]\n'
        '[data]\npaths = ["data/lines"]\n',
    )
    behind = "stage count    stale (reads what prepare makes)"
    shown = replicate("data", cwd=staged.top).stdout.splitlines()
    assert (shown[0], shown[2]) == ("data/lines  missing", behind)
    assert replicate("data", "run", cwd=staged.top).returncode == 0
    shown = replicate("data", cwd=staged.top).stdout.splitlines()
    assert shown[1:] == ["stage prepare  fresh", "stage count    fresh"]
    staged.write("data/raw.txt", "abcd\n")
    assert replicate("data", cwd=staged.top).stdout.splitlines()[2] == behind


def test_stages_are_in_the_records_file_of_data(staged: GitRepo) -> None:
    start(staged)
    ref = staged.git("for-each-ref", "--format=%(refname)", "refs/experiments/")
    table = tomli.loads(staged.git("show", f"{ref}:.replicate/data.toml"))
    assert list(table) == ["stages"]
    assert table["stages"]["prepare"]["outputs"]["data/clean"].startswith("blake3:")
