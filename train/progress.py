"""The bar of a training: batches done, triplets a second, time left, last errors."""

from __future__ import annotations

import contextlib
from typing import Any

import lightning
from lightning.pytorch.callbacks import ProgressBar

from vision.progress import progress


class TrainingBar(ProgressBar):
    """Shows the whole training as one bar, as all stages of ``dactyl`` do."""

    def __init__(self) -> None:
        super().__init__()
        self._stack = contextlib.ExitStack()

    def disable(self) -> None:
        """Lightning calls this on all processes but the first."""
        self._show = False

    def enable(self) -> None:
        self._show = True

    _show = True

    def on_train_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        if self._show:
            done = trainer.global_step
            self._advance = self._stack.enter_context(progress("training", trainer.max_steps, "batches", done=done))

    def on_train_batch_end(self, *_: Any) -> None:
        if self._show:
            self._advance(1)

    def on_exception(self, *_: Any) -> None:
        self._stack.close()

    def on_train_end(self, *_: Any) -> None:
        self._stack.close()
