"""Surroundings and far lights as one picture from all sides, in the form that Filament lights by.

A surface asks such a picture two things at a cost that does not grow with the lights: how much light falls on a matt
surface of this direction (nine spherical harmonics; Ramamoorthi and Hanrahan, "An Efficient Representation for
Irradiance Environment Maps", 2001), and what a glossy one reflects from there (a cube map, a level for each roughness,
blurred by the lobe of GGX with surface, viewer and reflection in line; Karis, "Real Shading in Unreal Engine 4", 2013).
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from datagen.pictures.surroundings import Map, radiance_towards, resized, solid_angles
from datagen.pictures.surroundings import directions as map_directions
from vision.geometry.rotations import FloatArray

SIZE = 32  # pixels of a face at roughness 0
SKY_SIZE = 128  # and of one that is seen
KTX = b"\xabKTX 11\xbb\r\n\x1a\n"
"""How such a file begins."""
_BRIGHTEST = 60_000.0  # half precision has no more
LEVELS = 5  # the last has 2: at roughness 1 a lobe is a half-sphere
# Filament's y points up where the world's z does.
_FROM_WORLD = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, -1.0, 0.0]])


class Blurring(NamedTuple):
    """How an engine looks into a cube map with a level for each roughness.

    Attributes:
        size: pixels of a face at roughness 0.
        levels: each half as wide as the last.
        sharp: so many of them have lobes hardly wider than a pixel.
        roughness: perceptual, of each level.
        from_world: rotation or reflection into the engine's frame, (3, 3).
    """

    size: int
    levels: int
    sharp: int
    roughness: Callable[[int], float]
    from_world: FloatArray

    def alpha(self, level: int) -> float:
        """Width of GGX of a level: not so sharp as to fall between its pixels."""
        return max(self.roughness(level) ** 2, np.pi / 4 / (self.size >> level))


# For the perceptual roughness r, Filament takes level (LEVELS - 1) r (2 - r).
FILAMENT = Blurring(SIZE, LEVELS, 2, lambda level: 1.0 - float(np.sqrt(1.0 - level / (LEVELS - 1))), _FROM_WORLD)


@dataclass(frozen=True, eq=False)
class Environment:
    """What surroundings send out, blurred as an engine wants it.

    Attributes:
        levels: for each roughness, (6, n, n, 3) or, of an even sky, one number.
        harmonics: what a white matt surface sends out, (9, 3), see :func:`harmonics`.
    """

    levels: tuple[FloatArray | float, ...]
    harmonics: FloatArray


EVEN_SKY = Environment((1.0,) * LEVELS, np.eye(9)[0][:, None])
"""White, of radiance 1."""


def prefiltered(radiance: Map, blurring: Blurring = FILAMENT) -> Environment:
    """The environment of a map (H, 2 H, 3), world frame, in the frame of the engine."""
    coarse = resized(radiance, 32).astype(np.float64)
    towards = map_directions(32).reshape(-1, 3) @ blurring.from_world.T
    light = (coarse * solid_angles(32)[..., None]).reshape(-1, 3)
    levels: list[FloatArray | float] = []
    for level in range(blurring.levels):
        size = blurring.size >> level
        pixels = _pixel_directions(size)
        if level < blurring.sharp:
            rows = min(2 * size, len(radiance))
            levels.append(cube_map(resized(radiance, rows), size, blurring.from_world))
            continue
        lobes = _lobe(pixels @ towards.T, blurring.alpha(level))
        # Pixels of the map are few for the narrower lobes: an even sky stays what it is.
        even = lobes @ np.repeat(solid_angles(32)[:, 0], 64)
        levels.append(lobes @ light / even[..., None])
    return Environment(tuple(levels), harmonics(towards, light))


def cube_map(radiance: Map, size: int, from_world: FloatArray = _FROM_WORLD) -> FloatArray:
    """A map (H, 2 H, 3), world frame, on the faces of a cube, (6, size, size, 3); for both of MuJoCo's renderers, or in
    another frame."""
    return radiance_towards(radiance, _pixel_directions(size) @ from_world).astype(np.float64)


def seen_sky(radiance: Map) -> bytes:
    """A KTX file of a map (H, 2 H, 3), world frame, as it is seen."""
    return _ktx([cube_map(radiance, SKY_SIZE)], EVEN_SKY.harmonics)


def environment_map(directions: FloatArray, illuminance: FloatArray, environment: Environment = EVEN_SKY) -> bytes:
    """A KTX file of surroundings, and of white lights so far away that each is a direction.

    Args:
        directions: towards the lights, unit vectors of the world frame (z up), (N, 3).
        illuminance: of each on a surface that faces it, in units of the surroundings' radiance, (N,).
        environment: the surroundings.

    Returns:
        Version 1 of the format: cube map in RGBA of half precision, harmonics in the key "sh".
    """
    directions = directions @ _FROM_WORLD.T
    levels = []
    for level, around in enumerate(environment.levels):
        size = SIZE >> level
        cosines = _pixel_directions(size) @ directions.T
        levels.append(around + (_lobe(cosines, FILAMENT.alpha(level)) @ illuminance)[..., None])
    return _ktx(levels, environment.harmonics + harmonics(directions, illuminance[:, None]))


def harmonics(directions: FloatArray, illuminance: FloatArray) -> FloatArray:
    """What a white matt surface sends out: each light's clamped cosine over pi, to second order, (9, K).

    In Filament's and Unity's order and scale, for the normal n: 1, y, z, x, xy, yz, 3zz - 1, zx, xx - yy.

    Args:
        directions: towards the lights, unit vectors, (N, 3).
        illuminance: of each, (N, K).
    """
    x, y, z = directions.T
    one, second = np.ones_like(x) / 4, 5.0 / 32.0
    each = [
        *(one, y / 2, z / 2, x / 2),
        *(second * 6 * x * y, second * 6 * y * z, second * (3 * z * z - 1) / 2),
        *(second * 6 * z * x, second * 1.5 * (x * x - y * y)),
    ]
    return np.array(each) @ illuminance / np.pi


def _lobe(cosines: FloatArray, alpha: float) -> FloatArray:
    """Radiance reflected towards a direction, per illuminance of a light at ``cosines`` from it."""
    return _unnormalised_lobe(cosines, alpha) / _lobe_integral(alpha)


def _unnormalised_lobe(cosines: FloatArray, alpha: float) -> FloatArray:
    """GGX for the half vector, times the light's cosine."""
    half_squared = (1.0 + cosines) / 2
    spread = half_squared * (alpha**2 - 1.0) + 1.0
    return np.maximum(cosines, 0.0) * alpha**2 / spread**2


