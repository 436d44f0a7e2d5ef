"""What all models share: what they are asked for, what they return, how a picture enters a tower.

A model owns its losses, its validation and its export: nothing outside asks which of them it is. Another package offers
one as a class of :class:`PoseModel` under the entry point ``dactyl.models``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, Protocol

import torch
from torch import Tensor, nn

from vision.errors import DactylError
from vision.geometry.cameras import Cameras
from vision.networks.losses import LossConfig
from vision.networks.model_config import ModelConfig
from vision.networks.prediction import PosePrediction
from vision.networks.validation import pose_columns, pose_metrics
from vision.scene.scene import Scene
from vision.solvers.given import PointObservations
from vision.solvers.self_calibration import RigSolution

_STEPS = 72  # of a turn, in which continuous symmetries are tried


class Augment(Protocol):
    """What training does to images (N, 3, h, w) as they enter a tower; the same shape comes back."""

    def adjust_tone(self, images: Tensor) -> Tensor:
        """Changed levels from 0 to 255, before they are normalised."""

    def __call__(self, images: Tensor) -> Tensor:
        """Changed normalised images."""


class TrainingAugment(Augment, Protocol):
    """What else training draws for a model's losses."""

    def cameras_known(self, count: int) -> Tensor:
        """(count, 1, 1) ones and zeros: which samples are told their true cameras."""

    def windows(self, centre: Tensor, side: Tensor | float, size: int) -> Tensor:
        """Windows (..., 2, 3) of ``size`` pixels near true object centres (..., 2), image pixels."""

    def scenes(self, shape: tuple[int, int], side: float, size: int) -> Tensor:
        """Windows (*shape, 2, 3) of ``size`` pixels near the whole of images of ``side`` pixels."""


