"""Camera effects: ranges, drawn values, kernels, and that NumPy and torch make the same image of the same values."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from datagen.pictures import numpy_effects
from train import torch_effects
from vision.camera_effects import CameraEffects, CameraEffectsConfig, disc_kernels, line_kernels, squared_distance
from vision.distributions import Uniform, UniformInt

NOTHING = CameraEffects(0, 0, 0, 0, 0, 0, 0, 0, 0, 0.5, 0, 0, 0)
FULL = CameraEffectsConfig(
    probability=0.8,
    defocus=Uniform(0, 0.01),
    motion=Uniform(0, 0.02),
    vignette=Uniform(0, 0.5),
    exposure=Uniform(-1, 1),
    white_balance=Uniform(-0.3, 0.3),
    shot_noise=Uniform(0, 0.05),
    read_noise=Uniform(0, 0.02),
    gamma=Uniform(-0.3, 0.3),
    jpeg_quality=UniformInt(40, 95),
)
STRONG: dict[str, dict[str, Any]] = {
    "none": {},
    "defocus": {"defocus": 0.04},
    "motion": {"motion": 0.09, "motion_angle": 0.7},
    "vignette": {"vignette": 0.9},
    "exposure": {"exposure": 1.3},
    "white balance": {"red": 0.8, "blue": -0.9},
    "grey noise": {"shot_noise": 0.1, "read_noise": 0.05, "chroma": 0.0},
    "coloured noise": {"shot_noise": 0.1, "read_noise": 0.05, "chroma": 1.0},
    "gamma": {"gamma": -0.8},
}


def pictures(count: int, height: int, width: int) -> np.ndarray:
    """Smooth colours with edges and a little texture, uint8 (N, H, W, 3)."""
    rng = np.random.default_rng(5)
    smooth = ndimage.zoom(rng.uniform(0, 255, (count, 4, 5, 3)), (1, height / 4, width / 5, 1), order=1)
    smooth[:, 20:40, 30:60] = rng.uniform(0, 255, (count, 1, 1, 3))
    return np.clip(smooth + rng.normal(0, 4, smooth.shape), 0, 255).astype(np.uint8)


def both(effects: tuple[CameraEffects, ...], height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """What NumPy and torch make of the same images, effects and noise."""
    images = pictures(len(effects), height, width)
    noise = [numpy_effects.unit_noise(one, height, width) for one in effects]
    stored = [
        numpy_effects.photograph(image, one, each) for image, one, each in zip(images, effects, noise, strict=True)
    ]
    batch, on_device = (torch.from_numpy(array).permute(0, 3, 1, 2) for array in (images, np.stack(noise)))
    trained = torch_effects.photograph(batch, effects, on_device.float())
    return np.stack(stored).astype(int), trained.permute(0, 2, 3, 1).numpy().astype(int)


@pytest.mark.parametrize("name", STRONG)
@pytest.mark.parametrize("size", [(72, 96), (75, 50)])
def test_numpy_and_torch_make_the_same_image(name: str, size: tuple[int, int]) -> None:
    """To one level, where float32 rounds to the other side: one value in a thousand."""
    weak = {key: value / 3 for key, value in STRONG[name].items()}
    effects = tuple(dataclasses.replace(NOTHING, **values, noise_seed=7) for values in (STRONG[name], {}, weak))
    stored, trained = both(effects, *size)
    assert np.abs(stored - trained).max() <= 1
    assert (stored != trained).mean() < 1e-3


def test_all_effects_together_are_the_same_too() -> None:
    drawn = FULL.draw(np.random.default_rng(3), 12)
    stored, trained = both(tuple(dataclasses.replace(one, jpeg_quality=0) for one in drawn), 72, 96)
    assert np.abs(stored - trained).max() <= 1
    assert (stored != trained).mean() < 1e-3
    # Where libjpeg's whole numbers round a coefficient the other way, a block differs by a step of its table.
    stored, trained = both(drawn, 72, 96)
    assert np.abs(stored - trained).mean() < 1.0
    assert not np.array_equal(stored, pictures(12, 72, 96))


def test_every_image_has_values_of_its_own_within_the_ranges() -> None:
    drawn = FULL.draw(np.random.default_rng(0), 500)
    assert drawn == FULL.draw(np.random.default_rng(0), 500)
    for name in ("defocus", "motion", "vignette", "exposure", "shot_noise", "read_noise", "gamma", "jpeg_quality"):
        values, limits = [getattr(one, name) for one in drawn], getattr(FULL, name)
        span = limits.high - limits.low
        assert limits.low <= min(values) <= limits.low + 0.1 * span
        assert limits.high - 0.1 * span <= max(values) <= limits.high
    red, blue = ([getattr(one, name) for one in drawn] for name in ("red", "blue"))
    assert np.corrcoef(red, blue)[0, 1] == pytest.approx(0, abs=0.1)
    assert max(map(abs, red + blue)) <= 0.3
    assert len({one.noise_seed for one in drawn}) == 500
    assert all(CameraEffects.from_json(one.to_json()) == one for one in drawn)


@given(st.floats(0, 6), st.floats(0, 10), st.floats(0, math.pi))
def test_kernels_keep_the_light_and_its_place(radius: float, length: float, angle: float) -> None:
    disc = disc_kernels(np.array([radius, 6.0]))[0]
    line = line_kernels(np.array([length, 10.0]), np.array([angle, 0.0]))[0]
    for kernel in (disc, line):
        assert kernel.sum() == pytest.approx(1, abs=1e-9)
        assert (kernel >= 0).all()
        assert not kernel[0].any()  # nothing is cut off
        np.testing.assert_allclose(kernel, kernel[::-1, ::-1], atol=1e-9)
    offsets = np.arange(len(line)) - len(line) // 2
    variance = (line.sum(axis=0) * offsets**2).sum() + (line.sum(axis=1) * offsets**2).sum()
    # Of a segment: a twelfth of the squared length; and what the pixels' own width adds.
    assert variance == pytest.approx(length**2 / 12, abs=0.06 * length + 0.4)
    offsets = np.arange(len(disc)) - len(disc) // 2
    assert (disc.sum(axis=0) * offsets**2).sum() == pytest.approx(radius**2 / 4, abs=0.1 * radius + 0.2)


def test_a_path_lies_where_it_points() -> None:
    for degrees in (0, 30, 45, 90, 135):
        (kernel,) = line_kernels(np.array([9.0]), np.deg2rad([float(degrees)]))
        y, x = np.mgrid[: len(kernel), : len(kernel)] - len(kernel) // 2
        moments = np.array([[(kernel * a * b).sum() for a in (x, y)] for b in (x, y)])
        direction = np.linalg.eigh(moments)[1][:, 1]
        expected = np.array([np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))])
        assert abs(direction @ expected) > 0.999


def test_a_vignette_is_round_in_wide_images() -> None:
    squares = squared_distance(121, 161)
    assert squares[60, 80] == 0
    assert squares[[0, 0, -1, -1], [0, -1, 0, -1]] == pytest.approx(1, abs=0.02)
    assert squares[60, -1] / squares[0, 80] == pytest.approx((160 / 120) ** 2, rel=1e-6)


@pytest.mark.parametrize(
    "wrong",
    [
        {"probability": 2.0}, {"vignette": Uniform(-0.1, 0)}, {"chroma": Uniform(0, 2)}, {"defocus": Uniform(0, 1)},
        {"motion": Uniform(-0.01, 0)}, {"shot_noise": Uniform(0, 1.1)}, {"exposure": Uniform(-9, 0)},
        {"gamma": Uniform(0, 9)}, {"jpeg_quality": UniformInt(0, 101)},
    ],
)  # fmt: skip
def test_impossible_ranges_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        CameraEffectsConfig(**wrong)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("chroma", 1.5), ("vignette", 3.0), ("shot_noise", -0.1), ("read_noise", 1.1), ("defocus", 0.2),
        ("motion", -0.1), ("exposure", 9.0), ("red", -9.0), ("blue", float("nan")), ("gamma", float("inf")),
        ("motion_angle", 4.0), ("jpeg_quality", 101), ("jpeg_quality", float("inf")), ("noise_seed", -1),
    ],
)  # fmt: skip
def test_stored_values_that_no_range_allows_are_refused(name: str, value: float) -> None:
    (drawn,) = CameraEffectsConfig(probability=1.0).draw(np.random.default_rng(0), 1)
    with pytest.raises(ValueError, match=f"camera_effects: {name}: must lie in "):
        CameraEffects.from_json(drawn.to_json() | {name: value})
