"""Procedural surroundings of the scene as environment maps: rooms, studios and skies.

A map is equirectangular, float32 (H, 2 H, 3), linear radiance with the sRGB primaries. Its rows go from straight up to
straight down, its middle column looks along the world's +x, and columns to the right look further to the right, along
-y first: seen from the inside it is not mirrored. Radiances are relative: their mean luminance over the sphere is 1,
that of the even white sky that renderers use without a map.
"""

from __future__ import annotations

import colorsys
import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from datagen.pictures.textures import spectral_noise
from datagen.variation import unit_vector
from vision.geometry.rotations import FloatArray

Map = NDArray[np.float32]
LUMINANCE = np.array([0.2126, 0.7152, 0.0722])
_HAND_HEIGHT = 0.9  # metres above a room's floor


@dataclass(frozen=True, eq=False)
class Surroundings:
    """Map with the name under which samples store it: the kind or the file, and a hash."""

    name: str
    radiance: Map


def draw_surroundings(rng: np.random.Generator, height: int, kind: str) -> Surroundings:
    """Draw surroundings of a kind, a key of ``KINDS``, in any orientation, with ``height`` rows."""
    radiance = normalised(KINDS[kind](rng, directions(height)))
    return Surroundings(f"{kind}-{hashlib.blake2b(radiance.tobytes(), digest_size=8).hexdigest()}", radiance)


@cache
def directions(height: int) -> FloatArray:
    """Return unit vectors through the pixels' centres, world frame, (H, 2 H, 3)."""
    polar = np.pi * (np.arange(height) + 0.5) / height
    azimuth = np.pi - 2 * np.pi * (np.arange(2 * height) + 0.5) / (2 * height)
    sine = np.sin(polar)[:, None]
    up = np.broadcast_to(np.cos(polar)[:, None], (height, 2 * height))
    found = np.stack([sine * np.cos(azimuth), sine * np.sin(azimuth), up], axis=-1)
    found.flags.writeable = False
    return found


@cache
def solid_angles(height: int) -> FloatArray:
    """Return solid angles of the pixels, (H, 1); over all columns they add up to the sphere."""
    edges = np.cos(np.pi * np.arange(height + 1) / height)
    found = (edges[:-1] - edges[1:])[:, None] * np.pi / height
    found.flags.writeable = False
    return found


def normalised(radiance: FloatArray) -> Map:
    """Scale a map (H, 2 H, 3) to a mean luminance of 1; a map without light stays black."""
    height = len(radiance)
    mean = float((radiance @ LUMINANCE * solid_angles(height)).sum() / (4 * np.pi))
    return (radiance / max(mean, 1e-12)).astype(np.float32)


def turned(radiance: Map, turns: float) -> Map:
    """Rotate the map about the vertical by a fraction of a turn, counter-clockwise from above, in whole columns."""
    return np.roll(radiance, -round(turns * radiance.shape[1]), axis=1)


def radiance_towards(radiance: Map, towards: FloatArray) -> NDArray[np.float32]:
    """Return the interpolated radiance (..., 3) along directions (..., 3)."""
    height, width = radiance.shape[:2]
    unit = towards / np.linalg.norm(towards, axis=-1, keepdims=True)
    row = np.arccos(np.clip(unit[..., 2], -1, 1)) / np.pi * height - 0.5
    column = (np.pi - np.arctan2(unit[..., 1], unit[..., 0])) / (2 * np.pi) * width - 0.5
    top, left = np.floor(row), np.floor(column)
    down, right = (row - top)[..., None], (column - left)[..., None]
    rows = np.clip(np.stack([top, top + 1]), 0, height - 1).astype(int)
    columns = np.stack([left, left + 1]).astype(int) % width
    upper, lower = ((1 - right) * radiance[line, columns[0]] + right * radiance[line, columns[1]] for line in rows)
    image: NDArray[np.float32] = ((1 - down) * upper + down * lower).astype(np.float32)
    return image


