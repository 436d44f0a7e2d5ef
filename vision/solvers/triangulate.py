"""An initial pose by linear algebra: triangulate the points, then fit the rigid body.

Everything is batched, runs in float64 whatever the network's precision, and is independent of networks: the inputs are
the pixels of any K known points of a body in C calibrated cameras, and a weight for each. Pixels follow
``vision.geometry.cameras`` and may lie outside the image. Points with a non-finite pixel or scale count as not seen. No
input gives NaN: whatever the observations do not determine stays at the anchor, and the returned deviations show it.
"""

from __future__ import annotations

from dataclasses import dataclass

import roma
import torch
from torch import Tensor

from vision.geometry.cameras import Cameras, camera_centres_torch, project_torch
from vision.geometry.poses import Pose
from vision.solvers.given import WeightedPixels

CAUCHY_SCALE = 3.0
"""Number of scales beyond which residuals lose weight: a corner mistaken for another must not pull the pose."""
_ANCHOR_DEVIATION = 1.0  # metres; so weak that it only decides what is otherwise undetermined
_TINY = 1e-9


@dataclass(frozen=True)
class PoseSolution:
    """Pose of a body in the world and how well the observations determine it.

    Attributes:
        pose: B poses.
        covariance: (B, 6, 6) of the error: three radians about the world's axes (the true rotation is
            ``exp(error) @ rotation``), then three metres.
    """

    pose: Pose
    covariance: Tensor

    @property
    def rotation_deviation(self) -> Tensor:
        """(B,) radians, standard deviation about each axis (root mean square over the axes)."""
        variance: Tensor = self.covariance[:, :3, :3].diagonal(dim1=-2, dim2=-1).mean(dim=-1)
        return variance.clamp_min(0).sqrt()

    def deviation_across(self, axes: Tensor) -> Tensor:
        """Return ``rotation_deviation``, (B,), without the rotation about a symmetry axis (1, 3) of the body, which
        makes no difference; zero for two axes or more (a ball)."""
        if len(axes) > 1:
            return torch.zeros_like(self.covariance[:, 0, 0])
        axis: Tensor = self.pose.rotation @ axes[0].to(self.pose.rotation)
        off = torch.eye(3).to(axis) - axis[:, :, None] * axis[:, None, :]
        variance: Tensor = (off @ self.covariance[:, :3, :3] @ off).diagonal(dim1=-2, dim2=-1).sum(dim=-1) / 2
        return variance.clamp_min(0).sqrt()


def initial_pose(points: Tensor, seen: WeightedPixels, cameras: Cameras, anchor: Tensor) -> Pose:
    """Return B poses from triangulated points, each the best of several sets of cameras."""
    pixels, weight = seen
    batch, kept = len(pixels), _camera_subsets(pixels.shape[1], pixels.device)
    # All sets of cameras in one batch, (S * B, ...): more tiny matrices take no longer.
    many = Cameras(*(tensor.repeat(len(kept), 1, 1, 1) for tensor in cameras[:2]))
    subset = weight.repeat(len(kept), 1, 1) * kept.repeat_interleave(batch, dim=0)[..., None]
    targets, trust = triangulate(WeightedPixels(pixels.repeat(len(kept), 1, 1, 1), subset), many, anchor)
    starts = Pose(*(tensor.unflatten(0, (len(kept), batch)) for tensor in align(points, targets, trust)))
    cost = torch.stack([_cost(points, seen, cameras, starts.at(number)) for number in range(len(kept))])
    return starts.at((cost.argmin(dim=0), torch.arange(batch, device=pixels.device)))


def initial_cost(points: Tensor, seen: WeightedPixels, cameras: Cameras, anchor: Tensor) -> Tensor:
    """Return the robust cost (B,) of :func:`initial_pose`."""
    return _cost(points, seen, cameras, initial_pose(points, seen, cameras, anchor))


