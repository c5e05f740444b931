"""The real trackers under the probe, offline: what they are passed is noted, and they themselves are as without it."""

from __future__ import annotations

import math
import signal
import subprocess
from pathlib import Path

import pytest

from git_replicate.capture.tensorboard import find_event_files, read_event_files
from git_replicate.capture.tracked import Tracked, read_points, trackers_of
from tests.probe.running import Observed, observe, probed

OFFLINE = {"WANDB_MODE": "offline", "WANDB_SILENT": "true"}
MLFLOW = {"MLFLOW_ALLOW_FILE_STORE": "true", "MLFLOW_TRACKING_URI": "file:mlruns", "GIT_PYTHON_REFRESH": "quiet"}


def points(folder: Path) -> Tracked:
    return read_points(str(folder / "notes"), since=None)


def rows(folder: Path) -> list[tuple[int | None, str, float | int]]:
    """Step, name and value of what went to the only tracker there is."""
    ((_, curves),) = points(folder).sources
    return [(point.step, point.metric, point.value) for point in curves]


def clean(seen: Observed) -> Observed:
    assert (seen.code, seen.notes("failure")) == (0, []), seen.errors
    return seen


WANDB = """
import numpy, torch, wandb
run = wandb.init(project="digits", config={"lr": 0.1, "model": {"depth": numpy.int64(3)}})
run.define_metric("val/*", step_metric="epoch")
wandb.log({"loss": torch.tensor(0.5, requires_grad=True), "inner": {"a": numpy.float32(1.5)}, "text": "x"})
wandb.log({"loss": 0.25, "flag": True, "table": numpy.zeros((2, 2)), "none": None})
wandb.log({"acc": 0.9}, commit=False)
wandb.log({"val/acc": 0.8, "epoch": 7})
run.log({"late": float("inf")}, step=20)
run.log({"later": 1})
wandb.config.update({"added": [1, 2]})
run.summary["best"] = 0.95
print(run.id)
run.finish()
"""
LOGGED = [
    (0, "loss", 0.5), (0, "inner.a", 1.5), (1, "loss", 0.25), (1, "flag", 1), (2, "acc", 0.9), (7, "val/acc", 0.8),
    (20, "late", math.inf), (20, "later", 1),
]  # fmt: skip


@pytest.mark.frameworks("wandb", "numpy", "torch")
def test_what_wandb_logs_offline_with_the_steps_that_it_gives(tmp_path: Path, framework_python: str) -> None:
    seen = clean(observe(tmp_path, WANDB, python=framework_python, variables=OFFLINE))
    assert rows(tmp_path) == [*LOGGED, (None, "best", 0.95)]
    (entry,) = trackers_of(seen.report, str(tmp_path))["wandb"]
    folder = entry.pop("directory")
    assert entry == {"id": seen.output.strip(), "project": "digits", "offline": True}
    assert list((tmp_path / folder).glob("run-*.wandb")) != []
    assert [note["values"] for note in seen.notes("tracker_params")] == [
        {"lr": 0.1, "model": {"depth": 3}},
        {"lr": 0.1, "model": {"depth": 3}, "added": [1, 2]},
    ]


@pytest.mark.frameworks("wandb", "numpy", "torch")
def test_what_wandb_is_passed_counts_when_it_is_disabled_too(tmp_path: Path, framework_python: str) -> None:
    code = WANDB.replace('run.define_metric("val/*", step_metric="epoch")', 'run.define_metric("val/*", "epoch")')
    seen = clean(observe(tmp_path, code, python=framework_python, variables={"WANDB_MODE": "disabled"}))
    assert rows(tmp_path) == LOGGED
    assert trackers_of(seen.report, str(tmp_path)) == {}


@pytest.mark.frameworks("wandb")
def test_wandbs_calls_are_as_they_are_without_the_probe(tmp_path: Path, framework_python: str) -> None:
    code = """
import inspect, wandb
print(list(inspect.signature(wandb.init).parameters), inspect.signature(wandb.Run.log))
print(wandb.Run.log.__qualname__, wandb.init.__module__)
try: wandb.log({"a": 1})
except Exception as error: print(type(error).__name__, error)
run = wandb.init(mode="offline")
for wrong in (7, {1: 2}):
    try: run.log(wrong)
    except Exception as error: print(type(error).__name__, error)
print(run.log({"a": 1}), run.step)
run.finish()
try: run.log({"b": 1})
except Exception as error: print(type(error).__name__)
"""
    seen = clean(observe(tmp_path, code, python=framework_python, variables=OFFLINE))
    plain = subprocess.run(
        [framework_python, "main.py"], cwd=tmp_path, capture_output=True, text=True,
        env={**probed(tmp_path), **OFFLINE, "GIT_REPLICATE_PROBE": ""},
    )  # fmt: skip
    assert (seen.output, seen.errors) == (plain.stdout, plain.stderr)
    assert rows(tmp_path) == [(0, "a", 1)]


