"""Telling a person how to read the metrics of an output that the rule leaves."""

from __future__ import annotations

import base64
import os

import pytest
import tomli

from git_replicate.capture.metrics import OutputMetrics
from git_replicate.capture.unread_metrics import suggest_patterns

LANGUAGE_MODEL = """\
| epoch   1 |   120/  132 batches | lr 20.00 | ms/batch 755.48 | loss  6.95 | ppl  1048.02
| epoch   1 |   130/  132 batches | lr 20.00 | ms/batch 714.55 | loss  6.90 | ppl   996.67
| end of epoch   1 | time: 121.28s | valid loss  6.75 | valid ppl   857.15
"""


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        (LANGUAGE_MODEL, {"loss": 6.9, "ppl": 996.67}),
        ("Train Epoch: 1 [0/60000 (0%)]\tLoss: 2.300039\nTrain Epoch: 1 [640/60000 (1%)]\tLoss: 1.5\n", {"loss": 1.5}),
        ("[1,  2000] loss: 2.173\n[1,  4000] loss: 1.855\n", {"loss": 1.855}),
        ("60/60 - 1s 2ms/step - accuracy: 0.91 - loss: 0.31\n", {"accuracy": 0.91, "loss": 0.31}),
        ("epoch 3 train loss 0.5 val loss 0.25\n", {"train_loss": 0.5, "val_loss": 0.25}),
        ("2024-01-01 12:00:00 INFO val/loss=0.3, took 3 s\n", {"val_loss": 0.3}),
        ("ACC 0.5 at the end", {"acc": 0.5}),
    ],
)
def test_the_patterns_that_are_suggested_read_the_output(output: str, expected: dict[str, float]) -> None:
    found = suggest_patterns(output.encode())
    assert found is not None
    assert found.example in output
    patterns = tomli.loads("patterns" + str(found).partition("patterns")[2])["patterns"]
    metrics = OutputMetrics(patterns, rule=False)
    metrics.feed(output.encode())
    metrics.close()
    assert metrics.curves().last() == expected


@pytest.mark.parametrize(
    "output",
    [
        "",
        "done\n",
        "no loss of data in 3 files\n",
        "lossless 0.5\n",
        "loss: 3.11.2\n",
        "took 0.5 s\n",
        "'loss 0.5'\n",
        "\xff",
    ],
)
def test_what_looks_like_no_metric_is_not_suggested(output: str) -> None:
    assert suggest_patterns(output.encode("latin-1")) is None


@pytest.mark.parametrize(
    "output", [base64.b64encode(os.urandom(300_000)), b"loss " * 60_000, b"a " * 150_000, b"loss\n" * 60_000]
)
def test_a_long_output_without_a_metric_ends(output: bytes) -> None:
    assert suggest_patterns(output) is None
