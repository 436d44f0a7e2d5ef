"""Materials for renderers that light surfaces by Phong's model, as MuJoCo's OpenGL and mujoco_warp do."""

from __future__ import annotations

from typing import Any

import numpy as np

from vision.color import srgb_from_linear
from vision.geometry.rotations import FloatArray

NON_METAL_REFLECTANCE = 0.04
_COLOURLESS_REFLECTION = 0.016  # measured in Filament's images
_MAX_EXPONENT = 128.0  # of a highlight at shininess 1


def reflected(linear: FloatArray) -> FloatArray:
    """Return the sRGB-encoded colour of surfaces with a linear colour, both (..., 3).

    Every surface reflects some light whatever its colour; without it, a saturated colour would be purer than in
    Filament.
    """
    return srgb_from_linear(np.minimum(linear + _COLOURLESS_REFLECTION, 1.0))


def highlight(roughness: FloatArray, reflectance: Any) -> tuple[FloatArray, FloatArray]:
    """Return shininess and specular colour for a roughness and a reflectance at normal incidence, all in [0, 1]."""
    exponent = np.clip(2.0 / np.maximum(roughness, 0.05) ** 4 - 2.0, 1.0, _MAX_EXPONENT)
    return exponent / _MAX_EXPONENT, np.clip(reflectance * (exponent + 8.0) / 8.0, 0.0, 1.0)
