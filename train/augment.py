"""What training does to pictures, on the device: contrast and noise as in the paper, and windows placed anew.

Every value is drawn from a generator that the caller hands in.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from vision.windows import make_windows


@dataclass(frozen=True)
class AugmentConfig:
    """Augmentation of images that are already normalised to zero mean and unit variance.

    Attributes:
        contrast: range of the factor on an image (Table 9).
        noise: standard deviation of Gaussian noise on each number, after contrast (Table 9).
        tint: standard deviation of a factor and of an offset on each colour channel; 0 in the paper.
        window_shift: standard deviation of a window's centre, as a share of its side.
        window_zoom: largest change of a window's side, as a share of it.
        window_roll_deg: largest turn of a window about its centre.
    """

    contrast: tuple[float, float] = (0.5, 1.5)
    noise: float = 0.1
    tint: float = 0.0
    window_shift: float = 0.06
    window_zoom: float = 0.1
    window_roll_deg: float = 30.0

    def __post_init__(self) -> None:
        if not 0 < self.contrast[0] <= self.contrast[1]:
            raise ValueError(f"contrast must be a range above 0, got {self.contrast}")
        if min(self.noise, self.tint, self.window_shift) < 0:
            raise ValueError("noise, tint and window_shift must be 0 or more")
        if not 0 <= self.window_zoom < 1:
            raise ValueError(f"window_zoom must lie between 0 and 1, got {self.window_zoom}")
        if not 0 <= self.window_roll_deg <= 180:
            raise ValueError(f"window_roll_deg must lie between 0 and 180, got {self.window_roll_deg}")


class ImageAugment:
    """Contrast, tint and noise for normalised images (N, 3, h, w) on the generator's device."""

    def __init__(self, config: AugmentConfig, generator: torch.Generator) -> None:
        self.config = config
        self.generator = generator

    def __call__(self, images: Tensor) -> Tensor:
        config, count = self.config, len(images)
        low, high = config.contrast
        images = images * (low + (high - low) * self._uniform(count, 1, 1, 1))
        if config.tint:
            images = images * (1 + config.tint * self._normal(count, 3, 1, 1)) + config.tint * self._normal(
                count, 3, 1, 1
            )
        return images + config.noise * self._normal(*images.shape) if config.noise else images

    def windows(self, centre: Tensor, side: float, size: int) -> Tensor:
        """Windows (..., 2, 3) near true object centres (..., 2), pixels; ``side``, ``size`` as in ``make_windows``."""
        config, shape = self.config, centre.shape[:-1]
        centre = centre + config.window_shift * side * self._normal(*centre.shape)
        zoom = 1 + config.window_zoom * (2 * self._uniform(*shape) - 1)
        roll = math.radians(config.window_roll_deg) * (2 * self._uniform(*shape) - 1)
        return make_windows(centre, side * zoom, size, roll)

    def _uniform(self, *shape: int) -> Tensor:
        return torch.rand(shape, generator=self.generator, device=self.generator.device)

    def _normal(self, *shape: int) -> Tensor:
        return torch.randn(shape, generator=self.generator, device=self.generator.device)
