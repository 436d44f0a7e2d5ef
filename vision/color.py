"""Levels of pixels and the light that they stand for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from vision.geometry.rotations import FloatArray

if TYPE_CHECKING:
    from torch import Tensor

GAMMA = 2.2
"""Exponent by which levels encode light, in one number: sRGB's curve is close to it."""
_STRAIGHT = 0.0031308  # light up to which sRGB is a straight line


def srgb_from_linear(color: ArrayLike) -> FloatArray:
    """Encode linear values in [0, 1] as sRGB (IEC 61966-2-1)."""
    linear = np.asarray(color, dtype=np.float64)
    return np.where(linear <= _STRAIGHT, 12.92 * linear, _curve(np.maximum(linear, _STRAIGHT)))


def srgb_from_linear_torch(light: Tensor) -> Tensor:
    """Encode linear values in [0, 1] as :func:`srgb_from_linear` does, of tensors."""
    return (12.92 * light).where(light <= _STRAIGHT, _curve(light.clamp_min(_STRAIGHT)))


def _curve(light: Any) -> Any:
    """Return sRGB's curve above the straight line."""
    return 1.055 * light ** (1 / 2.4) - 0.055


def linear_from_srgb(color: ArrayLike) -> FloatArray:
    """Decode sRGB-encoded values in [0, 1] to linear ones."""
    encoded = np.asarray(color, dtype=np.float64)
    return np.where(encoded <= 0.04045, encoded / 12.92, ((encoded + 0.055) / 1.055) ** 2.4)
