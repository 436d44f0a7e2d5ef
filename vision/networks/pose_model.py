"""The interface of all models: their queries and their results.

A model owns its losses, its validation and its export: no other code depends on which one it is. Another package adds
its own as a subclass of :class:`PoseModel` under the entry point ``dactyl.models``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from vision.configuration.bounds import changed_keys
from vision.errors import DactylError
from vision.geometry.cameras import Cameras
from vision.geometry.poses import Pose
from vision.geometry.rotations import quaternion_to_matrix
from vision.networks.losses import LossConfig
from vision.networks.model_config import ModelConfig
from vision.networks.prediction import PosePrediction
from vision.networks.preprocessing import TrainingAugment, resize_each
from vision.networks.validation import pose_columns, pose_metrics
from vision.scene.scene import Scene
from vision.solvers.given import PointObservations
from vision.solvers.self_calibration import RigSolution

_STEPS = 72  # of a full turn, in which continuous symmetries are tried


class PoseModel(nn.Module, ABC):
    """Base class of all models.

    Attributes:
        scene: the scene that its images show, with cameras of their size.
        image_shape: height and width of the array that holds an image.
        image_side: the longer of the two, pixels.
        position_mean, position_deviation: (3,) buffers, metres: of the training set's object positions.
        motions: (N, 4, 4) buffer: motions that leave the object's appearance unchanged, object frame.
        window_count: number of windows in which it sees the object in each image, except in training
            (:meth:`use_windows`).
        any_number_of_cameras: whether it takes images of any number of any cameras.
        compares_views: whether its predictions have a covariance and views.
        config_keys: keys of :class:`ModelConfig` that it uses beside ``head``, ``backbone`` and ``options``; None for
            any.
        loss_keys: keys of :class:`LossConfig` that it uses; None for any.
    """

    position_mean: Tensor
    position_deviation: Tensor
    motions: Tensor
    any_number_of_cameras: ClassVar[bool] = False
    compares_views: ClassVar[bool] = False
    config_keys: ClassVar[Collection[str] | None] = None
    loss_keys: ClassVar[Collection[str] | None] = None

    def __init__(self, config: ModelConfig, scene: Scene) -> None:
        super().__init__()
        self.config = config
        self.scene = scene
        self.object = scene.object
        self.image_shape = (scene.rig.height, scene.rig.width)
        self.image_side = max(self.image_shape)
        self.window_count = 1
        self.register_buffer("position_mean", torch.zeros(3))
        self.register_buffer("position_deviation", torch.ones(3))
        motions = torch.tensor(self.object.symmetries.transforms(_STEPS), dtype=torch.float32)
        self.register_buffer("motions", motions, persistent=False)

    def set_position_statistics(self, mean: Tensor, deviation: Tensor) -> None:
        """Set the mean and standard deviation, (3,) metres, that normalise targets."""
        self.position_mean.copy_(mean)
        self.position_deviation.copy_(deviation.clamp_min(1e-4))

    @classmethod
    def check_config(cls, config: ModelConfig) -> None:
        """Raise ValueError for keys or values that this model does not support, or does not use."""
        if config.options:
            raise ValueError(f"options: head {config.head} has none, got {', '.join(config.options)}")
        if cls.config_keys is not None:
            for key in changed_keys(config, {"head", "backbone", "options", *cls.config_keys}):
                raise ValueError(f"{key}: head {config.head} does not use it; leave it out")

    @classmethod
    def check_loss(cls, config: LossConfig) -> None:
        """Raise ValueError for a key that the losses of this model do not use."""
        if cls.loss_keys is not None:
            for key in changed_keys(config, cls.loss_keys):
                raise ValueError(f"loss.{key}: the network of this model.head does not use it; leave it out")

    @classmethod
    def complete_weights(cls, weights: dict[str, Tensor], scene: Scene) -> None:
        """Add tensors that files of earlier versions lack."""

    # Queries

    @property
    @abstractmethod
    def description(self) -> str:
        """How it finds a pose, after "A network that"."""

    @property
    @abstractmethod
    def uses_cameras(self) -> bool:
        """Whether poses depend on the cameras that it is given."""

    @property
    def finds_cameras(self) -> bool:
        """Whether it can find the true poses of nominal cameras."""
        return False

    @property
    def two_protocols(self) -> bool:
        """Whether its predictions differ for nominal cameras; validation then covers both protocols."""
        return self.uses_cameras

    @property
    def nominal_fault(self) -> str | None:
        """Why it cannot predict with nominal cameras only; None if it can."""
        return None

    @property
    def typical_spread(self) -> float | None:
        """Spread of points, image pixels, in images like those it was validated on; None if the model has none."""
        return None

    @abstractmethod
    def pose(self, output: Any, cameras: Cameras, nominal: bool = False) -> PosePrediction:
        """Return poses for the output of ``forward``, without gradient; ``cameras`` as in :meth:`predict`."""

    def predict(self, images: Tensor, cameras: Cameras, nominal: bool = False) -> PosePrediction:
        """Return poses for images (B, C, 3, H, W) uint8.

        Args:
            cameras: the cameras that took them.
            nominal: whether these are only nominal, with the true ones displaced as in Table 9.
        """
        with torch.inference_mode():
            return self.pose(self(images), cameras, nominal)

    def use_windows(self, count: int) -> None:
        """Set in how many windows, rolled against each other, it sees the object in each image from now on, except in
        training: test-time augmentation.

        Raises:
            DactylError: the model has no window around the object.
        """
        if count != 1:
            raise DactylError("windows: only a geometric network with model.window has any; leave it out")

    def observe(self, images: Tensor) -> tuple[PointObservations, PointObservations]:
        """Find the object's points and the hand's landmarks in images (B, C, 3, H, W) uint8, for
        :meth:`self_calibrate`.

        Raises:
            DactylError: the model finds no landmarks.
        """
        raise DactylError("self-calibration needs a geometric network that finds landmarks of the hand (best.yaml)")

    def self_calibrate(
        self, points: PointObservations, landmarks: PointObservations, nominal: Cameras, distortion: bool = False
    ) -> RigSolution:
        """Find the cameras of a recording from what :meth:`observe` returned for it; errors as in :meth:`observe` and
        in :meth:`vision.estimator.PoseEstimator.self_calibrate`."""
        raise DactylError("self-calibration needs a geometric network that finds landmarks of the hand (best.yaml)")

    # Training

    def advice(self) -> Iterator[str]:
        """Yield what is worth knowing of the model in its scene before a training, a line each."""
        yield from ()

    def begin_training(self, config: LossConfig) -> None:
        """Take note, before a training with these losses begins, of what it will not learn."""

    def learned(self, config: LossConfig) -> Iterator[nn.Parameter]:
        """Yield the parameters that :meth:`losses` depends on, which the optimiser holds a state for."""
        del config
        yield from self.parameters()

    @abstractmethod
    def losses(self, batch: Mapping[str, Tensor], augment: TrainingAugment, config: LossConfig) -> Tensor:
        """Return the loss of every sample, (B,), of a batch (``train.batches``)."""

    def validate(self, batch: Mapping[str, Tensor]) -> Tensor:
        """Return the columns of a held-out batch, (B, F), that :meth:`validation_metrics` needs."""
        poses = self.validation_poses(batch["images"], Cameras.from_label(batch), self.nominal_cameras(batch["images"]))
        return pose_columns(self.object, poses, true_pose(batch))

    def validation_poses(self, images: Tensor, true: Cameras, nominal: Cameras) -> list[PosePrediction]:
        """Return predictions with true cameras and, with ``two_protocols``, with nominal ones."""
        poses = [self.predict(images, true)]
        return [*poses, self.predict(images, nominal, nominal=True)] if self.two_protocols else poses

    def validation_metrics(self, columns: Tensor) -> dict[str, Tensor]:
        """Return the figures to log by name, from columns (N, F); ``rotation_mean_deg`` decides which checkpoint is the
        best."""
        return pose_metrics(columns)

    def finish_validation(self, columns: Tensor) -> None:
        """Set whatever a model derives from its errors on held-out samples, (N, F)."""

    def nominal_cameras(self, images: Tensor) -> Cameras:
        """Return the rig's cameras for every sample of a batch."""
        nominal = self.scene.rig.nominal
        matrices = (nominal.intrinsics, nominal.extrinsics)
        return Cameras(*(torch.tensor(m).float().to(images.device).expand(len(images), -1, -1, -1) for m in matrices))

    # Export

    @abstractmethod
    def exported(self, output: Any) -> dict[str, Tensor]:
        """Return the output tensors of an exported network, from what ``forward`` returned
        (:mod:`vision.networks.export`)."""

    def solver_inputs(self) -> dict[str, Any]:
        """Return as JSON values what a program needs, beside the exported outputs, cameras and keypoints, to find poses
        from them; empty if the outputs are poses."""
        return {}

    def image_sides(self, cameras: int) -> Sequence[int]:
        """Return the longer side of each camera's image, pixels; for other cameras than the rig's, of their array."""
        own = [camera.longer_side for camera in self.scene.rig.cameras]
        return own if cameras == len(own) else [self.image_side] * cameras

    def _whole(self, images: Tensor, cameras: int, size: int | None) -> Tensor:
        """Return images (B * C, 3, H, W) uint8 whole, as a tower takes them (:func:`resize_each`)."""
        return resize_each(images, self.image_sides(cameras), size)

    def _check(self, images: Tensor) -> Tensor:
        """Return images as (B * C, 3, H, W) uint8."""
        height, width = self.image_shape
        if images.ndim != 5 or images.shape[2:] != (3, height, width) or images.dtype != torch.uint8:
            raise ValueError(
                f"expected uint8 images (B, C, 3, {height}, {width}), got {tuple(images.shape)} {images.dtype}"
            )
        return images.flatten(0, 1)


def true_pose(batch: Mapping[str, Tensor]) -> Pose:
    """Return the object's true poses of a batch (``train.batches``)."""
    return Pose(quaternion_to_matrix(batch["object_quaternion"]), batch["object_position"])
