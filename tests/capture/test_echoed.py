"""What a program prints of its settings is no metric; what it measures is one, whatever stands beside it."""

from __future__ import annotations

import pytest

from git_replicate.capture.echoed import printed_settings, without_settings
from git_replicate.capture.metrics import Metrics, OutputMetrics, merge_metrics

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


def metrics_of(output: bytes, patterns: tuple[str, ...] = ()) -> Metrics:
    found = OutputMetrics(patterns)
    found.feed(output)
    found.close()
    return merge_metrics([], found.curves(), always_output=bool(patterns))


@pytest.mark.parametrize(
    ("output", "params", "left"),
    [
        (b"lr: 0.1\nhidden: 32\nloss: 0.5\n", {"lr": 0.1, "hidden": 32}, {"loss": 0.5}),
        (b"lr: 0.1\nlr: 0.05\n", {"lr": 0.1}, {"lr": 0.05}),  # a schedule
        (b"lr: 0.05\n", {"lr": 0.1}, {"lr": 0.05}),
        (b"model.n-hidden: 8\nLR: 1e-1\n", {"n_hidden": 8, "opt": {"lr": 0.1}}, {}),
        (b"flag: 1\nname: 3\n", {"flag": True, "name": "3"}, {"flag": 1, "name": 3}),
        (b"lr: nan\n", {"lr": float("nan")}, {"lr": "nan"}),
        (CONFIG + b"\nscore: 3\n", {}, {"score": 3, "loss_scale": 2.0}),
        (
            CONFIG.replace(b"\n", b"\r\n") + b"\nepoch: 1\ndropout: 0.1\nepoch: 2\ndropout: 0.3\n", {},
            {"loss_scale": 2.0, "dropout": 0.3},
        ),
        (b"train:\n  energy: 0.5\ntest:\n  energy: 0.7\n", {}, {"energy": 0.7}),  # no text: results by part
        (b"solver: cg\npreconditioner: ilu\nresidual: 1e-9\n", {}, {"residual": 1e-9}),  # no heading
    ],
)  # fmt: skip
def test_settings_that_are_printed_are_no_metrics(
    output: bytes, params: dict[str, object], left: dict[str, object]
) -> None:
    found = without_settings(metrics_of(output), params, output)
    assert {name: "nan" if value != value else value for name, value in found.values.items()} == left
    assert {*found.source} == {*found.curves.names} == left.keys()


def test_what_patterns_ask_for_stays() -> None:
    output = b"rate is 0.1\nhidden: 3\n"
    patterns = (r"rate is (?P<lr>\S+)",)
    found = without_settings(metrics_of(output, patterns), {"lr": 0.1, "hidden": 3}, output, patterns=patterns)
    assert dict(found.values) == {"lr": 0.1}


def test_metrics_of_files_and_trackers_stay() -> None:
    metrics = metrics_of(b"lr: 0.1\n")
    logged = Metrics(metrics.values, metrics.best, {"lr": "wandb"}, metrics.curves)
    assert without_settings(logged, {"lr": 0.1}, b"lr: 0.1\n") is logged


def test_a_long_log_is_looked_at_in_its_beginning_alone() -> None:
    assert [*printed_settings(CONFIG)] == [("ndigit", 2), ("dropout", 0.1), ("loss_scale", 2.0)]
    assert [*printed_settings(b"x" * 300_000 + b"\n" + CONFIG)] == []


@pytest.mark.parametrize(
    "text",
    [
        b'{"steps": 30, "model": {"dt":0.5}, "name": "3"}',
        b"steps = 30\n[model]\ndt = 0.5 # half\n",
        b"steps: 30\nmodel:\n  dt: 0.5\n",
        b"[main]\nsteps=30\ndt:0.5\r\n",
    ],
)
def test_numbers_of_files_of_settings_are_no_metrics(text: bytes) -> None:
    text += b'\naccuracy: 0.9, "accuracy": 0.9\n'  # of a baseline, say
    output = b"steps: 30\ndt: 0.5\nname: 3\nenergy: 0.5\naccuracy: 0.9\n"
    found = without_settings(metrics_of(output), {}, output, files=[text])
    assert dict(found.values) == {"accuracy": 0.9, "energy": 0.5, "name": 3}
