"""The geometric model: corners of the object and landmarks of the hand in each image, then the pose by geometry."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from vision.geometry.cameras import Cameras
from vision.networks.backbones import BackboneConfig, build_backbone
from vision.networks.heads import PointHead, PointOutput
from vision.networks.pose_model import Augment, ModelConfig, PoseModel, PosePrediction, preprocess, resize
from vision.networks.windows import cut, make_windows, to_image, window_scale
from vision.scene.framing import window_sides
from vision.scene.scene import Scene
from vision.solvers.bundle import solve_bundle, solve_pose
from vision.solvers.bundle_problem import PointObservations
from vision.solvers.views import compare_views

CONFIDENT_ANGLE = math.radians(2.0)
"""A geometric confidence is the probability, as the network sees it, that the rotation is right to this angle: narrow
enough for a good network to be unsure now and then, or all its confidences would be one."""
LANDMARK_DOUBT = 3.0
"""By what factor landmarks are trusted less than their scales say: errors of neighbours are alike, and count as one.
With the shipped network half-trained, factors from 2 to 4 gave the same errors, 1 a position worse by a fifth, and 3
deviations that kept their promise."""


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


class GeometricModel(PoseModel):
    """Corners in each image, then geometry. Takes any number of cameras.

    Attributes:
        keypoints: (K, 3) metres, object frame: the points that are looked for.
        permutations: (S, K) onto which of them each of the object's symmetries carries each; None without symmetries.
        error_scale: (2,) buffer: by what factor real errors exceed the predicted ones, with true cameras and with
            nominal ones; set by :meth:`calibrate`.
        landmark_offset: (C, L, 2) buffer: by how many pixels of the image the landmarks that it finds in each camera of
            its rig are off on average, which no number of pictures evens out; set by :meth:`set_landmark_offset`.
        usual_spread: buffer, image pixels: :attr:`vision.solvers.views.Views.spread` of held-out triplets, their
            median, against which that of other pictures is compared; 0 where it was never measured.
    """

    keypoints: Tensor
    permutations: Tensor | None
    error_scale: Tensor
    landmark_offset: Tensor
    usual_spread: Tensor

    def __init__(self, config: ModelConfig, scene: Scene) -> None:
        super().__init__(config, scene)
        self.register_buffer("keypoints", torch.tensor(self.object.keypoints), persistent=False)
        symmetries = self.object.symmetries
        several = len(symmetries.rotations) > 1
        permutations = torch.tensor(symmetries.permutations(self.object.keypoints)) if several else None
        self.register_buffer("permutations", permutations, persistent=False)
        self.landmarks = scene.landmarks
        self.register_buffer("error_scale", torch.ones(2))
        self.register_buffer("landmark_offset", no_landmark_offset(scene))
        self.register_buffer("usual_spread", torch.zeros(()))
        self.tower = build_backbone(config.backbone)
        self.head = PointHead(self.tower.channels, len(self.keypoints))
        self.surface = nn.Conv2d(self.tower.channels, 4, 1)
        if config.window is not None:
            small = BackboneConfig("pyramid", width=config.window.locator_width, blocks=1, norm=config.backbone.norm)
            self.locator_tower = build_backbone(small)
            count = 0 if self.landmarks is None else len(self.landmarks.points)
            self.locator_head = PointHead(self.locator_tower.channels, 1 + count)
            self.window_sides = window_sides(scene, config.window.side)

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
            windows: (B, C, 2, 3) where to look (:mod:`vision.networks.windows`); where the locator finds the object
            when None. scenes: (B, C, 2, 3) what the locator sees, windows of ``locator_size``; the whole images when
            None.
        """
        shape, flat = images.shape[:2], self._check(images)
        window, centre, landmarks = self.config.window, None, None
        if window is None:
            middle = torch.full((flat.shape[0], 2), self.image_side / 2, device=flat.device)
            windows = make_windows(middle, self.image_side, self.input_size)
        else:
            found = self._locate(flat, None if scenes is None else scenes.flatten(0, 1), augment)
            centre, landmarks = found[:, :1], found[:, 1:]
            around = make_windows(centre.pixels[:, 0].detach(), self.sides(shape).flatten(), window.size)
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
    def uses_cameras(self) -> bool:
        return True

    @property
    def finds_cameras(self) -> bool:
        return self.config.window is not None and self.landmarks is not None

    def sides(self, shape: Sequence[int]) -> Tensor:
        """Sides (B, C) of the windows around the object, image pixels, for images of ``shape`` (B, C)."""
        sides = torch.tensor(self.window_sides, dtype=torch.float32, device=self.keypoints.device)
        if shape[1] != len(sides):  # other cameras than the rig's
            sides = sides.max().expand(shape[1])
        return sides.expand(shape[0], shape[1])

    @property
    def input_size(self) -> int:
        """Side of the tower's input in pixels."""
        window = self.config.window
        return (self.config.image_size or self.image_side) if window is None else window.size

    def _locate(self, images: Tensor, scenes: Tensor | None, augment: Augment | None) -> PointOutput:
        """The object's centre and the landmarks (N, 1 + L), image pixels, as seen in scenes (N, 2, 3) of the images."""
        assert self.config.window is not None
        size = self.config.window.locator_size
        ratio = self.image_side / size
        seen = resize(images, size)
        if scenes is not None:  # only in training, where it may lie a little beside the image
            seen = cut(seen, scenes / ratio, size, padding="border")
        found = self.locator_head(self.locator_tower(preprocess(seen, augment)), size)
        if scenes is None:
            return PointOutput(found.pixels * ratio, found.log_scale + math.log(ratio))
        return _to_image(found, scenes)

    def _find(self, images: Tensor, windows: Tensor, augment: Augment | None) -> tuple[PointOutput, Tensor]:
        """Corners (N, K) in image pixels, and the tower's features, from whole images and windows (N, 2, 3)."""
        size = self.input_size
        seen = resize(images, size) if self.config.window is None else cut(images.float(), windows, size)
        features = self.tower(preprocess(seen, augment))
        return _to_image(self.head(features, size), windows), features

    @torch.no_grad()
    def pose(self, output: GeometricOutput, cameras: Cameras, nominal: bool = False) -> PosePrediction:
        corners, seen = self.observations(output)
        if nominal and self.finds_cameras and seen is not None:
            assert self.landmarks is not None
            rig, anchor = self.scene.rig, self.position_mean
            height = torch.tensor([camera.height for camera in rig.cameras], device=anchor.device)
            height = height if len(height) == corners.pixels.shape[1] else height.max()
            bundle = solve_bundle(
                self.keypoints,
                corners,
                self.landmarks,
                seen,
                cameras,
                height,
                anchor,
                permutations=self.permutations,
            )
            solution, cameras = bundle.pose, bundle.cameras
        else:
            solution = solve_pose(
                self.keypoints, *corners, cameras, self.position_mean, self.config.iterations, self.permutations
            )
        axes = self.object.symmetries.axes
        deviation = solution.deviation_across(torch.tensor(axes)) if len(axes) else solution.rotation_deviation
        scale = self.error_scale[int(nominal)]
        confidence = _probability_within(CONFIDENT_ANGLE, deviation * scale)
        covariance = solution.covariance * scale.double().square()
        views = compare_views(self.keypoints, corners, cameras, solution.rotation, solution.position, self.permutations)
        return PosePrediction(solution.position, solution.rotation, confidence, deviation, covariance, views)

    def observations(self, output: GeometricOutput) -> tuple[PointObservations, PointObservations | None]:
        """Corners and landmarks as solvers take them; no landmarks without a window."""
        corners = PointObservations(output.corners.pixels, output.corners.log_scale.exp())
        if output.landmarks is None:
            return corners, None
        return corners, PointObservations(output.landmarks.pixels, LANDMARK_DOUBT * output.landmarks.log_scale.exp())

    def set_landmark_offset(self, found: Tensor, true: Tensor) -> None:
        """Set ``landmark_offset``: the median over held-out samples of where landmarks were found, (N, C, L, 2) pixels,
        from where they are."""
        self.landmark_offset.copy_((found - true).median(dim=0).values)

    def calibrate(self, errors: Tensor, deviations: Tensor, nominal: bool) -> None:
        """Set the ``error_scale`` of true or nominal cameras.

        Args:
            errors: (N,) of the rotation in radians, on held-out samples.
            deviations: (N,) what was returned with them.
            nominal: whether only the nominal cameras were known.
        """
        median = 1.5382  # of the length of a standard normal vector in three dimensions
        self.error_scale[int(nominal)] = (errors / deviations.clamp_min(1e-6)).median() / median

    def set_usual_spread(self, spread: Tensor) -> None:
        """Set ``usual_spread`` from those of held-out triplets, (N,) pixels."""
        self.usual_spread.copy_(spread.median())


def no_landmark_offset(scene: Scene) -> Tensor:
    """The ``landmark_offset`` of a network of which none was measured."""
    landmarks = None if scene.hand is None else scene.hand.landmarks
    return torch.zeros(len(scene.rig), 0 if landmarks is None else len(landmarks.points), 2)


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
