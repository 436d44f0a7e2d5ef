"""Points on a line, the axis of a body of revolution: mirrored in the line of sight it looks nearly the same."""

from __future__ import annotations

import roma
import torch
from torch import Tensor

from vision.geometry.cameras import Cameras, camera_centres_torch
from vision.geometry.poses import Pose

_THIN = 1e-6  # of the points' extent along the line


def line_through(points: Tensor) -> Tensor | None:
    """Return the direction (3,) of the line that all points (K, 3) lie on; None if there is none, or a single point."""
    _, extent, directions = torch.linalg.svd(points - points.mean(dim=0), full_matrices=False)
    if len(points) < 2 or not extent[0] > 0 or bool((extent[1:] > _THIN * extent[0]).any()):
        return None
    direction: Tensor = directions[0]
    return direction


def mirrored(line: Tensor, weight: Tensor, cameras: Cameras, pose: Pose) -> Pose:
    """Return poses of a body rotated so that its line is mirrored in the line of sight of the camera that sees it best.

    Args:
        line: direction of the line, body frame.
        weight: (B, C, K) 1 / pixels^2.
        cameras: K (B, C, 3, 3) and T (B, C, 4, 4).
        pose: of the body, B of them.
    """
    best = weight.sum(dim=-1).argmax(dim=1)
    extrinsics = cameras.extrinsics[torch.arange(len(best), device=best.device), best]
    centre = camera_centres_torch(extrinsics)
    sight = torch.nn.functional.normalize(pose.position - centre, dim=-1)
    axis = pose.rotation @ line
    other = axis - 2 * (axis * sight).sum(dim=-1, keepdim=True) * sight
    # Half a turn about the middle between two directions exchanges them; opposite ones need any axis across.
    middle = axis + other
    across = torch.linalg.cross(axis, torch.roll(axis, 1, dims=-1))
    middle = torch.where(torch.linalg.vector_norm(middle, dim=-1, keepdim=True) > 1e-6, middle, across)
    half_turn: Tensor = roma.rotvec_to_rotmat(torch.pi * torch.nn.functional.normalize(middle, dim=-1))
    return Pose(half_turn @ pose.rotation, pose.position)
