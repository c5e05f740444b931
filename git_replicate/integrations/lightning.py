"""A logger for Lightning: `Trainer(logger=ReplicateLogger())`, of `lightning` or of `pytorch_lightning`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import git_replicate as replicate

if "pytorch_lightning" in sys.modules and "lightning.pytorch" not in sys.modules:
    from pytorch_lightning.loggers import Logger
else:
    try:
        from lightning.pytorch.loggers import Logger
    except ModuleNotFoundError:
        from pytorch_lightning.loggers import Logger

if TYPE_CHECKING:
    from typing import Any


class ReplicateLogger(Logger):
    """Records what the module logs, at the trainer's steps, and its hyperparameters.

    outputs: keep the checkpoints that are there at the end with the run.
    """

    def __init__(self, *, outputs: bool = False) -> None:
        super().__init__()
        self._outputs = outputs
        self._kept: set[str] = set()

    @property
    def name(self) -> str:
        """With `version` the folder of checkpoints, which is to be the same in every run that replicates this one."""
        return "lightning_logs"

    @property
    def version(self) -> str:
        """See `name`."""
        return "replicate"

    def log_metrics(self, metrics: dict[str, Any], step: int | None = None) -> None:
        """Numbers at a step; the epoch, which the trainer adds by itself, is no metric."""
        replicate.log({name: value for name, value in metrics.items() if name != "epoch"}, step=step)

    def log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None:
        """What `save_hyperparameters` found: a table or an `argparse.Namespace`."""
        replicate.params(params if hasattr(params, "items") else vars(params))

    def after_save_checkpoint(self, checkpoint_callback: Any) -> None:
        """Keep the folder of the checkpoints, of which the callback removes those that no longer count."""
        folder = str(getattr(checkpoint_callback, "dirpath", None) or "")
        if self._outputs and folder and folder not in self._kept:
            self._kept.add(folder)
            replicate.output(folder)
