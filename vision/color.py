"""Levels of pixels and the light that they stand for."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from vision.geometry.rotations import FloatArray


def srgb_from_linear(color: ArrayLike) -> FloatArray:
    """Encode linear values in [0, 1] as sRGB (IEC 61966-2-1)."""
    linear = np.asarray(color, dtype=np.float64)
    return np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * np.maximum(linear, 0.0031308) ** (1 / 2.4) - 0.055)


def linear_from_srgb(color: ArrayLike) -> FloatArray:
    """Decode sRGB-encoded values in [0, 1] to linear ones."""
    encoded = np.asarray(color, dtype=np.float64)
    return np.where(encoded <= 0.04045, encoded / 12.92, ((encoded + 0.055) / 1.055) ** 2.4)
