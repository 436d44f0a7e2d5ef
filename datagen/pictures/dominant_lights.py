"""Dominant lights of an environment map, for renderers that cannot use the map itself for lighting."""

from __future__ import annotations

import numpy as np

from datagen.pictures.surroundings import LUMINANCE, Map, directions, solid_angles
from vision.geometry.rotations import FloatArray

_CONE = np.cos(np.deg2rad(20.0))  # pixels closer to a light's centre belong to it
_BRIGHT = 4.0  # least luminance of a light, relative to the mean


def dominant_lights(radiance: Map, count: int) -> tuple[FloatArray, FloatArray, Map]:
    """Extract at most ``count`` lights, the strongest first, and return the rest of the map without them.

    Lights and rest together emit as much as the map. Bright pixels that belong to no light stay in the rest.

    Returns:
        Directions towards the lights, unit vectors of the world frame (N, 3); the illuminance of each on a surface that
        faces it, in units of the map's radiance, per channel (N, 3); the rest (H, 2 H, 3).
    """
    height = len(radiance)
    towards, solid = directions(height), solid_angles(height)
    rest = radiance.astype(np.float64)
    level = _BRIGHT * float((rest @ LUMINANCE * solid).sum() / (4 * np.pi))
    found, strengths = [], []
    for _ in range(count):
        luminance = rest @ LUMINANCE
        peak = np.unravel_index(int(luminance.argmax()), luminance.shape)
        if luminance[peak] <= level * (1 + 1e-6):  # the remainder of a light has this level
            break
        near = (towards @ towards[peak] > _CONE) & (luminance > level)
        # Reduce to the level of a bright wall, so that no hole is left in place of the light.
        taken = np.where(near[..., None], rest * (1 - level / np.maximum(luminance, level))[..., None], 0.0)
        middle = np.einsum("hw,hwd->d", taken @ LUMINANCE * solid, towards)
        found.append(middle / np.linalg.norm(middle))
        strengths.append((taken * solid[..., None]).sum(axis=(0, 1)))
        rest -= taken
    order = np.argsort([-float(strength @ LUMINANCE) for strength in strengths], kind="stable")
    return (
        np.array(found).reshape(-1, 3)[order],
        np.array(strengths).reshape(-1, 3)[order],
        rest.astype(np.float32),
    )