@pytest.mark.frameworks("wandb")
def test_folds_that_are_runs_of_their_own_do_not_mix(tmp_path: Path, framework_python: str) -> None:
    code = """
import wandb
for fold in range(2):
    with wandb.init(project="folds") as run:
        for step in range(2): run.log({"acc": fold + step / 10})
"""
    seen = clean(observe(tmp_path, code, python=framework_python, variables=OFFLINE))
    assert rows(tmp_path) == [(0, "acc", 0.0), (1, "acc", 0.1), (0, "2/acc", 1.0), (1, "2/acc", 1.1)]
    assert len(trackers_of(seen.report, str(tmp_path))["wandb"]) == 2


def test_a_disabled_run_of_wandb_before_0_19_whose_functions_are_its_own_is_seen(tmp_path: Path) -> None:
    """Its shape alone: that version needs an older Python than others of the libraries."""
    package = tmp_path / "wandb" / "sdk"
    package.mkdir(parents=True)
    (package.parent / "__init__.py").write_text("from wandb.sdk.wandb_init import init\nlog = None\n")
    (package / "__init__.py").write_text("")
    (package / "wandb_init.py").write_text(
        """
import types, wandb
def init(config=None):
    run = types.SimpleNamespace(id="a", disabled=True, config=config, summary={})
    run.log = lambda data, *_, **__: run.summary.update(data)
    wandb.log = run.log
    return run
"""
    )
    code = """
import wandb
run = wandb.init(config={"lr": 0.1})
wandb.log({"loss": 1}); run.log({"loss": 2}, commit=False); wandb.log({"loss": 3}, step=7)
print(run.summary)
"""
    seen = clean(observe(tmp_path, code))
    assert (seen.output, rows(tmp_path)) == ("{'loss': 3}\n", [(0, "loss", 1), (1, "loss", 2), (7, "loss", 3)])
    assert [note["values"] for note in seen.notes("tracker_params")] == [{"lr": 0.1}]


WRITER = """
import os, signal, torch
from MODULE import SummaryWriter
train, val = SummaryWriter("runs/train"), SummaryWriter("runs/val")
for step in range(3):
    train.add_scalar("loss", torch.tensor([step / 4], requires_grad=True), step)
    val.add_scalar(tag="loss", scalar_value=step / 10, global_step=step)
train.add_scalars("both", {"a": 1, "b": 2.5}, 4)
train.add_text("note", "text")
END
"""


@pytest.mark.parametrize("module", ["torch.utils.tensorboard", "tensorboardX"])
@pytest.mark.frameworks("torch", "tensorboard", "tensorboardX")
def test_a_summary_writers_values_are_those_of_its_event_files(
    tmp_path: Path, framework_python: str, module: str
) -> None:
    code = WRITER.replace("MODULE", module).replace("END", "train.close(); val.close()")
    seen = clean(observe(tmp_path, code, python=framework_python))
    files = find_event_files(str(tmp_path), since=None)
    read, notices = read_event_files(files, top=str(tmp_path))
    both, _ = read_event_files(files, top=str(tmp_path), seen=points(tmp_path).writers)
    assert notices == []
    assert sorted(both.names) == sorted(read.names) != []
    assert both.last()["val/loss"] == 0.2
    assert [(p.step, p.value) for p in both if p.metric == "train/loss"] == [(0, 0.0), (1, 0.25), (2, 0.5)]
    assert sorted(p.value for p in read) == pytest.approx(sorted(p.value for p in both))
    assert sorted(p.step or 0 for p in read) == sorted(p.step or 0 for p in both)
    assert trackers_of(seen.report, str(tmp_path)) == {
        "tensorboard": [{"directory": "runs/train"}, {"directory": "runs/val"}]
    }


