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
        scene_shift, scene_zoom, scene_roll_deg: the same of the whole image as the locator sees it: as if the camera
            had been displaced by so much more.
    """

    contrast: tuple[float, float] = (0.5, 1.5)
    noise: float = 0.1
    tint: float = 0.0
    window_shift: float = 0.06
    window_zoom: float = 0.1
    window_roll_deg: float = 30.0
    scene_shift: float = 0.03
    scene_zoom: float = 0.05
    scene_roll_deg: float = 5.0

    def __post_init__(self) -> None:
        if not 0 < self.contrast[0] <= self.contrast[1]:
            raise ValueError(f"contrast must be a range above 0, got {self.contrast}")
        if min(self.noise, self.tint, self.window_shift, self.scene_shift) < 0:
            raise ValueError("noise, tint, window_shift and scene_shift must be 0 or more")
        for what, zoom, roll in (
            ("window", self.window_zoom, self.window_roll_deg),
            ("scene", self.scene_zoom, self.scene_roll_deg),
        ):
            if not 0 <= zoom < 1:
                raise ValueError(f"{what}_zoom must lie between 0 and 1, got {zoom}")
            if not 0 <= roll <= 180:
                raise ValueError(f"{what}_roll_deg must lie between 0 and 180, got {roll}")


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
        config = self.config
        return self._near(centre, side, size, config.window_shift, config.window_zoom, config.window_roll_deg)

    def scenes(self, shape: tuple[int, int], side: float, size: int) -> Tensor:
        """Windows (*shape, 2, 3) near the whole of images of ``side`` pixels."""
        config, centre = self.config, torch.full((*shape, 2), side / 2, device=self.generator.device)
        return self._near(centre, side, size, config.scene_shift, config.scene_zoom, config.scene_roll_deg)

    def _near(self, centre: Tensor, side: float, size: int, shift: float, zoom: float, roll_deg: float) -> Tensor:
        shape = centre.shape[:-1]
        centre = centre + shift * side * self._normal(*centre.shape)
        sides = side * (1 + zoom * (2 * self._uniform(*shape) - 1))
        roll = math.radians(roll_deg) * (2 * self._uniform(*shape) - 1)
        return make_windows(centre, sides, size, roll)

    def _uniform(self, *shape: int) -> Tensor:
        return torch.rand(shape, generator=self.generator, device=self.generator.device)

    def _normal(self, *shape: int) -> Tensor:
        return torch.randn(shape, generator=self.generator, device=self.generator.device)
