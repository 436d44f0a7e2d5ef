"""Output of the geometric model's network, before it becomes a pose."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from vision.networks.heads import PointOutput
from vision.networks.windows import to_image, window_scale


@dataclass(frozen=True)
class GeometricOutput:
    """Points that the geometric model finds in images.

    Attributes:
        corners: (B, C, K), image pixels.
        centre: (B, C, 1) the object's centre as the locator sees it, image pixels; None without a window.
        landmarks: (B, C, L) the hand's landmarks as the locator sees them, image pixels; None without a window.
        surface: (B, C, 4, h, w) for every cell of the tower's map the point of the object it looks at, in units of half
            the object's diameter, object frame, and the log-scale of its error; only in training.
        windows: (B, C, 2, 3) the tower's windows; of several the first.
    """

    corners: PointOutput
    centre: PointOutput | None
    landmarks: PointOutput | None
    surface: Tensor | None
    windows: Tensor


def points_in_image(found: PointOutput, windows: Tensor) -> PointOutput:
    """Map points (N, K) of windows (N, 2, 3) to the image's pixels."""
    with torch.autocast(windows.device.type, enabled=False):
        return PointOutput(to_image(windows, found.pixels), found.log_scale + window_scale(windows).log()[:, None])


def unflattened(points: PointOutput, shape: torch.Size) -> PointOutput:
    return PointOutput(points.pixels.unflatten(0, shape), points.log_scale.unflatten(0, shape))
