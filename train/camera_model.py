"""A camera's effects on the incoming light, batched and on the device: lens, exposure, sensor noise, tone, JPEG.

Renderers produce what a perfect camera would see. In physical order: the lens blurs and darkens the corners, motion
during the exposure smears, gains for exposure and white balance scale, the sensor adds noise and clips, the tone curve
encodes, eight bits round, JPEG compresses. Everything up to the clipping applies to light, not to levels.

Every effect is off by default. Every value is drawn from a generator that the caller provides.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from train.jpeg import compressed
from vision import color
from vision.bounds import fraction

_LIGHT = color.linear_from_srgb(np.arange(256) / 255)


@dataclass(frozen=True)
class CameraConfig:
    """Ranges of camera effects, drawn separately for each image.

    Attributes:
        fraction: fraction of the images that go through the camera; the others stay as they are.
        defocus: largest radius of the disc that a point becomes, pixels.
        motion: longest path of a point while the shutter is open, pixels; straight, in any direction.
        vignette: largest fraction of the light lost in the corners; the loss grows with the square of the distance from
            the centre.
        exposure: largest change of exposure, in stops (factors of two); what is brighter than white is clipped to
            white.
        white_balance: largest change of the gains of red and of blue, in stops.
        shot_noise: largest standard deviation at white, as a fraction of white; the variance grows with the light.
        read_noise: largest standard deviation of every pixel, as a fraction of white.
        chroma: fraction of the noise's variance that is coloured, in blots of two by two pixels, as in sensors that see
            one colour per pixel; the rest is grey.
        gamma: largest change of the tone curve: levels from 0 to 1 are raised to a power of up to 2 ** gamma, or down
            to its inverse.
        jpeg_quality: range of the JPEG quality, 1 to 100; null for no compression.
    """

    fraction: float = 1.0
    defocus: float = 0.0
    motion: float = 0.0
    vignette: float = 0.0
    exposure: float = 0.0
    white_balance: float = 0.0
    shot_noise: float = 0.0
    read_noise: float = 0.0
    chroma: float = 0.5
    gamma: float = 0.0
    jpeg_quality: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        fraction(self, "fraction", "vignette", "chroma")
        for name, largest in _LARGEST.items():
            if not 0 <= getattr(self, name) <= largest:
                raise ValueError(f"{name} must lie between 0 and {largest}, got {getattr(self, name)}")
        if self.jpeg_quality is not None and not 1 <= self.jpeg_quality[0] <= self.jpeg_quality[1] <= 100:
            raise ValueError(f"jpeg_quality must be a range from 1 to 100, got {self.jpeg_quality}")

    @property
    def on(self) -> bool:
        """Whether any effect is enabled."""
        return self.fraction > 0 and (self.touches_light or self.jpeg_quality is not None)

    @property
    def touches_light(self) -> bool:
        """Whether any effect but compression is enabled."""
        return any(getattr(self, name) for name in ("vignette", *_LARGEST))


_LARGEST = {
    "defocus": 16.0,
    "motion": 32.0,
    "exposure": 8.0,
    "white_balance": 8.0,
    "shot_noise": 1.0,
    "read_noise": 1.0,
    "gamma": 4.0,
}
"""Largest values of the keys that 0 switches off: larger ones leave nothing of an image, and the cost of blurs grows
without limit."""


class CameraModel:
    """Camera for images uint8 (N, 3, H, W), sRGB-encoded; on the generator's device."""

    def __init__(self, config: CameraConfig, generator: torch.Generator) -> None:
        self.config = config
        self.generator = generator

    @torch.no_grad()
    def __call__(self, images: Tensor) -> Tensor:
        """Return the images as the camera delivers them; if all effects are off, the same images, and nothing is
        drawn."""
        if not self.config.on or not len(images):
            return images
        with torch.autocast(images.device.type, enabled=False):
            if self.config.fraction == 1:
                return self._taken(images)
            chosen = (self._uniform(len(images)) < self.config.fraction).nonzero()[:, 0]
            return images.index_copy(0, chosen, self._taken(images[chosen])) if len(chosen) else images

    def _taken(self, images: Tensor) -> Tensor:
        config, count = self.config, len(images)
        if config.touches_light:
            light = linear_from_srgb(images)
            if config.defocus:
                light = convolved(light, disc_kernels(config.defocus * self._uniform(count), config.defocus))
            if config.motion:
                angle = torch.pi * self._uniform(count)
                light = convolved(light, line_kernels(config.motion * self._uniform(count), angle, config.motion))
            light = light * self._gains(light)
            if config.shot_noise or config.read_noise:
                light = light + self._noise(light)
            levels = srgb_from_linear(light.clamp(0.0, 1.0))
            if config.gamma:
                levels = levels ** torch.exp2(config.gamma * self._signed(count, 1, 1, 1))
            images = (255 * levels).round().to(torch.uint8)
        if config.jpeg_quality is not None:
            low, high = config.jpeg_quality
            images = compressed(images, low + (high - low) * self._uniform(count))
        return images

    def _gains(self, light: Tensor) -> Tensor:
        """Return factors on the light (N, 3, H, W): (N, 1 or 3, 1 or H, 1 or W)."""
        config, (count, _, height, width) = self.config, light.shape
        stops = config.exposure * self._signed(count, 1, 1, 1)
        if config.white_balance:
            balance = config.white_balance * self._signed(count, 2, 1, 1)
            stops = stops + torch.cat([balance[:, :1], torch.zeros_like(stops), balance[:, 1:]], dim=1)
        gains = torch.exp2(stops)
        if config.vignette:
            loss = config.vignette * self._uniform(count, 1, 1, 1)
            gains = gains * (1 - loss * _square_of_distance(height, width, gains.device))
        return gains

    def _noise(self, light: Tensor) -> Tensor:
        """Return Gaussian noise with the variance of photon counting and read-out."""
        config, (count, channels, height, width) = self.config, light.shape
        shot, read = (largest * self._uniform(count, 1, 1, 1) for largest in (config.shot_noise, config.read_noise))
        grey = self._normal(count, 1, height, width)
        blots = self._normal(count, channels, (height + 1) // 2, (width + 1) // 2)
        blots = blots.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)[..., :height, :width]
        unit = (1 - config.chroma) ** 0.5 * grey + config.chroma**0.5 * blots
        noise: Tensor = unit * (shot**2 * light + read**2).sqrt()
        return noise

    def _uniform(self, *shape: int) -> Tensor:
        return torch.rand(shape, generator=self.generator, device=self.generator.device)

    def _signed(self, *shape: int) -> Tensor:
        return 2 * self._uniform(*shape) - 1

    def _normal(self, *shape: int) -> Tensor:
        return torch.randn(shape, generator=self.generator, device=self.generator.device)


