"""The network: images of all cameras in, the object's pose in the world out.

Two models behind one interface. ``forward`` is what training compares with the truth, ``pose`` makes a
:class:`PosePrediction` of it, ``predict`` does both.

regression
    Table 12: one tower for all cameras, spatial softmax, two linear layers.
geometric
    One tower for all cameras finds the object's corners in each image, with an expected error each; the pose follows
    from the cameras' calibration. With a window, a small locator finds the object in the whole image first and the
    tower sees only its surroundings, at full resolution. The locator also finds landmarks of the hand, from which
    nominal cameras are mended: the same weights serve both protocols.

Everything between the bytes of a picture and the pose is in here, so that a checkpoint alone says how images and
targets are scaled. Each image that enters a tower is normalised to zero mean and unit variance, as in the paper;
contrast and noise come after that and only in training, hence the ``augment`` argument of ``forward``.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor, nn

from vision.backbones import BackboneConfig, build_backbone
from vision.bundle import Sights, solve_bundle
from vision.cameras import Rig
from vision.heads import PointHead, PointOutput, RegressionHead, RegressionOutput, RotationFormat, rotation_from_values
from vision.landmarks import HAND_LANDMARKS
from vision.objects import get_object
from vision.triangulate import Cameras, solve_pose
from vision.windows import cut, make_windows, to_image, window_scale

Augment = Callable[[Tensor], Tensor]
"""Changes normalised images (N, 3, h, w); the same shape comes back."""

CONFIDENT_ANGLE = math.radians(2.0)
"""A geometric confidence is the probability, as the network sees it, that the rotation is right to this angle: narrow
enough for a good network to be unsure now and then, or all its confidences would be one."""
LANDMARK_DOUBT = 3.0
"""By what factor landmarks are trusted less than their scales say: errors of neighbours are alike, and count as one.
With the shipped network half-trained, factors from 2 to 4 gave the same errors, 1 a position worse by a fifth, and 3
deviations that kept their promise."""


@dataclass(frozen=True)
class WindowConfig:
    """Where the geometric model looks.

    Attributes:
        side: of the window, as a share of the image's side. A block's corners lie within 0.19 of its centre.
        size: of the window in the tower's pixels.
        locator_size: pixels to which the whole image is reduced to find the object and the hand's landmarks.
        locator_width: channels of the locator's finest level.
    """

    side: float = 0.38
    size: int = 80
    locator_size: int = 100
    locator_width: int = 24

    def __post_init__(self) -> None:
        if not 0 < self.side <= 2:
            raise ValueError(f"window side must lie between 0 and 2 image sides, got {self.side}")
        if min(self.size, self.locator_size) < 32:
            raise ValueError(f"window size and locator_size must be 32 or more, got {self.size}, {self.locator_size}")


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
    """

    head: Literal["regression", "geometric"] = "regression"
    backbone: BackboneConfig = field(default_factory=BackboneConfig)
    rotation: RotationFormat = "quaternion"
    hidden: int = 128
    image_size: int | None = None
    window: WindowConfig | None = None
    iterations: int = 10

    def __post_init__(self) -> None:
        if self.hidden < 1 or self.iterations < 0:
            raise ValueError(f"hidden must be 1 or more and iterations 0 or more, got {self.hidden}, {self.iterations}")
        if self.image_size is not None and self.image_size < 32:
            raise ValueError(f"image_size must be 32 or more, got {self.image_size}")
        if self.window is not None and (self.head != "geometric" or self.image_size is not None):
            raise ValueError("a window needs head: geometric, and its size takes the place of image_size")


@dataclass(frozen=True)
class DataSpec:
    """What pictures a model is for: the object's name, nominal cameras in image order, side of the images, pixels."""

    object: str
    rig: Rig
    image_size: int


