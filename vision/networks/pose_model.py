"""What both models share: configuration, what they are made for, what they return, how a picture enters a tower."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import torch
from torch import Tensor, nn

from vision.geometry.cameras import Cameras
from vision.networks.backbones import BackboneConfig
from vision.networks.heads import RotationFormat
from vision.scene.scene import Scene
from vision.solvers.views import Views


class Augment(Protocol):
    """What training does to images (N, 3, h, w) as they enter a tower; the same shape comes back."""

    def adjust_tone(self, images: Tensor) -> Tensor:
        """Changed levels from 0 to 255, before they are normalised."""

    def __call__(self, images: Tensor) -> Tensor:
        """Changed normalised images."""


@dataclass(frozen=True)
class WindowConfig:
    """Where the geometric model looks.

    Attributes:
        side: of the window, as a fraction of the image's longer side; null for one that suits the object, each camera
            its own. (0.38 for the block: its corners lie within 0.19 of its centre.)
        size: of the window in the tower's pixels.
        locator_size: pixels to which the whole image is reduced to find the object and the hand's landmarks.
        locator_width: channels of the locator's finest level.
    """

    side: float | None = None
    size: int = 80
    locator_size: int = 100
    locator_width: int = 24

    def __post_init__(self) -> None:
        if self.side is not None and not 0 < self.side <= 2:
            raise ValueError(f"window side must lie between 0 and 2 image sides, got {self.side}")
        sizes = (self.size, self.locator_size)
        if min(sizes) < 32 or max(sizes) > 4096:
            raise ValueError(f"window size and locator_size must be 32 to 4096, got {self.size}, {self.locator_size}")
        if not 8 <= self.locator_width <= 1024:
            raise ValueError(f"window locator_width must be 8 to 1024, got {self.locator_width}")


@dataclass(frozen=True)
class ModelConfig:
    """A network.

    Attributes:
        head: the paper's regression, or corners and geometry.
        backbone: the tower.
        rotation: what the regression head answers with.
        hidden: width of the regression head's hidden layer.
        image_size: pixels to which images are reduced; as they come when null.
        window: look only at the object's surroundings (geometric); at the whole image when null.
        iterations: of the refinement of a geometric pose.
        camera_input: whether the regression head is told the cameras too: how far each is from its nominal place.
    """

    head: Literal["regression", "geometric"] = "regression"
    backbone: BackboneConfig = field(default_factory=BackboneConfig)
    rotation: RotationFormat = "quaternion"
    hidden: int = 128
    image_size: int | None = None
    window: WindowConfig | None = None
    iterations: int = 10
    camera_input: bool = False

    def __post_init__(self) -> None:
        if not 1 <= self.hidden <= 65_536 or not 0 <= self.iterations <= 1000:
            raise ValueError(
                f"hidden must be 1 to 65,536 and iterations 0 to 1,000, got {self.hidden}, {self.iterations}"
            )
        if self.image_size is not None and not 32 <= self.image_size <= 4096:
            raise ValueError(f"image_size must be 32 to 4,096, got {self.image_size}")
        if self.window is not None and (self.head != "geometric" or self.image_size is not None):
            raise ValueError("a window needs head: geometric, and its size takes the place of image_size")
        if self.camera_input and self.head != "regression":
            raise ValueError("camera_input needs head: regression; the geometric one uses its cameras anyway")


@dataclass(frozen=True)
class PosePrediction:
    """Poses of the object in the world.

    Attributes:
        position: (B, 3) float64, metres.
        rotation: (B, 3, 3) float64, object to world.
        confidence: (B,) float64 in [0, 1]. Geometric: the probability that the rotation is right to
            ``CONFIDENT_ANGLE``. Regression: how long the predicted rotation vector is, which scattered possibilities
            make short (it says nothing after training with the geodesic loss).
        deviation: (B,) float64, radians: the geometric model's own estimate of the rotation's standard deviation about
            each axis, before calibration; None from a regression.
        covariance: (B, 6, 6) float64 of the error, radians about the world's axes then metres, after calibration; None
            from a regression.
        views: how each camera's view agrees with the pose, and the cameras as they were found; None from a regression.
    """

    position: Tensor
    rotation: Tensor
    confidence: Tensor
    deviation: Tensor | None = None
    covariance: Tensor | None = None
    views: Views | None = None


class PoseModel(nn.Module, ABC):
    """What both models share.

    Attributes:
        scene: what its images show, cameras of their size included.
        image_shape: height and width of the array that holds an image.
        image_side: the longer of the two, pixels; towers see images padded to squares of it.
        position_mean, position_deviation: (3,) buffers, metres: of the training set's object positions.
    """

    position_mean: Tensor
    position_deviation: Tensor

    def __init__(self, config: ModelConfig, scene: Scene) -> None:
        super().__init__()
        self.config = config
        self.scene = scene
        self.object = scene.object
        self.image_shape = (scene.rig.height, scene.rig.width)
        self.image_side = max(self.image_shape)
        self.register_buffer("position_mean", torch.zeros(3))
        self.register_buffer("position_deviation", torch.ones(3))

    def set_position_statistics(self, mean: Tensor, deviation: Tensor) -> None:
        """Mean and standard deviation, (3,) metres, by which targets are normalised."""
        self.position_mean.copy_(mean)
        self.position_deviation.copy_(deviation.clamp_min(1e-4))

    @property
    def finds_cameras(self) -> bool:
        """Whether it can tell where nominal cameras really are."""
        return False

    @property
    @abstractmethod
    def uses_cameras(self) -> bool:
        """Whether poses depend on the cameras that it is given."""

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

    def _check(self, images: Tensor) -> Tensor:
        """Images (B * C, 3, H, W) uint8."""
        height, width = self.image_shape
        if images.ndim != 5 or images.shape[2:] != (3, height, width) or images.dtype != torch.uint8:
            raise ValueError(
                f"expected uint8 images (B, C, 3, {height}, {width}), got {tuple(images.shape)} {images.dtype}"
            )
        return images.flatten(0, 1)


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