def resized(radiance: FloatArray | Map, height: int) -> Map:
    """Resize a map to ``height`` rows and twice as many columns; a reduced map has the mean of the pixels in each."""
    import cv2  # late: importing it takes a third of a second, and most images have no map

    return np.asarray(
        cv2.resize(radiance.astype(np.float32), (2 * height, height), interpolation=cv2.INTER_AREA), np.float32
    )


def _room(rng: np.random.Generator, towards: FloatArray) -> FloatArray:
    """Draw a box with lamps under the ceiling, windows, monitors and furniture along the walls."""
    size = np.array([rng.uniform(3, 8), rng.uniform(3, 8), rng.uniform(2.4, 3.5)])
    place = np.array([*(rng.uniform(0.25, 0.75, 2) * size[:2]), _HAND_HEIGHT])
    turn = rng.uniform(0, 2 * np.pi)
    cosine, sine = np.cos(turn), np.sin(turn)
    rays = towards @ np.array([[cosine, -sine, 0], [sine, cosine, 0], [0, 0, 1.0]])
    with np.errstate(divide="ignore"):
        distance = np.where(rays > 0, (size - place) / rays, -place / rays)
    axis = np.argmin(np.where(rays == 0, np.inf, distance), axis=-1)
    hit = place + rays * np.take_along_axis(distance, axis[..., None], axis=-1)
    side = 2 * axis + (np.take_along_axis(rays, axis[..., None], axis=-1)[..., 0] > 0)  # -x +x -y +y floor ceiling
    wall, floor, ceiling = _paint(rng), _paint(rng, dark=0.5), _paint(rng, light=0.6)
    colors = np.stack([wall, wall, _paint(rng) if rng.random() < 0.3 else wall, wall, floor, ceiling])
    image: FloatArray = colors[side] * _unevenness(rng, towards)
    if rng.random() < 0.4:  # tiles
        tile = rng.uniform(0.2, 0.8)
        odd = (np.floor(hit[..., 0] / tile) + np.floor(hit[..., 1] / tile)) % 2 == 1
        image[(side == 4) & odd] *= rng.uniform(0.4, 1.0)

    def panel(number: int, low: tuple[float, float], high: tuple[float, float], light: FloatArray) -> None:
        """Draw a rectangle on a side, given in fractions of its width and height."""
        kept = [other for other in range(3) if other != number // 2]
        u, v = (hit[..., other] / size[other] for other in kept)
        inside = (side == number) & (u > low[0]) & (u < high[0]) & (v > low[1]) & (v < high[1])
        image[inside] = light

    for _ in range(rng.integers(2, 7)):  # furniture
        left, width = rng.uniform(0, 0.9), rng.uniform(0.05, 0.4)
        panel(int(rng.integers(4)), (left, 0), (left + width, rng.uniform(0.2, 0.7)), _paint(rng))
    for _ in range(rng.integers(0, 4)):  # windows
        left, low = rng.uniform(0.05, 0.6), rng.uniform(0.3, 0.5)
        high = (left + rng.uniform(0.15, 0.35), low + rng.uniform(0.2, 0.4))
        panel(int(rng.integers(4)), (left, low), high, rng.uniform(3, 25) * _white(rng, 0.25))
    for _ in range(rng.integers(0, 3)):  # monitors
        left, low = rng.uniform(0.1, 0.8), rng.uniform(0.25, 0.4)
        panel(int(rng.integers(4)), (left, low), (left + 0.1, low + 0.12), rng.uniform(0.5, 3) * _white(rng, 0.6))
    for _ in range(rng.integers(1, 7)):  # lamps under the ceiling
        (u, v), (width, depth) = rng.uniform(0.05, 0.85, 2), rng.uniform(0.03, 0.25, 2)
        panel(5, (u, v), (u + width, v + depth), rng.uniform(10, 80) * _white(rng, 0.3))
    return image


def _studio(rng: np.random.Generator, towards: FloatArray) -> FloatArray:
    """Draw softboxes and lamps in front of a plain backdrop."""
    floor, top = (rng.uniform(0.02, 0.6) * _white(rng, 0.3) for _ in range(2))
    blend = (towards[..., 2:] + 1) / 2
    image = (floor + (top - floor) * blend) * _unevenness(rng, towards)
    for _ in range(rng.integers(1, 6)):
        centre = unit_vector(rng)
        centre[2] = abs(centre[2])
        across = np.cross(centre, unit_vector(rng))
        across /= np.linalg.norm(across)
        along = towards @ centre
        u, v = (towards @ axis / np.maximum(along, 1e-6) for axis in (across, np.cross(centre, across)))
        width, height = rng.uniform(0.05, 0.6, 2)
        edge = rng.uniform(0.02, 0.3) * min(width, height)
        inside = np.clip((width - np.abs(u)) / edge, 0, 1) * np.clip((height - np.abs(v)) / edge, 0, 1)
        image += ((along > 0) * inside)[..., None] * rng.uniform(3, 40) * _white(rng, 0.3)
    return image


def _sky(rng: np.random.Generator, towards: FloatArray) -> FloatArray:
    """Draw open air: a sky between horizon and zenith, clouds, perhaps the sun, and the ground."""
    up = towards[..., 2:]
    hue = rng.uniform(0.52, 0.64)
    zenith = np.array(colorsys.hsv_to_rgb(hue, rng.uniform(0.2, 0.8), rng.uniform(0.3, 1.0)))
    horizon = rng.uniform(0.7, 1.5) * _white(rng, 0.25)
    image = horizon + (zenith - horizon) * np.clip(up, 0, 1) ** rng.uniform(0.3, 0.8)
    clouds = np.clip((_around(rng, towards, 1.6) - rng.uniform(0.3, 0.8)) * 4, 0, 1)[..., None] * (up > 0)
    image += clouds * (rng.uniform(0.6, 1.6) - image)
    if rng.random() < 0.6:
        sun = unit_vector(rng)
        sun[2] = max(abs(sun[2]), 0.05)
        radius, strength = np.deg2rad(rng.uniform(1.0, 4.0)), rng.uniform(0.3, 3.0)
        cosine = towards @ sun
        # Its light, a multiple of the sky's, does not depend on its size.
        image += (cosine > np.cos(radius))[..., None] * strength * np.pi / (np.pi * radius**2) * _white(rng, 0.2)
        image += (0.3 * strength * np.clip(cosine, 0, 1) ** 64)[..., None]
    ground = 0.6 * _paint(rng) * _unevenness(rng, towards)
    return np.where(up < 0, ground, image)


KINDS: dict[str, Callable[[np.random.Generator, FloatArray], FloatArray]] = {
    "room": _room,
    "studio": _studio,
    "sky": _sky,
}


def _around(rng: np.random.Generator, towards: FloatArray, slope: float) -> FloatArray:
    """Draw noise (H, W) over [0, 1] that wraps around the vertical; features are as wide as high at the horizon."""
    height = len(towards)
    return spectral_noise(rng, 2 * height, slope)[:height]


def _unevenness(rng: np.random.Generator, towards: FloatArray) -> FloatArray:
    """Draw factors (H, W, 1) around 1, because light and paint are never quite even."""
    return 1.0 + rng.uniform(0.1, 0.6) * (_around(rng, towards, rng.uniform(1.0, 2.0))[..., None] - 0.5)


def _paint(rng: np.random.Generator, dark: float = 0.9, light: float = 0.05) -> FloatArray:
    """Draw the light reflected by a painted surface, mostly pale, sometimes coloured."""
    return np.array(colorsys.hsv_to_rgb(rng.uniform(), rng.beta(1, 3), 1.0)) * rng.uniform(light, max(dark, light))


def _white(rng: np.random.Generator, tint: float) -> FloatArray:
    """Draw a colour between warm and cold white, of luminance 1."""
    warmth = rng.uniform(-tint, tint)
    color = np.array([1 + warmth, 1.0, 1 - warmth])
    scaled: FloatArray = color / (color @ LUMINANCE)
    return scaled
