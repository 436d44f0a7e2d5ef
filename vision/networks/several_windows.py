"""Several windows of each image, rolled against each other, whose points are averaged: test-time augmentation.

A network errs a little differently for each roll of the same image, so that the average errs less than any one of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from vision.networks.heads import PointOutput

WINDOW_ROLL_DEG, SCENE_ROLL_DEG = 30.0, 5.0
"""Largest rolls of windows and of whole images: those of training unless it is told others."""
_SPREAD = 4.0
"""Mean squared length of a point's errors, in squares of its scale, if they are distributed as
:func:`vision.networks.losses.laplace_loss` assumes: twice the square along each axis."""


def unlearnt_roll(augment: Mapping[str, Any]) -> tuple[str, float, float] | None:
    """Return what a training rolled by too little for its network to see several windows: the key of ``augment``, its
    value and the least, degrees; None if nothing."""
    for key, least in (("window_roll_deg", WINDOW_ROLL_DEG), ("scene_roll_deg", SCENE_ROLL_DEG)):
        value = augment.get(key)
        if isinstance(value, (int, float)) and value < least:
            return key, value, least
    return None


def roll_fractions(count: int) -> list[float]:
    """Return the middles of ``count`` equal parts of -1 to 1."""
    return [(2 * part + 1) / count - 1 for part in range(count)]


def averaged(found: PointOutput, count: int, permutations: Tensor | None = None) -> PointOutput:
    """Average points (count * B, C, K) that were found in the same images again and again, weighted by their precision.

    Args:
        found: the points, of all images the first time, then of all the second time, and so on.
        count: how many times.
        permutations: (S, K) of an object with symmetries: each time may see another pose that looks the same, and its
            points are put in the order that brings them nearest to those of the surest time.

    Returns:
        Points (B, C, K). Their scales are those found, and larger where the points of several times lie apart: the
        second moment about the average, as for one point.
    """
    pixels, log_scale = (part.unflatten(0, (count, -1)) for part in (found.pixels, found.log_scale))
    if permutations is not None:
        pixels, log_scale = _in_one_order(pixels, log_scale, permutations)
    weight = (-2 * log_scale).softmax(dim=0)
    mean = (weight[..., None] * pixels).sum(dim=0)
    apart = (pixels - mean).square().sum(dim=-1) / _SPREAD
    return PointOutput(mean, (weight * ((2 * log_scale).exp() + apart)).sum(dim=0).log() / 2)


def _in_one_order(pixels: Tensor, log_scale: Tensor, permutations: Tensor) -> tuple[Tensor, Tensor]:
    """Return points (count, B, C, K, 2) and their scales (count, B, C, K), each image's in the order of symmetry in
    which they are nearest to those of the time that is surest of it."""
    surest = log_scale.sum(dim=-1).argmin(dim=0)[None, ..., None, None]
    orders = pixels[..., permutations, :]  # (count, B, C, S, K, 2)
    distance = torch.linalg.vector_norm(orders - pixels.take_along_dim(surest, dim=0)[..., None, :, :], dim=-1)
    best = permutations[distance.sum(dim=-1).argmin(dim=-1)]  # (count, B, C, K)
    return pixels.take_along_dim(best[..., None], dim=-2), log_scale.take_along_dim(best, dim=-1)
