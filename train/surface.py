"""Which point of the object each cell of a feature map looks at: dense targets, by casting rays at a convex body.

Fingers are not known here: a cell that sees a finger in front of the object gets the object's point all the same, and
the network learns to expect a large error there.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from vision.networks.heads import cell_centres
from vision.networks.windows import to_image
from vision.scene.objects import PoseObject
from vision.solvers.triangulate import Cameras


class SurfaceTargets(nn.Module):
    """Casts the rays of a map's cells at an object.

    Attributes:
        radius: metres; surface points are given in units of it.
    """

    normals: Tensor
    offsets: Tensor

    def __init__(self, target: PoseObject) -> None:
        super().__init__()
        normals = np.array([face.normal for face in target.faces], dtype=np.float64)
        offsets = (target.keypoints @ normals.T).max(axis=0)
        self.radius = target.diameter / 2
        self.register_buffer("normals", torch.from_numpy(normals).float(), persistent=False)
        self.register_buffer("offsets", torch.from_numpy(offsets).float(), persistent=False)

    def forward(
        self, windows: Tensor, side: int, cells: Sequence[int], cameras: Cameras, position: Tensor, rotation: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Surface points (B, C, h * w, 3) in radii, object frame, and which cells (B, C, h * w) see the object.

        Args:
            windows: (B, C, 2, 3), of ``side`` pixels.
            cells: height and width of the map over each window.
            position: (B, 3) metres, world.
            rotation: (B, 3, 3), object to world.
        """
        centres = (cell_centres(cells, windows.device) + 1) * (side / 2)
        pixels = to_image(windows, centres.expand(*windows.shape[:2], -1, -1))
        homogeneous = torch.cat([pixels, torch.ones_like(pixels[..., :1])], dim=-1)
        to_camera, shift = cameras.extrinsics[..., :3, :3], cameras.extrinsics[..., :3, 3:]
        in_camera = torch.linalg.solve(cameras.intrinsics, homogeneous.mT).mT
        direction = in_camera @ to_camera @ rotation[:, None]  # object frame, (B, C, cells, 3)
        origin = ((-to_camera.mT @ shift).squeeze(-1) - position[:, None]) @ rotation  # (B, C, 3)

        # A ray is inside of a convex body from the last plane it enters to the first it leaves.
        slope = direction @ self.normals.T
        distance = (self.offsets - origin @ self.normals.T)[:, :, None] / torch.where(slope == 0, 1e-9, slope)
        enter = torch.where(slope < 0, distance, -torch.inf).amax(dim=-1)
        leave = torch.where(slope > 0, distance, torch.inf).amin(dim=-1)
        hit = enter < leave
        points = origin[:, :, None] + torch.where(hit, enter, 0.0)[..., None] * direction
        return points / self.radius, hit
