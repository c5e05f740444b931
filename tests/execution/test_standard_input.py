"""What is recorded of standard input, and said where a run is made again without it."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

from tests.support import PROGRAM, GitRepo, replicate

READS = "import sys\nprint('total:', sum(map(int, sys.stdin.read().split())))\n"


@pytest.fixture
def program(repo: GitRepo) -> GitRepo:
    repo.write("train.py", READS)
    repo.write("numbers.txt", "1\n2\n3\n")
    repo.commit()
    return repo


def start(repo: GitRepo, **options: Any) -> dict[str, Any]:
    words = [sys.executable, str(PROGRAM), "start", "-q", "--", sys.executable, "train.py"]
    subprocess.run(words, cwd=repo.top, check=True, stdout=subprocess.DEVNULL, **options)
    shown: dict[str, Any] = json.loads(replicate("show", "latest", "--format", "json", cwd=repo.top).stdout)
    return shown


def test_a_pipe_is_recorded_and_said_where_the_run_is_made_again_without_it(program: GitRepo) -> None:
    assert start(program, input=b"1 2 3 4")["stdin"] == {"kind": "pipe"}
    assert "standard input  pipe (not kept)" in replicate("show", "latest", cwd=program.top).stdout
    done = replicate("rerun", "latest", cwd=program.top)
    assert done.returncode == 3
    assert "    data standard input: pipe -> absent\n" in done.stdout
    done = replicate("rerun", "latest~1", cwd=program.top, stdin=b"1 2")
    assert done.returncode == 3
    assert "its standard input was a pipe, which is not kept; this run has the one that you give it" in done.stderr
    assert "nothing that is recorded differs: its standard input (not kept), environment" in done.stdout


def test_a_file_is_recorded_with_its_hash(program: GitRepo) -> None:
    with open(program.top / "numbers.txt", "rb") as file:
        stdin = start(program, stdin=file)["stdin"]
    assert (stdin["kind"], stdin["path"], stdin["bytes"]) == ("file", "numbers.txt", 6)
    assert stdin["hash"] == "blake3:53d4000ff4f48ebe139fec8d1f0e33c34b6e78506ffc0d482613ffa6ebb1f766"
    done = replicate("rerun", "latest", cwd=program.top)
    assert (
        "its standard input was the file numbers.txt; this run has the one that you give it: < numbers.txt"
        in done.stderr
    )


def test_nothing_is_told_of_an_empty_device_or_of_a_pipe_that_nobody_writes_into(program: GitRepo) -> None:
    assert "stdin" not in start(program, stdin=subprocess.DEVNULL)
    program.write("train.py", "print('total:', 1)\n")
    with subprocess.Popen(["sleep", "600"], stdout=subprocess.PIPE) as idle:
        assert "stdin" not in start(program, stdin=idle.stdout)
        idle.kill()


def test_a_here_document_is_a_pipe(program: GitRepo) -> None:
    text = "1\n" * 70_000  # a shell puts a long one into a file that has no name
    script = f"{sys.executable} {PROGRAM} start -q -- {sys.executable} train.py <<'END'\n{text}END\n"
    subprocess.run(["bash"], cwd=program.top, check=True, input=script.encode(), stdout=subprocess.DEVNULL)
    shown = json.loads(replicate("show", "latest", "--format", "json", cwd=program.top).stdout)
    assert (shown["stdin"], shown["metrics"]) == ({"kind": "pipe"}, {"total": 70_000})