@dataclass(frozen=True)
class GeometricOutput:
    """What the geometric model sees.

    Attributes:
        corners: (B, C, K), image pixels.
        centre: (B, C, 1) the object's centre as the locator sees it, image pixels; None without a window.
        landmarks: (B, C, L) the hand's landmarks as the locator sees them, image pixels; None without a window.
        surface: (B, C, 4, h, w) for every cell of the tower's map the point of the object it looks at, in units of half
            the object's diameter, object frame, and the log-scale of its error; only in training.
        windows: (B, C, 2, 3) what the tower saw.
    """

    corners: PointOutput
    centre: PointOutput | None
    landmarks: PointOutput | None
    surface: Tensor | None
    windows: Tensor


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
    """

    position: Tensor
    rotation: Tensor
    confidence: Tensor
    deviation: Tensor | None = None


class PoseModel(nn.Module, ABC):
    """What both models share.

    Attributes:
        position_mean, position_deviation: (3,) buffers, metres: of the training set's object positions.
    """

    position_mean: Tensor
    position_deviation: Tensor

    def __init__(self, config: ModelConfig, data: DataSpec) -> None:
        super().__init__()
        self.config = config
        self.data = data
        self.object = get_object(data.object)
        self.register_buffer("position_mean", torch.zeros(3))
        self.register_buffer("position_deviation", torch.ones(3))

    def set_position_statistics(self, mean: Tensor, deviation: Tensor) -> None:
        """Mean and standard deviation, (3,) metres, by which targets are normalised."""
        self.position_mean.copy_(mean)
        self.position_deviation.copy_(deviation.clamp_min(1e-4))

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
        size = self.data.image_size
        if images.ndim != 5 or images.shape[2:] != (3, size, size) or images.dtype != torch.uint8:
            raise ValueError(
                f"expected uint8 images (B, C, 3, {size}, {size}), got {tuple(images.shape)} {images.dtype}"
            )
        return images.flatten(0, 1)


class RegressionModel(PoseModel):
    """Table 12. The number of cameras is fixed by its first linear layer."""

    def __init__(self, config: ModelConfig, data: DataSpec) -> None:
        super().__init__(config, data)
        self.tower = build_backbone(config.backbone)
        self.head = RegressionHead(self.tower.channels, len(data.rig), config.hidden, config.rotation)

    def forward(self, images: Tensor, augment: Augment | None = None) -> RegressionOutput:
        """Normalised poses from images (B, C, 3, H, W) uint8."""
        flat = _enter(resize(self._check(images), self.config.image_size), augment)
        return self.head(self.tower(flat).unflatten(0, images.shape[:2]))

    @torch.no_grad()
    def pose(self, output: RegressionOutput, cameras: Cameras, nominal: bool = False) -> PosePrediction:
        del cameras, nominal
        values = output.values.double()
        rotation, length = rotation_from_values(values[:, 3:], self.config.rotation)
        return PosePrediction(
            values[:, :3] * self.position_deviation + self.position_mean, rotation, length.clamp(0.0, 1.0)
        )


class GeometricModel(PoseModel):
    """Corners in each image, then geometry. Takes any number of cameras.

    Attributes:
        keypoints: (K, 3) metres, object frame: the points that are looked for.
        error_scale: () buffer: by what factor real errors exceed the predicted ones; set by :meth:`calibrate`.
    """

    keypoints: Tensor
    error_scale: Tensor

    def __init__(self, config: ModelConfig, data: DataSpec) -> None:
        super().__init__(config, data)
        self.register_buffer("keypoints", torch.tensor(self.object.keypoints), persistent=False)
        self.register_buffer("error_scale", torch.ones(()))
        self.tower = build_backbone(config.backbone)
        self.head = PointHead(self.tower.channels, len(self.keypoints))
        self.surface = nn.Conv2d(self.tower.channels, 4, 1)
        if config.window is not None:
            small = BackboneConfig("pyramid", width=config.window.locator_width, blocks=1, norm=config.backbone.norm)
            self.locator_tower = build_backbone(small)
            self.locator_head = PointHead(self.locator_tower.channels, 1 + len(HAND_LANDMARKS.points))

    def forward(
        self,
        images: Tensor,
        augment: Augment | None = None,
        windows: Tensor | None = None,
        scenes: Tensor | None = None,
    ) -> GeometricOutput:
        """Corners in images (B, C, 3, H, W) uint8.

        Args:
            augment: applied to what enters the towers.
            windows: (B, C, 2, 3) where to look (:mod:`vision.windows`); where the locator finds the object when None.
            scenes: (B, C, 2, 3) what the locator sees, windows of ``locator_size``; the whole images when None.
        """
        shape, flat = images.shape[:2], self._check(images)
        window, centre, landmarks = self.config.window, None, None
        if window is None:
            middle = torch.full((flat.shape[0], 2), self.data.image_size / 2, device=flat.device)
            windows = make_windows(middle, self.data.image_size, self.input_size)
        else:
            found = self._locate(flat, None if scenes is None else scenes.flatten(0, 1), augment)
            centre, landmarks = found[:, :1], found[:, 1:]
            around = make_windows(centre.pixels[:, 0].detach(), window.side * self.data.image_size, window.size)
            windows = around if windows is None else windows.flatten(0, 1)
        corners, features = self._find(flat, windows, augment)
        return GeometricOutput(
            _unflatten(corners, shape),
            None if centre is None else _unflatten(centre, shape),
            None if landmarks is None else _unflatten(landmarks, shape),
            self.surface(features).float().unflatten(0, shape) if self.training else None,
            windows.unflatten(0, shape),
        )

    @property
    def input_size(self) -> int:
        """Side of the tower's input in pixels."""
        window = self.config.window
        return (self.config.image_size or self.data.image_size) if window is None else window.size

    def _locate(self, images: Tensor, scenes: Tensor | None, augment: Augment | None) -> PointOutput:
        """The object's centre and the landmarks (N, 1 + L), image pixels, as seen in scenes (N, 2, 3) of the images."""
        assert self.config.window is not None
        size = self.config.window.locator_size
        ratio = self.data.image_size / size
        seen = resize(images, size)
        if scenes is not None:  # only in training, where it may lie a little beside the image
            seen = cut(seen, scenes / ratio, size, padding="border")
        found = self.locator_head(self.locator_tower(_enter(seen, augment)), size)
        if scenes is None:
            return PointOutput(found.pixels * ratio, found.log_scale + math.log(ratio))
        return _to_image(found, scenes)

    def _find(self, images: Tensor, windows: Tensor, augment: Augment | None) -> tuple[PointOutput, Tensor]:
        """Corners (N, K) in image pixels, and the tower's features, from whole images and windows (N, 2, 3)."""
        size = self.input_size
        seen = resize(images, size) if self.config.window is None else cut(images.float(), windows, size)
        features = self.tower(_enter(seen, augment))
        return _to_image(self.head(features, size), windows), features

    @torch.no_grad()
    def pose(self, output: GeometricOutput, cameras: Cameras, nominal: bool = False) -> PosePrediction:
        corners = Sights(output.corners.pixels, output.corners.log_scale.exp())
        if nominal and output.landmarks is not None:
            seen = Sights(output.landmarks.pixels, LANDMARK_DOUBT * output.landmarks.log_scale.exp())
            size, anchor = self.data.image_size, self.position_mean
            solution = solve_bundle(self.keypoints, corners, HAND_LANDMARKS, seen, cameras, size, anchor).pose
        else:
            solution = solve_pose(self.keypoints, *corners, cameras, self.position_mean, self.config.iterations)
        deviation = solution.rotation_deviation
        confidence = _probability_within(CONFIDENT_ANGLE, deviation * self.error_scale)
        return PosePrediction(solution.position, solution.rotation, confidence, deviation)

    def calibrate(self, errors: Tensor, deviations: Tensor) -> None:
        """Set ``error_scale`` from rotation errors (N,) in radians on held-out samples and their ``deviation`` (N,)."""
        median = 1.5382  # of the length of a standard normal vector in three dimensions
        self.error_scale.copy_((errors / deviations.clamp_min(1e-6)).median() / median)


