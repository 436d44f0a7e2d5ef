"""What a training shows: one bar with batches done, rate and time left, and a line for each validation."""

from __future__ import annotations

import contextlib
import sys
from typing import Any

import lightning
from lightning.pytorch.callbacks import ProgressBar

from vision.progress import progress


class TrainingBar(ProgressBar):
    """Shows the whole training as one bar, as all stages of ``dactyl`` do."""

    def __init__(self) -> None:
        super().__init__()
        self._show = True
        self._stack = contextlib.ExitStack()

    def disable(self) -> None:
        """Lightning calls this on all processes but the first."""
        self._show = False

    def enable(self) -> None:
        self._show = True

    def on_train_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        if self._show:
            total = trainer.max_steps * trainer.accumulate_grad_batches
            done = trainer.fit_loop.total_batch_idx + 1
            self._advance = self._stack.enter_context(progress("training", total, "batches", done=done))

    def on_train_batch_end(self, *_: Any) -> None:
        if self._show:
            self._advance(1)

    def on_validation_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        errors = {key: float(value) for key, value in trainer.callback_metrics.items() if key.startswith("val/")}
        if self._show and errors:
            # The bar catches what is written to standard error and puts it above itself.
            sys.stderr.write(
                f"batch {trainer.global_step:,}: held-out error, mean (median): "
                f"{errors['val/rotation_mean_deg']:.2f} ({errors['val/rotation_median_deg']:.2f}) deg, "
                f"{errors['val/position_mean_mm']:.2f} ({errors['val/position_median_mm']:.2f}) mm\n"
            )

    def on_exception(self, *_: Any) -> None:
        self._stack.close()

    def on_train_end(self, *_: Any) -> None:
        self._stack.close()
