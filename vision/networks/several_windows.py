"""Several windows of each image, rolled against each other, whose points are averaged: test-time augmentation.

A network errs a little differently for each roll of the same image, so that the average errs less than any one of them.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from vision.networks.heads import PointOutput

WINDOW_ROLL, SCENE_ROLL = math.radians(30.0), math.radians(5.0)
"""Largest rolls of windows and of whole images, radians: those of training (``augment.window_roll_deg``,
``scene_roll_deg``) unless it is told others."""


def parts(count: int) -> list[float]:
    """Return the middles of ``count`` equal parts of -1 to 1."""
    return [(2 * part + 1) / count - 1 for part in range(count)]


def averaged(found: PointOutput, count: int, permutations: Tensor | None = None) -> PointOutput:
    """Average points (count * B, C, K) that were found in the same images again and again, weighted by their precision.

    Args:
        found: the points, of all images the first time, then of all the second time, and so on.
        count: how many times.
        permutations: (S, K) of an object with symmetries: each time may see another pose that looks the same, and its
            points are put in the order that brings them nearest to those of the first time.
    """
    pixels, log_scale = (part.unflatten(0, (count, -1)) for part in (found.pixels, found.log_scale))
    if permutations is not None:
        pixels, log_scale = _in_the_order_of(pixels[0], pixels, log_scale, permutations)
    weight = (-2 * log_scale).softmax(dim=0)
    return PointOutput((weight[..., None] * pixels).sum(dim=0), log_scale.mean(dim=0))


def _in_the_order_of(first: Tensor, pixels: Tensor, log_scale: Tensor, permutations: Tensor) -> tuple[Tensor, Tensor]:
    """Return points (..., K, 2) and their scales (..., K) in the order of symmetry that is nearest to ``first``."""
    orders = pixels[..., permutations, :]  # (..., S, K, 2)
    distance = torch.linalg.vector_norm(orders - first[..., None, :, :], dim=-1).sum(dim=-1)
    best = permutations[distance.argmin(dim=-1)]  # (..., K)
    return pixels.take_along_dim(best[..., None], dim=-2), log_scale.take_along_dim(best, dim=-1)
