"""Metrics from files, and the choice between sources."""

from __future__ import annotations

import math
import os
from pathlib import Path

import pytest

from git_replicate.capture.curves import Curves, Point
from git_replicate.capture.metric_files import find_metrics_files, merge_metrics, read_metrics_file
from git_replicate.core.record import Best


def curves_of(**values: float) -> Curves:
    curves = Curves()
    for name, value in values.items():
        curves.add(name, value)
    return curves


@pytest.mark.parametrize(
    ("name", "text", "last"),
    [
        (
            "m.json",
            '{"acc": 0.9, "val": {"loss": 1}, "name": "x", "ok": true, "none": null, "bad": "nan"}',
            {"acc": 0.9, "val.loss": 1, "ok": 1, "bad": math.nan},
        ),
        ("m.json", '{"loss": NaN, "big": 100000000000000000000}', {"loss": math.nan, "big": 1e20}),
        ("m.toml", "acc = 0.9\n[val]\nloss = 1\n", {"acc": 0.9, "val.loss": 1}),
        ("m.csv", "acc,name\n0.5,a\n0.9,b\n", {"acc": 0.9}),
        ("m.tsv", "acc\tf1\n0.5\t\n", {"acc": 0.5}),
        ("m.csv", "\ufeffmetric,value\nacc,0.5\nf1,0.25\n", {"acc": 0.5, "f1": 0.25}),
        ("m.csv", "epoch;loss\n1;0,5\n2;0,25\n", {"loss": 0.25}),
        ("m.csv", "epoch;loss\n1;0,5\n2;0,25\n3;", {"loss": 0.25}),
        ("m.csv", "epoch;loss;acc\n1;0.5;1e-3\n", {"loss": 0.5, "acc": 0.001}),
        ("m.csv", "loss;acc\n0,5;,7\n", {"loss": 0.5, "acc": 0.7}),
        ("m.csv", "loss\tacc\n0,5\t-1,5e-3\n", {"loss": 0.5, "acc": -0.0015}),
        ("m.csv", "step\tacc\n1\t0.5\n", {"acc": 0.5}),
        ("m.csv", 'note,acc\n"a;b",0.5\n', {"acc": 0.5}),
        ("m.csv", "a;b,acc\n1;2,0.5\n", {"acc": 0.5}),
        ("m.csv", "acc,f1\n0.5,0.25\n0.75\n", {"acc": 0.75, "f1": 0.25}),
        ("m.csv", "loss;images\n0.5;1,234\n", {"loss": 0.5}),
        ("m.tsv", "epoch\tloss\n1\t0,5\n", {"loss": 0.5}),
        ("m.jsonl", '{"step": 1, "loss": 0.5}\n\n{"step": 2, "loss": 0.25}\n', {"loss": 0.25}),
    ],
)
def test_numbers_of_a_file_under_dotted_names(tmp_path: Path, name: str, text: str, last: dict[str, float]) -> None:
    (tmp_path / name).write_text(text)
    curves, notice = read_metrics_file(str(tmp_path / name))
    assert notice == ""
    assert repr(curves.last()) == repr(last)


def test_lists_and_rows_are_curves(tmp_path: Path) -> None:
    (tmp_path / "m.json").write_text('{"loss": [0.5, 0.25], "log": [{"epoch": 3, "time": 1.5, "acc": 0.9}]}')
    curves, _ = read_metrics_file(str(tmp_path / "m.json"))
    assert list(curves) == [Point(0, None, "loss", 0.5), Point(1, None, "loss", 0.25), Point(3, 1.5, "log.acc", 0.9)]
    (tmp_path / "m.csv").write_text("step,loss\n10,0.5\n20,0.25\n")
    curves, _ = read_metrics_file(str(tmp_path / "m.csv"))
    assert list(curves) == [Point(10, None, "loss", 0.5), Point(20, None, "loss", 0.25)]


@pytest.mark.parametrize(
    ("name", "text", "notice"),
    [
        ("m.json", "{", "m.json: not JSON"),
        ("m.toml", "a = ", "m.toml: not TOML"),
        ("m.json", '{"name": "x"}', "m.json: no numbers in it"),
        ("m.json", "", "m.json: no numbers in it"),
        ("m.jsonl", "{\n", "m.jsonl: "),
        ("m.csv", "n;images\na;1,234\n", "m.csv: no numbers in it"),
    ],
)
def test_a_file_that_cannot_be_read_is_a_notice(tmp_path: Path, name: str, text: str, notice: str) -> None:
    (tmp_path / name).write_text(text)
    curves, said = read_metrics_file(str(tmp_path / name))
    assert not curves
    assert said.startswith(notice)


def test_a_missing_file_and_an_old_one_are_notices(tmp_path: Path) -> None:
    assert read_metrics_file(str(tmp_path / "m.json"))[1] == "m.json: No such file or directory"
    (tmp_path / "m.json").write_text('{"a": 1}')
    os.utime(tmp_path / "m.json", (1_000, 1_000))
    assert read_metrics_file(str(tmp_path / "m.json"), since=2_000)[1] == "m.json: not written by this run"
    assert read_metrics_file(str(tmp_path / "m.json"), since=1_001)[0].last() == {"a": 1}


def test_globs_find_files_and_plain_names_stay(tmp_path: Path) -> None:
    for name in ("b.json", "a.json"):
        (tmp_path / name).touch()
    assert find_metrics_files(["./x.json", "*.json", "a.json"], str(tmp_path)) == ["x.json", "a.json", "b.json"]


def test_the_first_source_that_has_a_name_wins() -> None:
    other = curves_of(acc=3, auc=5)
    other.add("acc", 9)
    other.add("auc", 4)
    merged = merge_metrics([("a.json", curves_of(acc=1, f1=2)), ("b.json", other)], curves_of(loss=5))
    assert merged.values == {"acc": 1, "auc": 4, "f1": 2}
    assert merged.source == {"acc": "a.json", "auc": "b.json", "f1": "a.json"}
    assert [point.metric for point in merged.curves] == ["acc", "f1", "auc", "auc"]
    assert merged.best == {"auc": Best(4, None, 5, None)}


def test_the_output_counts_only_if_nothing_else_does_or_if_asked() -> None:
    empty = [("a.json", Curves())]
    assert merge_metrics(empty, curves_of(loss=5)).source == {"loss": "stdout"}
    both = merge_metrics([("a.json", curves_of(acc=1))], curves_of(acc=2, loss=5), always_output=True)
    assert both.values == {"acc": 1, "loss": 5}
    assert merge_metrics([], None).values == {}
