"""Cameras: MuJoCo's pose and vertical field of view in, OpenCV's intrinsics and extrinsics out.

MuJoCo's camera looks along its own -z with +y up. OpenCV's looks along +z with y down. The image spans ``[0, W] x
[0, H]`` pixels with the origin in the top left corner, so the centre of the first pixel is (0.5, 0.5) and the principal
point of a centred camera is (W / 2, H / 2). Pixels are square. Extrinsics are the rigid transform from world to camera.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from numbers import Real
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from vision.geometry.rotations import FloatArray, matrix_from_quaternion, rigid_transform

if TYPE_CHECKING:
    from torch import Tensor

# Columns are OpenCV's camera axes (right, down, forward) in MuJoCo's camera frame (right, up, backward).
MUJOCO_TO_OPENCV = np.diag([1.0, -1.0, -1.0])


@dataclass(frozen=True)
class CameraPose:
    """A pinhole camera in the world, in MuJoCo's convention.

    Attributes:
        name: what the camera is called in models, shards and reports.
        position: metres, world frame.
        quaternion: w x y z, camera to world.
        fovy_deg: vertical field of view in degrees.
    """

    name: str
    position: tuple[float, float, float]
    quaternion: tuple[float, float, float, float]
    fovy_deg: float

    def __post_init__(self) -> None:
        for key, size in (("position", 3), ("quaternion", 4)):
            numbers = getattr(self, key)
            if len(numbers) != size or not all(isinstance(x, Real) and math.isfinite(x) for x in numbers):
                raise ValueError(f"camera {self.name}: {key} must be {size} finite numbers, got {numbers}")
        if not any(self.quaternion):
            raise ValueError(f"camera {self.name}: quaternion must not be zero")
        if not 0.0 < self.fovy_deg < 180.0:
            raise ValueError(f"camera {self.name}: fovy_deg must lie between 0 and 180, got {self.fovy_deg}")


@dataclass(frozen=True)
class Rig:
    """The nominal cameras, in the order in which images and labels hold them."""

    cameras: tuple[CameraPose, ...]

    def __post_init__(self) -> None:
        if not self.cameras:
            raise ValueError("a rig needs at least one camera")
        if len(set(self.names)) != len(self.cameras):
            raise ValueError(f"camera names must differ, got {', '.join(self.names)}")

    def __len__(self) -> int:
        return len(self.cameras)

    def __iter__(self) -> Iterator[CameraPose]:
        return iter(self.cameras)

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(camera.name for camera in self.cameras)

    def intrinsics(self, width: int, height: int) -> FloatArray:
        """OpenCV camera matrices in pixels, (C, 3, 3)."""
        return intrinsics([camera.fovy_deg for camera in self.cameras], width, height)

    def extrinsics(self) -> FloatArray:
        """World-to-camera transforms, (C, 4, 4)."""
        return extrinsics([camera.position for camera in self.cameras], [camera.quaternion for camera in self.cameras])

    def to_json(self) -> list[dict[str, Any]]:
        return [
            {
                "name": camera.name,
                "position": list(camera.position),
                "quaternion": list(camera.quaternion),
                "fovy_deg": camera.fovy_deg,
            }
            for camera in self.cameras
        ]

    @classmethod
    def from_json(cls, cameras: list[dict[str, Any]]) -> Rig:
        return cls(
            tuple(CameraPose(c["name"], tuple(c["position"]), tuple(c["quaternion"]), c["fovy_deg"]) for c in cameras)
        )


DACTYL_RIG = Rig(
    (
        CameraPose("left", (1.75368, 1.28696, 0.901017), (-0.569423, -0.165741, -0.375009, -0.7125), 15.0),
        CameraPose("top", (1.01696, 0.892165, 0.880369), (0.024637, 0.018284, 0.021682, 0.999294), 28.0),
        CameraPose("right", (0.281267, 1.30725, 0.827613), (-0.54325, -0.167474, 0.400291, 0.718748), 16.0),
    )
)
"""The calibrated cameras published with ORRB (arXiv 1906.11633): ``vision_cam_left``, ``_top`` and ``_right``."""


def intrinsics(fovy_deg: ArrayLike, width: int, height: int) -> FloatArray:
    """OpenCV camera matrices (..., 3, 3) in pixels from vertical fields of view (...) in degrees."""
    fovy = np.deg2rad(np.asarray(fovy_deg, dtype=np.float64))
    focal = height / (2.0 * np.tan(fovy / 2.0))
    matrix = np.zeros((*fovy.shape, 3, 3))
    matrix[..., 0, 0] = focal
    matrix[..., 1, 1] = focal
    matrix[..., 0, 2] = width / 2.0
    matrix[..., 1, 2] = height / 2.0
    matrix[..., 2, 2] = 1.0
    return matrix


def fovy_from_intrinsics(matrix: ArrayLike, height: int) -> FloatArray:
    """Vertical fields of view (...) in degrees from camera matrices (..., 3, 3)."""
    focal = np.asarray(matrix, dtype=np.float64)[..., 1, 1]
    return np.rad2deg(2.0 * np.arctan(height / (2.0 * focal)))


def extrinsics(position: ArrayLike, quaternion: ArrayLike) -> FloatArray:
    """World-to-camera transforms (..., 4, 4), OpenCV axes, from MuJoCo camera positions (..., 3) in metres and
    camera-to-world quaternions (..., 4), w x y z."""
    world_from_camera = matrix_from_quaternion(quaternion) @ MUJOCO_TO_OPENCV
    camera_from_world = np.swapaxes(world_from_camera, -1, -2)
    translation = -np.einsum("...ij,...j->...i", camera_from_world, np.asarray(position, dtype=np.float64))
    return rigid_transform(camera_from_world, translation)


def resize_intrinsics(matrix: Tensor, scale: float) -> Tensor:
    """Camera matrices (..., 3, 3) after the image was resized by ``scale`` in both directions."""
    return matrix * matrix.new_tensor([scale, scale, 1.0])[:, None]


def project(points: ArrayLike, matrix: ArrayLike, transform: ArrayLike) -> FloatArray:
    """Pixels (..., N, 2) of world points (..., N, 3) seen by cameras K (..., 3, 3) and T (..., 4, 4).

    Leading dimensions broadcast. A point in the camera's plane or behind it projects to NaN.
    """
    points = np.asarray(points, dtype=np.float64)
    matrix = np.asarray(matrix, dtype=np.float64)
    transform = np.asarray(transform, dtype=np.float64)
    in_camera = points @ np.swapaxes(transform[..., :3, :3], -1, -2) + transform[..., None, :3, 3]
    homogeneous = in_camera @ np.swapaxes(matrix, -1, -2)
    depth = np.where(in_camera[..., 2:] > 0, homogeneous[..., 2:], math.nan)
    return homogeneous[..., :2] / depth


def project_torch(points: Tensor, matrix: Tensor, transform: Tensor, min_depth: float = 1e-3) -> Tensor:
    """As :func:`project`, for tensors and differentiable; depth is clamped to ``min_depth`` metres instead of NaN."""
    in_camera = points @ transform[..., :3, :3].mT + transform[..., None, :3, 3]
    homogeneous = in_camera @ matrix.mT
    return homogeneous[..., :2] / homogeneous[..., 2:].clamp_min(min_depth)
