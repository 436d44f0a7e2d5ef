"""Symmetric objects: make cameras agree on one of the poses that look the same before a pose is solved for."""

from __future__ import annotations

import torch
from torch import Tensor

from vision.geometry.cameras import Cameras
from vision.geometry.poses import Pose
from vision.solvers.given import WeightedPixels
from vision.solvers.triangulate import initial_cost, reproject, robust_cost


def agree(
    points: Tensor, seen: WeightedPixels, cameras: Cameras, anchor: Tensor, permutations: Tensor
) -> WeightedPixels:
    """Return observations with the points of each camera but the first renamed by a symmetry: the one with which the
    cameras so far best explain one pose.

    Args:
        points, seen, cameras, anchor: as in :func:`vision.solvers.triangulate.initial_pose`.
        permutations: (S, K), the point onto which each symmetry takes each point; they form a group.
    """
    pixels, weight = (tensor.clone() for tensor in seen)
    batch, tried = len(pixels), len(permutations)
    each = torch.arange(batch, device=pixels.device)
    for camera in range(1, pixels.shape[1]):
        first = slice(0, camera + 1)
        trial_pixels = pixels[None, :, first].repeat(tried, 1, 1, 1, 1)
        trial_weight = weight[None, :, first].repeat(tried, 1, 1, 1)
        trial_pixels[:, :, camera] = pixels[:, camera][:, permutations].transpose(0, 1)
        trial_weight[:, :, camera] = weight[:, camera][:, permutations].transpose(0, 1)
        some = Cameras(*(tensor[:, first].repeat(tried, 1, 1, 1) for tensor in cameras[:2]))
        trial = WeightedPixels(trial_pixels.flatten(0, 1), trial_weight.flatten(0, 1))
        cost = initial_cost(points, trial, some, anchor)
        best = cost.unflatten(0, (tried, batch)).argmin(dim=0)
        pixels[:, camera] = trial_pixels[best, each, camera]
        weight[:, camera] = trial_weight[best, each, camera]
    return WeightedPixels(pixels, weight)


def named_by(
    points: Tensor, seen: WeightedPixels, cameras: Cameras, pose: Pose, permutations: Tensor
) -> WeightedPixels:
    """Return observations with the points of each camera renamed by the symmetry that brings them nearest to those of a
    known pose.

    Args:
        points, seen, cameras: as in :func:`agree`.
        pose: the known poses, B of them.
        permutations: as in :func:`agree`.
    """
    pixels, weight = seen
    expected = reproject(points, pose, cameras)
    # Treat cameras as a batch of single ones, so that each makes its own choice.
    costs = [
        robust_cost((pixels[:, :, onto] - expected).flatten(0, 1)[:, None], weight[:, :, onto].flatten(0, 1)[:, None])
        for onto in permutations
    ]
    best = torch.stack(costs).argmin(dim=0).unflatten(0, pixels.shape[:2])
    onto = permutations[best]  # (B, C, K)
    return WeightedPixels(pixels.gather(2, onto[..., None].expand_as(pixels)), weight.gather(2, onto))
