"""Metrics from what a command prints: the narrow rule, steps, ranks, frames, limits."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from git_replicate.capture.curves import Curves, Point
from git_replicate.capture.metrics import Line, OutputMetrics, parse_line
from git_replicate.core.record import Best


def read(*chunks: str | bytes, patterns: tuple[str, ...] = ()) -> Curves:
    found = OutputMetrics(patterns)
    for chunk in chunks:
        found.feed(chunk.encode() if isinstance(chunk, str) else chunk)
    found.close()
    return found.curves()


@pytest.mark.parametrize(
    ("line", "values", "step"),
    [
        ("loss: 0.3", [("loss", 0.3)], None),
        ("Loss : 3", [("Loss", 3)], None),
        ("val/acc: 9e-1", [("val/acc", 0.9)], None),
        ("test-acc: +.5", [("test-acc", 0.5)], None),
        ("mAP@0.5: 1.", [("mAP@0.5", 1.0)], None),
        ("F1 score: 0.9", [("F1_score", 0.9)], None),
        ("Mean test accuracy: 0.93", [("Mean_test_accuracy", 0.93)], None),
        ("loss: -inf", [("loss", -math.inf)], None),
        ("error: 0.1", [("error", 0.1)], None),
        ("loss=0.2 acc=0.9", [("loss", 0.2), ("acc", 0.9)], None),
        (
            "loss=0.2, acc=0.9; f1=1 | auc=.5 - lr=1e-3",
            [("loss", 0.2), ("acc", 0.9), ("f1", 1), ("auc", 0.5), ("lr", 0.001)],
            None,
        ),
        ("step=3 loss=0.2", [("loss", 0.2)], 3),
        ("epoch=1 global_step=10 step=5 loss=0.2", [("loss", 0.2)], 10),
        ("Epoch 3: loss=0.2", [("loss", 0.2)], 3),
        ("Epoch 3/10 - loss=0.2 acc=0.5", [("loss", 0.2), ("acc", 0.5)], 3),
        ("[epoch 3] loss: 0.2", [("loss", 0.2)], 3),
        ("iter 10 | loss: 0.2", [("loss", 0.2)], 10),
        ("Epoch: 3", [], 3),
        ("Epoch [3/10]", [], 3),
        ("iteration 7", [], 7),
        ("epoch=1.5 loss=0.2", [("loss", 0.2)], None),
    ],
)
def test_a_line_of_metrics(line: str, values: list[tuple[str, float]], step: int | None) -> None:
    assert parse_line(line) == Line(values, step)


@pytest.mark.parametrize(
    "line",
    [
        "ETA: 00:12",
        "ETA: 12",
        " 10%|█ | 10/100 [00:01<00:12, 8.3it/s, loss=0.3]",
        "100%",
        "done: 50%",
        "2024-01-01 12:00:00 INFO loss: 0.3",
        "INFO: 3",
        "INFO:root:loss=0.3",
        "WARNING: 0.5",
        "12:03:04: 3",
        "size: 3 MB",
        "model size: 12.5",
        "python: 3.11",
        "torch version: 2.1",
        "v: 1.2.3",
        "Python 3.11.7",
        "port: 8080",
        "localhost:8080",
        "train.py:12",
        "x=1",
        "SHLVL=1",
        "Training samples: 60000",
        "Using seed: 3",
        "seed: 3",
        "pid: 7",
        "loss: 0.3 acc: 0.9",
        "Epoch 1, Loss: 0.5, Acc: 0.9",
        "loss: 0.3s",
        "loss: 0.3 (best)",
        "the loss: 0.3 is low",
        "a b c d: 0.5",
        "{'loss': 0.3}",
        "loss: tensor(0.3)",
        "loss: 1,000",
        "loss: 1_000",
        "loss=0.2 other acc=0.3",
        "step 3: 5",
        "epoch",
        "epochs: 10",
        "[3/10] loss=0.2",
        ": 0.3",
        "3: 0.3",
        "loss:",
        "loss: ٣",
        "http://x: 3",
        "--lr 0.1",
    ],
)
def test_a_line_that_is_no_metric(line: str) -> None:
    found = parse_line(line.strip())
    assert found is None or not found.values


def test_nan_is_kept() -> None:
    assert math.isnan(read("loss: nan\n").last()["loss"])
    assert math.isnan(read("a=NaN b=1\n").last()["a"])


def test_a_step_holds_until_the_next_one() -> None:
    curves = read("Epoch: 1\nloss: 0.5\nacc: 0.6\nEpoch: 2\nloss: 0.4\n")
    assert list(curves) == [
        Point(1, None, "loss", 0.5), Point(1, None, "acc", 0.6), Point(2, None, "loss", 0.4),
    ]  # fmt: skip


def test_of_a_redrawn_line_only_the_last_state_counts() -> None:
    curves = read(
        b"loss: 0.9\rloss: 0.5\r\n", b"\x1b[2K\x1b[32mloss: 0.4\x1b[0m\n10%\racc: 0", b".7\racc: 0.8\r", b"\n"
    )
    assert [point.value for point in curves if point.metric == "loss"] == [0.5, 0.4]
    assert [point.value for point in curves if point.metric == "acc"] == [0.8]


def test_lines_may_come_in_any_pieces_and_end_without_a_newline() -> None:
    assert list(read("lo", "ss: 0", ".3\nac", "c: 0.5")) == [
        Point(None, None, "loss", 0.3),
        Point(None, None, "acc", 0.5),
    ]


def test_two_streams_do_not_mix_their_lines() -> None:
    found = OutputMetrics()
    found.feed(b"loss: 0", time=1.0, stream="stdout")
    found.feed(b"acc: 0.5\n", time=2.0, stream="stderr")
    found.feed(b".25\n", time=3.0, stream="stdout")
    assert list(found.curves()) == [Point(None, 2.0, "acc", 0.5), Point(None, 3.0, "loss", 0.25)]


@pytest.mark.parametrize("label", ["[rank{}]: ", "[default{}]:", "[1,{}]<stdout>: ", "rank {}: ", "{}: ", "[{}] "])
def test_copies_of_other_ranks_are_not_counted(label: str) -> None:
    lines = [f"{label.format(rank)}loss: {loss}" for rank, loss in ((1, 0.31), (0, 0.3), (1, 0.21), (0, 0.2))]
    assert list(read("\n".join(lines))) == [Point(None, None, "loss", 0.3), Point(None, None, "loss", 0.2)]


def test_a_metric_that_only_a_higher_rank_prints_counts() -> None:
    curves = read("[rank0]: loss: 0.3\n[rank1]: memory: 7\n[rank1]: loss: 0.4\n")
    assert curves.last() == {"loss": 0.3, "memory": 7}


def test_numbers_that_only_grow_count_items_and_are_no_ranks() -> None:
    assert not read("1: loss: 0.5\n2: loss: 0.4\n3: loss: 0.3\n")


def test_the_same_step_name_and_value_again_is_another_processs_copy() -> None:
    curves = read("step=1 loss=0.5\nstep=1 loss=0.5\nstep=2 loss=0.5\nacc: 1\nacc: 1\n")
    assert [(point.step, point.metric) for point in curves] == [(1, "loss"), (2, "loss"), (2, "acc")]


def test_at_most_200_names_and_the_rest_is_noticed() -> None:
    found = OutputMetrics()
    found.feed("".join(f"m{n}: {n}\n" for n in range(201)).encode())
    assert len(found.curves().names) == 200
    assert found.notices() == ("the output has more than 200 metric names; the others were left out",)


def test_patterns_add_to_the_rule_and_win_on_their_lines() -> None:
    text = "Epoch 3 val loss 0.5 (best)\nacc: 0.9\nval loss none\n"
    curves = read(text, patterns=(r"[Ee]poch (?P<epoch>\d+) val loss (?P<val_loss>\S+)",))
    assert list(curves) == [Point(3, None, "val_loss", 0.5), Point(3, None, "acc", 0.9)]


def test_without_the_rule_only_patterns_count() -> None:
    found = OutputMetrics([r"acc (?P<acc>\S+)"], rule=False)
    found.feed(b"loss: 0.3\nacc 0.5\n")
    assert found.curves().last() == {"acc": 0.5}


def test_a_very_long_line_is_passed_over_and_not_held() -> None:
    found = OutputMetrics()
    for _ in range(100):
        found.feed(b"x" * 9_000)
    found.feed(b"\nloss: 0.3\n" + b"y" * 20_000 + b"\n" + b"z" * 20_000 + b"\rloss: 0.2\n")
    assert [point.value for point in found.curves()] == [0.3, 0.2]


def test_bytes_that_are_no_text_do_no_harm() -> None:
    assert read(b"\xff\xfe\x00\nloss: 0.3\n\xc3").last() == {"loss": 0.3}


@given(st.lists(st.binary(max_size=30), max_size=8), st.lists(st.sampled_from(["loss: 0.5\n", "a=1 b=2\r", "step=3 c=4\n"]), max_size=8))  # noqa: E501  # fmt: skip
@settings(max_examples=60, deadline=None)
def test_how_the_output_is_cut_into_pieces_does_not_matter(noise: list[bytes], lines: list[str]) -> None:
    data = b"".join(noise) + "".join(lines).encode()
    whole, single = OutputMetrics(), OutputMetrics()
    whole.feed(data)
    whole.close()
    for byte in data:
        single.feed(bytes([byte]))
    single.close()
    assert list(whole.curves()) == list(single.curves())


def test_a_metric_that_is_one_value_has_no_extremes_besides() -> None:
    curves = Curves()
    for metric, value, step in [("flat", 1, None), ("flat", 1, None), ("once", 2, 7), ("lost", 3, None)]:
        curves.add(metric, value, step)
    curves.add("lost", math.nan)
    assert curves.best() == {"once": Best(2, 7, 2, 7), "lost": Best(3, None, 3, None)}


def test_curves_know_last_values_and_extremes_with_their_first_step() -> None:
    curves = Curves()
    for step, value in enumerate([math.nan, 3, 1, 5, 1]):
        curves.add("loss", value, step)
    best = curves.best()["loss"]
    assert (best.min, best.min_step, best.max, best.max_step) == (1, 2, 5, 3)
    assert curves.last() == {"loss": 1}


def test_curves_as_csv_are_read_back() -> None:
    curves = Curves()
    curves.add("loss", 0.1, 1, 0.5)
    curves.add('odd,"name"\n', 3)
    curves.add("inf", -math.inf, -2, 1.25)
    curves.add("big", 10**30)
    text = curves.csv()
    assert text.startswith(b"step,time,metric,value\n1,0.500,loss,0.1\n")
    assert list(Curves.from_csv(text)) == list(curves)
    assert list(Curves.from_csv(text + b"3,1.0,lo")) == list(curves)
    assert Curves().csv() == b""


def test_points_beyond_the_limit_still_count_in_the_summary() -> None:
    curves = Curves(points=2)
    for value in (3.0, 2.0, 1.0):
        curves.add("loss", value)
    assert len(curves) == 2
    assert curves.thinned == 1
    assert curves.last() == {"loss": 1.0}
    assert curves.without({"other"}).best()["loss"].min == 1.0
