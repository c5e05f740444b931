"""What a kill -9 at any step of the store leaves: nothing broken, and the next try completes it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable

import pytest

from tests.store.crash import SCENARIOS
from tests.support import CHECKOUT, GitRepo

_EVERY_STEP = bool(os.environ.get("GIT_REPLICATE_CHAOS"))
"""As `make chaos` asks for; those of sharing take some minutes."""


@pytest.mark.parametrize(
    "scenario", [pytest.param(name, marks=[] if name == "notes" else pytest.mark.slow) for name in SCENARIOS]
)
def test_a_kill_at_any_step_breaks_nothing(
    repo: GitRepo, scenario: str, record_property: Callable[[str, object], None]
) -> None:
    words = [scenario, "23"] if scenario == "share" and not _EVERY_STEP else [scenario]
    done = subprocess.run(
        [sys.executable, "-m", "tests.store.crash", *words],
        cwd=repo.top, env={**os.environ, "PYTHONPATH": str(CHECKOUT)}, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 5, "hardly any step was seen"
    record_property("storm", f"{scenario}: killed at {int(done.stdout)} of its steps; the next try completed it")
