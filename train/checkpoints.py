"""Checkpoints that are written atomically, and read only if every checksum matches."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lightning
import torch
from lightning.pytorch.callbacks import Checkpoint, ModelCheckpoint
from lightning.pytorch.plugins.io import TorchCheckpointIO

from train.preemption import StopOnSignal, Stopped
from vision.io.files import atomic_write
from vision.network_files import read_checkpoint

BEST, LAST = "best.ckpt", "last.ckpt"


class SafeCheckpointIO(TorchCheckpointIO):
    """Checkpoint plugin that writes beside the target, flushes and renames. Lightning's own save uses the temporary
    folder, which may be on another file system, so that a kill leaves half a file."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        atomic_write(Path(path), lambda file: torch.save(checkpoint, file))

    def load_checkpoint(self, path: Any, map_location: Any = None, weights_only: bool | None = None) -> dict[str, Any]:
        del map_location, weights_only  # always to the CPU, never a pickle
        return read_checkpoint(Path(path))


class SaveLast(Checkpoint):
    """Callback that saves ``last.ckpt``: after every ``every`` steps of the optimiser, before and after each
    validation, when asked to stop, and at the end. List it after :func:`save_best`, so that it records which checkpoint
    is the best so far.

    A checkpoint from before a validation records that, and a training resumed from it begins with that validation: none
    is skipped or repeated, wherever the training was stopped.
    """

    def __init__(self, path: Path, every: int, stop: StopOnSignal) -> None:
        self.path = path
        self.every = every
        self.stop = stop
        self.validation_due = False

    def state_dict(self) -> dict[str, Any]:
        return {"validation_due": self.validation_due}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.validation_due = state_dict["validation_due"]

    def on_train_start(self, trainer: lightning.Trainer, *_: Any) -> None:
        if self.validation_due:
            validation = trainer.fit_loop.epoch_loop.val_loop
            validation.restarting = False  # else it counts the batches of the previous one, and ends too soon
            trainer.validating = True
            validation.run()
            trainer.training = True

    def on_train_batch_end(self, trainer: lightning.Trainer, *_: Any) -> None:
        # After the last batch there is nothing to resume.
        if not _between_steps(trainer) or trainer.global_step >= trainer.max_steps:
            return
        batches, interval = trainer.fit_loop.total_batch_idx + 1, trainer.val_check_batch
        self.validation_due = interval is not None and batches % int(interval) == 0
        stop = self.stop.requested(trainer)
        if stop or self.validation_due or batches % (self.every * trainer.accumulate_grad_batches) == 0:
            trainer.save_checkpoint(self.path)
        if stop:
            raise Stopped(self.stop.received)

    def on_validation_batch_end(self, trainer: lightning.Trainer, *_: Any) -> None:
        # Several processes have unequal parts of a validation, and cannot ask each other before its end.
        if self.validation_due and trainer.world_size == 1 and self.stop.requested(trainer):
            raise Stopped(self.stop.received)

    def on_validation_end(self, trainer: lightning.Trainer, *_: Any) -> None:
        if trainer.state.fn == "fit" and not trainer.sanity_checking:
            self.validation_due = False
            self._save(trainer)

    def on_train_end(self, trainer: lightning.Trainer, *_: Any) -> None:
        self._save(trainer)

    def _save(self, trainer: lightning.Trainer) -> None:
        if _between_steps(trainer):
            trainer.save_checkpoint(self.path)


def _between_steps(trainer: lightning.Trainer) -> bool:
    """Return whether no gradients have been accumulated since the last step: checkpoints do not contain them."""
    batches: int = trainer.fit_loop.total_batch_idx + 1
    return batches % trainer.accumulate_grad_batches == 0


def save_best(folder: Path, monitor: str) -> ModelCheckpoint:
    """Return the callback that keeps ``best.ckpt``: the lowest ``monitor`` of all validations."""
    return ModelCheckpoint(folder, Path(BEST).stem, monitor=monitor, enable_version_counter=False)
