"""A camera's effects, each against a computation of another kind: SciPy's filters, libjpeg, and statistics."""

from __future__ import annotations

import io
import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from scipy import ndimage
from torch import Tensor

from datagen.pictures import camera_effects
from train import camera_model
from train.camera_model import (
    CameraConfig,
    CameraModel,
    convolved,
    disc_kernels,
    line_kernels,
    linear_from_srgb,
    srgb_from_linear,
)
from train.jpeg import compressed
from vision import color


def camera(seed: int = 0, **values: Any) -> CameraModel:
    return CameraModel(CameraConfig(**values), torch.Generator().manual_seed(seed))


def flat(level: int, count: int = 400, size: int = 8, width: int | None = None) -> Tensor:
    return torch.full((count, 3, size, width or size), level, dtype=torch.uint8)


def pictures(count: int = 4, size: int = 72) -> Tensor:
    """Smooth colours with edges and a little texture."""
    rng = np.random.default_rng(5)
    coarse = rng.uniform(0, 255, (count, 3, 4, 4))
    smooth = ndimage.zoom(coarse, (1, 1, size / 4, size / 4), order=1)
    smooth[:, :, 20:40, 30:60] = rng.uniform(0, 255, (count, 3, 1, 1))
    return torch.from_numpy(np.clip(smooth + rng.normal(0, 4, smooth.shape), 0, 255).astype(np.uint8))


def test_off_by_default_and_nothing_is_drawn() -> None:
    model, images = camera(), pictures()
    assert model(images) is images
    assert torch.equal(model.generator.get_state(), torch.Generator().manual_seed(0).get_state())
    assert camera(fraction=0.0, exposure=1.0)(images) is images


def test_equal_generators_give_equal_pictures() -> None:
    everything: dict[str, Any] = {
        "defocus": 2.0, "motion": 4.0, "vignette": 0.5, "exposure": 1.0, "white_balance": 0.3, "shot_noise": 0.05,
        "read_noise": 0.02, "gamma": 0.5, "jpeg_quality": (30, 90),
    }  # fmt: skip
    images = pictures()
    first, second, other = (camera(seed, **everything)(images) for seed in (1, 1, 2))
    assert first.dtype == torch.uint8
    assert first.shape == images.shape
    assert torch.equal(first, second)
    assert not torch.equal(first, other)
    mixed = torch.stack([camera(1, **everything)(images), images]).float().std(dim=(1, 2, 3, 4))
    assert (mixed > 10).all()  # no effect at these strengths leaves a picture without contents


def test_light_and_levels_are_those_of_the_renderers() -> None:
    levels = torch.arange(256, dtype=torch.uint8)
    light = linear_from_srgb(levels)
    np.testing.assert_allclose(light.numpy(), color.linear_from_srgb(np.arange(256) / 255), atol=1e-6)
    assert torch.equal((255 * srgb_from_linear(light)).round().to(torch.uint8), levels)


def test_a_fraction_of_the_images_is_taken() -> None:
    images = flat(100, 2000)
    changed = (camera(fraction=0.3, exposure=1.0)(images) != images).flatten(1).any(dim=1)
    assert changed.float().mean().item() == pytest.approx(0.3, abs=0.04)


def test_exposure_is_in_stops_of_light() -> None:
    stops = torch.log2(linear_from_srgb(camera(exposure=1.0)(flat(100, 2000)))[:, 0, 0, 0] / _light(100))
    assert -1.02 < stops.min() < -0.97
    assert 0.97 < stops.max() < 1.02
    assert stops.mean().abs() < 0.05
    assert (camera(exposure=1.0)(flat(230)) == 255).any()


def test_white_balance_spares_green_and_moves_red_and_blue_apart() -> None:
    found = linear_from_srgb(camera(white_balance=0.5)(flat(128, 2000)))[:, :, 0, 0] / _light(128)
    red, green, blue = torch.log2(found).unbind(1)
    assert green.abs().max() < 0.02
    for channel in (red, blue):
        assert 0.45 < channel.abs().max() < 0.52
    assert np.corrcoef(red, blue)[0, 1] == pytest.approx(0, abs=0.08)


def test_gamma_bends_levels_and_leaves_the_ends() -> None:
    ramp = torch.arange(256, dtype=torch.uint8).expand(1000, 3, 1, 256).contiguous()
    bent = camera(gamma=1.0)(ramp).float() / 255
    power = torch.log(bent[:, 0, 0, 128]) / math.log(128 / 255)
    assert 0.5 - 0.01 < power.min() < 0.52
    assert 1.95 < power.max() < 2.02
    assert (bent[..., 0] == 0).all()
    assert (bent[..., 255] == 1).all()


def test_vignette_darkens_the_corners_alone() -> None:
    found = linear_from_srgb(camera(vignette=0.6)(flat(200, 500, 101)))[:, 0] / _light(200)
    assert (found[:, 50, 50] - 1).abs().max() < 0.01
    corners = found[:, [0, 0, -1, -1], [0, -1, 0, -1]]
    assert (corners.max(dim=1).values - corners.min(dim=1).values).max() < 0.01
    assert 0.4 < corners.min() < 0.43
    edge = found[:, 50, 0]  # half the square of the distance
    assert ((1 - edge) - (1 - corners[:, 0]) / 2).abs().max() < 0.02


def test_vignette_is_round_in_wide_images() -> None:
    found = linear_from_srgb(camera(vignette=1.0)(flat(200, 50, 120, 160)))[:, 0] / _light(200)
    loss = 1 - found[:, [60, 0, 0], [-1, 80, -1]]  # the middles of the right and the upper edge, a corner
    ratios = loss[:, :2] / loss[:, 2:]
    assert torch.allclose(ratios[loss[:, 2] > 0.3], torch.tensor([0.64, 0.36]), atol=0.03)
    ours, rendering = camera_model._square_of_distance, camera_effects._square_of_distance
    assert torch.allclose(ours(12, 16, found.device).double(), torch.from_numpy(rendering(12, 16)))