def triangulate(seen: WeightedPixels, cameras: Cameras, anchor: Tensor) -> tuple[Tensor, Tensor]:
    """Return the points (B, K, 3) nearest to their rays, and their weights (B, K) for an alignment.

    Minimises the sum of squared distances to the rays, each in units of its pixel's size at the anchor, so that a
    weight means the same in every camera. A point on a single ray falls to the anchor's depth.
    """
    pixels, weight = seen
    rotation = cameras.extrinsics[..., :3, :3]
    origin = camera_centres_torch(cameras.extrinsics)  # (B, C, 3)
    homogeneous = torch.cat([pixels, torch.ones_like(pixels[..., :1])], dim=-1)
    direction = torch.linalg.solve(cameras.intrinsics, homogeneous.mT).mT @ rotation  # to the world: R^T d
    direction = direction / torch.linalg.vector_norm(direction, dim=-1, keepdim=True)  # (B, C, K, 3)
    distance = torch.linalg.vector_norm(anchor - origin, dim=-1).clamp_min(1e-3)
    per_metre = cameras.intrinsics[..., 0, 0] / distance  # pixels, (B, C)
    weight = (weight * per_metre[..., None].square())[..., None, None]

    eye = torch.eye(3, dtype=pixels.dtype, device=pixels.device)
    across = weight * (eye - direction[..., :, None] * direction[..., None, :])  # (B, C, K, 3, 3)
    prior = eye / _ANCHOR_DEVIATION**2
    information = across.sum(dim=1) + prior
    vector = (across @ origin[:, :, None, :, None]).sum(dim=1) + (prior @ anchor)[:, None]
    found = torch.linalg.solve(information, vector).squeeze(-1)
    trust = 1.0 / torch.linalg.inv(information).diagonal(dim1=-2, dim2=-1).sum(dim=-1)
    return found, trust


def align(points: Tensor, targets: Tensor, weight: Tensor) -> Pose:
    """Return the B poses that take body points (K, 3) to targets (B, K, 3), weights (B, K)."""
    # The few-parts-per-billion offset keeps the weights' sum above zero.
    weight = weight / weight.amax(dim=-1, keepdim=True).clamp_min(_TINY) + _TINY
    return Pose(*roma.rigid_points_registration(points.expand_as(targets), targets, weights=weight))


def _camera_subsets(cameras: int, device: torch.device) -> Tensor:
    """Return rows of 0 and 1, (S, C): all cameras, then, with three or more, all but each one.

    When one camera is mistaken, 4 % of the poses from all cameras together end in a wrong minimum, and none of these.
    """
    everyone = torch.ones(1, cameras, dtype=torch.float64, device=device)
    if cameras < 3:
        return everyone
    return torch.cat([everyone, 1.0 - torch.eye(cameras, dtype=torch.float64, device=device)])


def reproject(points: Tensor, pose: Pose, cameras: Cameras) -> Tensor:
    """Return the pixels (B, C, K, 2) of body points (K, 3) in B poses, in the cameras (B, C) of each."""
    return project_torch(pose.transform(points)[:, None], cameras)


def _cost(points: Tensor, seen: WeightedPixels, cameras: Cameras, pose: Pose) -> Tensor:
    return robust_cost(reproject(points, pose, cameras) - seen.pixels, seen.weight)


def robust_cost(residual: Tensor, weight: Tensor) -> Tensor:
    """Return (B,): half the squared residual (B, C, K, 2) in scales while small, its logarithm when large."""
    squared = residual.square().sum(dim=-1) * weight
    return 0.5 * CAUCHY_SCALE**2 * torch.log1p(squared / CAUCHY_SCALE**2).sum(dim=(1, 2))


def skew(vector: Tensor) -> Tensor:
    """Return the matrices (..., 3, 3) of the cross product with vectors (..., 3)."""
    x, y, z = vector.unbind(-1)
    zero = torch.zeros_like(x)
    matrix: Tensor = torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], dim=-1).unflatten(-1, (3, 3))
    return matrix
