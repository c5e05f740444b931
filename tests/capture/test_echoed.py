"""Lines that say what a program was given give no point; what it measures does, whatever its name and value."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from git_replicate.capture.echoed import settings_in, without_settings
from git_replicate.capture.metrics import Metrics, OutputMetrics, merge_metrics

ARGS = b"lr: 0.1\nhidden: 32\ndata: x.csv\nshuffle: True\n"
PARAMS = {"lr": 0.1, "hidden": 32, "data": "x.csv", "shuffle": True}
CONFIG = b"""\
system:
    work_dir: ./out
data:
    ndigit: 2
model:
    model_type: gpt
    n_layer: None
    dropout: 0.1
    loss_scale: 2.0
"""


def metrics_of(output: bytes) -> Metrics:
    found = OutputMetrics()
    found.feed(output)
    found.close()
    return merge_metrics([], found.curves())


@pytest.mark.parametrize(
    ("output", "params", "left"),
    [
        (ARGS + b"loss: 0.5\n", PARAMS, {"loss": 0.5}),
        (ARGS.replace(b"\n", b"\r\n") + b"\r\nloss: 0.5\r\n", PARAMS, {"loss": 0.5}),
        (b"model.n-hidden: 8\nLR: 1e-1\n", {"n_hidden": 8, "opt": {"lr": 0.1}}, {}),
        (b"lr: 0.1\nloss: 0.5\n", PARAMS, {"lr": 0.1, "loss": 0.5}),  # one line is no list of params
        (ARGS + b"lr: 0.1\nlr: 0.05\n", PARAMS, {"lr": 0.05}),  # a schedule
        (ARGS + b"\nhidden: 32\n", PARAMS, {"hidden": 32}),  # a result that is what was asked for
        (ARGS + b"\nhidden: 31\n", PARAMS, {"hidden": 31}),
        (b"steps: 100\nresidual: 1e-9\nconverged: True\n", {"steps": 100}, {"steps": 100, "residual": 1e-9}),
        (b"lr: 0.2\nhidden: 16\ndata: y.csv\n", PARAMS, {"lr": 0.2, "hidden": 16}),
        (b"a: 1\nb: 3\n", {"a": True, "b": "4"}, {"a": 1, "b": 3}),
        (CONFIG + b"\nscore: 3\n", {}, {"score": 3, "loss_scale": 2.0}),
        (CONFIG + b"\ndropout: 0.1\n\ndropout: 0.3\n", {}, {"loss_scale": 2.0, "dropout": 0.3}),
        (b"train:\n  energy: 0.5\ntest:\n  energy: 0.7\n", {}, {"energy": 0.7}),  # no text: results by part
        (b"solver: cg\npreconditioner: ilu\nresidual: 1e-9\n", {}, {"residual": 1e-9}),  # no heading
    ],
)  # fmt: skip
def test_lines_of_settings_are_no_metrics(output: bytes, params: dict[str, Any], left: dict[str, Any]) -> None:
    found = without_settings(metrics_of(output), params, output)
    assert dict(found.values) == left
    assert {*found.source} == {*found.curves.names} == left.keys()


def test_the_extremes_are_those_of_what_was_measured() -> None:
    output = ARGS + b"\nepoch: 1\nlr: 0.05\nepoch: 2\nlr: 0.02\n"
    best = without_settings(metrics_of(output), PARAMS, output).best["lr"]
    assert (best.min, best.max, best.max_step) == (0.02, 0.05, 1)


def test_metrics_of_files_and_trackers_stay() -> None:
    logged = replace(metrics_of(ARGS), source={"lr": "wandb", "hidden": "wandb"})
    assert without_settings(logged, PARAMS, ARGS) is logged


def test_a_log_is_looked_at_in_its_beginning_alone() -> None:
    assert [*settings_in(CONFIG, {})] == [("ndigit", 2), ("dropout", 0.1)]
    assert [*settings_in(b"x" * 300_000 + b"\n" + CONFIG, {})] == []