@cache
def _lobe_integral(alpha: float) -> float:
    """Over the sphere: an even sky looks the same at every roughness."""
    angle = np.linspace(0.0, np.pi / 2, 4001)
    return float(2 * np.pi * np.trapezoid(_unnormalised_lobe(np.cos(angle), alpha) * np.sin(angle), angle))


@cache
def _pixel_directions(size: int) -> FloatArray:
    """Unit vectors through the pixels of the faces +x -x +y -y +z -z, as OpenGL has them, (6, size, size, 3)."""
    middles = (np.arange(size) + 0.5) / size * 2 - 1
    s, t = np.meshgrid(middles, middles)
    one = np.ones_like(s)
    faces = [(one, -t, -s), (-one, -t, s), (s, one, t), (s, -one, -t), (s, -t, one), (-s, -t, -one)]
    directions = np.stack([np.stack(face, axis=-1) for face in faces])
    unit: FloatArray = directions / np.linalg.norm(directions, axis=-1, keepdims=True)
    return unit


def _ktx(levels: list[FloatArray], coefficients: FloatArray) -> bytes:
    """Levels (6, n, n, 1 or 3), each half as wide as the last, and harmonics (9, 1 or 3), as a file."""
    text = "\n".join("{:.7g} {:.7g} {:.7g}".format(*row) for row in np.broadcast_to(coefficients, (9, 3)))
    pair = b"sh\0" + text.encode() + b"\0"
    pair = struct.pack("<I", len(pair)) + pair
    pair += b"\0" * (-len(pair) % 4)
    half_float, rgba, rgba16f = 0x140B, 0x1908, 0x881A  # OpenGL's names
    faces, endianness = 6, 0x04030201
    size = levels[0].shape[1]
    parts = [
        KTX,
        struct.pack("<6I", endianness, half_float, 2, rgba, rgba16f, rgba),
        struct.pack("<7I", size, size, 0, 0, faces, len(levels), len(pair)),
        pair,
    ]
    for level in levels:
        pixels: NDArray[np.float16] = np.ones((*level.shape[:3], 4), dtype=np.float16)
        pixels[..., :3] = np.minimum(level, _BRIGHTEST)
        parts += [struct.pack("<I", pixels[0].nbytes), pixels.tobytes()]
    return b"".join(parts)