@pytest.mark.frameworks("torch", "tensorboard")
def test_what_a_killed_writer_had_not_written_yet_is_there(tmp_path: Path, framework_python: str) -> None:
    code = WRITER.replace("MODULE", "torch.utils.tensorboard").replace("END", "os.kill(os.getpid(), signal.SIGKILL)")
    seen = observe(tmp_path, code, python=framework_python)
    assert seen.code == -signal.SIGKILL
    both, _ = read_event_files(
        find_event_files(str(tmp_path), since=None), top=str(tmp_path), seen=points(tmp_path).writers
    )
    assert (both.last()["train/loss"], both.last()["val/loss"]) == (0.5, 0.2)


@pytest.mark.frameworks("mlflow")
def test_what_mlflow_logs_by_its_functions_and_by_its_client(tmp_path: Path, framework_python: str) -> None:
    code = """
import mlflow
with mlflow.start_run(run_name="mine") as run:
    print(run.info.run_id)
    print(mlflow.log_param("lr", 0.1), mlflow.log_params({"depth": 3}))
    for step in range(2): mlflow.log_metric("loss", 0.5 - step / 10, step=step)
    mlflow.log_metrics({"acc": 0.9, "nan": float("nan")})
    mlflow.log_metric("acc", 0.95)
    mlflow.log_metric("later", 3, synchronous=False).wait()
    client = mlflow.MlflowClient()
    client.log_batch(run.info.run_id, [mlflow.entities.Metric("batch", 7, 0, 5)])
    try: mlflow.log_metric("bad", "text")
    except mlflow.MlflowException as error: print(type(error).__name__)
"""
    seen = clean(observe(tmp_path, code, python=framework_python, variables=MLFLOW))
    run, *rest = seen.output.splitlines()
    assert rest == ["0.1 None", "MlflowException"]
    ((source, curves),) = points(tmp_path).sources
    found = [(point.step, point.metric, point.value) for point in curves if point.metric != "nan"]
    assert source == "mlflow"
    assert math.isnan(curves.last()["nan"])
    assert found == [
        (0, "loss", 0.5), (1, "loss", 0.4), (None, "acc", 0.9), (None, "acc", 0.95), (None, "later", 3),
        (5, "batch", 7),
    ]  # fmt: skip
    assert trackers_of(seen.report, str(tmp_path))["mlflow"] == [
        {"id": run, "tracking_uri": "file:mlruns", "experiment": "0", "name": "mine"}
    ]
    assert [note["values"] for note in seen.notes("tracker_params")] == [{"lr": 0.1}, {"depth": "3"}]


@pytest.mark.frameworks("torch", "tensorboard")
def test_ranks_above_the_first_are_not_noted_whether_variables_or_torch_say_so(
    tmp_path: Path, framework_python: str
) -> None:
    code = WRITER.replace("MODULE", "torch.utils.tensorboard").replace("END", "")
    seen = observe(tmp_path, code, python=framework_python, variables={"RANK": "1", "WORLD_SIZE": "2"})
    assert (seen.code, points(tmp_path)) == (0, Tracked())
    code = """
import torch.multiprocessing
from torch import distributed
from torch.utils.tensorboard import SummaryWriter
def work(rank):
    distributed.init_process_group("gloo", init_method="file://" + __file__ + ".init", rank=rank, world_size=2)
    SummaryWriter(f"runs/{rank}").add_scalar("loss", rank + 1, 1)
if __name__ == "__main__":
    torch.multiprocessing.spawn(work, nprocs=2)
"""
    seen = clean(observe(tmp_path, code, python=framework_python))
    assert list(points(tmp_path).writers) == [str(tmp_path / "runs" / "0")]


@pytest.mark.frameworks("torch", "tensorboard")
def test_a_folder_that_cannot_be_written_changes_nothing_for_the_program(tmp_path: Path, framework_python: str) -> None:
    code = WRITER.replace("MODULE", "torch.utils.tensorboard").replace("END", "train.close(); val.close()")
    seen = observe(tmp_path, code, python=framework_python, told={"folder": str(tmp_path / "gone")})
    assert (seen.code, seen.output) == (0, "")
    assert "git replicate" not in seen.errors
    curves, _ = read_event_files(find_event_files(str(tmp_path), since=None), top=str(tmp_path))
    assert curves.last()["train/loss"] == 0.5
