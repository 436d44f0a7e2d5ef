"""Procedural textures: noise, checks, stripes, dots, grain of metal and wood, gradients and print.

Each is a function of an explicit generator that returns sRGB-encoded uint8 (S, S, 3) and tiles without a seam, because
all its components repeat over the square. A renderer uses a pool of them for each shard.
"""

from __future__ import annotations

import colorsys
import hashlib
import itertools
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from vision.geometry.rotations import FloatArray

Pixels = NDArray[np.uint8]
_OVERSAMPLING = 2  # in each direction, for textures with edges
_LETTERS = list("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.,:-/%()")


@dataclass(frozen=True, eq=False)
class Texture:
    """Pixels with the name under which samples store them.

    Attributes:
        name: kind and hash of the pixels, or file and hash of its bytes; equal names mean equal pixels.
        pixels: uint8 (S, S, 3), sRGB-encoded.
    """

    name: str
    pixels: Pixels


def draw_texture(rng: np.random.Generator, size: int, kind: str) -> Texture:
    """Draw a texture of a kind, a key of ``KINDS``, ``size`` pixels wide and high."""
    pixels = KINDS[kind](rng, size)
    return Texture(f"{kind}-{hashlib.blake2b(pixels.tobytes(), digest_size=8).hexdigest()}", pixels)


def spectral_noise(rng: np.random.Generator, size: int, slope: float, stretch: float = 1.0) -> FloatArray:
    """Draw periodic noise (S, S) over all of [0, 1].

    Args:
        rng: random generator.
        size: width and height, pixels.
        slope: power of the frequency by which amplitudes fall: 0 is white noise, 1 clouds, 2 and more smooth.
        stretch: length of features along x relative to y.
    """
    y, x = np.fft.fftfreq(size)[:, None], np.fft.rfftfreq(size)[None]
    frequency = size * np.hypot(y / np.sqrt(stretch), x * np.sqrt(stretch))
    frequency[0, 0] = np.inf  # no constant part
    spectrum = np.fft.rfft2(rng.normal(size=(size, size))) / np.maximum(frequency, 1e-9) ** slope
    noise = np.fft.irfft2(spectrum, s=(size, size))
    scaled: FloatArray = (noise - noise.min()) / max(float(np.ptp(noise)), 1e-12)
    return scaled


def _noise(rng: np.random.Generator, size: int) -> Pixels:
    """Draw clouds, from fine to coarse, between two to four colours."""
    return _levels(_blend(spectral_noise(rng, size, rng.uniform(0.6, 2.0)), _palette(rng, int(rng.integers(2, 5)))))


def _gradient(rng: np.random.Generator, size: int) -> Pixels:
    """Draw the smoothest periodic change between two or three colours, in any direction."""
    x, y = _grid(size)
    waves = np.zeros_like(x)
    for along_x, along_y in ((1, 0), (0, 1), (1, 1), (1, -1)):
        waves += rng.uniform(0.2, 1.0) * np.cos(2 * np.pi * (along_x * x + along_y * y + rng.uniform()))
    value = (waves - np.min(waves)) / np.ptp(waves)
    return _levels(_blend(value, _palette(rng, int(rng.integers(2, 4)))))


def _checks(rng: np.random.Generator, size: int) -> Pixels:
    u, v = _lattice(rng, size)
    colors = _palette(rng, 2)
    return _reduced(colors[((u % 1 < 0.5) ^ (v % 1 < 0.5)).astype(int)])


def _stripes(rng: np.random.Generator, size: int) -> Pixels:
    """Draw bands of random widths and colours."""
    u, _ = _lattice(rng, size)
    colors = _palette(rng, int(rng.integers(2, 6)))
    edges = np.cumsum(rng.dirichlet(np.full(len(colors), 2.0)))[:-1]
    return _reduced(colors[np.searchsorted(edges, u % 1)])


def _dots(rng: np.random.Generator, size: int) -> Pixels:
    """Draw discs on a lattice."""
    u, v = _lattice(rng, size)
    distance = np.hypot(u % 1 - 0.5, v % 1 - 0.5)
    colors = _palette(rng, 2)
    return _reduced(colors[(distance < rng.uniform(0.15, 0.45)).astype(int)])


def _brushed(rng: np.random.Generator, size: int) -> Pixels:
    """Draw fine lines along one axis, as on brushed metal."""
    lines = spectral_noise(rng, size, rng.uniform(0.2, 0.6), rng.uniform(50, 400))
    value = _spread(lines, rng.uniform(0.03, 0.2))
    image = _levels(np.clip(value[..., None] * _color(rng, rng.uniform(0.0, 0.3)), 0, 1))
    return image if rng.random() < 0.5 else image.swapaxes(0, 1).copy()


