"""Which placeholders are filled, and what is said of those that look meant and are not."""

from __future__ import annotations

import pytest

from git_replicate.core.record import Seeds
from git_replicate.core.settings import Settings
from git_replicate.execution.command import fill_command, seed_asked_for, unfilled
from git_replicate.execution.plan import Request

DRAWN = Seeds(run=7, mode="auto")
NO_SEED = "{seed} in the command is left as it is, for no seed was asked for: --seed auto, or --no-placeholders"


@pytest.mark.parametrize(
    ("request_", "seeds", "command", "lines"),
    [
        (Request(("x", "{seed}")), DRAWN, ("x", "{seed}"), [NO_SEED]),
        (Request(("x", "{seed}"), seed="auto"), DRAWN, ("x", "7"), []),
        (Request(("x", "{seed}"), seed=3), Seeds(run=3, mode="given"), ("x", "3"), []),
        (Request(("x", "{seed}"), seed="none"), Seeds(mode="none"), ("x", "{seed}"), []),
        (Request(("x", "{seed}"), params=(("seed", 5),)), DRAWN, ("x", "5"), []),
        (Request(("x", "{seed}"), placeholders=False), DRAWN, ("x", "{seed}"), []),
        (
            Request(("x", "{lrr}"), params=(("lr", 1),)), DRAWN, ("x", "{lrr}"),
            ["{lrr} in the command is left as it is: did you mean {lr}?"],
        ),
        (Request(("x", "{batch-size}"), params=(("batch_size", 1),)), DRAWN, ("x", "1"), []),
        (Request(("x", "{lr} {lrr}"), params=(("lr", 1),)), DRAWN, ("x", "1 {lrr}"), []),
        (Request(("awk", "{print}"), params=(("lr", 1),)), DRAWN, ("awk", "{print}"), []),
    ],
)  # fmt: skip
def test_a_placeholder_that_looks_meant_is_filled_or_spoken_of(
    request_: Request, seeds: Seeds, command: tuple[str, ...], lines: list[str]
) -> None:
    seed = seed_asked_for(request_, Settings(), seeds)
    assert fill_command(request_, Settings(), seed) == command
    assert unfilled(request_, seeds, seed) == lines