def linear_from_srgb(images: Tensor) -> Tensor:
    """Return light from 0 to 1, float32, for uint8 levels, by a table of all 256."""
    return torch.from_numpy(_LIGHT).float().to(images.device)[images.int()]


def srgb_from_linear(light: Tensor) -> Tensor:
    """Return levels from 0 to 1 for light from 0 to 1."""
    return torch.where(light <= 0.0031308, 12.92 * light, 1.055 * light.clamp_min(1e-9) ** (1 / 2.4) - 0.055)


def disc_kernels(radius: Tensor, largest: float) -> Tensor:
    """Return kernels (N, K, K), of sum 1, of a point out of focus, for each radius (N,) in pixels up to the largest."""
    x, y = _offsets(largest, radius.device)
    return _normalised((radius[:, None, None] + 0.5 - torch.hypot(x, y)).clamp(0.0, 1.0))


def line_kernels(length: Tensor, angle: Tensor, longest: float) -> Tensor:
    """Return kernels (N, K, K), of sum 1, of a moving point, for each path of a length (N,) in pixels and an angle (N,)
    to the x axis in radians."""
    x, y = _offsets(longest / 2, length.device)
    cosine, sine = (function(angle)[:, None, None] for function in (torch.cos, torch.sin))
    along, across = (x * cosine + y * sine).abs(), (y * cosine - x * sine).abs()
    within = (length[:, None, None] / 2 + 0.5 - along).clamp(0.0, 1.0)
    return _normalised(within * (1.0 - across).clamp_min(0.0))


def convolved(images: Tensor, kernels: Tensor) -> Tensor:
    """Convolve images (N, C, H, W), each with its own kernel (N, K, K); borders are replicated."""
    count, channels, height, width = images.shape
    size = kernels.shape[-1]
    padded = functional.pad(images, [size // 2] * 4, mode="replicate")
    weights = kernels.repeat_interleave(channels, dim=0)[:, None]
    # One group for each image and channel.
    result = functional.conv2d(padded.reshape(1, count * channels, *padded.shape[-2:]), weights, groups=len(weights))
    return result.reshape(count, channels, height, width)


def _offsets(reach: float, device: torch.device) -> tuple[Tensor, Tensor]:
    """Return x and y (K, K), pixels from the centre, with room for the reach and an anti-aliased edge."""
    half = int(reach + 0.5) + 1
    steps = torch.arange(-half, half + 1, dtype=torch.float32, device=device)
    y, x = torch.meshgrid(steps, steps, indexing="ij")
    return x, y


def _normalised(kernels: Tensor) -> Tensor:
    return kernels / kernels.sum(dim=(1, 2), keepdim=True)


def _square_of_distance(height: int, width: int, device: torch.device) -> Tensor:
    """Return the squared distance (H, W) from the image's centre; 1 in its corners."""
    y, x = ((torch.arange(size, device=device) + 0.5 - size / 2) ** 2 for size in (height, width))
    return (y[:, None] + x) * 4 / (height**2 + width**2)