def _wood(rng: np.random.Generator, size: int) -> Pixels:
    """Draw rings cut along the trunk, bent by slow noise, with pores."""
    _, y = _grid(size)
    bend = spectral_noise(rng, size, 2.0, rng.uniform(4, 16))
    rings = 0.5 + 0.5 * np.sin(2 * np.pi * (rng.integers(2, 7) * y + rng.uniform(1.0, 5.0) * bend))
    pores = spectral_noise(rng, size, 0.3, rng.uniform(30, 150))
    value = np.clip(rings ** rng.uniform(0.5, 2.0) + rng.uniform(0.1, 0.5) * (pores - 0.5), 0, 1)
    hue, saturation = rng.uniform(0.03, 0.12), rng.uniform(0.2, 0.8)
    light = rng.uniform(0.45, 0.95)
    tones = [colorsys.hsv_to_rgb(hue, saturation, light * dark) for dark in (rng.uniform(0.4, 0.8), 1.0)]
    image = _levels(_blend(value, np.array(tones)))
    return image if rng.random() < 0.5 else image.swapaxes(0, 1).copy()


def _print(rng: np.random.Generator, size: int) -> Pixels:
    """Draw lines of words in one colour on another, each line shifted separately."""
    rows = int(rng.integers(3, 12))
    edges = np.linspace(0, size, rows + 1).astype(int)
    ink = np.zeros((size, size))
    for top, bottom in itertools.pairwise(edges):
        if rng.random() < 0.85:  # else a line is empty
            ink[top:bottom] = np.roll(_line(rng, size, bottom - top), rng.integers(size), axis=1)
    paper, color = _palette(rng, 2)
    return _levels(paper + ink[..., None] * (color - paper))


KINDS: dict[str, Callable[[np.random.Generator, int], Pixels]] = {
    "noise": _noise,
    "gradient": _gradient,
    "checks": _checks,
    "stripes": _stripes,
    "dots": _dots,
    "brushed": _brushed,
    "wood": _wood,
    "print": _print,
}


def _line(rng: np.random.Generator, width: int, height: int) -> FloatArray:
    """Draw the ink (height, width) of as many whole words as fit."""
    font = _font(max(6, int(0.8 * height)))
    text = ""
    while True:
        longer = f"{text} {''.join(rng.choice(_LETTERS, rng.integers(1, 9)))}"
        if font.getlength(longer) > width - 2:
            break
        text = longer
    image = Image.new("L", (width, height))
    ImageDraw.Draw(image).text((1, height // 2), text, fill=255, font=font, anchor="lm")
    return np.asarray(image) / 255


@cache
def _font(size: int) -> ImageFont.FreeTypeFont:
    from vision.objects.glyphs import FONT  # late: it also imports what draws letters as meshes

    return ImageFont.truetype(FONT, size)


def _grid(size: int) -> tuple[FloatArray, FloatArray]:
    """Return x and y (S, S) of the pixels' centres, [0, 1)."""
    middles = (np.arange(size) + 0.5) / size
    x, y = np.meshgrid(middles, middles)
    return x, y


def _lattice(rng: np.random.Generator, size: int) -> tuple[FloatArray, FloatArray]:
    """Draw two coordinates (S', S') at right angles, rotated and scaled so that whole numbers of cells fit the square,
    at the resolution that :func:`_reduced` expects."""
    x, y = _grid(_OVERSAMPLING * size)
    a, b = 0, 0
    while a == b == 0:
        a, b = (int(number) for number in rng.integers(-8, 9, 2))
    return a * x + b * y + rng.uniform(), a * y - b * x + rng.uniform()


def _reduced(image: FloatArray) -> Pixels:
    """Average down colours [0, 1] from the resolution of :func:`_lattice`."""
    size = len(image) // _OVERSAMPLING
    return _levels(image.reshape(size, _OVERSAMPLING, size, _OVERSAMPLING, 3).mean(axis=(1, 3)))


def _spread(noise: FloatArray, contrast: float) -> FloatArray:
    """Scale noise to mean 1 and standard deviation ``contrast``."""
    scaled: FloatArray = 1.0 + contrast * (noise - noise.mean()) / max(float(noise.std()), 1e-12)
    return scaled


def _color(rng: np.random.Generator, saturation: float) -> FloatArray:
    return np.array(colorsys.hsv_to_rgb(rng.uniform(), saturation, rng.uniform(0.3, 0.9)))


def _palette(rng: np.random.Generator, count: int) -> FloatArray:
    """Draw colours (count, 3), half of the time unrelated, else shades of one."""
    if rng.random() < 0.5:
        return rng.uniform(0.0, 1.0, (count, 3))
    hue, saturation = rng.uniform(), rng.uniform(0.0, 0.9)
    values = np.linspace(rng.uniform(0.0, 0.5), rng.uniform(0.5, 1.0), count)
    return np.array([colorsys.hsv_to_rgb(hue, saturation, value) for value in rng.permutation(values)])


def _blend(value: FloatArray, colors: FloatArray) -> FloatArray:
    """Map values in [0, 1] to colours (..., 3) of a palette (K, 3) spaced evenly along them."""
    places = np.linspace(0, 1, len(colors))
    return np.stack([np.interp(value, places, channel) for channel in colors.T], axis=-1)


def _levels(image: FloatArray) -> Pixels:
    return np.rint(255 * np.clip(image, 0.0, 1.0)).astype(np.uint8)
