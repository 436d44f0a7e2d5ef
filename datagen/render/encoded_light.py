"""Light for renderers that add it up in sRGB-encoded values, as MuJoCo's OpenGL and mujoco_warp do."""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import numpy as np

from datagen.pictures.dominant_lights import dominant_lights
from datagen.pictures.surroundings import resized, solid_angles
from datagen.pictures.surroundings_pool import SurroundingsUse
from datagen.render.phong import GAMMA
from vision.geometry.rotations import FloatArray

# As measured in Filament's pictures; tests/render holds the two renderers to each other.
SKY = 0.146
"""Linear brightness of a white surface under the sky only."""
_PER_UNIT = 0.130  # linear brightness of a white surface, per unit of light from 1 m that falls straight on it
_MEAN_COSINE = 0.6  # between the lights of a half-sphere and a surface that most of them reach


def encoded_light(position: FloatArray, intensity: FloatArray) -> tuple[float, FloatArray]:
    """Light for a renderer that adds it up in sRGB-encoded values, as bright as a linear renderer's.

    Encoding the sum is not the sum of encodings, so they agree at one point: on a surface that sees every light at the
    mean cosine of a half-sphere.

    Args:
        position: positions of the lights, metres from where they aim, (L, 3).
        intensity: intensities in Unity's units, (L,).

    Returns:
        Ambient light, and each light's own (L,).
    """
    return encode_lights(SKY, linear_light(position, intensity))


def linear_light(position: FloatArray, intensity: FloatArray) -> FloatArray:
    """Brightness (L,) of a white surface that faces a light, as seen in Filament's pictures."""
    brightness: FloatArray = _PER_UNIT * intensity / (position**2).sum(axis=1)
    return brightness


def encode_lights(ambient_linear: Any, linear: FloatArray) -> tuple[Any, FloatArray]:
    """Ambient light and lights (L, ...) so that encoded values add up to the encoding of the sum, see above."""
    ambient = ambient_linear ** (1.0 / GAMMA)
    total = linear.sum(axis=0)
    encoded = ((ambient_linear + _MEAN_COSINE * total) ** (1.0 / GAMMA) - ambient) / _MEAN_COSINE
    return ambient, encoded * linear / np.where(total > 0, total, 1.0)


class MainLights(NamedTuple):
    """What surroundings are to a renderer that has but a few lights.

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
    """The surroundings as at most ``count`` lights, and what is left."""
    towards, lights, rest = dominant_lights(resized(use.surroundings().radiance, 64), count)
    ambient = (rest * solid_angles(len(rest))[..., None]).sum(axis=(0, 1)) / (4 * np.pi)
    return MainLights(towards, lights, ambient.astype(np.float64))
