"""Camera effects on the batches of a training, drawn again for each, on the device.

``vision.camera_effects`` says what the values mean; ``datagen.pictures.numpy_effects`` applies the same ones to stored
images. The few numbers of each image are drawn on the processor, so that the device is never waited for; the noise is
drawn on the device.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from train.jpeg import compressed
from vision import color
from vision.camera_effects import CameraEffects, CameraEffectsConfig, disc_kernels, line_kernels, squared_distance
from vision.geometry.rotations import FloatArray
from vision.rigs.rig import Rig

_LIGHT = color.linear_from_srgb(np.arange(256) / 255)


class CameraAugment:
    """Camera effects for batches of images, in the ranges of a configuration.

    Args:
        generator: generator of the noise, on the device of the images; the effects' values follow from its seed.
    """

    def __init__(self, config: CameraEffectsConfig, generator: torch.Generator) -> None:
        self.config = config
        self._generator = generator
        self._rng = np.random.default_rng(generator.initial_seed())

    @torch.no_grad()
    def __call__(self, images: Tensor, rig: Rig) -> Tensor:
        """Return a batch uint8 (B, C, 3, H, W), sRGB-encoded, as the rig's cameras deliver it.

        Padding to the size of the largest camera stays as it is. The same images are returned if none goes through a
        camera; if none ever does, nothing is drawn.
        """
        if not self.config.any:
            return images
        chosen = np.flatnonzero(self._rng.random(len(images)) < self.config.probability)
        if not len(chosen):
            return images
        samples, images = torch.from_numpy(chosen).to(images.device)[:, None], images.clone()
        for (height, width), cameras in _cameras_by_size(rig).items():
            place = (samples, torch.tensor(cameras, device=images.device), slice(None), slice(height), slice(width))
            own = images[place].flatten(0, 1)
            effects = self.config.draw(self._rng, len(own))
            noise = unit_noise(effects, height, width, self._generator) if any(one.noisy for one in effects) else None
            images[place] = photograph(own, effects, noise).unflatten(0, (len(chosen), len(cameras)))
        return images


def photograph(images: Tensor, effects: Sequence[CameraEffects], noise: Tensor | None) -> Tensor:
    """Return images uint8 (N, 3, H, W), RGB, sRGB-encoded, as cameras with these effects, one each, deliver them.

    Args:
        noise: (N, 3, H, W), of variance 1, as of :func:`unit_noise`; None for no noise.
    """
    height, width = images.shape[-2:]

    def values(name: str) -> FloatArray:
        return np.array([getattr(one, name) for one in effects])

    def on_device(array: FloatArray) -> Tensor:
        return torch.from_numpy(array.astype(np.float32)).to(images.device)

    def each(name: str) -> Tensor:
        return on_device(values(name))[:, None, None, None]

    with torch.autocast(images.device.type, enabled=False):
        light = linear_from_srgb(images)
        if (radius := width * values("defocus")).any():
            light = convolved(light, on_device(disc_kernels(radius)))
        if (length := width * values("motion")).any():
            light = convolved(light, on_device(line_kernels(length, values("motion_angle"))))
        light = light * on_device(values("gains"))[..., None, None]
        light = light * (1 - each("vignette") * on_device(squared_distance(height, width)))
        if noise is not None:
            light = light + noise * (each("shot_noise") ** 2 * light + each("read_noise") ** 2).sqrt()
        levels = color.srgb_from_linear_torch(light.clamp(0.0, 1.0)) ** torch.exp2(each("gamma"))
        taken = (255 * levels).round().to(torch.uint8)
        if len(files := np.flatnonzero(quality := values("jpeg_quality"))):
            place = torch.from_numpy(files).to(images.device)
            taken[place] = compressed(taken[place], on_device(quality[files]))
    return taken


def unit_noise(effects: Sequence[CameraEffects], height: int, width: int, generator: torch.Generator) -> Tensor:
    """Return Gaussian noise (N, 3, H, W) of variance 1, partly coloured, on the generator's device."""

    def normal(*shape: int) -> Tensor:
        return torch.randn((len(effects), *shape), generator=generator, device=generator.device)

    chroma = torch.tensor([one.chroma for one in effects]).to(generator.device)[:, None, None, None]
    grey, blots = normal(1, height, width), normal(3, (height + 1) // 2, (width + 1) // 2)
    blots = blots.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)[..., :height, :width]
    return (1 - chroma).sqrt() * grey + chroma.sqrt() * blots


def linear_from_srgb(images: Tensor) -> Tensor:
    """Return light from 0 to 1, float32, for uint8 levels, by a table of all 256."""
    return torch.from_numpy(_LIGHT).float().to(images.device)[images.int()]


def convolved(images: Tensor, kernels: Tensor) -> Tensor:
    """Convolve images (N, C, H, W), each with its own kernel (N, K, K); borders are replicated."""
    count, channels, height, width = images.shape
    size = kernels.shape[-1]
    padded = functional.pad(images, [size // 2] * 4, mode="replicate")
    weights = kernels.repeat_interleave(channels, dim=0)[:, None]
    # One group for each image and channel.
    result = functional.conv2d(padded.reshape(1, count * channels, *padded.shape[-2:]), weights, groups=len(weights))
    return result.reshape(count, channels, height, width)


def _cameras_by_size(rig: Rig) -> dict[tuple[int, int], list[int]]:
    """Return the numbers of the rig's cameras by the height and width of their images."""
    sizes: dict[tuple[int, int], list[int]] = {}
    for number, camera in enumerate(rig.cameras):
        sizes.setdefault((camera.height, camera.width), []).append(number)
    return sizes
