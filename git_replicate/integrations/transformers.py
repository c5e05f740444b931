"""A callback for Hugging Face: `Trainer(..., callbacks=[ReplicateCallback()])`."""

from __future__ import annotations

import dataclasses
import os
from typing import TYPE_CHECKING

from transformers import TrainerCallback

import git_replicate as replicate

if TYPE_CHECKING:
    from typing import Any

_ALWAYS = frozenset(
    "learning_rate num_train_epochs per_device_train_batch_size gradient_accumulation_steps weight_decay seed".split()
)
_NEVER = frozenset(
    "output_dir logging_dir run_name report_to hub_token hub_model_id push_to_hub local_rank disable_tqdm".split()
)
"""Where and how a run is watched, which is no hyperparameter."""


class ReplicateCallback(TrainerCallback):
    """Records what the trainer logs, at its steps, and those of its arguments and of the model's that are not default.

    outputs: keep the checkpoints that are there at the end with the run.
    """

    def __init__(self, *, outputs: bool = False) -> None:
        self._outputs = outputs

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Part of Transformers: `train` begins."""
        if not state.is_world_process_zero:
            return
        replicate.params(_changed(args))
        config = getattr(kwargs.get("model"), "config", None)
        if config is not None and hasattr(config, "to_diff_dict"):
            replicate.params({"model": config.to_diff_dict()})
        if self._outputs:
            replicate.output(os.path.join(args.output_dir, "checkpoint-*"))

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **kwargs: Any) -> None:
        """Part of Transformers: numbers at a step; the epoch, which the trainer adds by itself, is no metric."""
        if state.is_world_process_zero:
            values = {name: value for name, value in (logs or {}).items() if name != "epoch"}
            replicate.log(values, step=state.global_step)


def _changed(args: Any) -> dict[str, Any]:
    """The trainer's arguments that differ from their defaults, and those that are always of interest."""
    plain = args.to_dict()
    return {
        field.name: plain[field.name]
        for field in dataclasses.fields(args)
        if field.name in plain and field.name not in _NEVER
        if field.name in _ALWAYS or getattr(args, field.name) != _default(field)
    }


def _default(field: Any) -> Any:
    return field.default if field.default_factory is dataclasses.MISSING else field.default_factory()
