"""Image augmentation in training, on the device: contrast and noise as in the paper, tone, and random windows.

Every value is drawn from a generator that the caller provides.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import torch
from torch import Tensor

from train.torch_effects import CameraAugment
from vision.camera_effects import CameraEffectsConfig
from vision.color import GAMMA
from vision.configuration.bounds import not_negative
from vision.networks.windows import make_windows


@dataclass(frozen=True)
class ImageAugmentConfig:
    """Augmentation of images: tone before they are normalised to zero mean and unit variance, the rest after it.

    Attributes:
        exposure: largest change of exposure up or down, in stops as in ``camera_effects``, but of every input of the
            network. The paper's contrast cannot clip, and normalisation undoes the rest of an exposure.
        gamma: largest change of the tone curve up or down, as in ``camera_effects``, but of every input of the network.
        contrast: range of the factor applied to an image (Table 9).
        noise: standard deviation of Gaussian noise on each value, after contrast (Table 9).
        tint: standard deviation of a factor and of an offset on each colour channel; 0 in the paper.
        window_shift: standard deviation of a window's centre, as a fraction of its side.
        window_zoom: largest change of a window's side, as a fraction of it.
        window_roll_deg: largest rotation of a window about its centre.
        scene_shift: window_shift of the whole image as the locator sees it, as if the camera had been displaced more.
        scene_zoom: window_zoom of the whole image as the locator sees it.
        scene_roll_deg: window_roll_deg of the whole image as the locator sees it.
        camera_effects: effects of a real camera on the whole image, before any other augmentation.
    """

    exposure: float = 0.0
    gamma: float = 0.0
    contrast: tuple[float, float] = (0.5, 1.5)
    noise: float = 0.1
    tint: float = 0.0
    window_shift: float = 0.06
    window_zoom: float = 0.1
    window_roll_deg: float = 30.0
    scene_shift: float = 0.03
    scene_zoom: float = 0.05
    scene_roll_deg: float = 5.0
    camera_effects: CameraEffectsConfig = field(default_factory=CameraEffectsConfig)

    def __post_init__(self) -> None:
        if not 0 < self.contrast[0] <= self.contrast[1]:
            raise ValueError(f"contrast: must be a range above 0, got {self.contrast}")
        not_negative(self, "exposure", "gamma", "noise", "tint", "window_shift", "scene_shift")
        for what, zoom, roll in (
            ("window", self.window_zoom, self.window_roll_deg),
            ("scene", self.scene_zoom, self.scene_roll_deg),
        ):
            if not 0 <= zoom < 1:
                raise ValueError(f"{what}_zoom: must lie between 0 and 1, got {zoom}")
            if not 0 <= roll <= 180:
                raise ValueError(f"{what}_roll_deg: must lie between 0 and 180, got {roll}")


class ImageAugment:
    """Augmentation of tone for images (N, 3, h, w), and of contrast, tint and noise for normalised ones; on the
    generator's device.

    Attributes:
        camera: camera effects for whole images.
    """

    def __init__(self, config: ImageAugmentConfig, generator: torch.Generator) -> None:
        self.config = config
        self.generator = generator
        self.camera = CameraAugment(config.camera_effects, generator)

    def adjust_tone(self, images: Tensor) -> Tensor:
        """Return images of levels from 0 to 255 with a random exposure and tone curve."""
        config, count = self.config, len(images)
        if not config.exposure and not config.gamma:
            return images  # nothing is drawn, so that all later values are as without tone
        stops, power = (
            largest * (2 * self._uniform(count, 1, 1, 1) - 1) for largest in (config.exposure, config.gamma)
        )
        return 255 * (images / 255 * torch.exp2(stops / GAMMA)).clamp(0.0, 1.0) ** torch.exp2(power)

    def __call__(self, images: Tensor) -> Tensor:
        config, count = self.config, len(images)
        low, high = config.contrast
        images = images * (low + (high - low) * self._uniform(count, 1, 1, 1))
        if config.tint:
            images = images * (1 + config.tint * self._normal(count, 3, 1, 1)) + config.tint * self._normal(
                count, 3, 1, 1
            )
        return images + config.noise * self._normal(*images.shape) if config.noise else images

    def cameras_known(self, count: int) -> Tensor:
        """Return (count, 1, 1) ones and zeros, with even odds: the samples that receive their true cameras."""
        return (self._uniform(count, 1, 1) < 0.5).float()

    def windows(self, centre: Tensor, side: Tensor | float, size: int) -> Tensor:
        """Return windows (..., 2, 3) near true object centres (..., 2), pixels; ``side``, ``size`` as in
        ``make_windows``."""
        config = self.config
        return self._near(centre, side, size, config.window_shift, config.window_zoom, config.window_roll_deg)

    def scenes(self, sides: Tensor, size: int) -> Tensor:
        """Return windows (..., 2, 3) near the whole of images of ``sides`` (...) pixels."""
        config, centre = self.config, (sides / 2)[..., None].expand(*sides.shape, 2)
        return self._near(centre, sides, size, config.scene_shift, config.scene_zoom, config.scene_roll_deg)

    def _near(
        self, centre: Tensor, side: Tensor | float, size: int, shift: float, zoom: float, roll_deg: float
    ) -> Tensor:
        shape = centre.shape[:-1]
        sides = torch.as_tensor(side, dtype=centre.dtype, device=centre.device).expand(shape)
        centre = centre + shift * sides[..., None] * self._normal(*centre.shape)
        sides = sides * (1 + zoom * (2 * self._uniform(*shape) - 1))
        roll = math.radians(roll_deg) * (2 * self._uniform(*shape) - 1)
        return make_windows(centre, sides, size, roll)

    def _uniform(self, *shape: int) -> Tensor:
        return torch.rand(shape, generator=self.generator, device=self.generator.device)

    def _normal(self, *shape: int) -> Tensor:
        return torch.randn(shape, generator=self.generator, device=self.generator.device)
