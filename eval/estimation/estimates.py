"""Estimates from shots: the network's images, poses in the requested frame, and how far to trust them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch

from eval.estimation.config import EstimateConfig
from eval.estimation.unusual import contrast, reasons, recognised
from eval.laboratory.network_views import network_views
from eval.laboratory.shots import Shot
from vision.errors import DactylError
from vision.estimator import PoseEstimates, PoseEstimator
from vision.geometry.cameras import Cameras
from vision.geometry.poses import Pose
from vision.geometry.rotations import FloatArray, quaternion_to_matrix
from vision.machine.hardware import torch_device
from vision.solvers.camera_errors import pose_covariance_of_cameras
from vision.solvers.self_calibration import RigSolution
from vision.statistics.medians import lower_median
from vision.storage.folders import has_manifest

PoseFrame = Literal["world", "capture"]


@dataclass(frozen=True)
class ViewQuality:
    """What one camera contributes to an estimate.

    Attributes:
        recognised: fraction of the object's keypoints that the network finds about as well as usual.
        expected_px: lower median (of eight the fourth smallest) of the errors expected at the keypoints, pixels of the
            network's image.
        residual_px: distance of its keypoints from those of the pose, likewise.
    """

    recognised: float
    expected_px: float
    residual_px: float


@dataclass(frozen=True)
class Estimate:
    """Estimate of one triplet.

    Attributes:
        key: key of the shot.
        time_s: time of the shot, seconds, if known.
        frame: frame of the pose: world is the scene's, capture the calibration's.
        pose: of the object in that frame.
        confidence: in [0, 1].
        covariance: (6, 6) of the error if the cameras are exact, radians about the frame's axes, then metres; None from
            a regression.
        camera_covariance: (6, 6) of the error that comes from cameras that were found, the same in all frames; zeros
            otherwise.
        quality: what each camera contributes, by name; empty from a regression.
        unusual: why the images look unlike the training images; empty if they do not.
        images: (C, H, W, 3) uint8, as the network saw them.
        cameras: K (C, 3, 3) and frame to camera (C, 4, 4) of the images, as the estimator found them if only nominal
            cameras were known.
    """

    key: str
    time_s: float | None
    frame: PoseFrame
    pose: Pose
    confidence: float
    covariance: FloatArray | None
    camera_covariance: FloatArray
    quality: dict[str, ViewQuality]
    unusual: tuple[str, ...]
    images: np.ndarray
    cameras: Cameras

    def to_json(self) -> dict[str, Any]:
        """Return the keys of one JSON line; lengths in metres, angles in radians."""
        line: dict[str, Any] = {"key": self.key}
        line |= {} if self.time_s is None else {"time_s": round(self.time_s, 6)}
        line |= {"frame": self.frame, **pose_json(self.pose)}
        if self.covariance is not None:
            deviations = np.sqrt(np.diag(self.covariance + self.camera_covariance).clip(0))
            line |= {"position_std": rounded(deviations[3:]), "rotation_std": rounded(deviations[:3])}
        cameras = {
            name: {key: round(value, 3) for key, value in vars(seen).items()} for name, seen in self.quality.items()
        }
        return line | {"confidence": round(self.confidence, 4), "unusual": list(self.unusual), "cameras": cameras}


class Observer:
    """A network with the cameras that it sees through.

    Attributes:
        frame: frame of the poses.
        nominal: whether only nominal cameras are known.
    """

    def __init__(self, config: EstimateConfig) -> None:
        device = torch_device(config.device)
        self.estimator = PoseEstimator.load(str(config.checkpoint), device, config.windows, config.precision)
        rig = self.estimator.rig
        self.nominal = config.calibration is None
        rectified = config.rectified or (config.pictures is not None and has_manifest(config.pictures))
        self.views = network_views(rig, config.calibration, config.lenses, rectified)
        if self.nominal and (fault := self.estimator.nominal_fault) is not None:
            raise DactylError(f"calibration: {fault}")
        self.frame: PoseFrame = "world" if self.views.frame_known else "capture"
        self._found: RigSolution | None = None

    def __call__(self, shots: Sequence[Shot]) -> list[Estimate]:
        """Estimate several shots in one call of the network."""
        images = np.stack([self.views(shot.pictures, shot.where) for shot in shots])
        found = self.estimator.predict(images, self.views.cameras, batch_size=len(images), nominal=self.nominal)
        of_cameras, contrasts = self._covariance_of_cameras(found), self._contrasts(images)
        return [
            self._estimate(shot, images[row], contrasts[row], of_cameras[row], found, row)
            for row, shot in enumerate(shots)
        ]

    def take_cameras(self, found: RigSolution, motion: FloatArray) -> None:
        """Use the found cameras for the network's images from now on; their errors are part of the covariances.

        Args:
            found: the cameras.
            motion: (4, 4), from the world in which they are to that of the cameras until now.
        """
        self.views.move_world(motion, found.cameras.numpy())
        self._found, self.nominal = found, False

    def _covariance_of_cameras(self, found: PoseEstimates) -> FloatArray:
        """Return what the errors of found cameras add to the covariances of poses, (N, 6, 6)."""
        if self._found is None:
            return np.zeros((len(found["position"]), 6, 6))
        return pose_covariance_of_cameras(
            torch.tensor(self.estimator.object.keypoints),
            torch.from_numpy(found["keypoint_scale"]),
            Cameras(torch.from_numpy(found["intrinsics"]), torch.from_numpy(found["extrinsics"])),
            Pose(quaternion_to_matrix(torch.from_numpy(found["quaternion"])), torch.from_numpy(found["position"])),
            self._found.covariance,
        ).numpy()

    def _contrasts(self, images: np.ndarray) -> np.ndarray:
        """Return the contrast (N, C) of each camera's image, without the padding."""
        cameras = enumerate(self.estimator.rig.cameras)
        return np.stack([contrast(images[:, number, : each.height, : each.width]) for number, each in cameras], axis=1)

    def _estimate(
        self,
        shot: Shot,
        images: np.ndarray,
        contrasts: np.ndarray,
        of_cameras: FloatArray,
        found: PoseEstimates,
        row: int,
    ) -> Estimate:
        """Return the estimate of one shot: its own images, contrasts and covariance that comes from found cameras, and
        its row of the estimates of all shots."""
        rig, usual = self.estimator.rig, self.estimator.usual_spread
        quality, covariance, cameras = {}, None, self.views.cameras
        world_from_frame = self.views.world_from_capture
        both = np.kron(np.eye(2), world_from_frame[:3, :3].T)
        pose = Pose.from_quaternion(found["position"][row], found["quaternion"][row])
        if usual is not None:
            scale = found["keypoint_scale"][row]
            cameras = Cameras(found["intrinsics"][row], found["extrinsics"][row])
            expected = lower_median(torch.from_numpy(scale)).numpy()
            numbers = (recognised(scale, usual), expected, found["residual"][row])
            rows = zip(*(array.tolist() for array in numbers), strict=True)
            quality = {name: ViewQuality(*figures) for name, figures in zip(rig.names, rows, strict=True)}
            covariance = both @ found["covariance"][row] @ both.T
        return Estimate(
            key=shot.key,
            time_s=shot.time_s,
            frame=self.frame,
            pose=pose.in_frame(world_from_frame),
            confidence=float(found["confidence"][row]),
            covariance=covariance,
            camera_covariance=both @ of_cameras @ both.T,
            quality=quality,
            unusual=reasons(contrasts, rig.names, None if usual is None else float(found["spread"][row]), usual),
            images=images,
            cameras=cameras.in_frame(world_from_frame),
        )


def pose_json(pose: Pose) -> dict[str, list[float]]:
    """Return a pose's position and quaternion for a JSON line."""
    return {"position": rounded(pose.position), "quaternion": rounded(pose.quaternion)}


def rounded(values: FloatArray) -> list[float]:
    """Round numbers for a JSON line, to a micrometre or microradian."""
    return [round(float(value), 6) for value in values]
