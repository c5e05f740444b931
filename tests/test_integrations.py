"""The loggers for other people's training loops, with the real libraries, on models that train in a moment."""

from __future__ import annotations

from pathlib import Path

import pytest

from git_replicate.capture.noted_params import declared_outputs, with_noted
from git_replicate.capture.tracked import read_points
from git_replicate.core.names import ExperimentName, RunId
from git_replicate.core.record import Record, Status
from tests.probe.running import Observed, observe

RECORD = Record(RunId("20260102-030405-1a2b3c4d"), ExperimentName("x"), Status.RUNNING)
OFFLINE = {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1", "KERAS_BACKEND": "torch"}


def ran(
    folder: Path, code: str, python: str, source: str = "api"
) -> tuple[Observed, dict[str, list[tuple[int, float]]]]:
    """A program that has ended well, and step and value of each metric."""
    seen = observe(folder, code, python=python, variables=OFFLINE)
    assert (seen.code, seen.notes("failure"), seen.notes("api_foreign")) == (0, [], []), seen.errors
    curves: dict[str, list[tuple[int, float]]] = {}
    found = dict(read_points(str(folder / "notes"), since=None).sources)
    for point in found[source]:
        curves.setdefault(point.metric, []).append((-1 if point.step is None else point.step, float(point.value)))
    return seen, curves


LIGHTNING = """
import torch, sys
from lightning import pytorch as pl
from git_replicate.integrations.lightning import ReplicateLogger
class Model(pl.LightningModule):
    def __init__(self, lr=0.1, width=4):
        super().__init__()
        self.save_hyperparameters()
        self.layer = torch.nn.Linear(2, 1)
    def training_step(self, batch, index):
        loss = self.layer(batch[0]).pow(2).mean()
        self.log("loss", loss); self.log("val/one", 1.0, on_step=False, on_epoch=True)
        return loss
    def configure_optimizers(self): return torch.optim.SGD(self.parameters(), self.hparams.lr)
data = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(torch.ones(4, 2)), batch_size=1)
logger = ReplicateLogger(outputs=True)
trainer = pl.Trainer(
    max_epochs=2, logger=logger, log_every_n_steps=2, accelerator="cpu", enable_progress_bar=False,
    enable_model_summary=False,
)
trainer.fit(Model(lr=0.25), data)
print(trainer.checkpoint_callback.best_model_path)
"""


@pytest.mark.frameworks("lightning", "torch")
def test_lightnings_trainer_logs_metrics_hyperparameters_and_checkpoints(tmp_path: Path, framework_python: str) -> None:
    seen, curves = ran(tmp_path, LIGHTNING, framework_python)
    assert sorted(curves) == ["loss", "val/one"]
    assert [step for step, _ in curves["loss"]] == [1, 3, 5, 7]
    assert curves["val/one"] == [(3, 1.0), (7, 1.0)]
    assert with_noted(RECORD, seen.report).params == {"lr": 0.25, "width": 4}
    (folder,) = declared_outputs(seen.report)
    assert folder == str(tmp_path / "lightning_logs" / "replicate" / "checkpoints")
    assert Path(seen.output.strip()).parent == Path(folder)


KERAS = """
import keras, numpy
from git_replicate.integrations.keras import ReplicateCallback
model = keras.Sequential([keras.layers.Input((2,)), keras.layers.Dense(1)])
model.compile(optimizer=keras.optimizers.SGD(learning_rate=0.25), loss="mse", metrics=["mae"])
x, y = numpy.ones((8, 2)), numpy.ones((8, 1))
callback = ReplicateCallback(outputs=["best.keras"])
history = model.fit(x, y, validation_data=(x, y), epochs=2, verbose=0, callbacks=[callback])
model.evaluate(x, y, verbose=0, callbacks=[callback])
print(history.history["val_loss"])
"""


@pytest.mark.frameworks("keras", "torch")
def test_keras_logs_epochs_evaluations_and_the_optimizer(tmp_path: Path, framework_python: str) -> None:
    seen, curves = ran(tmp_path, KERAS, framework_python)
    assert sorted(curves) == ["loss", "mae", "test_loss", "test_mae", "val_loss", "val_mae"]
    assert str([value for _, value in curves["val_loss"]]) == seen.output.strip()
    assert [step for step, _ in curves["loss"]] == [0, 1]
    assert [step for step, _ in curves["test_loss"]] == [-1]
    params = with_noted(RECORD, seen.report).params
    assert (params["epochs"], params["optimizer"]["name"], params["optimizer"]["learning_rate"]) == (2, "sgd", 0.25)
    assert declared_outputs(seen.report) == (str(tmp_path / "best.keras"),)


TRANSFORMERS = """
import torch
from transformers import BertConfig, BertForSequenceClassification, Trainer, TrainingArguments
from git_replicate.integrations.transformers import ReplicateCallback
config = BertConfig(vocab_size=10, hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8)
data = [{"input_ids": torch.arange(4), "labels": torch.tensor(n % 2)} for n in range(8)]
args = TrainingArguments(
    "out", max_steps=4, logging_steps=2, per_device_train_batch_size=2, learning_rate=0.01, report_to=REPORT,
    use_cpu=True, disable_tqdm=True, save_steps=2, eval_strategy="steps", eval_steps=4,
)
callbacks = [ReplicateCallback(outputs=True)] if not REPORT else []
model = BertForSequenceClassification(config)
trainer = Trainer(model, args, train_dataset=data, eval_dataset=data, callbacks=callbacks)
trainer.train()
"""


@pytest.mark.frameworks("transformers", "accelerate", "torch")
def test_transformers_trainer_logs_at_its_steps_with_the_arguments_that_are_not_default(
    tmp_path: Path, framework_python: str
) -> None:
    seen, curves = ran(tmp_path, TRANSFORMERS.replace("REPORT", "[]"), framework_python)
    assert {"loss", "grad_norm", "learning_rate", "eval_loss", "train_loss"} <= set(curves)
    assert "epoch" not in curves
    assert [step for step, _ in curves["loss"]] == [2, 4]
    assert [step for step, _ in curves["eval_loss"]] == [4]
    params = with_noted(RECORD, seen.report).params
    assert (params["learning_rate"], params["max_steps"], params["seed"]) == (0.01, 4, 42)
    assert params["model"]["hidden_size"] == 8
    assert "output_dir" not in params
    assert len(params) < 25
    assert declared_outputs(seen.report) == (str(tmp_path / "out" / "checkpoint-*"),)


@pytest.mark.frameworks("transformers", "accelerate", "torch", "tensorboard")
def test_transformers_own_loggers_are_seen_without_any_of_ours(tmp_path: Path, framework_python: str) -> None:
    seen = observe(
        tmp_path, TRANSFORMERS.replace("REPORT", '["tensorboard"]'), python=framework_python, variables=OFFLINE
    )
    assert (seen.code, seen.notes("failure")) == (0, []), seen.errors
    ((_, tags),) = read_points(str(tmp_path / "notes"), since=None).writers.items()
    assert [point.step for point in tags["train/loss"]] == [2, 4]


@pytest.mark.frameworks("lightning", "torch", "wandb", "mlflow")
def test_lightnings_own_loggers_are_seen_without_any_of_ours(tmp_path: Path, framework_python: str) -> None:
    code = LIGHTNING.replace(
        "logger = ReplicateLogger(outputs=True)",
        """from lightning.pytorch.loggers import WandbLogger, TensorBoardLogger
logger = [WandbLogger(mode="disabled"), TensorBoardLogger("tb")]""",
    )
    seen, curves = ran(tmp_path, code, framework_python, source="wandb")
    assert sorted(curves) == ["epoch", "loss", "val/one"]
    assert [step for step, _ in curves["loss"]] == [1, 3, 5, 7]
    assert with_noted(RECORD, seen.report).params == {"lr": 0.25, "width": 4}
    ((_, tags),) = read_points(str(tmp_path / "notes"), since=None).writers.items()
    assert [point.step for point in tags["loss"]] == [1, 3, 5, 7]
