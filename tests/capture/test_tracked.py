"""Points that programs handed to trackers, from the files of their processes to curves."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from git_replicate.capture.curves import Curves, Point
from git_replicate.capture.event_files import Scalar
from git_replicate.capture.metric_files import merge_metrics
from git_replicate.capture.probe_report import ProbeReport, PythonProcess
from git_replicate.capture.tensorboard import read_event_files
from git_replicate.capture.tracked import read_points, trackers_of


def write(folder: Path, name: str, *rows: list[Any], end: str = "") -> None:
    (folder / name).write_text("".join(json.dumps(row) + "\n" for row in rows) + end)


def test_points_come_in_the_order_of_their_time_whatever_process_noted_them(tmp_path: Path) -> None:
    write(tmp_path, "1-a.points", ["api", "", 1, 100.0, {"loss": 3}], ["api", "", 3, 102.0, {"loss": 1}])
    write(tmp_path, "2-b.points", ["api", "", 2, 101.0, {"loss": 2.5, "acc": math.nan}])
    ((source, curves),) = read_points(str(tmp_path), since=99.5).sources
    assert source == "api"
    assert [(p.step, p.time, p.metric) for p in curves] == [
        (1, 0.5, "loss"), (2, 1.5, "loss"), (2, 1.5, "acc"), (3, 2.5, "loss"),
    ]  # fmt: skip
    assert curves.last()["loss"] == 1
    assert math.isnan(curves.last()["acc"])


def test_a_line_that_a_kill_has_cut_costs_that_line(tmp_path: Path) -> None:
    write(tmp_path, "1-a.points", ["api", "", None, 1.0, {"loss": 3}], end='["api", "", 2, 2.0, {"lo')
    write(tmp_path, "2-b.points", ["api", "", 2, 2.0], [], ["api", "", "x", 3.0, {}], end="7\n\xff\n")
    ((_, curves),) = read_points(str(tmp_path), since=None).sources
    assert list(curves) == [Point(None, None, "loss", 3)]
    assert read_points(str(tmp_path / "absent"), since=None).sources == ()


def test_a_second_run_of_a_tracker_does_not_mix_with_the_first(tmp_path: Path) -> None:
    rows = [["wandb", run, step, step, {"acc": step / 10, run: 1}] for run in ("x", "y") for step in (1, 2)]
    write(tmp_path, "1-a.points", *rows)
    ((_, curves),) = read_points(str(tmp_path), since=None).sources
    assert curves.last() == {"acc": 0.2, "x": 1, "2/acc": 0.2, "y": 1}


def test_a_step_that_mlflow_makes_up_is_none(tmp_path: Path) -> None:
    write(
        tmp_path, "1-a.points",
        ["mlflow", "r", 0, 1.0, {"acc": 0.5}], ["mlflow", "r", 0, 2.0, {"acc": 0.6, "loss": 3}],
        ["mlflow", "r", 1, 3.0, {"loss": 2}],
    )  # fmt: skip
    ((_, curves),) = read_points(str(tmp_path), since=None).sources
    assert [(p.step, p.metric) for p in curves] == [(None, "acc"), (None, "acc"), (0, "loss"), (1, "loss")]


def test_of_each_name_the_first_source_wins_our_own_interface_before_trackers(tmp_path: Path) -> None:
    write(
        tmp_path, "1-a.points",
        ["mlflow", "r", 1, 1.0, {"a": 1, "b": 1, "c": 1}], ["wandb", "r", 1, 2.0, {"a": 2, "b": 2}],
        ["api", "", 1, 3.0, {"a": 3}],
    )  # fmt: skip
    file, output = Curves(), Curves()
    for name in "abcd":
        file.add(name, 9)
        output.add(name + name, 8)
    sources = [*read_points(str(tmp_path), since=None).sources, ("metrics.json", file)]
    merged = merge_metrics(sources, output)
    assert merged.values == {"a": 3, "b": 2, "c": 1, "d": 9}
    assert merged.source == {"a": "api", "b": "wandb", "c": "mlflow", "d": "metrics.json"}


def test_writers_points_count_instead_of_those_of_their_event_files(tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    write(
        tmp_path, "1-a.points",
        ["tensorboard", str(runs / "train"), 1, 1.0, {"loss": 0.1}],
        ["tensorboard", str(runs / "val"), None, 2.0, {"loss": 0.2, "acc": 1}],
        ["tensorboard", "gs://bucket/runs", 5, 3.0, {"far": 7}],
    )  # fmt: skip
    writers = read_points(str(tmp_path), since=None).writers
    assert writers[str(runs / "train")] == {"loss": [Scalar(1.0, 1, "loss", 0.1)]}
    curves, notices = read_event_files([], top=str(tmp_path), seen={k: v for k, v in writers.items() if "gs" not in k})
    assert (curves.last(), notices) == ({"train/loss": 0.1, "val/loss": 0.2, "acc": 1}, [])
    curves, _ = read_event_files([], top=str(tmp_path), seen=writers)
    assert curves.last()["far"] == 7


def report(*notes: dict[str, Any]) -> ProbeReport:
    process = PythonProcess(1, 0, 0.0, (), 0, (), False, 0, {}, tuple(notes))
    return ProbeReport((process,))


def test_trackers_have_ids_and_addresses_without_credentials_and_paths_from_the_top() -> None:
    notes: list[dict[str, Any]] = [
        {
            "kind": "tracker",
            "library": "wandb",
            "id": "a1",
            "url": None,
            "entity": "",
            "directory": "/top/wandb/run-a1",
        },
        {
            "kind": "tracker",
            "library": "mlflow",
            "id": "b",
            "tracking_uri": "https://me:pw@host/ml/",
            "experiment": "7",
        },
        {"kind": "tracker", "library": "mlflow", "id": "c", "tracking_uri": "sqlite:////top/mlflow.db"},
        {"kind": "tracker", "library": "mlflow", "id": "d", "tracking_uri": "file:/top/mlruns"},
        {"kind": "tracker", "library": "tensorboard", "id": "", "directory": "/elsewhere/runs"},
        {"kind": "tracker", "library": "tensorboard", "id": "", "directory": "/elsewhere/runs"},
    ]
    assert trackers_of(report(*notes), "/top") == {
        "wandb": [{"id": "a1", "directory": "wandb/run-a1"}],
        "mlflow": [
            {
                "id": "b", "tracking_uri": "https://***@host/ml/", "experiment": "7",
                "url": "https://***@host/ml/#/experiments/7/runs/b",
            },
            {"id": "c", "tracking_uri": "sqlite:///mlflow.db"},
            {"id": "d", "tracking_uri": "file:mlruns"},
        ],
        "tensorboard": [{"directory": "/elsewhere/runs"}],
    }  # fmt: skip
