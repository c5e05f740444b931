"""Seeds through whole runs: recorded, shown, and replayed by `rerun`."""

from __future__ import annotations

import json
import random
import sys
from typing import Any

import pytest

from tests.support import PROGRAM, GitRepo, replicate

UNSEEDED = """
import multiprocessing, os, random
def draw(number): return random.random()
if __name__ == "__main__":
    with multiprocessing.get_context("fork").Pool(2) as pool: drawn = pool.map(draw, range(4), 1)
    print("score:", random.random() + sum(drawn))
    print(random.Random().random(), {"a", "b", "c", "d", "e"}, os.environ.get("CUBLAS_WORKSPACE_CONFIG"))
"""


def shown(repo: GitRepo) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(replicate("show", "latest", "--format", "json", cwd=repo.top).stdout)
    return document


def test_an_unseeded_program_is_identical_when_it_is_rerun(repo: GitRepo) -> None:
    repo.write("train.py", UNSEEDED)
    first = replicate("start", "--", sys.executable, "train.py", cwd=repo.top)
    assert first.returncode == 0
    seeds = shown(repo)["seeds"]
    assert (seeds["mode"], seeds["libraries"]) == ("auto", {"random": "imposed"})
    other = replicate("start", "--", sys.executable, "train.py", cwd=repo.top)
    assert other.stdout != first.stdout
    given = replicate("start", "--seed", str(seeds["run"]), "--", sys.executable, "train.py", cwd=repo.top)
    assert given.stdout == first.stdout
    again = replicate("rerun", "latest~2", cwd=repo.top)
    assert again.returncode == 0
    assert "identical" in again.stdout
    assert shown(repo)["seeds"] == seeds


def test_a_program_under_a_shell_replays(repo: GitRepo) -> None:
    repo.write("train.py", "import random; print('score:', random.random())\n")
    repo.write("all.sh", f"for n in 1 2; do {sys.executable} train.py; done\n")
    assert replicate("start", "--", "sh", "all.sh", cwd=repo.top).returncode == 0
    assert replicate("rerun", "latest", cwd=repo.top).returncode == 0


def test_own_seeding_is_recorded_and_shown(repo: GitRepo) -> None:
    repo.write("train.py", "import random; random.seed(5); made = random.Random(2**70)\n")
    replicate("start", "--seed", "3", "--", sys.executable, "train.py", cwd=repo.top)
    assert shown(repo)["seeds"] == {
        "run": 3, "mode": "given", "python_hash": 0, "libraries": {"random": "own"}, "calls_seen": 2,
        "calls": [
            {"library": "random", "function": "seed", "value": 5},
            {"library": "random", "function": "Random", "value": str(2**70)},
        ],
    }  # fmt: skip
    lines = replicate("show", "latest", cwd=repo.top).stdout.splitlines()
    start = lines.index("seeds")
    assert lines[start + 1 : start + 5] == [
        "  run                    3  (given)",
        "  python hash            0",
        "  seeded by the program  random",
        f"  calls                  random.seed(5), random.Random({2**70})",
    ]


@pytest.mark.slow
def test_without_a_seed_or_a_probe_nothing_is_imposed(repo: GitRepo) -> None:
    repo.write("train.py", "import random; print(random.random())\n")
    for option in (["--seed", "none"], ["--no-probe", "--seed", "3"]):
        first, second = (
            replicate("start", *option, "--", sys.executable, "train.py", cwd=repo.top).stdout for _ in range(2)
        )
        assert first != second != ""
    replicate("start", "--seed", "none", "--", sys.executable, "train.py", cwd=repo.top)
    assert shown(repo)["seeds"] == {"libraries": {"random": "unseen"}, "python_hash": 0}


def test_a_seed_that_the_program_draws_from_the_clock_is_named_as_a_cause(repo: GitRepo) -> None:
    code = "import os, random; random.seed(int.from_bytes(os.urandom(4), 'big')); print('score:', random.random())\n"
    repo.write("train.py", code)
    for _ in range(2):
        replicate("start", "--seed", "3", "--", sys.executable, "train.py", cwd=repo.top)
    causes = json.loads(replicate("why", "latest~1", "latest", "--format", "json", cwd=repo.top).stdout)["causes"]
    assert [(cause["kind"], cause["name"]) for cause in causes] == [("seeds", "random.seed")]
    assert causes[0]["from"] != causes[0]["to"]


@pytest.mark.slow
def test_a_part_of_a_run_may_ask_for_a_seed_of_its_own(repo: GitRepo) -> None:
    repo.write("train.py", "import random; print(random.random(), flush=True)\n")
    script = (
        f"for seed in 5 5 none; do {sys.executable} {PROGRAM} start --seed $seed -- {sys.executable} train.py; done"
    )
    first, second = (
        replicate("start", "--seed", "3", "--", "sh", "-c", script, cwd=repo.top).stdout.split() for _ in range(2)
    )
    random.seed(5)
    assert first[0] == second[0] == str(random.random())
    assert first[1] == second[1] != first[0]
    assert first[2] != second[2]


@pytest.mark.slow
def test_deterministic_is_recorded_and_repeated(repo: GitRepo) -> None:
    repo.write("train.py", UNSEEDED)
    first = replicate("start", "--deterministic", "--", sys.executable, "train.py", cwd=repo.top)
    assert ":4096:8" in first.stdout
    assert replicate("rerun", "latest", cwd=repo.top).returncode == 0
    assert shown(repo)["seeds"]["deterministic"] is True
    assert "deterministic" in replicate("show", "latest", cwd=repo.top).stdout
    nested = [sys.executable, str(PROGRAM), "start", "--deterministic", "--", sys.executable, "train.py"]
    assert ":4096:8" in replicate("start", "--", *nested, cwd=repo.top).stdout


def test_each_rank_of_a_job_has_its_own_stream_that_replays(repo: GitRepo) -> None:
    repo.write("train.py", "import random; print(random.random())\n")
    drawn = []
    for job in ("1", "2"):
        for rank in ("0", "1"):
            variables = {"SLURM_JOB_ID": job, "SLURM_CLUSTER_NAME": "c", "SLURM_PROCID": rank}
            words = ["start", "-q", "--seed", "4", "--", sys.executable, "train.py"]
            drawn.append(replicate(*words, cwd=repo.top, variables=variables).stdout)
    assert drawn[:2] == drawn[2:]
    assert len(set(drawn)) == 2
