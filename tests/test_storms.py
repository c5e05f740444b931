"""Storms, small here; `make chaos` runs the large ones, some hundred kills among them, in a quarter of an hour."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable

import pytest

from tests.support import CHECKOUT, GitRepo

_SEED = os.environ.get("GIT_REPLICATE_CHAOS", "")
ROUNDS = {"kill": (5, 300), "signals": (4, 150), "gc": (1, 40), "starts": (16, 256), "clock": (4, 60), "sweep": (2, 40)}
"""How often each is done: in the tests, and in `make chaos`."""


@pytest.mark.parametrize(
    "scenario", [pytest.param(name, marks=[] if name == "kill" else pytest.mark.slow) for name in ROUNDS]
)
def test_nothing_that_was_announced_is_lost(
    repo: GitRepo, scenario: str, record_property: Callable[[str, object], None]
) -> None:
    repo.write(".gitignore", "ended\n")
    repo.commit("ignore")
    small, large = ROUNDS[scenario]
    rounds = large if _SEED else small
    done = subprocess.run(
        [sys.executable, "-m", "tests.storms", scenario, str(rounds), _SEED or "1"], cwd=repo.top,
        env={**os.environ, "PYTHONPATH": str(CHECKOUT)}, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    facts = json.loads(done.stdout)
    assert (facts["scenario"], facts["rounds"]) == (scenario, rounds)
    counts = ", ".join(f"{name} {number}" for name, number in facts["counts"].items())
    record_property("storm", f"{scenario}: {rounds} rounds ({counts}); {facts['runs']} runs announced, none lost")
