"""Progress of a training: a bar with batches done, rate and time left, a line for each validation, and rates in the
log."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Mapping
from typing import Any

import lightning
from lightning.pytorch.callbacks import Callback, ProgressBar

from train.data import TripletDataModule
from vision.machine.progress import progress


class TrainingBar(ProgressBar):
    """Progress bar of the whole training, as in all stages of ``dactyl``."""

    def __init__(self) -> None:
        super().__init__()
        self._show = True
        self._stack = contextlib.ExitStack()

    def disable(self) -> None:
        """Hide the bar; Lightning calls this on all processes but the first."""
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
        if self._show and (errors := held_out_errors(trainer.callback_metrics)):
            # The bar intercepts standard error and prints it above itself.
            sys.stderr.write(f"step {trainer.global_step:,}: held-out error, mean (median): {errors}\n")

    def on_exception(self, *_: Any) -> None:
        self._stack.close()

    def on_train_end(self, *_: Any) -> None:
        self._stack.close()


def held_out_errors(metrics: Mapping[str, Any]) -> str:
    """Format mean (and median) errors of rotation and position, those that a model's validation returns."""
    shown = []
    for quantity, unit in (("rotation", "deg"), ("position", "mm")):
        mean, median = (metrics.get(f"val/{quantity}_{average}_{unit}") for average in ("mean", "median"))
        if mean is not None:
            shown.append(f"{mean:.2f} {unit}" if median is None else f"{mean:.2f} ({median:.2f}) {unit}")
    return ", ".join(shown)


class Rates(Callback):
    """Callback that logs ``rate/triplets_per_second``, of all processes together, and ``rate/waiting_share``, the
    fraction of the time in which the first one waited for its next batch. Validations do not count."""

    def __init__(self, data: TripletDataModule) -> None:
        self._data = data
        self._triplets = 0
        self._waited_s = 0.0  # until the last logged rates
        self._since = self._paused = 0.0

    def on_train_start(self, *_: Any) -> None:
        self._since = time.monotonic()

    def on_validation_start(self, *_: Any) -> None:
        self._paused = time.monotonic()

    def on_validation_end(self, *_: Any) -> None:
        self._since += time.monotonic() - self._paused

    def on_train_batch_end(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, outputs: Any, batch: Any, *_: Any
    ) -> None:
        self._triplets += len(batch["images"]) * trainer.world_size
        interval = trainer.log_every_n_steps  # type: ignore[attr-defined]
        if not interval or (trainer.fit_loop.total_batch_idx + 1) % interval or not trainer.is_global_zero:
            return
        now, waited = time.monotonic(), self._data.waited_s
        values = {
            "rate/triplets_per_second": self._triplets / (now - self._since),
            "rate/waiting_share": (waited - self._waited_s) / (now - self._since),
        }
        for logger in trainer.loggers:
            logger.log_metrics(values, step=trainer.global_step)
        self._triplets, self._waited_s, self._since = 0, waited, now
