"""Agreement of each camera's view with a pose, which the pose alone does not show."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from vision.geometry.cameras import Cameras
from vision.geometry.poses import Pose
from vision.solvers.given import PointObservations
from vision.solvers.triangulate import reproject
from vision.statistics.medians import lower_median

UNUSUAL = 5.0
"""Multiple of a network's usual spread beyond which images are unusual, or a keypoint is not recognised."""


class ViewAgreement(NamedTuple):
    """What B triplets of C cameras show.

    Attributes:
        cameras: as given, or as estimated with the pose if only nominal ones were given; K (B, C, 3, 3) and T (B, C, 4,
            4), float64.
        scale: (B, C, K) image pixels, the error that the network expects of each of the object's keypoints.
        residual: (B, C) image pixels, lower median distance of the observed keypoints from those of the pose.
    """

    cameras: Cameras
    scale: Tensor
    residual: Tensor

    @property
    def expected(self) -> Tensor:
        """Lower median of the expected errors over the keypoints, (B, C) image pixels."""
        return lower_median(self.scale)

    @property
    def spread(self) -> Tensor:
        """Scatter of the keypoints, (B,) image pixels: expected error and residual combined, geometric mean over the
        cameras. Large if the network does not recognise what it sees, or if its cameras contradict each other."""
        return (self.expected.square() + self.residual.square()).clamp_min(1e-12).log().mean(dim=-1).div(2).exp()


def compare_views(
    points: Tensor,
    corners: PointObservations,
    cameras: Cameras,
    pose: Pose,
    permutations: Tensor | None = None,
) -> ViewAgreement:
    """Compare observed keypoints with those of a pose.

    Args:
        points: (K, 3) metres, object frame.
        corners: the network's observations, (B, C, K, 2) pixels and (B, C, K) their expected errors.
        cameras: K (B, C, 3, 3) and T (B, C, 4, 4).
        pose: the B poses.
        permutations: (S, K) of a body with symmetries; each camera is compared with the nearest of them.
    """
    cameras = cameras.double()
    pixels = reproject(points.double(), pose.double(), cameras)
    alike = [pixels] if permutations is None else [pixels[:, :, order] for order in permutations]
    seen = corners.pixels.double()
    off = torch.stack([lower_median(torch.linalg.vector_norm(seen - each, dim=-1)) for each in alike])
    return ViewAgreement(cameras, corners.scale.double(), off.min(dim=0).values)
