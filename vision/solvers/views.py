"""How well each camera's view agrees with a pose: what no pose tells of the pictures that it came from."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from vision.geometry.cameras import Cameras, project_torch
from vision.solvers.given import PointObservations

UNUSUAL = 5.0
"""Times a network's usual spread: beyond it pictures are unusual, a keypoint is not recognised."""


class Views(NamedTuple):
    """What B triplets of C cameras show.

    Attributes:
        cameras: as they were given, or found with the pose where only nominal ones were given; K (B, C, 3, 3) and T
            (B, C, 4, 4), float64.
        scale: (B, C, K) image pixels, the error that the network expects of each of the object's keypoints.
        residual: (B, C) image pixels, median distance of the keypoints that the network sees from those of the pose.
    """

    cameras: Cameras
    scale: Tensor
    residual: Tensor

    @property
    def expected(self) -> Tensor:
        """(B, C) image pixels, median over the keypoints."""
        return self.scale.median(dim=-1).values

    @property
    def spread(self) -> Tensor:
        """(B,) image pixels: how far the keypoints scatter, the expected error and the residual together, on the
        cameras' geometric mean. Large where a network does not recognise what it sees, and where its cameras contradict
        each other."""
        return (self.expected.square() + self.residual.square()).clamp_min(1e-12).log().mean(dim=-1).div(2).exp()


def compare_views(
    points: Tensor,
    corners: PointObservations,
    cameras: Cameras,
    rotation: Tensor,
    position: Tensor,
    permutations: Tensor | None = None,
) -> Views:
    """Compare where cameras see the object's keypoints with where a pose puts them.

    Args:
        points: (K, 3) metres, object frame.
        corners: what the network sees, (B, C, K, 2) pixels and (B, C, K) their expected errors.
        cameras: K (B, C, 3, 3) and T (B, C, 4, 4).
        rotation, position: of the pose, (B, 3, 3) and (B, 3) metres.
        permutations: (S, K) of a body with symmetries, each of which a camera may see.
    """
    cameras = cameras.double()
    world = (points.double() @ rotation.double().mT + position.double()[:, None])[:, None]  # (B, 1, K, 3)
    pixels = project_torch(world, cameras.intrinsics, cameras.extrinsics)
    alike = [pixels] if permutations is None else [pixels[:, :, order] for order in permutations]
    seen = corners.pixels.double()
    off = torch.stack([torch.linalg.vector_norm(seen - each, dim=-1).median(dim=-1).values for each in alike])
    return Views(cameras, corners.scale.double(), off.min(dim=0).values)
