"""Dense targets, by casting rays at the object's triangles: the point of the object that each cell of a feature map
sees.

Fingers are ignored: a cell that sees a finger in front of the object still gets the object's point, and the network
learns to expect a large error there.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from vision.geometry.cameras import Cameras, camera_centres_torch
from vision.geometry.poses import Pose
from vision.geometry.rotations import FloatArray
from vision.networks.heads import cell_centres
from vision.networks.windows import to_image
from vision.objects.mesh_reduction import collapsed
from vision.objects.pose_object import PoseObject

_MOST_TRIANGLES = 300


class SurfaceTargets(nn.Module):
    """Ray caster from a map's cells to an object's triangles.

    Attributes:
        radius: metres; surface points are given in units of it.
    """

    triangles: Tensor

    def __init__(self, target: PoseObject) -> None:
        super().__init__()
        self.radius = target.diameter / 2
        triangles = torch.from_numpy(coarse_triangles(target)).float()
        self.register_buffer("triangles", triangles, persistent=False)

    def forward(
        self, windows: Tensor, side: int, cells: Sequence[int], cameras: Cameras, pose: Pose
    ) -> tuple[Tensor, Tensor]:
        """Return surface points (B, C, h * w, 3) in radii, object frame, and which cells (B, C, h * w) see the object.

        Args:
            windows: (B, C, 2, 3), of ``side`` pixels.
            cells: height and width of the map over each window.
            cameras: K (B, C, 3, 3) and T (B, C, 4, 4).
            pose: of the object, B of them.
        """
        centres = (cell_centres(cells, windows.device) + 1) * (side / 2)
        pixels = to_image(windows, centres.expand(*windows.shape[:2], -1, -1))
        homogeneous = torch.cat([pixels, torch.ones_like(pixels[..., :1])], dim=-1)
        in_camera = torch.linalg.solve(cameras.intrinsics, homogeneous.mT).mT
        # In the object's frame, (B, C, cells, 3) and (B, C, 3).
        direction = in_camera @ cameras.extrinsics[..., :3, :3] @ pose.rotation[:, None]
        origin = (camera_centres_torch(cameras.extrinsics) - pose.position[:, None]) @ pose.rotation
        nearest = self._nearest(origin.flatten(0, 1), direction.flatten(0, 1)).unflatten(0, windows.shape[:2])
        hit = torch.isfinite(nearest)
        points = origin[:, :, None] + torch.where(hit, nearest, 0.0)[..., None] * direction
        return points / self.radius, hit

    def _nearest(self, origin: Tensor, direction: Tensor) -> Tensor:
        """Return the distance (N, n) at which rays from (N, 3) along (N, n, 3) first hit a triangle, in lengths of the
        directions; infinity for none. Moeller and Trumbore's test against all triangles: a sum of triple products for
        each pair."""
        a, b, c = (corner - origin[:, None] for corner in self.triangles.unbind(1))  # (N, F, 3)
        # A ray hits where it is a weighted mean of the corners' directions: all three weights have the same sign.
        weights = [
            direction @ torch.linalg.cross(one, other).mT for one, other in ((b, c), (c, a), (a, b))
        ]  # (N, n, F)
        volume = (a * torch.linalg.cross(b, c)).sum(dim=-1)[:, None]
        total = weights[0] + weights[1] + weights[2]
        front = torch.stack([weight <= 0 for weight in weights]).all(dim=0) & (total < 0)  # those that face the origin
        distance = torch.where(front, volume / torch.where(front, total, 1.0), torch.inf)
        return torch.where(distance > 0, distance, torch.inf).amin(dim=-1)


def coarse_triangles(target: PoseObject) -> FloatArray:
    """Return corners (F, 3, 3) of the object's surface in metres, reduced to some hundred triangles: targets of a map
    with ten cells across need no more. Triangles inside a convex solid are left out."""
    if target.faces:
        corners = target.keypoints
        return np.stack(
            [
                corners[[face.corners[0], face.corners[i], face.corners[i + 1]]]
                for face in target.faces
                for i in range(1, len(face.corners) - 1)
            ]
        )
    mesh = target.mesh
    if len(mesh.faces) <= _MOST_TRIANGLES:
        return mesh.triangles
    vertices, faces, _ = collapsed(mesh.vertices, mesh.faces, _MOST_TRIANGLES / len(mesh.faces))
    return np.asarray(vertices[faces])
