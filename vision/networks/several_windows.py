"""Several windows of each image, rolled against each other, whose points are averaged: test-time augmentation.

A network errs a little differently for each roll of the same image, so that the average errs less than any one of them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from vision.networks.heads import PointOutput

WINDOW_ROLL, SCENE_ROLL = math.radians(30.0), math.radians(5.0)
"""Largest rolls of windows and of whole images, radians: those of training (``augment.window_roll_deg``,
``scene_roll_deg``) unless it is told others."""


def parts(count: int) -> list[float]:
    """Return the middles of ``count`` equal parts of -1 to 1."""
    return [(2 * part + 1) / count - 1 for part in range(count)]


def averaged(found: Sequence[PointOutput], permutations: Tensor | None = None) -> PointOutput:
    """Average points (..., K) that were found in the same images again and again, weighted by their precision.

    Args:
        found: points of each time.
        permutations: (S, K) of an object with symmetries: each time may see another pose that looks the same, and its
            points are put in the order that brings them nearest to those of the first time.
    """
    if permutations is not None:
        found = [found[0], *(_in_the_order_of(found[0], one, permutations) for one in found[1:])]
    pixels = torch.stack([one.pixels for one in found])
    log_scale = torch.stack([one.log_scale for one in found])
    weight = (-2 * log_scale).softmax(dim=0)
    return PointOutput((weight[..., None] * pixels).sum(dim=0), log_scale.mean(dim=0))


def _in_the_order_of(first: PointOutput, other: PointOutput, permutations: Tensor) -> PointOutput:
    pixels, log_scale = (
        other.pixels[..., permutations, :],
        other.log_scale[..., permutations],
    )  # (..., S, K, 2), (..., S, K)
    distance = torch.linalg.vector_norm(pixels - first.pixels[..., None, :, :], dim=-1).sum(dim=-1)
    best = distance.argmin(dim=-1)[..., None, None]
    return PointOutput(
        pixels.take_along_dim(best[..., None], dim=-3).squeeze(-3), log_scale.take_along_dim(best, dim=-2).squeeze(-2)
    )
