"""The few lights that matter in a map, for renderers that light by lights and not by pictures."""

from __future__ import annotations

import numpy as np

from datagen.pictures.surroundings import LUMINANCE, Map, directions, solid_angles
from vision.geometry.rotations import FloatArray

_CONE = np.cos(np.deg2rad(20.0))  # what lies closer to a light's middle belongs to it
_BRIGHT = 4.0  # times the mean luminance: less is no light of its own


def dominant_lights(radiance: Map, count: int) -> tuple[FloatArray, FloatArray, Map]:
    """At most so many lights, the strongest first, and what is left of the map without them.

    Lights and rest together send out what the map does. What is bright and ends up in no light stays in the rest.

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
        if luminance[peak] <= level * (1 + 1e-6):  # what is left of a light is as bright as that
            break
        near = (towards @ towards[peak] > _CONE) & (luminance > level)
        # Down to the level of a bright wall, so that no hole is left where the light was.
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