def build_model(config: ModelConfig, data: DataSpec) -> PoseModel:
    """A network with random weights (from torch's default generator)."""
    return RegressionModel(config, data) if config.head == "regression" else GeometricModel(config, data)


def normalize(images: Tensor) -> Tensor:
    """Each image (N, 3, h, w) at zero mean and unit variance over all its pixels and channels."""
    images = images - images.mean(dim=(1, 2, 3), keepdim=True)
    # torch.var_mean takes twelve times as long on a CPU. Plus one level of 255: a constant image stays at zero.
    return images / (images.square().mean(dim=(1, 2, 3), keepdim=True).sqrt() + 1.0)


def resize(images: Tensor, size: int | None) -> Tensor:
    """Square images (N, 3, H, H) uint8 at ``size`` pixels as float, smoothed before they are reduced."""
    if size is None or size == images.shape[-1]:
        return images.float()
    if images.device.type != "cpu":  # only there can bytes be resampled, five times as fast as floats
        images = images.float()
    return nn.functional.interpolate(images, size=(size, size), mode="bilinear", antialias=True).float()


def _enter(images: Tensor, augment: Augment | None) -> Tensor:
    images = normalize(images)
    return images if augment is None else augment(images)


def _to_image(found: PointOutput, windows: Tensor) -> PointOutput:
    """Points (N, K) of windows (N, 2, 3) in the image's pixels."""
    with torch.autocast(windows.device.type, enabled=False):
        return PointOutput(to_image(windows, found.pixels), found.log_scale + window_scale(windows).log()[:, None])


def _unflatten(points: PointOutput, shape: torch.Size) -> PointOutput:
    return PointOutput(points.pixels.unflatten(0, shape), points.log_scale.unflatten(0, shape))


def _probability_within(angle: float, deviation: Tensor) -> Tensor:
    """That a turn, normal about each of three axes with that deviation (...), is by less than ``angle`` (Maxwell)."""
    ratio = angle / deviation.clamp_min(1e-9)
    probability = torch.erf(ratio / math.sqrt(2)) - math.sqrt(2 / math.pi) * ratio * torch.exp(-(ratio**2) / 2)
    return probability.clamp(0.0, 1.0)
