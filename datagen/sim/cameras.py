"""Conversion of OpenCV's cameras to MuJoCo's; no other module handles both conventions.

MuJoCo's camera looks along its own -z with +y up; its lens is a frustum.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from vision.geometry.cameras import camera_centres
from vision.geometry.rotations import FloatArray, quaternion_from_matrix

_OPENCV_TO_MUJOCO = np.diag([1.0, -1.0, -1.0])


class Frustum(NamedTuple):
    """Borders of a camera's view per metre of distance: left < right and bottom < top, y up."""

    left: float
    right: float
    bottom: float
    top: float


def frustum(matrix: ArrayLike, width: int, height: int) -> Frustum:
    """Return the frustum of a camera with K (3, 3) in pixels."""
    K = np.asarray(matrix, dtype=np.float64)
    left, right = -K[0, 2] / K[0, 0], (width - K[0, 2]) / K[0, 0]
    return Frustum(left, right, -(height - K[1, 2]) / K[1, 1], K[1, 2] / K[1, 1])


def mujoco_pose(extrinsics: ArrayLike) -> tuple[FloatArray, FloatArray]:
    """Return positions (..., 3) in metres and camera-to-world quaternions (..., 4), w x y z, of T (..., 4, 4)."""
    T = np.asarray(extrinsics, dtype=np.float64)
    return camera_centres(T), quaternion_from_matrix(np.swapaxes(T[..., :3, :3], -1, -2) @ _OPENCV_TO_MUJOCO)
