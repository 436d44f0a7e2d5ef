"""Camera effects in torch, each against a computation of another kind: SciPy's filters, libjpeg, and statistics."""

from __future__ import annotations

import dataclasses
import io
import math
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from scipy import ndimage
from torch import Tensor

from tests.scenes import rig
from tests.vision.test_camera_effects import FULL, NOTHING
from train.jpeg import compressed
from train.torch_effects import (
    CameraAugment,
    convolved,
    linear_from_srgb,
    photograph,
    unit_noise,
)
from vision import color
from vision.camera_effects import CameraEffects, CameraEffectsConfig
from vision.distributions import Uniform


def effects(count: int = 1, **values: Any) -> list[CameraEffects]:
    """The same effects on so many images."""
    return [dataclasses.replace(NOTHING, **values)] * count


def augment(config: CameraEffectsConfig, seed: int = 0) -> CameraAugment:
    return CameraAugment(config, torch.Generator().manual_seed(seed))


def flat(level: int, count: int = 1, size: int = 8) -> Tensor:
    return torch.full((count, 3, size, size), level, dtype=torch.uint8)


def pictures(count: int = 4, size: int = 72) -> Tensor:
    """Smooth colours with edges and a little texture."""
    rng = np.random.default_rng(5)
    coarse = rng.uniform(0, 255, (count, 3, 4, 4))
    smooth = ndimage.zoom(coarse, (1, 1, size / 4, size / 4), order=1)
    smooth[:, :, 20:40, 30:60] = rng.uniform(0, 255, (count, 3, 1, 1))
    return torch.from_numpy(np.clip(smooth + rng.normal(0, 4, smooth.shape), 0, 255).astype(np.uint8))


def test_off_by_default_and_nothing_is_drawn() -> None:
    images, generator = pictures(6).unflatten(0, (2, 3)), torch.Generator().manual_seed(0)
    assert CameraAugment(CameraEffectsConfig(), generator)(images, rig(72)) is images
    assert CameraAugment(dataclasses.replace(FULL, probability=0.0), generator)(images, rig(72)) is images
    assert torch.equal(generator.get_state(), torch.Generator().manual_seed(0).get_state())


def test_equal_generators_give_equal_pictures_and_other_batches_others() -> None:
    images = pictures(12).unflatten(0, (4, 3))
    before = images.clone()
    first, second, other = (augment(dataclasses.replace(FULL, probability=1.0), seed) for seed in (1, 1, 2))
    once = first(images, rig(72))
    assert torch.equal(images, before)
    assert once.dtype == torch.uint8
    assert once.shape == images.shape
    assert torch.equal(once, second(images, rig(72)))
    assert not torch.equal(once, other(images, rig(72)))
    assert not torch.equal(once, first(images, rig(72)))
    assert (once.float().std(dim=(2, 3, 4)) > 10).all()  # no effect at these strengths leaves a picture empty


def test_all_images_of_a_fraction_of_the_samples_are_taken_each_with_its_own_values() -> None:
    images = torch.full((600, 3, 3, 8, 8), 100, dtype=torch.uint8)
    taken = augment(CameraEffectsConfig(probability=0.3, exposure=Uniform(0.5, 1.0)))(images, rig(8))
    changed = (taken != images).flatten(2).any(dim=2)
    assert torch.equal(changed.all(dim=1), changed.any(dim=1))
    assert changed[:, 0].float().mean().item() == pytest.approx(0.3, abs=0.06)
    levels = taken[changed[:, 0], :, 0, 0, 0].double()
    assert np.corrcoef(levels[:, 0], levels[:, 1])[0, 1] == pytest.approx(0, abs=0.25)


def test_light_and_levels_are_those_of_the_renderers() -> None:
    levels = torch.arange(256, dtype=torch.uint8)
    light = linear_from_srgb(levels)
    np.testing.assert_allclose(light.numpy(), color.linear_from_srgb(np.arange(256) / 255), atol=1e-6)
    assert torch.equal((255 * color.srgb_from_linear_torch(light)).round().to(torch.uint8), levels)
    assert torch.equal(photograph(levels.expand(1, 3, 1, 256), effects(), None)[0, 0, 0], levels)


def test_gains_are_in_stops_of_light_and_white_clips() -> None:
    found = linear_from_srgb(photograph(flat(100), effects(exposure=1.0, red=-0.5, blue=0.25), None))[0, :, 0, 0]
    np.testing.assert_allclose(np.log2(found.numpy() / _light(100)), (0.5, 1.0, 1.25), atol=0.02)
    assert (photograph(flat(230), effects(exposure=1.0), None) == 255).all()


def test_gamma_bends_levels_and_leaves_the_ends() -> None:
    ramp = torch.arange(256, dtype=torch.uint8).expand(1, 3, 1, 256)
    bent = photograph(ramp, effects(gamma=-1.0), None)[0, 0, 0].float() / 255
    assert torch.log(bent[128]).item() / math.log(128 / 255) == pytest.approx(0.5, abs=0.01)
    assert (bent[0], bent[255]) == (0, 1)


