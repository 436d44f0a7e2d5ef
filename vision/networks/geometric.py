"""The geometric model: corners of the object and landmarks of the hand in each image, then the pose by geometry."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from vision.geometry.cameras import Cameras, project_torch
from vision.geometry.rotations import quaternion_to_matrix
from vision.networks.backbones import BackboneConfig, build_backbone
from vision.networks.confidence import CONFIDENT_ANGLE, fit_deviation, honest_deviation, probability_within
from vision.networks.geometric_output import GeometricOutput, points_in_image, unflattened
from vision.networks.heads import PointHead, PointOutput
from vision.networks.losses import LossConfig, laplace_loss, surface_loss, symmetric_laplace_loss
from vision.networks.model_config import ModelConfig
from vision.networks.pose_model import Augment, PoseModel, TrainingAugment, preprocess, resize
from vision.networks.prediction import PosePrediction
from vision.networks.surface import SurfaceTargets
from vision.networks.validation import COLUMNS
from vision.networks.windows import cut, make_windows
from vision.scene.framing import window_sides
from vision.scene.landmarks import NO_LANDMARKS
from vision.scene.scene import Scene
from vision.solvers.bundle import solve_bundle, solve_pose
from vision.solvers.bundle_problem import PointObservations
from vision.solvers.landmarks import locate
from vision.solvers.self_calibration import RigSolution, self_calibrate
from vision.solvers.views import compare_views

NO_WINDOW = (
    "the nominal protocol needs a network that finds landmarks of the hand, and this one was trained without "
    "model.window, whose locator does; calibrate the cameras"
)
LANDMARK_DOUBT = 3.0
"""Factor by which landmarks are trusted less than their scales say: errors of neighbours are alike, and count as one.
With the shipped network half-trained, factors from 2 to 4 gave the same errors, 1 a position worse by a fifth, and 3
deviations that kept their promise."""
_USUAL_SPREAD = 0.01
"""Spread of keypoints as a share of the window's side: 0.71 pixels for the block; the shipped networks have 0.75 and
0.83 on held-out triplets."""
LANDMARK_OFFSET, UNKNOWN_LANDMARK_OFFSET = 0.25, 0.4
"""Pixels of 200, standard deviation of what landmarks are off in all pictures alike: with the network's own average
taken away, and where that was never measured."""


class GeometricModel(PoseModel):
    """Corners in each image, then geometry. Takes any number of cameras.

    Attributes:
        keypoints: (K, 3) metres, object frame: the points that are looked for.
        permutations: (S, K) onto which of them each of the object's symmetries carries each; None without symmetries.
        error_scale, error_power: (2,) buffers, of true cameras and of nominal ones: how real errors follow the expected
            ones (:func:`vision.networks.confidence.honest_deviation`); set by :meth:`calibrate`.
        landmark_offset: (C, L, 2) buffer: by how many pixels of the image the landmarks that it finds in each camera of
            its rig are off on average, which no number of pictures evens out; set by :meth:`set_landmark_offset`.
        usual_spread: buffer, image pixels: :attr:`vision.solvers.views.Views.spread` of held-out triplets, their
            median, against which that of other pictures is compared; 0 where it was never measured.
    """

    keypoints: Tensor
    permutations: Tensor | None
    error_scale: Tensor
    error_power: Tensor
    landmark_offset: Tensor
    usual_spread: Tensor
    any_number_of_cameras: ClassVar[bool] = True
    compares_views: ClassVar[bool] = True

    def __init__(self, config: ModelConfig, scene: Scene) -> None:
        super().__init__(config, scene)
        self.register_buffer("keypoints", torch.tensor(self.object.keypoints), persistent=False)
        symmetries = self.object.symmetries
        several = len(symmetries.rotations) > 1
        permutations = torch.tensor(symmetries.permutations(self.object.keypoints)) if several else None
        self.register_buffer("permutations", permutations, persistent=False)
        self.landmarks = scene.landmarks
        self.register_buffer("error_scale", torch.ones(2))
        self.register_buffer("error_power", torch.ones(2))
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
            unflattened(corners, shape),
            None if centre is None else unflattened(centre, shape),
            None if landmarks is None else unflattened(landmarks, shape),
            self.surface(features).float().unflatten(0, shape) if self.training else None,
            windows.unflatten(0, shape),
        )

    @classmethod
    def check_config(cls, config: ModelConfig) -> None:
        super().check_config(config)
        if config.window is not None and config.image_size is not None:
            raise ValueError("a window needs no image_size: its size takes that one's place")
        if config.camera_input:
            raise ValueError("camera_input needs head: regression; the geometric one uses its cameras anyway")

    @classmethod
    def complete_weights(cls, weights: dict[str, Tensor], scene: Scene) -> None:
        weights.setdefault("error_power", torch.ones(2))
        weights.setdefault("landmark_offset", no_landmark_offset(scene))
        weights.setdefault("usual_spread", torch.zeros(()))

    @property
    def description(self) -> str:
        return "finds the object's corners in each picture and solves for the pose through the cameras"

    @property
    def uses_cameras(self) -> bool:
        return True

    @property
    def finds_cameras(self) -> bool:
        return self.config.window is not None and self.landmarks is not None

    @property
    def two_protocols(self) -> bool:
        return self.finds_cameras

    @property
    def nominal_fault(self) -> str | None:
        if self.landmarks is None:
            return NO_LANDMARKS
        return None if self.finds_cameras else NO_WINDOW

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
        return points_in_image(found, scenes)

    def _find(self, images: Tensor, windows: Tensor, augment: Augment | None) -> tuple[PointOutput, Tensor]:
        """Corners (N, K) in image pixels, and the tower's features, from whole images and windows (N, 2, 3)."""
        size = self.input_size
        seen = resize(images, size) if self.config.window is None else cut(images.float(), windows, size)
        features = self.tower(preprocess(seen, augment))
        return points_in_image(self.head(features, size), windows), features

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
        honest = honest_deviation(deviation, self.error_scale[int(nominal)], self.error_power[int(nominal)])
        confidence = probability_within(CONFIDENT_ANGLE, honest)
        covariance = solution.covariance * (honest / deviation.clamp_min(1e-6)).square()[:, None, None]
        views = compare_views(self.keypoints, corners, cameras, solution.rotation, solution.position, self.permutations)
        return PosePrediction(solution.position, solution.rotation, confidence, deviation, covariance, views)

    def observations(self, output: GeometricOutput) -> tuple[PointObservations, PointObservations | None]:
        """Corners and landmarks as solvers take them; no landmarks without a window."""
        corners = PointObservations(output.corners.pixels, output.corners.log_scale.exp())
        if output.landmarks is None:
            return corners, None
        return corners, PointObservations(output.landmarks.pixels, LANDMARK_DOUBT * output.landmarks.log_scale.exp())

    def observe(self, images: Tensor) -> tuple[PointObservations, PointObservations]:
        if not self.finds_cameras:
            return super().observe(images)
        with torch.inference_mode():
            points, landmarks = self.observations(self(images))
        assert landmarks is not None
        pixels = landmarks.pixels
        if pixels.shape[1] == len(self.landmark_offset):
            pixels = pixels - self.landmark_offset
        return points, PointObservations(pixels, landmarks.scale)

    def self_calibrate(
        self, points: PointObservations, landmarks: PointObservations, nominal: Cameras, distortion: bool = False
    ) -> RigSolution:
        if self.landmarks is None:
            return super().self_calibrate(points, landmarks, nominal, distortion)
        return self_calibrate(
            self.keypoints.cpu(), points, self.landmarks, landmarks, nominal,
            torch.tensor([camera.height for camera in self.scene.rig.cameras]), self.position_mean.cpu(),
            landmark_offset=LANDMARK_OFFSET if self.landmark_offset.any() else UNKNOWN_LANDMARK_OFFSET,
            distortion=distortion, permutations=None if self.permutations is None else self.permutations.cpu(),
            names=self.scene.rig.names,
        )  # fmt: skip

    def set_landmark_offset(self, found: Tensor, true: Tensor) -> None:
        """Set ``landmark_offset``: the median over held-out samples of where landmarks were found, (N, C, L, 2) pixels,
        from where they are."""
        self.landmark_offset.copy_((found - true).median(dim=0).values)

    def calibrate(self, errors: Tensor, deviations: Tensor, nominal: bool) -> None:
        """Set the ``error_scale`` and ``error_power`` of true or nominal cameras.

        Args:
            errors: (N,) of the rotation in radians, on held-out samples.
            deviations: (N,) what was returned with them.
            nominal: whether only the nominal cameras were known.
        """
        self.error_scale[int(nominal)], self.error_power[int(nominal)] = fit_deviation(errors, deviations)

    def set_usual_spread(self, spread: Tensor) -> None:
        """Set ``usual_spread`` from those of held-out triplets, (N,) pixels."""
        self.usual_spread.copy_(spread.median())

    @property
    def typical_spread(self) -> float:
        return float(self.usual_spread) or _USUAL_SPREAD * float(np.mean(window_sides(self.scene, None)))

    def learned(self, config: LossConfig) -> Iterator[nn.Parameter]:
        unused = set() if self._learns_surface(config) else set(self.surface.parameters())
        yield from (parameter for parameter in self.parameters() if parameter not in unused)

    def _learns_surface(self, config: LossConfig) -> bool:
        """About a continuous symmetry's axis nothing tells where a point of the surface is."""
        return config.surface > 0 and not len(self.object.symmetries.axes)

    def losses(self, batch: Mapping[str, Tensor], augment: TrainingAugment, config: LossConfig) -> Tensor:
        images, position = batch["images"], batch["object_position"]
        rotation = quaternion_to_matrix(batch["object_quaternion"])
        cameras = Cameras(batch["camera_intrinsics"], batch["camera_extrinsics"])
        with torch.autocast(images.device.type, enabled=False):
            corners = self.keypoints.float() @ rotation.mT + position[:, None]
            targets = project_torch(
                torch.cat([corners, position[:, None]], dim=1)[:, None], cameras.intrinsics, cameras.extrinsics
            )
        windows, scenes, window = None, None, self.config.window
        if window is not None:
            windows = augment.windows(targets[:, :, -1], self.sides(images.shape[:2]), window.size)
            scenes = augment.scenes((images.shape[0], images.shape[1]), self.image_side, window.locator_size)
        output = self(images, augment, windows, scenes)
        alike = None
        if self.permutations is None:
            losses = laplace_loss(output.corners, targets[:, :, :-1])
        else:
            losses, alike = symmetric_laplace_loss(output.corners, targets[:, :, :-1], self.permutations)
        if output.centre is not None:
            losses = losses + laplace_loss(output.centre, targets[:, :, -1:])
            if self.finds_cameras:
                losses = losses + config.landmarks * laplace_loss(output.landmarks, self._true_landmarks(batch))
        if self._learns_surface(config):
            with torch.autocast(images.device.type, enabled=False):
                casting = self._surface_targets.to(images.device)
                size, cells = self.input_size, output.surface.shape[-2:]
                points, hit = casting(output.windows, size, cells, cameras, position, rotation)
                if alike is not None:  # the same points as in the pose that the image has chosen
                    inverse = torch.linalg.inv(self.motions)[alike]
                    points = points @ inverse[..., :3, :3].mT + inverse[..., None, :3, 3] / casting.radius
                losses = losses + config.surface * surface_loss(output.surface, points, hit)
        return losses

    @cached_property
    def _surface_targets(self) -> SurfaceTargets:
        """Made when training first asks; no part of the network, whose buffers an average of it copies one by one."""
        return SurfaceTargets(self.object)

    def _true_landmarks(self, batch: Mapping[str, Tensor]) -> Tensor:
        """True pixels (B, C, L, 2) of the hand's landmarks."""
        hand = self.scene.hand
        assert hand is not None
        assert hand.landmarks is not None
        with torch.autocast(batch["joint_position"].device.type, enabled=False):
            points, _ = locate(hand.landmarks, batch["joint_position"][:, list(hand.landmark_joints)])
            return project_torch(points[:, None], batch["camera_intrinsics"], batch["camera_extrinsics"])

    def validation_poses(self, images: Tensor, true: Cameras, nominal: Cameras) -> list[PosePrediction]:
        output = self(images)
        poses = [self.pose(output, true)]
        return [*poses, self.pose(output, nominal, nominal=True)] if self.two_protocols else poses

    def finish_validation(self, columns: Tensor) -> None:
        for nominal, errors in enumerate(columns.unflatten(1, (-1, COLUMNS)).unbind(1)):
            self.calibrate(errors[:, 0], errors[:, 2], bool(nominal))
        self.set_usual_spread(columns[:, COLUMNS - 1])

    def exported(self, output: GeometricOutput) -> dict[str, Tensor]:
        found = {"pixels": output.corners.pixels, "scale": output.corners.log_scale.exp()}
        if output.landmarks is None:
            return found
        return found | {"landmarks": output.landmarks.pixels, "landmark_scale": output.landmarks.log_scale.exp()}


def no_landmark_offset(scene: Scene) -> Tensor:
    """The ``landmark_offset`` of a network of which none was measured."""
    landmarks = None if scene.hand is None else scene.hand.landmarks
    return torch.zeros(len(scene.rig), 0 if landmarks is None else len(landmarks.points), 2)
