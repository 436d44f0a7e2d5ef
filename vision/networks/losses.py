"""Losses of the two models.

Regression: squared error of the normalised position and rotation, as in the paper, or the geodesic distance for the
rotation. A quaternion and its negative are the same rotation, so the nearer one is the target.

Geometric: the likelihood of the corners' pixels under Laplace distributions whose scales the network predicts, so that
it learns its own certainty, and mistakes count linearly. The surface term teaches every cell of the feature map which
point of the object it looks at, a hundred targets an image instead of eight; it is used in training only. With it the
rotation error on made-up triplets was half as large after 13,000 samples; on rendered ones it was a seventh larger
after 16,000 (docs/training.md, "Choices compared").
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from vision.configuration.bounds import not_negative
from vision.geometry.poses import Pose
from vision.geometry.rotations import geodesic_distance_torch, matrix_to_quaternion, matrix_to_six_d
from vision.networks.heads import ROTATION_DEVIATION, PointOutput, RotationFormat, rotation_from_values


@dataclass(frozen=True)
class LossConfig:
    """Weights and kinds of the losses.

    Attributes:
        rotation: loss of a regression's rotation: squared error of its normalised numbers, or the angle to the truth in
            radians.
        surface: weight of the geometric model's surface term, which made rendered triplets' errors larger.
        landmarks: weight of the geometric model's term for the hand's landmarks.
    """

    rotation: Literal["mse", "geodesic"] = "mse"
    surface: float = 0.0
    landmarks: float = 1.0

    def __post_init__(self) -> None:
        not_negative(self, "surface", "landmarks")


def regression_loss(values: Tensor, true: Pose, format: RotationFormat, kind: Literal["mse", "geodesic"]) -> Tensor:
    """Return the loss of every sample, (B,).

    Args:
        values: (B, 3 + 4 or 6), the network's normalised output.
        true: the B true poses, their positions normalised like the output.
        format: format of the rotation values.
        kind: how the rotation is compared.
    """
    shift: Tensor = (values[:, :3] - true.position).square()
    if kind == "geodesic":
        found, _ = rotation_from_values(values[:, 3:], format)
        return shift.mean(dim=1) + geodesic_distance_torch(found.to(true.rotation.dtype), true.rotation)
    if format == "six_d":
        turn = (values[:, 3:] - matrix_to_six_d(true.rotation) / ROTATION_DEVIATION[format]).square()
    else:
        turn = nearest_quaternion_error(values[:, 3:], matrix_to_quaternion(true.rotation) / ROTATION_DEVIATION[format])
    return torch.cat([shift, turn], dim=1).mean(dim=1)


def nearest_quaternion_error(values: Tensor, target: Tensor) -> Tensor:
    """Return squared errors (B, 4) of ``values`` to the nearer of ``target`` and its negative, (B, 4) each."""
    sign = torch.where((values.detach() * target).sum(dim=1, keepdim=True) < 0, -1.0, 1.0)
    return (values - sign * target).square()


def laplace_loss(found: PointOutput, target: Tensor) -> Tensor:
    """Return the negative log-likelihood (B,), up to a constant, of true pixels (B, C, K, 2), mean over cameras and
    points."""
    return _laplace(found, target).mean(dim=(1, 2))


def symmetric_laplace_loss(found: PointOutput, target: Tensor, permutations: Tensor) -> tuple[Tensor, Tensor]:
    """Return :func:`laplace_loss` with, for each image, the lowest over the poses that look the same.

    Args:
        found: (B, C, K).
        target: (B, C, K, 2) true pixels.
        permutations: (S, K), the point onto which each symmetry takes each point.

    Returns:
        The loss (B,), and the index of each image's best symmetry (B, C).
    """
    losses = torch.stack([_laplace(found, target[:, :, onto]).mean(dim=2) for onto in permutations])
    least = losses.min(dim=0)
    return least.values.mean(dim=1), least.indices


def nearest_symmetric_target(found: Tensor, true: Pose, motions: Tensor) -> Pose:
    """Return the poses whose rotations are nearest to the found ones, among those that look like the true ones.

    Args:
        found: (B, 3, 3).
        true: the B true poses.
        motions: (N, 4, 4) motions that leave the object's appearance unchanged, object frame.
    """
    alike = true.rotation[:, None] @ motions[:, :3, :3]
    best = (alike * found.detach()[:, None]).sum(dim=(-2, -1)).argmax(dim=1)  # the trace falls with the angle
    each = torch.arange(len(best), device=best.device)
    return Pose(alike[each, best], true.position + (true.rotation @ motions[best, :3, 3:]).squeeze(-1))


def _laplace(found: PointOutput, target: Tensor) -> Tensor:
    error = (found.pixels - target).abs().sum(dim=-1)
    return error * torch.exp(-found.log_scale) + 2 * found.log_scale


def surface_loss(maps: Tensor, points: Tensor, hit: Tensor) -> Tensor:
    """Return the loss (B,), as :func:`laplace_loss`, of the surface points that cells look at; mean over those that see
    the object.

    Args:
        maps: (B, C, 4, h, w), the network's surface points in radii and their log-scale.
        points: (B, C, h * w, 3) and ``hit``: (B, C, h * w), from :class:`vision.networks.surface.SurfaceTargets`.
    """
    found = maps.flatten(-2).mT
    log_scale = found[..., 3].clamp(-6.0, 3.0)
    error = (found[..., :3] - points).abs().sum(dim=-1)
    each = error * torch.exp(-log_scale) + 3 * log_scale
    return (each * hit).sum(dim=(1, 2)) / hit.sum(dim=(1, 2)).clamp_min(1)
