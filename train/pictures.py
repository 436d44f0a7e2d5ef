"""Images of validation in the training's log: held-out triplets with the true and the estimated object."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import lightning
import numpy as np
import torch
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.loggers import TensorBoardLogger, WandbLogger
from numpy.typing import NDArray

from train.batches import collate
from vision.drawing.sheets import Tile, contact_sheet
from vision.drawing.wireframes import (
    COMPARISON_LEGEND,
    comparison,
    draw_triplet,
)
from vision.geometry.cameras import Cameras
from vision.geometry.poses import Pose
from vision.networks.pose_model import PoseModel
from vision.objects.symmetries import centre_shift, symmetric_distance
from vision.storage.datasets import TripletDataset

_COLUMNS = 2


class ValidationPictures(Callback):
    """Callback that logs the same triplets after each validation, with wireframes of the truth and of the estimate.

    Args:
        dataset: held-out triplets.
        numbers: numbers of the samples to draw.
    """

    def __init__(self, dataset: TripletDataset, numbers: Sequence[int]) -> None:
        self._dataset = dataset
        self._numbers = numbers

    def on_validation_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        if trainer.sanity_checking or not trainer.is_global_zero:
            return
        model = pl_module.validated
        assert isinstance(model, PoseModel)
        picture = estimates_sheet(model, pl_module.device, self._dataset, self._numbers, trainer.global_step)
        for logger in trainer.loggers:
            if isinstance(logger, TensorBoardLogger):
                logger.experiment.add_image("validation", picture, trainer.global_step, dataformats="HWC")
                logger.experiment.flush()
            elif isinstance(logger, WandbLogger):
                logger.log_image("validation", [picture], step=trainer.global_step)


def estimates_sheet(
    model: PoseModel, device: torch.device, dataset: TripletDataset, numbers: Sequence[int], step: int
) -> NDArray[np.uint8]:
    """Return a contact sheet (H, W, 3) of samples ``numbers``, predicted with their true cameras, after ``step``
    steps of the optimiser."""
    samples = [dataset[number] for number in numbers]
    tensors = {key: value.to(device) for key, value in collate(samples).items()}
    training = model.training
    model.eval()
    cameras = Cameras.from_label(tensors)
    found = model.predict(tensors["images"], cameras)
    model.train(training)
    poses = Pose(*(tensor.double().cpu().numpy() for tensor in found.pose))
    tiles = [_tile(dataset, sample, poses.at(number)) for number, sample in enumerate(samples)]
    title = f"{dataset.folder.name} · step {step:,}"
    return np.asarray(contact_sheet(tiles, _COLUMNS, title, COMPARISON_LEGEND, dataset.rig.names))


def _tile(dataset: TripletDataset, sample: dict[str, Any], found: Pose) -> Tile:
    true, symmetries = Pose.from_columns(sample, "object"), dataset.object.symmetries
    turn = float(np.rad2deg(symmetric_distance(symmetries, true.rotation[None], found.rotation[None])[0]))
    shift = 1e3 * float(np.linalg.norm(centre_shift(symmetries, true, found)))
    wireframes = comparison(dataset.object, true, found)
    images = draw_triplet(dataset.rig.without_padding(sample["images"]), wireframes, Cameras.from_label(sample))
    return Tile(images, f"sample {sample['index']} · {turn:.1f}° · {shift:.1f} mm")
