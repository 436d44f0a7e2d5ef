"""A camera's effects on the incoming light: their ranges, the values drawn from them, and what the values stand for.

Renderers produce what a perfect camera would see. In physical order: the lens blurs, motion while the shutter is open
smears, the lens darkens the corners and gains scale, the sensor adds noise and clips, the tone curve encodes, JPEG
compresses. Everything up to the clipping acts on linear light, not on pixel levels.

Two modules apply the values: ``datagen.pictures.numpy_effects`` to rendered images, which a dataset stores, and
``train.torch_effects`` to the batches of a training, on their device. The same values and the same noise give the same
image in both, but for rounding and for the arithmetic of their JPEG codecs.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np

from vision.configuration.bounds import fraction
from vision.distributions import Uniform, UniformInt
from vision.geometry.rotations import FloatArray

_ZERO = Uniform(0.0, 0.0)
_FRACTION, _BLUR, _STOPS = (0.0, 1.0), (0.0, 0.1), (-8.0, 8.0)
_LIMITS = {
    "defocus": _BLUR,
    "motion": _BLUR,
    "vignette": _FRACTION,
    "exposure": _STOPS,
    "white_balance": _STOPS,
    "shot_noise": _FRACTION,
    "read_noise": _FRACTION,
    "chroma": _FRACTION,
    "gamma": _STOPS,
    "jpeg_quality": (0, 100),
}
"""Lowest and highest value of each range."""
_STORED_LIMITS = _LIMITS | {"motion_angle": (0.0, math.pi), "red": _STOPS, "blue": _STOPS, "noise_seed": (0, 2**62)}
"""The same of each stored value."""


@dataclass(frozen=True)
class CameraEffectsConfig:
    """Ranges of camera effects, one draw for each image. The defaults change nothing.

    Attributes:
        probability: probability that a sample's images go through the camera; 0, the default, for never.
        defocus: radius of the disc that a point becomes, as a fraction of the image's width.
        motion: path of a point while the shutter is open, as a fraction of the image's width; in any direction.
        vignette: fraction of the light that is lost in the corners; the loss grows with the square of the distance from
            the centre.
        exposure: change of exposure, in stops (factors of two); what is brighter than white is clipped to white.
        white_balance: change of the gains of red and of blue, in stops.
        shot_noise: standard deviation at white, as a fraction of white; the variance grows with the light.
        read_noise: standard deviation that every pixel has, as a fraction of white.
        chroma: fraction of the noise's variance that is coloured, in blots of two by two pixels, as in sensors that see
            one colour per pixel; the rest is grey.
        gamma: change of the tone curve: levels from 0 to 1 are raised to the power of 2 to this.
        jpeg_quality: 1 to 100; 0 for no compression.
    """

    probability: float = 0.0
    defocus: Uniform = _ZERO
    motion: Uniform = _ZERO
    vignette: Uniform = _ZERO
    exposure: Uniform = _ZERO
    white_balance: Uniform = _ZERO
    shot_noise: Uniform = _ZERO
    read_noise: Uniform = _ZERO
    chroma: Uniform = Uniform(0.5, 0.5)
    gamma: Uniform = _ZERO
    jpeg_quality: UniformInt = UniformInt(0, 0)

    def __post_init__(self) -> None:
        fraction(self, "probability")
        for name, (least, most) in _LIMITS.items():
            found = getattr(self, name)
            if not least <= found.low <= found.high <= most:
                raise ValueError(f"{name}: must lie in [{least:g}, {most:g}], got {found.low} to {found.high}")

    @property
    def any(self) -> bool:
        """Whether some sample may have camera effects."""
        return self.probability > 0

    def draw(self, rng: np.random.Generator, count: int) -> tuple[CameraEffects, ...]:
        """Draw the effects on ``count`` images that go through the camera."""
        ranges = ("defocus", "motion", "vignette", "exposure", "shot_noise", "read_noise", "chroma", "gamma")
        columns = {name: getattr(self, name)(rng, count).tolist() for name in ranges}
        columns["red"], columns["blue"] = self.white_balance(rng, (2, count)).tolist()
        columns["motion_angle"] = rng.uniform(0, np.pi, count).tolist()
        columns["jpeg_quality"] = [self.jpeg_quality(rng) for _ in range(count)]
        columns["noise_seed"] = rng.integers(2**62, size=count).tolist()
        rows = zip(*columns.values(), strict=True)
        return tuple(CameraEffects(**dict(zip(columns, row, strict=True))) for row in rows)


@dataclass(frozen=True)
class CameraEffects:
    """Effects of a camera on one image, as stored in a sample. :class:`CameraEffectsConfig` gives units and the rest.

    Attributes:
        motion_angle: angle of the path to the image's x axis, radians.
        red, blue: changes of the gains of red and blue, in stops.
        noise_seed: seed of a stored image's noise; trainings draw theirs on their device.
    """

    defocus: float
    motion: float
    motion_angle: float
    vignette: float
    exposure: float
    red: float
    blue: float
    shot_noise: float
    read_noise: float
    chroma: float
    gamma: float
    jpeg_quality: int
    noise_seed: int

    @classmethod
    def from_json(cls, values: Any) -> CameraEffects:
        """Restore effects; raise KeyError, TypeError or ValueError if the values are not valid."""
        whole = ("jpeg_quality", "noise_seed")
        found: dict[str, float] = {}
        for name in (one.name for one in fields(cls)):
            least, most = _STORED_LIMITS[name]
            if not least <= values[name] <= most:  # true for NaN, too
                raise ValueError(f"camera_effects: {name}: must lie in [{least:g}, {most:g}], got {values[name]}")
            found[name] = (int if name in whole else float)(values[name])
        return cls(**found)  # type: ignore[arg-type]

    def to_json(self) -> dict[str, Any]:
        """Return values from which ``from_json`` restores the same effects bit by bit."""
        return asdict(self)

    @property
    def noisy(self) -> bool:
        """Whether the sensor adds noise."""
        return bool(self.shot_noise or self.read_noise)

    @property
    def gains(self) -> FloatArray:
        """Factors on red, green and blue light, (3,)."""
        return np.exp2(self.exposure + np.array([self.red, 0.0, self.blue]))


def disc_kernels(radius: FloatArray) -> FloatArray:
    """Return images (N, K, K), of sum 1, of defocused points with these radii (N,) in pixels."""
    x, y = _offsets(radius)
    return _normalized(np.clip(radius[:, None, None] + 0.5 - np.hypot(x, y), 0.0, 1.0))


def line_kernels(length: FloatArray, angle: FloatArray) -> FloatArray:
    """Return images (N, K, K), of sum 1, of points that move by these lengths (N,) in pixels, at these angles (N,) in
    radians to the x axis."""
    x, y = _offsets(length / 2)
    length, cosine, sine = (values[:, None, None] for values in (length, np.cos(angle), np.sin(angle)))
    along, across = np.abs(x * cosine + y * sine), np.abs(y * cosine - x * sine)
    return _normalized(np.clip(length / 2 + 0.5 - along, 0.0, 1.0) * np.maximum(1.0 - across, 0.0))


def squared_distance(height: int, width: int) -> FloatArray:
    """Return squared distances from the image's centre, (H, W), scaled to 1 in the corners."""
    y, x = ((np.arange(size) + 0.5 - size / 2) ** 2 for size in (height, width))
    return np.asarray((y[:, None] + x) * 4 / (height**2 + width**2))


def _offsets(reach: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return x and y (K, K), pixels from the centre, with room for the largest reach and an anti-aliased edge."""
    half = int(reach.max() + 0.5) + 1
    x, y = np.meshgrid(np.arange(-half, half + 1.0), np.arange(-half, half + 1.0))
    return x, y


def _normalized(kernels: FloatArray) -> FloatArray:
    return np.asarray(kernels / kernels.sum(axis=(1, 2), keepdims=True))
