"""Whatever is killed whenever, and however many start at once: no run is lost, and the repository stays whole."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable

import pytest
import tomli

from tests.support import CHECKOUT, GitRepo, replicate


def program(module: str, *words: str, repo: GitRepo) -> str:
    done = subprocess.run(
        [sys.executable, "-m", module, *words], cwd=repo.top, env={**os.environ, "PYTHONPATH": str(CHECKOUT)},
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("part", [0, 1])
def test_a_recorder_killed_at_any_step_loses_no_run(
    repo: GitRepo, part: int, record_property: Callable[[str, object], None]
) -> None:
    """A twelfth of all steps each time; `make chaos` takes half of them each time."""
    stride = 2 if os.environ.get("GIT_REPLICATE_CHAOS") else 12
    repo.write(".gitignore", "ran\n")
    repo.commit("ignore")
    first = 1 + part * stride // 2
    killed, begun = map(int, program("tests.chaos", str(first), str(stride), repo=repo).split())
    assert killed > 5
    assert begun > 3
    record_property("storm", f"recorder: killed at {killed} of its steps; {begun} runs had begun, none lost")


_STARTS = """
import os, sys
import git_replicate.execution.run
from git_replicate.cli import main
gate, opened = os.pipe()
children = []
for number in range(64):
    child = os.fork()
    if child == 0:
        os.close(opened)
        os.read(gate, 1)
        code = 70
        try:
            code = main(["start", "-q", "-e", "many", "--", "sh", "-c", f"echo loss: {number}"])
        finally:
            os._exit(code)
    children.append(child)
os.close(opened)
sys.exit(sum(os.waitpid(child, 0)[1] != 0 for child in children))
"""


@pytest.mark.slow
def test_sixty_four_starts_at_once_are_sixty_four_finished_runs_with_their_notes(repo: GitRepo) -> None:
    repo.write("train.py", "print('dirty')\n")
    done = subprocess.run(
        [sys.executable, "-c", _STARTS], cwd=repo.top, env={**os.environ, "PYTHONPATH": str(CHECKOUT)},
        capture_output=True, text=True,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert sorted(done.stdout.split()) == sorted(f"loss: {number}".split()[n] for number in range(64) for n in (0, 1))
    refs = repo.git("for-each-ref", "--format=%(objectname)", "refs/experiments/").split()
    notes = {line.split()[1] for line in repo.git("notes", "--ref=experiments", "list").splitlines()}
    assert len(refs) == 64
    assert set(refs) == notes
    records = [tomli.loads(repo.git("show", f"{oid}:.replicate/run.toml")) for oid in refs]
    assert {record["status"] for record in records} == {"finished"}
    assert sorted(record["metrics"]["loss"] for record in records) == list(range(64))
    listed = json.loads(replicate("log", "--format", "json", cwd=repo.top).stdout)
    assert len(listed) == 64
    assert os.listdir(repo.top / ".git" / "replicate" / "spool") == []
    assert repo.git("fsck", "--strict", "--no-dangling") == ""


def test_a_gc_that_takes_the_snapshot_before_the_run_exists_only_makes_it_take_another(repo: GitRepo) -> None:
    """A `git` that prunes everything when the run's ref is about to be made, once."""
    wrapper = repo.top.parent / "bin" / "git"
    wrapper.parent.mkdir()
    real = subprocess.run(["sh", "-c", "command -v git"], capture_output=True, text=True).stdout.strip()
    wrapper.write_text(
        "#!/bin/sh\n"
        f'case "$*" in *update-ref*) mkdir "{repo.top.parent}/once" 2>/dev/null && {real} prune --expire=now;; esac\n'
        f'exec {real} "$@"\n'
    )
    wrapper.chmod(0o755)
    repo.write("train.py", "print('dirty')\n")
    path = f"{wrapper.parent}{os.pathsep}{os.environ['PATH']}"
    done = replicate("start", "--", "sh", "-c", "echo loss: 1", cwd=repo.top, variables={"PATH": path})
    assert (repo.top.parent / "once").is_dir()
    assert done.returncode == 0
    assert [line for line in done.stderr.splitlines() if not line.startswith("run ")] == []
    (ref,) = repo.git("for-each-ref", "--format=%(refname)", "refs/experiments/").split()
    assert repo.git("show", f"{ref}:train.py") == "print('dirty')"
    assert repo.git("fsck", "--strict", "--no-dangling") == ""