@pytest.mark.parametrize("chroma", [0.0, 0.5, 1.0])
def test_noise_has_the_variance_of_counted_electrons(chroma: float) -> None:
    for level in (60, 180):
        shot, read = 0.04, 0.02
        model = camera(shot_noise=shot, read_noise=read, chroma=chroma)
        model._uniform = lambda *shape: torch.ones(shape)  # type: ignore[method-assign]
        found = linear_from_srgb(model(flat(level, 60, 32))).double()
        assert found.mean().item() == pytest.approx(_light(level), rel=0.02)
        assert found.std().item() == pytest.approx(math.sqrt(shot**2 * _light(level) + read**2), rel=0.05)
        red, green, _ = (found - found.mean()).unbind(1)
        assert np.corrcoef(red.flatten(), green.flatten())[0, 1] == pytest.approx(1 - chroma, abs=0.05)
        # Blots of two by two: neighbours within one share what is coloured, those of different ones nothing.
        within = np.corrcoef(red[..., ::2].flatten(), red[..., 1::2].flatten())[0, 1]
        between = np.corrcoef(red[..., 1:-1:2].flatten(), red[..., 2::2].flatten())[0, 1]
        assert within == pytest.approx(chroma, abs=0.05)
        assert between == pytest.approx(0, abs=0.05)


def test_noise_is_centred_and_black_stays_in_range() -> None:
    assert (camera(read_noise=0.05)(flat(0)) >= 0).all()
    assert (camera(shot_noise=0.5)(flat(0)) == 0).all()  # no light, no electrons


@given(st.floats(0, 6), st.floats(0, 10), st.floats(0, math.pi))
def test_kernels_keep_the_light_and_its_place(radius: float, length: float, angle: float) -> None:
    disc = disc_kernels(torch.tensor([radius]), 6.0)[0]
    line = line_kernels(torch.tensor([length]), torch.tensor([angle]), 10.0)[0]
    for kernel in (disc, line):
        assert kernel.sum().item() == pytest.approx(1, abs=1e-5)
        assert (kernel >= 0).all()
        assert torch.equal(kernel[0], torch.zeros(len(kernel)))  # nothing is cut off
        assert torch.allclose(kernel, kernel.flip(0, 1), atol=1e-6)
    offsets = torch.arange(len(line)) - len(line) // 2
    variance = (line.sum(dim=0) * offsets**2).sum() + (line.sum(dim=1) * offsets**2).sum()
    # Of a segment: a twelfth of the squared length; and what the pixels' own width adds.
    assert variance.item() == pytest.approx(length**2 / 12, abs=0.06 * length + 0.4)
    offsets = torch.arange(len(disc)) - len(disc) // 2
    assert (disc.sum(dim=0) * offsets**2).sum().item() == pytest.approx(radius**2 / 4, abs=0.1 * radius + 0.2)


def test_a_path_lies_where_it_points() -> None:
    for degrees in (0, 30, 45, 90, 135):
        kernel = line_kernels(torch.tensor([9.0]), torch.deg2rad(torch.tensor([float(degrees)])), 9.0)[0].numpy()
        y, x = np.mgrid[: len(kernel), : len(kernel)] - len(kernel) // 2
        moments = np.array([[(kernel * a * b).sum() for a in (x, y)] for b in (x, y)])
        direction = np.linalg.eigh(moments)[1][:, 1]
        expected = np.array([np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))])
        assert abs(direction @ expected) > 0.999


def test_each_image_is_convolved_with_its_own_kernel() -> None:
    rng = np.random.default_rng(0)
    images, kernels = rng.uniform(size=(3, 3, 20, 17)), rng.uniform(size=(3, 5, 5))
    found = convolved(torch.from_numpy(images).float(), torch.from_numpy(kernels).float()).numpy()
    for image, kernel, result in zip(images, kernels, found, strict=True):
        for channel in range(3):
            expected = ndimage.correlate(image[channel], kernel, mode="nearest")
            np.testing.assert_allclose(result[channel], expected, rtol=1e-4)


def test_blur_mixes_light_not_levels() -> None:
    stripes = torch.zeros(50, 3, 40, 40, dtype=torch.uint8)
    stripes[..., ::2] = 255
    model = camera(motion=20.0)
    model._uniform = lambda *shape: torch.ones(shape)  # type: ignore[method-assign]  # the longest path, along x
    middle = model(stripes)[..., 15:25, 15:25].float()
    assert (middle.mean() - 255 * color.srgb_from_linear(np.array(0.5))).abs() < 3  # 188; of levels it would be 128


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
    losses = (camera(jpeg_quality=(5, 95))(images.repeat(50, 1, 1, 1)).float() - images.repeat(50, 1, 1, 1)).abs()
    assert losses.mean(dim=(1, 2, 3)).std() > 1


@pytest.mark.parametrize(
    "wrong",
    [
        {"fraction": 1.1}, {"vignette": -0.1}, {"chroma": 2}, {"defocus": -1}, {"motion": 1000}, {"shot_noise": -0.1},
        {"exposure": 20}, {"jpeg_quality": (0, 50)}, {"jpeg_quality": (60, 50)}, {"jpeg_quality": (50, 101)},
    ],
)  # fmt: skip
def test_impossible_values_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="must"):
        CameraConfig(**wrong)


def _light(level: int) -> float:
    return float(color.linear_from_srgb(np.array(level / 255)))
