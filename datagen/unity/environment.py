"""Surroundings as a picture sent to a Unity player: the visible sky, and the light for surfaces.

Everything is in Unity's frame (x right, y up, z forward; the world with y and z exchanged). Little-endian:

    magic "UVEM", u16 pixels of a face S, u16 levels; float32 harmonics (9, 3), see `harmonics`; then, of each level n
    pixels wide, half floats (6, n, n, 4): red, green, blue and 1 of the faces +x -x +y -y +z -z, as graphics devices
    have them in memory. Level 0 is the visible sky; the others are blurred for rougher surfaces, each half as wide.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from datagen.pictures.surroundings import Map
from datagen.render.environment_map import Blurring, prefiltered
from vision.geometry.rotations import FloatArray

MAGIC = b"UVEM"
_HEADER = struct.Struct("<4sHH")
_SIZE, _LEVELS = 128, 8
_BRIGHTEST = 60_000.0  # near the limit of half precision
_ROUGHEST = 6  # Unity's level of roughness 1


def _roughness(level: int) -> float:
    """Return the perceptual roughness r of a level, inverting 6 r (1.7 - 0.7 r) of Unity's Standard shader."""
    return (1.7 - float(np.sqrt(1.7**2 - 4 * 0.7 * min(level, _ROUGHEST) / _ROUGHEST))) / (2 * 0.7)


UNITY = Blurring(_SIZE, _LEVELS, 3, _roughness, np.eye(3)[[0, 2, 1]])


@dataclass(frozen=True, eq=False)
class EnvironmentPicture:
    """Picture of surroundings for a player.

    Attributes:
        harmonics: radiance of a white matt surface as spherical harmonics, (9, 3).
        levels: cube map of each level, float16 (6, n, n, 4).
    """

    harmonics: FloatArray
    levels: tuple[NDArray[np.float16], ...]

    @classmethod
    def of(cls, radiance: Map) -> EnvironmentPicture:
        """Build the picture of a map (H, 2 H, 3) in the world frame."""
        found = prefiltered(radiance, UNITY)
        levels = []
        for level in found.levels:
            pixels = np.ones((*np.shape(level)[:3], 4), dtype="<f2")
            pixels[..., :3] = np.minimum(level, _BRIGHTEST)
            levels.append(pixels)
        return cls(found.harmonics, tuple(levels))

    def encode(self) -> bytes:
        header = _HEADER.pack(MAGIC, self.levels[0].shape[1], len(self.levels))
        return b"".join([header, self.harmonics.astype("<f4").tobytes(), *(level.tobytes() for level in self.levels)])
