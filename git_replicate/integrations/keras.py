"""A callback for Keras: `model.fit(..., callbacks=[ReplicateCallback()])`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import keras

import git_replicate as replicate

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any


class ReplicateCallback(keras.callbacks.Callback):
    """Records each epoch's metrics, those of `evaluate` as `test_…`, and the optimizer's settings.

    outputs: files to keep with the run, those that a `ModelCheckpoint` writes say.
    """

    def __init__(self, outputs: Sequence[str] = ()) -> None:
        super().__init__()
        self._outputs = tuple(outputs)
        self._fitting = False

    def on_train_begin(self, logs: Any = None) -> None:
        """Part of Keras: `fit` begins."""
        self._fitting = True
        optimizer = getattr(self.model, "optimizer", None)
        settings = {"optimizer": optimizer.get_config()} if optimizer is not None else {}
        replicate.params({"epochs": (self.params or {}).get("epochs"), **settings})
        for path in self._outputs:
            replicate.output(path)

    def on_train_end(self, logs: Any = None) -> None:
        """Part of Keras: `fit` has ended."""
        self._fitting = False

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Part of Keras: the means over an epoch, those of the validation data as `val_…`."""
        replicate.log(logs or {}, step=epoch)

    def on_test_end(self, logs: Any = None) -> None:
        """Part of Keras: an evaluation has ended; those within `fit` are in the epoch's numbers."""
        if not self._fitting:
            replicate.log({f"test_{name}": value for name, value in (logs or {}).items()})
