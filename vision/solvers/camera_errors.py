"""What the errors of cameras that were found add to the error of a pose that was solved with them as true."""

from __future__ import annotations

import torch
from torch import Tensor

from vision.geometry.cameras import Cameras
from vision.geometry.poses import Pose
from vision.solvers.bundle_problem import Problem
from vision.solvers.given import PointObservations
from vision.solvers.triangulate import reproject


def pose_covariance_of_cameras(
    points: Tensor, scale: Tensor, cameras: Cameras, pose: Pose, covariance: Tensor
) -> Tensor:
    """Return the covariance (B, 6, 6) of poses that comes from their cameras' errors alone, to first order: radians
    about the world's axes, then metres.

    The pose follows a camera as it stays the least-squares solution: d pose = -H^-1 C d camera, with the Gauss-Newton
    matrix H of the pose and its coupling C to the cameras.

    Args:
        points: (K, 3) metres, object frame.
        scale: (B, C, K) pixels, expected error of each point in each camera.
        cameras: K (B, C, 3, 3) and T (B, C, 4, 4), as found.
        pose: the B poses.
        covariance: (7 C, 7 C) of the cameras' errors, as in :class:`vision.solvers.self_calibration.RigSolution`.
    """
    points, covariance, cameras, pose = points.double(), covariance.double(), cameras.double(), pose.double()
    seen = PointObservations(reproject(points, pose, cameras), scale).weighted()
    free = torch.zeros(*scale.shape[:2], 7, dtype=torch.float64)
    problem = Problem(points, seen, cameras, free)
    state = problem.start()._replace(pose=pose)
    found = problem.equations(state, problem.linearize(state), seen.weight)
    coupling = found.coupling.transpose(1, 2).flatten(2)  # (B, 6, 7 C)
    follows = torch.linalg.pinv(found.matrix, hermitian=True) @ coupling
    result: Tensor = follows @ covariance @ follows.mT
    return result