def test_vignette_darkens_the_corners_alone() -> None:
    (found,) = linear_from_srgb(photograph(flat(200, size=101), effects(vignette=0.6), None))[:, 0] / _light(200)
    assert (found[50, 50] - 1).abs() < 0.01
    corners = found[[0, 0, -1, -1], [0, -1, 0, -1]]
    assert corners.max() - corners.min() < 0.01
    assert corners.mean().item() == pytest.approx(0.4, abs=0.02)
    assert found[50, 0].item() == pytest.approx(0.7, abs=0.02)  # half the square of the distance


@pytest.mark.parametrize("chroma", [0.0, 0.5, 1.0])
def test_noise_has_the_variance_of_counted_electrons(chroma: float) -> None:
    for level in (60, 180):
        shot, read = 0.04, 0.02
        cameras = effects(60, shot_noise=shot, read_noise=read, chroma=chroma)
        noise = unit_noise(cameras, 32, 32, torch.Generator().manual_seed(0))
        found = linear_from_srgb(photograph(flat(level, 60, 32), cameras, noise)).double()
        assert found.mean().item() == pytest.approx(_light(level), rel=0.02)
        assert found.std().item() == pytest.approx(math.sqrt(shot**2 * _light(level) + read**2), rel=0.05)
        red, green, _ = (found - found.mean()).unbind(1)
        assert np.corrcoef(red.flatten(), green.flatten())[0, 1] == pytest.approx(1 - chroma, abs=0.05)
        # Blots of two by two: neighbours within one share what is coloured, those of different ones nothing.
        within = np.corrcoef(red[..., ::2].flatten(), red[..., 1::2].flatten())[0, 1]
        between = np.corrcoef(red[..., 1:-1:2].flatten(), red[..., 2::2].flatten())[0, 1]
        assert within == pytest.approx(chroma, abs=0.05)
        assert between == pytest.approx(0, abs=0.05)


def test_without_light_there_are_no_electrons() -> None:
    cameras = effects(shot_noise=0.5)
    assert not photograph(flat(0), cameras, unit_noise(cameras, 8, 8, torch.Generator())).any()


def test_blur_mixes_light_not_levels() -> None:
    stripes = torch.zeros(1, 3, 40, 40, dtype=torch.uint8)
    stripes[..., ::2] = 255
    middle = photograph(stripes, effects(motion=0.1), None)[..., 15:25, 15:25].float()  # four pixels, along x
    assert (middle.mean() - 255 * color.srgb_from_linear(np.array(0.5))).abs() < 3  # 188; of levels it would be 128


def test_each_image_is_convolved_with_its_own_kernel() -> None:
    rng = np.random.default_rng(0)
    images, kernels = rng.uniform(size=(3, 3, 20, 17)), rng.uniform(size=(3, 5, 5))
    found = convolved(torch.from_numpy(images).float(), torch.from_numpy(kernels).float()).numpy()
    for image, kernel, result in zip(images, kernels, found, strict=True):
        for channel in range(3):
            expected = ndimage.correlate(image[channel], kernel, mode="nearest")
            np.testing.assert_allclose(result[channel], expected, rtol=1e-4)


@pytest.mark.parametrize("quality", [10, 30, 50, 75, 92, 100])
@pytest.mark.parametrize("size", [72, 75])
def test_jpeg_is_libjpegs(quality: int, size: int) -> None:
    colored = pictures(2, size)
    images = torch.cat([colored, colored[:, :1].repeat(1, 3, 1, 1)])
    found = compressed(images, torch.full((4,), float(quality))).permute(0, 2, 3, 1).numpy().astype(int)
    for number, (image, ours) in enumerate(zip(images.permute(0, 2, 3, 1).numpy(), found, strict=True)):
        file = io.BytesIO()
        Image.fromarray(image).save(file, "JPEG", quality=quality, subsampling="4:2:0")
        theirs = np.asarray(Image.open(file)).astype(int)
        difference, loss = np.abs(ours - theirs), np.abs(theirs - image.astype(int))
        # Integer transforms round otherwise, and a coefficient may fall to the other side, most of all that of a colour
        # whose rounding decides for 16 by 16 pixels; the loss itself is the same.
        assert difference.mean() < (0.4 + 0.15 * loss.mean() if number < 2 else 0.35)
        assert np.abs(ours - image).mean() == pytest.approx(loss.mean(), rel=0.05, abs=0.1)


def test_each_image_has_its_own_quality() -> None:
    images = pictures(2)
    mixed = compressed(images, torch.tensor([20.0, 95.0]))
    for number, quality in enumerate((20.0, 95.0)):
        assert torch.equal(mixed[number], compressed(images[number, None], torch.tensor([quality]))[0])
    images = torch.cat([images, images[:1]])
    cameras = [dataclasses.replace(NOTHING, jpeg_quality=quality) for quality in (20, 95, 0)]
    found = photograph(images, cameras, None)
    assert torch.equal(found, torch.cat([mixed, images[:1]]))  # 0 is no compression


def _light(level: int) -> float:
    return float(color.linear_from_srgb(np.array(level / 255)))
