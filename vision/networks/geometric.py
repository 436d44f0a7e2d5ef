"""The geometric model: corners of the object and landmarks of the hand in each image, then the pose by geometry."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping
from functools import cached_property
from typing import Any, ClassVar

import msgspec
import numpy as np
import torch
from torch import Tensor, nn

from vision.errors import DactylError
from vision.geometry.cameras import Cameras, project_torch
from vision.io.json_values import to_jsonable
from vision.networks.confidence import (
    CONFIDENT_ANGLE,
    DeviationFit,
    fit_deviation,
    honest_deviation,
    probability_within,
)
from vision.networks.geometric_output import GeometricOutput
from vision.networks.losses import LossConfig, laplace_loss, surface_loss, symmetric_laplace_loss
from vision.networks.model_config import ModelConfig
from vision.networks.point_network import PointNetwork
from vision.networks.pose_model import true_pose
from vision.networks.prediction import PosePrediction
from vision.networks.preprocessing import TrainingAugment
from vision.networks.surface import SurfaceTargets
from vision.networks.validation import COLUMNS
from vision.scene.framing import window_sides
from vision.scene.landmarks import NO_LANDMARKS
from vision.scene.scene import Scene
from vision.solvers.bundle import solve_bundle, solve_pose
from vision.solvers.given import PointObservations, Subject
from vision.solvers.landmarks import locate_landmarks
from vision.solvers.self_calibration import RigSolution, refuse_moved, refuse_unconverged, self_calibrate
from vision.solvers.views import UNUSUAL, compare_views
from vision.statistics.medians import lower_median

NO_WINDOW = (
    "the nominal protocol needs a network that finds landmarks of the hand, and this one was trained without "
    "model.window, whose locator does; calibrate the cameras"
)
NOT_LEARNT = (
    "the nominal protocol needs landmarks of the hand, and this network was trained not to look for them "
    "(loss.landmarks 0); calibrate the cameras"
)
_USUAL_SPREAD = 0.01
"""Spread of keypoints as a fraction of the window's side: 0.71 pixels for the block; the shipped networks have 0.75 and
0.83 on held-out triplets."""
_MOST_SPREAD = 0.02
"""Fraction of the image height: keypoints that scatter more determine no camera, whatever the usual spread is."""
_LANDMARK_OFFSET = 0.002
"""Fraction of the image side, standard deviation of landmark offsets that are the same in all images: 0.4 pixels of
200."""


class GeometricModel(PointNetwork):
    """Corners in each image, then geometry. Takes any number of cameras.

    Attributes:
        error_scale, error_power, error_most: (2,) buffers, for true and for nominal cameras: relation of real errors to
            expected ones (:class:`vision.networks.confidence.DeviationFit`); set by :meth:`calibrate`.
        usual_spread: buffer, image pixels: median :attr:`vision.solvers.views.ViewAgreement.spread` of held-out
            triplets, with which that of other images is compared; 0 if it was never measured.
        landmarks_learnt: buffer, 1 or 0: whether the last training had ``loss.landmarks``, without which the hand says
            nothing of the cameras.
    """

    error_scale: Tensor
    error_power: Tensor
    error_most: Tensor
    usual_spread: Tensor
    landmarks_learnt: Tensor
    any_number_of_cameras: ClassVar[bool] = True
    compares_views: ClassVar[bool] = True
    config_keys: ClassVar[Collection[str]] = ("image_size", "window", "iterations")
    loss_keys: ClassVar[Collection[str]] = ("surface", "landmarks")

    def __init__(self, config: ModelConfig, scene: Scene) -> None:
        super().__init__(config, scene)
        self.register_buffer("error_scale", torch.ones(2))
        self.register_buffer("error_power", torch.ones(2))
        self.register_buffer("error_most", torch.full((2,), math.pi))
        self.register_buffer("usual_spread", torch.zeros(()))
        self.register_buffer("landmarks_learnt", torch.ones(()))

    @classmethod
    def check_config(cls, config: ModelConfig) -> None:
        if config.camera_input:
            raise ValueError("camera_input needs head: regression; the geometric one uses its cameras anyway")
        super().check_config(config)
        if config.window is not None and config.image_size is not None:
            raise ValueError("a window needs no image_size: its size takes that one's place")

    @classmethod
    def complete_weights(cls, weights: dict[str, Tensor], scene: Scene) -> None:
        weights.setdefault("error_power", torch.ones(2))
        weights.setdefault("error_most", torch.full((2,), math.pi))
        weights.pop("landmark_offset", None)  # of earlier versions; always zero in shipped networks
        weights.setdefault("usual_spread", torch.zeros(()))
        weights.setdefault("landmarks_learnt", torch.ones(()))

    @property
    def description(self) -> str:
        return "finds the object's corners in each image and solves for the pose through the cameras"

    @property
    def uses_cameras(self) -> bool:
        return True

    @property
    def finds_cameras(self) -> bool:
        return self.nominal_fault is None

    @property
    def two_protocols(self) -> bool:
        return self.finds_cameras

    @property
    def nominal_fault(self) -> str | None:
        if self.landmarks is None:
            return NO_LANDMARKS
        if self.config.window is None:
            return NO_WINDOW
        return None if self.landmarks_learnt else NOT_LEARNT

    @torch.no_grad()
    def pose(self, output: GeometricOutput, cameras: Cameras, nominal: bool = False) -> PosePrediction:
        corners, seen = self.observations(output)
        if nominal and self.finds_cameras and seen is not None:
            height = self._image_heights(self.position_mean.device)
            height = height if len(height) == corners.pixels.shape[1] else height.max()
            bundle = solve_bundle(self._subject, corners, seen, cameras._replace(height=height))
            solution, cameras = bundle.object, bundle.cameras
        else:
            solution = solve_pose(
                self.keypoints, corners, cameras, self.position_mean, self.config.iterations, self.permutations
            )
        axes = self.object.symmetries.axes
        deviation = solution.deviation_across(torch.tensor(axes)) if len(axes) else solution.rotation_deviation
        honest = honest_deviation(deviation, DeviationFit(*(each[int(nominal)] for each in self._error_fit)))
        confidence = probability_within(CONFIDENT_ANGLE, honest, self._visible_axes)
        # Of a ball no rotation shows, which tells nothing of the position's errors.
        factor = torch.where(deviation > 0, honest / deviation.clamp_min(1e-6), 1.0)
        covariance = solution.covariance * factor.square()[:, None, None]
        views = compare_views(self.keypoints, corners, cameras, solution.pose, self.permutations)
        return PosePrediction(solution.pose, confidence, deviation, covariance, views)

    def observe(self, images: Tensor) -> tuple[PointObservations, PointObservations]:
        if not self.finds_cameras:
            return super().observe(images)
        with torch.inference_mode():
            points, landmarks = self.observations(self(images))
        assert landmarks is not None
        return points, landmarks

    def self_calibrate(
        self, points: PointObservations, landmarks: PointObservations, nominal: Cameras, distortion: bool = False
    ) -> RigSolution:
        if not self.finds_cameras:
            return super().self_calibrate(points, landmarks, nominal, distortion)
        heights, count = self._image_heights(), points.pixels.shape[1]
        whole = len(heights) == count
        nominal = nominal._replace(height=heights if whole else heights.max().expand(count))
        offset = _LANDMARK_OFFSET * self.image_side
        names = self.scene.rig.names if whole else None
        solution = self_calibrate(
            self._subject.cpu(), points, landmarks, nominal, offset, distortion, names, shrinks=True
        )
        spread, most = float(lower_median(solution.spread)), _MOST_SPREAD * float(heights.max())
        if spread > (limit := min(UNUSUAL * self.typical_spread, most)):
            raise DactylError(
                f"the object's keypoints scatter by {spread:.1f} pixels (median) about where the found cameras see it, "
                f"more than {limit:.1f}: the network does not know such pictures or is hardly trained, or the cameras "
                "moved from triplet to triplet"
            )
        refuse_moved(solution, names)
        refuse_unconverged(solution)
        return solution

    @property
    def _subject(self) -> Subject:
        """What the rig's cameras watch; requires landmarks."""
        assert self.landmarks is not None
        return Subject(self.keypoints, self.landmarks, self.position_mean, self.permutations)

    def _image_heights(self, device: torch.device | None = None) -> Tensor:
        """Return the image heights of the rig's cameras, (C,) pixels."""
        return torch.tensor([camera.height for camera in self.scene.rig.cameras], device=device)

    def solver_inputs(self) -> dict[str, Any]:
        """Return the other arguments of ``solve_pose`` and ``solve_bundle``: ``anchor`` (3,) metres, ``iterations`` (of
        ``solve_pose``), ``permutations`` (S, K) or null, ``landmarks`` (the fields of
        :class:`vision.scene.landmarks.Landmarks`; null if the network finds no cameras), and for true and for nominal
        cameras the fields of :class:`vision.networks.confidence.DeviationFit`."""
        fits = zip(*(buffer.tolist() for buffer in self._error_fit), strict=True)
        landmarks = msgspec.to_builtins(self.landmarks, enc_hook=np.ndarray.tolist) if self.finds_cameras else None
        return {
            "anchor": self.position_mean.tolist(),
            "iterations": self.config.iterations,
            "permutations": None if self.permutations is None else self.permutations.tolist(),
            "landmarks": to_jsonable(landmarks),  # lists for tuples
            "deviation_fit": {
                name: DeviationFit(*fit)._asdict() for name, fit in zip(("calibrated", "nominal"), fits, strict=True)
            },
        }

    def calibrate(self, errors: Tensor, deviations: Tensor, nominal: bool) -> None:
        """Set the relation of errors to deviations for true or nominal cameras; keep it if no rotation shows (a ball).

        Args:
            errors: (N,) rotation errors in radians, on held-out samples.
            deviations: (N,) deviations predicted for them.
            nominal: whether only the nominal cameras were known.
        """
        if bool((deviations > 0).any()):
            found = fit_deviation(errors, deviations, self._visible_axes)
            for buffer, value in zip(self._error_fit, found, strict=True):
                buffer[int(nominal)] = value

    @property
    def _error_fit(self) -> tuple[Tensor, Tensor, Tensor]:
        """Buffers of the fields of a :class:`DeviationFit`."""
        return self.error_scale, self.error_power, self.error_most

    @property
    def _visible_axes(self) -> int:
        """Number of axes about which a rotation of the object shows; of a ball, of which none does, 3 like others."""
        return 2 if len(self.object.symmetries.axes) == 1 else 3

    def set_usual_spread(self, spread: Tensor) -> None:
        """Set ``usual_spread`` from the spreads of held-out triplets, (N,) pixels."""
        self.usual_spread.copy_(lower_median(spread))

    @property
    def typical_spread(self) -> float:
        return float(self.usual_spread) or _USUAL_SPREAD * float(np.mean(window_sides(self.scene, None)))

    def begin_training(self, config: LossConfig) -> None:
        self.landmarks_learnt.fill_(config.landmarks > 0)

    def learned(self, config: LossConfig) -> Iterator[nn.Parameter]:
        unused = set() if self._learns_surface(config) else set(self.surface.parameters())
        yield from (parameter for parameter in self.parameters() if parameter not in unused)

    def _learns_surface(self, config: LossConfig) -> bool:
        """Return whether the surface loss is used: a point's angle about a continuous symmetry's axis cannot be
        seen."""
        return config.surface > 0 and not len(self.object.symmetries.axes)

    def losses(self, batch: Mapping[str, Tensor], augment: TrainingAugment, config: LossConfig) -> Tensor:
        images, pose = batch["images"], true_pose(batch)
        cameras = Cameras.from_label(batch)
        with torch.autocast(images.device.type, enabled=False):
            corners = torch.cat([pose.transform(self.keypoints.float()), pose.position[:, None]], dim=1)
            targets = project_torch(corners[:, None], cameras)
        windows, scenes, window = None, None, self.config.window
        if window is not None:
            windows = augment.windows(targets[:, :, -1], self.sides(images.shape[:2]), window.size)
            scenes = augment.scenes(self.scene_sides(images.shape[:2]), window.locator_size)
        output = self(images, augment, windows, scenes)
        alike = None
        if self.permutations is None:
            losses = laplace_loss(output.corners, targets[:, :, :-1])
        else:
            losses, alike = symmetric_laplace_loss(output.corners, targets[:, :, :-1], self.permutations)
        if output.centre is not None:
            losses = losses + laplace_loss(output.centre, targets[:, :, -1:])
            if self.landmarks is not None and config.landmarks > 0:
                losses = losses + config.landmarks * laplace_loss(output.landmarks, self._true_landmarks(batch))
        if self._learns_surface(config):
            with torch.autocast(images.device.type, enabled=False):
                casting = self._surface_targets.to(images.device)
                size, cells = self.input_size, output.surface.shape[-2:]
                points, hit = casting(output.windows, size, cells, cameras, pose)
                if alike is not None:  # the points of the symmetric pose that the image matched
                    inverse = torch.linalg.inv(self.motions)[alike]
                    points = points @ inverse[..., :3, :3].mT + inverse[..., None, :3, 3] / casting.radius
                losses = losses + config.surface * surface_loss(output.surface, points, hit)
        return losses

    @cached_property
    def _surface_targets(self) -> SurfaceTargets:
        """Targets of the surface loss, made on first use and kept out of the buffers, which averaging the weights
        copies."""
        return SurfaceTargets(self.object)

    def _true_landmarks(self, batch: Mapping[str, Tensor]) -> Tensor:
        """Return the true pixels (B, C, L, 2) of the hand's landmarks."""
        hand = self.scene.hand
        assert hand is not None
        assert hand.landmarks is not None
        with torch.autocast(batch["joint_position"].device.type, enabled=False):
            points, _ = locate_landmarks(hand.landmarks, batch["joint_position"][:, list(hand.landmark_joints)])
            return project_torch(points[:, None], Cameras.from_label(batch))

    def validation_poses(self, images: Tensor, true: Cameras, nominal: Cameras) -> list[PosePrediction]:
        output = self(images)
        poses = [self.pose(output, true)]
        return [*poses, self.pose(output, nominal, nominal=True)] if self.two_protocols else poses

    def finish_validation(self, columns: Tensor) -> None:
        for nominal, errors in enumerate(columns.unflatten(1, (-1, COLUMNS)).unbind(1)):
            self.calibrate(errors[:, 0], errors[:, 2], bool(nominal))
        self.set_usual_spread(columns[:, COLUMNS - 1])
