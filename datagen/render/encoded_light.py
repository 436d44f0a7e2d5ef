"""Light for renderers that add light in sRGB-encoded values, as MuJoCo's OpenGL and mujoco_warp do."""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import numpy as np

from datagen.pictures.dominant_lights import dominant_lights
from datagen.pictures.surroundings import resized, solid_angles
from datagen.pictures.surroundings_pool import SurroundingsUse
from vision.color import GAMMA
from vision.geometry.rotations import FloatArray

# Measured in Filament's images; tests/render compares the two renderers.
SKY = 0.146
"""Linear brightness of a white surface under the sky alone."""
_PER_UNIT = 0.130  # linear brightness of a white surface, per unit of light from 1 m that falls straight on it
_MEAN_COSINE = 0.6  # between the lights of a half-sphere and a surface that most of them reach


def encoded_light(position: FloatArray, intensity: FloatArray) -> tuple[float, FloatArray]:
    """Compute light, as bright as a linear renderer's, for a renderer that adds light in sRGB-encoded values.

    Encoding a sum differs from adding encodings, so the two agree at one point: on a surface that sees every light at
    the mean cosine of a half-sphere.

    Args:
        position: positions of the lights relative to the point they aim at, metres, (L, 3).
        intensity: intensities in Unity's units, (L,).

    Returns:
        Ambient light, and the light of each (L,).
    """
    return encode_lights(SKY, linear_light(position, intensity))


def linear_light(position: FloatArray, intensity: FloatArray) -> FloatArray:
    """Return the brightness (L,) of a white surface that faces each light, as measured in Filament's images."""
    brightness: FloatArray = _PER_UNIT * intensity / (position**2).sum(axis=1)
    return brightness


def encode_lights(ambient_linear: Any, linear: FloatArray) -> tuple[Any, FloatArray]:
    """Return ambient light and lights (L, ...) whose encoded values add up to the encoding of the sum, see
    :func:`encoded_light`."""
    ambient = ambient_linear ** (1.0 / GAMMA)
    total = linear.sum(axis=0)
    encoded = ((ambient_linear + _MEAN_COSINE * total) ** (1.0 / GAMMA) - ambient) / _MEAN_COSINE
    return ambient, encoded * linear / np.where(total > 0, total, 1.0)


class MainLights(NamedTuple):
    """Approximation of surroundings for a renderer with only a few lights.

    Attributes:
        directions: towards the lights, unit vectors of the world frame, (N, 3).
        lights: illuminance of each on a surface that faces it, in units of the map's radiance, (N, 3).
        ambient: mean radiance of the rest, (3,).
    """

    directions: FloatArray
    lights: FloatArray
    ambient: FloatArray


@functools.lru_cache(maxsize=128)
def main_lights(use: SurroundingsUse, count: int) -> MainLights:
    """Approximate surroundings by at most ``count`` lights and ambient light; of ``use`` the ``turned_map``."""
    towards, lights, rest = dominant_lights(resized(use.surroundings().radiance, 64), count)
    ambient = (rest * solid_angles(len(rest))[..., None]).sum(axis=(0, 1)) / (4 * np.pi)
    return MainLights(towards, lights, ambient.astype(np.float64))
