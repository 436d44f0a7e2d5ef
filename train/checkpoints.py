"""Checkpoints that are whole or absent, and read back only when every checksum holds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lightning
import torch
from lightning.pytorch.callbacks import Checkpoint, ModelCheckpoint
from lightning.pytorch.plugins.io import TorchCheckpointIO

from vision.estimator import read_checkpoint
from vision.files import atomic_write

BEST, LAST = "best.ckpt", "last.ckpt"


class SafeCheckpointIO(TorchCheckpointIO):
    """Writes beside the target, flushes and renames; Lightning's own save goes through the temporary folder, which may
    lie on another file system, and then a kill leaves half a file."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        atomic_write(Path(path), lambda file: torch.save(checkpoint, file))

    def load_checkpoint(self, path: Any, map_location: Any = None, weights_only: bool | None = None) -> dict[str, Any]:
        del map_location, weights_only  # always to the CPU, never a pickle
        return read_checkpoint(Path(path))


class SaveLast(Checkpoint):
    """Keeps ``last.ckpt``: after every so many batches, after each validation, and at the end.

    A batch that is validated is saved once the validation is over, so that a resumed training neither repeats it nor
    leaves it out. List it after :func:`save_best`, so that it knows which checkpoint is the best so far.
    """

    def __init__(self, path: Path, every: int) -> None:
        self.path = path
        self.every = every

    def on_train_batch_end(self, trainer: lightning.Trainer, *_: Any) -> None:
        batches = trainer.fit_loop.total_batch_idx + 1
        interval = trainer.val_check_batch
        validated = interval is not None and batches % int(interval) == 0
        if batches % (self.every * trainer.accumulate_grad_batches) == 0 and not validated:
            trainer.save_checkpoint(self.path)

    def on_validation_end(self, trainer: lightning.Trainer, *_: Any) -> None:
        if trainer.state.fn == "fit" and not trainer.sanity_checking:
            trainer.save_checkpoint(self.path)

    def on_train_end(self, trainer: lightning.Trainer, *_: Any) -> None:
        trainer.save_checkpoint(self.path)


def save_best(folder: Path, monitor: str) -> ModelCheckpoint:
    """Keeps ``best.ckpt``: the lowest ``monitor`` of all validations."""
    return ModelCheckpoint(folder, Path(BEST).stem, monitor=monitor, enable_version_counter=False)
