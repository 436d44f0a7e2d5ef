"""Triangles in the image plane."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vision.geometry.rotations import FloatArray

_AT_ONCE = 1 << 22  # pixels of the triangles' bounding boxes that are tested together


def pixels_of_boxes(first: NDArray[np.int64], size: NDArray[np.int64]) -> tuple[NDArray[np.int64], ...]:
    """Return every pixel of boxes in one flat list: the number of its box, its column and its row, (P,) each.

    Args:
        first: column and row of each box's first pixel, (B, 2).
        size: width and height of each box, pixels, (B, 2); none is negative.
    """
    pixels = size.prod(axis=1)
    box = np.repeat(np.arange(len(pixels)), pixels)
    place = np.arange(len(box)) - np.repeat(np.cumsum(pixels) - pixels, pixels)
    width = size[box, 0]
    return box, first[box, 0] + place % width, first[box, 1] + place // width


def fill_triangles(triangles: FloatArray, height: int, width: int) -> NDArray[np.bool_]:
    """Return a mask (height, width) of the pixels whose centre lies in one of the triangles.

    Args:
        triangles: (T, 3, 2) pixels, in either winding order; the first pixel's centre is (0.5, 0.5).
        height: of the mask.
        width: of the mask.
    """
    filled = np.zeros((height, width), bool)
    limit = np.array([width, height])
    first = np.ceil(triangles.min(axis=1) - 0.5).astype(int).clip(0, limit)
    last = np.floor(triangles.max(axis=1) - 0.5).astype(int).clip(-1, limit - 1)
    size = (last - first + 1).clip(0)
    pixels = size.prod(axis=1)
    edges = np.roll(triangles, -1, axis=1) - triangles
    groups = np.cumsum(pixels) // _AT_ONCE
    for group in np.unique(groups[pixels > 0]):
        (chosen,) = np.nonzero((groups == group) & (pixels > 0))
        box, column, row = pixels_of_boxes(first[chosen], size[chosen])
        owner = chosen[box]
        offset = np.stack([column + 0.5, row + 0.5], axis=-1)[:, None] - triangles[owner]  # (P, 3, 2)
        side = edges[owner, :, 0] * offset[..., 1] - edges[owner, :, 1] * offset[..., 0]
        inside = (side >= 0).all(axis=1) | (side <= 0).all(axis=1)
        filled[row[inside], column[inside]] = True
    return filled