class PoseModel(nn.Module, ABC):
    """What all models share.

    Attributes:
        scene: what its images show, cameras of their size included.
        image_shape: height and width of the array that holds an image.
        image_side: the longer of the two, pixels; towers see images padded to squares of it.
        position_mean, position_deviation: (3,) buffers, metres: of the training set's object positions.
        motions: (N, 4, 4) buffer: that leave the object's look unchanged, object frame.
        any_number_of_cameras: whether it takes images of any number of any cameras.
        compares_views: whether its predictions have a covariance and views.
    """

    position_mean: Tensor
    position_deviation: Tensor
    motions: Tensor
    any_number_of_cameras: ClassVar[bool] = False
    compares_views: ClassVar[bool] = False

    def __init__(self, config: ModelConfig, scene: Scene) -> None:
        super().__init__()
        self.config = config
        self.scene = scene
        self.object = scene.object
        self.image_shape = (scene.rig.height, scene.rig.width)
        self.image_side = max(self.image_shape)
        self.register_buffer("position_mean", torch.zeros(3))
        self.register_buffer("position_deviation", torch.ones(3))
        motions = torch.tensor(self.object.symmetries.transforms(_STEPS), dtype=torch.float32)
        self.register_buffer("motions", motions, persistent=False)

    def set_position_statistics(self, mean: Tensor, deviation: Tensor) -> None:
        """Mean and standard deviation, (3,) metres, by which targets are normalised."""
        self.position_mean.copy_(mean)
        self.position_deviation.copy_(deviation.clamp_min(1e-4))

    @classmethod
    def check_config(cls, config: ModelConfig) -> None:
        """Raise ValueError for keys that this model has not, or values that it cannot have."""
        if config.options:
            raise ValueError(f"options: head {config.head} has none, got {', '.join(config.options)}")

    @classmethod
    def complete_weights(cls, weights: dict[str, Tensor], scene: Scene) -> None:
        """Add what files of earlier versions have not."""

    # What it is asked

    @property
    @abstractmethod
    def description(self) -> str:
        """How it comes to a pose, after "A network that"."""

    @property
    @abstractmethod
    def uses_cameras(self) -> bool:
        """Whether poses depend on the cameras that it is given."""

    @property
    def finds_cameras(self) -> bool:
        """Whether it can tell where nominal cameras really are."""
        return False

    @property
    def two_protocols(self) -> bool:
        """Whether it answers otherwise when told that cameras are nominal ones; validation then asks it both ways."""
        return self.uses_cameras

    @property
    def nominal_fault(self) -> str | None:
        """Why it has no answer where only nominal cameras are known; None where it has."""
        return None

    @property
    def typical_spread(self) -> float | None:
        """Image pixels by which points scatter in pictures like those it was validated on; None where it does not
        tell."""
        return None

    @abstractmethod
    def pose(self, output: Any, cameras: Cameras, nominal: bool = False) -> PosePrediction:
        """Poses from what ``forward`` returned, without gradient; ``cameras`` as in :meth:`predict`."""

    def predict(self, images: Tensor, cameras: Cameras, nominal: bool = False) -> PosePrediction:
        """Poses from images (B, C, 3, H, W) uint8.

        Args:
            cameras: that took them.
            nominal: whether that is only where the cameras should be, the true ones being displaced as in Table 9.
        """
        with torch.inference_mode():
            return self.pose(self(images), cameras, nominal)

    def observe(self, images: Tensor) -> tuple[PointObservations, PointObservations]:
        """The object's points and the hand's landmarks in images (B, C, 3, H, W) uint8, for :meth:`self_calibrate`.

        Raises:
            DactylError: it finds no landmarks.
        """
        raise DactylError("self-calibration needs a geometric network that finds landmarks of the hand (best.yaml)")

    def self_calibrate(
        self, points: PointObservations, landmarks: PointObservations, nominal: Cameras, distortion: bool = False
    ) -> RigSolution:
        """The cameras of a recording, from what :meth:`observe` saw in it; as :meth:`observe`, and as
        :meth:`vision.estimator.PoseEstimator.self_calibrate`."""
        raise DactylError("self-calibration needs a geometric network that finds landmarks of the hand (best.yaml)")

    # How it learns

    def learned(self, config: LossConfig) -> Iterator[nn.Parameter]:
        """Parameters that :meth:`losses` depends on: what an optimiser is of, and has a state for."""
        del config
        yield from self.parameters()

    @abstractmethod
    def losses(self, batch: Mapping[str, Tensor], augment: TrainingAugment, config: LossConfig) -> Tensor:
        """Loss of every sample, (B,), of a batch (``train.batches``)."""

    def validate(self, batch: Mapping[str, Tensor]) -> Tensor:
        """What is kept of each sample of a held-out batch, (B, F): what :meth:`validation_metrics` is made of."""
        poses = self.validation_poses(batch["images"], _cameras(batch), self.nominal_cameras(batch["images"]))
        return pose_columns(self.object, poses, batch["object_position"], batch["object_quaternion"])

    def validation_poses(self, images: Tensor, true: Cameras, nominal: Cameras) -> list[PosePrediction]:
        """Answers to true cameras and, with ``two_protocols``, to nominal ones."""
        poses = [self.predict(images, true)]
        return [*poses, self.predict(images, nominal, nominal=True)] if self.two_protocols else poses

    def validation_metrics(self, columns: Tensor) -> dict[str, Tensor]:
        """Logged figures by name, of columns (N, F); ``rotation_mean_deg`` decides which checkpoint is the best."""
        return pose_metrics(columns)

    def finish_validation(self, columns: Tensor) -> None:
        """Set what a model learns from its errors on held-out samples, (N, F)."""

    def nominal_cameras(self, images: Tensor) -> Cameras:
        """The rig's cameras for every sample of a batch."""
        nominal = self.scene.rig.nominal
        matrices = (nominal.intrinsics, nominal.extrinsics)
        return Cameras(*(torch.tensor(m).float().to(images.device).expand(len(images), -1, -1, -1) for m in matrices))

    # How it leaves

    @abstractmethod
    def exported(self, output: Any) -> dict[str, Tensor]:
        """Tensors that an exported network gives, of what ``forward`` returned (:mod:`vision.networks.export`)."""

    def _check(self, images: Tensor) -> Tensor:
        """Images (B * C, 3, H, W) uint8."""
        height, width = self.image_shape
        if images.ndim != 5 or images.shape[2:] != (3, height, width) or images.dtype != torch.uint8:
            raise ValueError(
                f"expected uint8 images (B, C, 3, {height}, {width}), got {tuple(images.shape)} {images.dtype}"
            )
        return images.flatten(0, 1)


def _cameras(batch: Mapping[str, Tensor]) -> Cameras:
    return Cameras(batch["camera_intrinsics"], batch["camera_extrinsics"])


def normalize(images: Tensor) -> Tensor:
    """Each image (N, 3, h, w) at zero mean and unit variance over all its pixels and channels."""
    images = images - images.mean(dim=(1, 2, 3), keepdim=True)
    # torch.var_mean takes twelve times as long on a CPU. Plus one level of 255: a constant image stays at zero.
    return images / (images.square().mean(dim=(1, 2, 3), keepdim=True).sqrt() + 1.0)


def resize(images: Tensor, size: int | None) -> Tensor:
    """Images (N, 3, H, W) uint8 as squares of ``size`` pixels as float, smoothed before they are reduced: those that
    are no squares are padded right and below first. As they are where ``size`` is None."""
    if size is None:
        return images.float()
    if (beside := images.shape[-2] - images.shape[-1]) != 0:
        images = nn.functional.pad(images, (0, max(beside, 0), 0, max(-beside, 0)))
    if size == images.shape[-1]:
        return images.float()
    if images.device.type != "cpu":  # only there can bytes be resampled, five times as fast as floats
        images = images.float()
    return nn.functional.interpolate(images, size=(size, size), mode="bilinear", antialias=True).float()


def preprocess(images: Tensor, augment: Augment | None) -> Tensor:
    """What a tower sees of images (N, 3, h, w): normalised, and changed where training asks for it."""
    return normalize(images) if augment is None else augment(normalize(augment.adjust_tone(images)))
