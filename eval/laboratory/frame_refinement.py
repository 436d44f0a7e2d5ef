"""Self-calibration of cameras whose calibration has a frame of its own, together with that frame's pose in the world.

The first guess of the pose brings the calibrated cameras nearest to the nominal ones, so their displacements are taken
for the frame's. The cameras' prior allows for directions but hardly for centres: through a wrong frame, every camera
would turn to see the hand where the world has it, and the cameras would no longer agree with each other.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.optimize import least_squares
from scipy.spatial.transform import Rotation

from vision.geometry.cameras import Cameras, project
from vision.geometry.rotations import FloatArray, rigid_transform
from vision.solvers.self_calibration import RigSolution

if TYPE_CHECKING:
    from vision.estimator import Observations, PoseEstimator

_OUTLIER_PX = 2.0  # where the cost of a landmark's distance from its pixel turns from squared to linear
_FIXED_LANDMARKS = 4  # that do not move with the wrist; if a hand has fewer, all are used


def self_calibrate_with_frame(
    estimator: PoseEstimator,
    seen: Observations,
    cameras: Cameras,
    frame_known: bool,
    distortion: bool = False,
) -> tuple[RigSolution, FloatArray]:
    """Find the cameras of a recording, and how far the world was from where they were said to be.

    Args:
        estimator: the network that made the observations.
        seen: its observations.
        cameras: K (C, 3, 3) and T (C, 4, 4), world to camera, of the starting point.
        frame_known: whether that world is the network's; otherwise only its cameras' poses to each other are trusted.
        distortion: whether to find each camera's radial distortion, too.

    Returns:
        The solution, and the rigid motion (4, 4) from the network's world to that of the given cameras: a camera T
        starts at ``T @ motion``.

    Raises:
        DactylError: as :meth:`vision.estimator.PoseEstimator.self_calibrate`.
    """
    motion = np.eye(4)
    if not frame_known and (landmarks := estimator.scene.landmarks) is not None:
        fixed = np.asarray(landmarks.level) == 0
        chosen = fixed if fixed.sum() >= _FIXED_LANDMARKS else np.ones(len(fixed), bool)
        pixels = np.median(seen.landmarks, axis=0)[:, chosen]
        motion = _common_motion(landmarks.points[chosen], pixels, cameras)
        found = estimator.self_calibrate(seen, cameras.in_frame(motion), distortion).cameras.numpy()
        pixels = project(landmarks.points, found)
        motion = motion @ _common_motion(landmarks.points, pixels, cameras.in_frame(motion))
    return estimator.self_calibrate(seen, cameras.in_frame(motion), distortion), motion


def _common_motion(points: FloatArray, pixels: FloatArray, cameras: Cameras) -> FloatArray:
    """Return the rigid motion M (4, 4) with which cameras ``T @ M`` see points (P, 3) nearest to pixels (C, P, 2)."""
    middle = points.mean(axis=0)

    def moved(values: FloatArray) -> FloatArray:
        turn = Rotation.from_rotvec(values[:3]).as_matrix()
        return rigid_transform(turn, middle + values[3:] - turn @ middle)

    def residuals(values: FloatArray) -> FloatArray:
        there = cameras.in_frame(moved(values))
        return np.asarray((project(points, there) - pixels).ravel())

    solution = least_squares(residuals, np.zeros(6), x_scale=[0.01] * 6, loss="soft_l1", f_scale=_OUTLIER_PX)
    return moved(solution.x)
