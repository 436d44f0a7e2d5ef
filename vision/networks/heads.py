"""Heads, which follow the towers.

regression
    The paper's. Spatial softmax of every channel, the cameras' points concatenated, two linear layers to a normalised
        position and rotation. It learns nothing of the cameras' poses unless it receives them.
points
    Finds known points of the object (its corners) in one image, each with an expected error, and leaves the rest to
        geometry (:mod:`vision.solvers.triangulate`). The caller defines the points.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from vision.geometry.rotations import quaternion_to_matrix, six_d_to_matrix

RotationFormat = Literal["quaternion", "six_d"]
ROTATION_SIZE: dict[str, int] = {"quaternion": 4, "six_d": 6}
# Standard deviation of one component over all rotations; dividing by it gives targets unit variance.
ROTATION_DEVIATION: dict[str, float] = {"quaternion": 1 / 2, "six_d": 1 / math.sqrt(3)}


@dataclass(frozen=True)
class RegressionOutput:
    """Normalised position and rotation, (B, 3 + 4 or 6)."""

    values: Tensor


@dataclass(frozen=True)
class PointOutput:
    """Points found in images.

    Attributes:
        pixels: (..., K, 2), possibly outside the image.
        log_scale: (..., K) natural logarithm of the expected error in pixels: the scale of a Laplace distribution.
    """

    pixels: Tensor
    log_scale: Tensor

    def __getitem__(self, key: Any) -> PointOutput:
        """Select some of the points by a key for the dimensions (..., K)."""
        return PointOutput(self.pixels[key], self.log_scale[key])


def cell_centres(size: Sequence[int], device: torch.device) -> Tensor:
    """Return the centres (h * w, 2) of the cells of an (h, w) map, x then y; the map spans [-1, 1] from edge to
    edge."""
    height, width = size
    x = (torch.arange(width, device=device) + 0.5) * (2 / width) - 1
    y = (torch.arange(height, device=device) + 0.5) * (2 / height) - 1
    return torch.stack(torch.meshgrid(x, y, indexing="xy"), dim=-1).flatten(0, 1)


def spatial_softmax(maps: Tensor) -> Tensor:
    """Return the expected position (..., 2) under the softmax of each map (..., h, w): x to the right, y down; the map
    spans [-1, 1] from edge to edge (Finn et al., arXiv 1509.06113)."""
    # bfloat16's eight bits of mantissa would round positions to half a pixel.
    with torch.autocast(maps.device.type, enabled=False):
        weight = maps.float().flatten(-2).softmax(dim=-1)
        return weight @ cell_centres(maps.shape[-2:], maps.device)


class RegressionHead(nn.Module):
    """Table 12 from the spatial softmax on: features (B, C, c, h, w) to normalised values.

    Args:
        camera_features: count of additional numbers about each camera, besides the points that its tower found.
    """

    def __init__(
        self, channels: int, cameras: int, hidden: int, rotation: RotationFormat, camera_features: int = 0
    ) -> None:
        super().__init__()
        size, seen = 3 + ROTATION_SIZE[rotation], cameras * (2 * channels + camera_features)
        self.layers = nn.Sequential(nn.Linear(seen, hidden), nn.ReLU(), nn.Linear(hidden, size))

    def forward(self, features: Tensor, camera_features: Tensor | None = None) -> RegressionOutput:
        """Return normalised values; ``camera_features`` is (B, C, n), or None if there are none."""
        seen = spatial_softmax(features).flatten(1)
        if camera_features is not None:
            seen = torch.cat([seen, camera_features.to(seen.dtype).flatten(1)], dim=1)
        return RegressionOutput(self.layers(seen).float())


class PointHead(nn.Module):
    """A head in which every cell of the map votes for every point, weighted by one attention map per point.

    A vote is the cell's own centre plus a learned offset. With all offsets at zero this is a spatial softmax; the
    offsets let a face vote for its hidden corners, and points lie outside the image.
    """

    def __init__(self, channels: int, points: int) -> None:
        super().__init__()
        self.points = points
        self.layers = nn.Conv2d(channels, 4 * points, 1)

    def forward(self, features: Tensor, side: int) -> PointOutput:
        """Find points in features (N, c, h, w) of square images of ``side`` pixels; the output is in pixels of these
        images."""
        # The unit makes offsets and scales about 1 for an object that fills its window.
        unit = side / 16
        maps = self.layers(features)
        with torch.autocast(maps.device.type, enabled=False):
            attention, x, y, log_scale = maps.float().flatten(-2).unflatten(1, (4, self.points)).unbind(1)
            weight = attention.softmax(dim=-1)
            cells = (cell_centres(features.shape[-2:], maps.device) + 1) * (side / 2)
            offset = torch.stack([(weight * x).sum(dim=-1), (weight * y).sum(dim=-1)], dim=-1)
            pixels = weight @ cells + offset * unit
            return PointOutput(pixels, (weight * log_scale).sum(dim=-1) + math.log(unit))


def rotation_from_values(values: Tensor, rotation: RotationFormat) -> tuple[Tensor, Tensor]:
    """Return rotation matrices (..., 3, 3) of raw network values (..., 4 or 6), and the values' length (...), 1 when
    sure.

    Under squared error a network predicts the mean of the possible answers, and the mean of scattered unit vectors is
    short.
    """
    values = values.double() * ROTATION_DEVIATION[rotation]
    # All zeros, or parallel columns, are not a rotation; adding a tiny one gives them a direction.
    nudge = 1e-9 * values.new_tensor([1.0, 0, 0, 0] if rotation == "quaternion" else [1.0, 0, 0, 0, 1.0, 0])
    if rotation == "quaternion":
        return quaternion_to_matrix(values + nudge), torch.linalg.vector_norm(values, dim=-1)
    length = torch.linalg.vector_norm(values.unflatten(-1, (2, 3)), dim=-1).amin(dim=-1)
    return six_d_to_matrix(values + nudge), length
