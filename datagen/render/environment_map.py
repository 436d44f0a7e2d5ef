"""Surroundings and far lights as one environment map, in the form that Filament uses for lighting.

A surface looks up two things in such a map, at a cost that does not grow with the number of lights: how much light
falls on a matt surface of this direction (nine spherical harmonics; Ramamoorthi and Hanrahan, "An Efficient
Representation for Irradiance Environment Maps", 2001), and what a glossy one reflects from there (a cube map with a
level for each roughness, blurred by the GGX lobe with surface, viewer and reflection in line; Karis, "Real Shading in
Unreal Engine 4", 2013).
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
SKY_SIZE = 128  # pixels of a face that cameras see
KTX = b"\xabKTX 11\xbb\r\n\x1a\n"
"""First bytes of a KTX file."""
_BRIGHTEST = 60_000.0  # near the limit of half precision
LEVELS = 5  # the last has 2 pixels: at roughness 1 a lobe is a half-sphere
# Filament's y axis points up, the world's z axis does.
_FROM_WORLD = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, -1.0, 0.0]])


class Blurring(NamedTuple):
    """Layout of an engine's cube map, which has a level for each roughness.

    Attributes:
        size: pixels of a face at roughness 0.
        levels: number of levels, each half as wide as the one before.
        sharp: number of levels whose lobes are hardly wider than a pixel.
        roughness: perceptual roughness of each level.
        from_world: rotation or reflection into the engine's frame, (3, 3).
    """

    size: int
    levels: int
    sharp: int
    roughness: Callable[[int], float]
    from_world: FloatArray

    def alpha(self, level: int) -> float:
        """Return the GGX width of a level, bounded so that a lobe does not fall between pixels."""
        return max(self.roughness(level) ** 2, np.pi / 4 / (self.size >> level))


# For the perceptual roughness r, Filament takes level (LEVELS - 1) r (2 - r).
FILAMENT = Blurring(SIZE, LEVELS, 2, lambda level: 1.0 - float(np.sqrt(1.0 - level / (LEVELS - 1))), _FROM_WORLD)


@dataclass(frozen=True, eq=False)
class ImageBasedLight:
    """Light of the surroundings, blurred for the image-based lighting of an engine.

    Attributes:
        levels: radiance for each roughness, (6, n, n, 3); one number for an even sky.
        harmonics: radiance of a white matt surface, (9, 3), see :func:`harmonics`.
    """

    levels: tuple[FloatArray | float, ...]
    harmonics: FloatArray


EVEN_SKY = ImageBasedLight((1.0,) * LEVELS, np.eye(9)[0][:, None])
"""Even white sky of radiance 1."""


def prefiltered(radiance: Map, blurring: Blurring = FILAMENT) -> ImageBasedLight:
    """Blur a map (H, 2 H, 3) in the world frame into an environment in the engine's frame."""
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
        # Narrow lobes cover few pixels of the map; normalising keeps an even sky even.
        even = lobes @ np.repeat(solid_angles(32)[:, 0], 64)
        levels.append(lobes @ light / even[..., None])
    return ImageBasedLight(tuple(levels), harmonics(towards, light))


def cube_map(radiance: Map, size: int, from_world: FloatArray = _FROM_WORLD) -> FloatArray:
    """Project a map (H, 2 H, 3) in the world frame onto a cube's faces (6, size, size, 3), in the frame of both of
    MuJoCo's renderers or in another."""
    return radiance_towards(radiance, _pixel_directions(size) @ from_world).astype(np.float64)


def seen_sky(radiance: Map) -> bytes:
    """Encode a map (H, 2 H, 3) in the world frame as a KTX file of what cameras see."""
    return _ktx([cube_map(radiance, SKY_SIZE)], EVEN_SKY.harmonics)


def environment_map(directions: FloatArray, illuminance: FloatArray, environment: ImageBasedLight = EVEN_SKY) -> bytes:
    """Encode surroundings, and white lights so far away that each is a direction, as a KTX file.

    Args:
        directions: towards the lights, unit vectors of the world frame (z up), (N, 3).
        illuminance: illuminance by each on a surface that faces it, in units of the surroundings' radiance, (N,).
        environment: the surroundings.

    Returns:
        File in version 1 of the format: an RGBA cube map in half precision, with the harmonics under the key "sh".
    """
    directions = directions @ _FROM_WORLD.T
    levels = []
    for level, around in enumerate(environment.levels):
        size = SIZE >> level
        cosines = _pixel_directions(size) @ directions.T
        levels.append(around + (_lobe(cosines, FILAMENT.alpha(level)) @ illuminance)[..., None])
    return _ktx(levels, environment.harmonics + harmonics(directions, illuminance[:, None]))


def harmonics(directions: FloatArray, illuminance: FloatArray) -> FloatArray:
    """Compute the radiance of a white matt surface: each light's clamped cosine over pi, to second order, (9, K).

    Order and scale are Filament's and Unity's, for the normal n: 1, y, z, x, xy, yz, 3zz - 1, zx, xx - yy.

    Args:
        directions: towards the lights, unit vectors, (N, 3).
        illuminance: illuminance by each, (N, K).
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
    """Return the radiance reflected towards a direction, per illuminance of a light at ``cosines`` from it."""
    return _unnormalised_lobe(cosines, alpha) / _lobe_integral(alpha)


def _unnormalised_lobe(cosines: FloatArray, alpha: float) -> FloatArray:
    """Return GGX for the half vector, times the light's cosine."""
    half_squared = (1.0 + cosines) / 2
    spread = half_squared * (alpha**2 - 1.0) + 1.0
    return np.maximum(cosines, 0.0) * alpha**2 / spread**2


@cache
def _lobe_integral(alpha: float) -> float:
    """Integrate the lobe over the sphere, so that an even sky looks the same at every roughness."""
    angle = np.linspace(0.0, np.pi / 2, 4001)
    return float(2 * np.pi * np.trapezoid(_unnormalised_lobe(np.cos(angle), alpha) * np.sin(angle), angle))


@cache
def _pixel_directions(size: int) -> FloatArray:
    """Return unit vectors (6, size, size, 3) through the pixels of OpenGL's faces +x -x +y -y +z -z."""
    middles = (np.arange(size) + 0.5) / size * 2 - 1
    s, t = np.meshgrid(middles, middles)
    one = np.ones_like(s)
    faces = [(one, -t, -s), (-one, -t, s), (s, one, t), (s, -one, -t), (s, -t, one), (-s, -t, -one)]
    directions = np.stack([np.stack(face, axis=-1) for face in faces])
    unit: FloatArray = directions / np.linalg.norm(directions, axis=-1, keepdims=True)
    return unit


def _ktx(levels: list[FloatArray], coefficients: FloatArray) -> bytes:
    """Encode levels (6, n, n, 1 or 3), each half as wide as the one before, and harmonics (9, 1 or 3) as a file."""
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
