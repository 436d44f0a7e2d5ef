"""Camera effects on rendered images: each does what it says, and comes back from a sample."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from msgspec.structs import replace

from datagen.appearance.draw import AppearanceConfig, draw_appearance
from datagen.appearance.sample import Appearance
from datagen.pictures.numpy_effects import apply_effects, draw_effects, photograph, unit_noise
from eval.closed_loop.config import ClosedLoopConfig
from tests.scenes import BACKGROUND, rig, scene
from tests.vision.test_camera_effects import FULL, NOTHING
from vision.camera_effects import CameraEffectsConfig
from vision.color import linear_from_srgb
from vision.distributions import UniformInt
from vision.errors import DactylError
from vision.rigs.rig import Rig

RANDOM = np.random.default_rng(0).integers(0, 256, (40, 60, 3)).astype(np.uint8)
GREY = np.full((64, 96, 3), 100, np.uint8)


def taken(image: np.ndarray, **changes: float) -> np.ndarray:
    effects = dataclasses.replace(NOTHING, **changes)  # type: ignore[arg-type]
    return photograph(image, effects, unit_noise(effects, *image.shape[:2]) if effects.noisy else None)


def light(image: np.ndarray) -> np.ndarray:
    return linear_from_srgb(image / 255)


def test_without_effects_nothing_changes() -> None:
    assert np.array_equal(taken(RANDOM), RANDOM)


def test_each_effect_does_what_it_says() -> None:
    assert light(taken(GREY, exposure=1)).mean() == pytest.approx(2 * light(GREY).mean(), rel=0.02)
    red = light(taken(GREY, red=-1, blue=0.5)).mean(axis=(0, 1)) / light(GREY)[0, 0]
    np.testing.assert_allclose(red, (0.5, 1.0, 2**0.5), rtol=0.03)
    dark = light(taken(GREY, vignette=0.5)) / light(GREY)
    assert dark[0, 0, 0] == pytest.approx(0.5, abs=0.03)
    assert dark[32, 48, 0] == pytest.approx(1.0, abs=0.02)
    assert taken(GREY, gamma=1)[0, 0, 0] == round(255 * (100 / 255) ** 2)
    assert taken(RANDOM, jpeg_quality=30).shape == RANDOM.shape
    assert np.abs(taken(RANDOM, jpeg_quality=90).astype(int) - RANDOM).mean() > 2
    assert np.abs(taken(GREY, jpeg_quality=90).astype(int) - GREY).max() <= 2
    white = np.full((200, 200, 3), 200, np.uint8)
    noisy = light(taken(white, shot_noise=0.05, read_noise=0.02, noise_seed=3)) - light(white)
    assert noisy.std() == pytest.approx(np.sqrt(0.05**2 * light(white).mean() + 0.02**2), rel=0.05)
    assert np.array_equal(taken(white, read_noise=0.02, noise_seed=3), taken(white, read_noise=0.02, noise_seed=3))
    assert not np.array_equal(taken(white, read_noise=0.02, noise_seed=3), taken(white, read_noise=0.02, noise_seed=4))


def test_blurs_are_fractions_of_the_width() -> None:
    point = np.zeros((61, 101, 3), np.uint8)
    point[30, 50] = 255
    row = light(taken(point, motion=0.09))[30, :, 0]
    assert (row > 0.05).sum() == pytest.approx(9, abs=1)
    assert light(taken(point, defocus=0.05)).sum() == pytest.approx(3.0, rel=0.15)


def test_effects_are_drawn_by_value_and_stored() -> None:
    drawn = [draw_effects(FULL, 3, 5, index) for index in range(100)]
    assert drawn[7] == draw_effects(FULL, 3, 5, 7)
    assert 65 < sum(map(bool, drawn)) < 95
    assert all(len(one) in (0, 3) for one in drawn)
    one = next(effects for effects in drawn if effects)
    assert len({effects.exposure for effects in one}) == 3
    assert all(40 <= effects.jpeg_quality <= 95 for effects in one)
    assert draw_effects(CameraEffectsConfig(), 3, 5, 7) == ()
    config = AppearanceConfig(camera_effects=dataclasses.replace(FULL, probability=1.0))
    look = draw_appearance(config, scene(), [BACKGROUND], 0, 5)
    assert Appearance.from_json(look.to_json(), "sample 5").camera_effects == look.camera_effects
    assert len(look.camera_effects) == 3
    for wrong in ({}, look.to_json()["camera_effects"][0] | {"defocus": 5}):
        with pytest.raises(DactylError, match="sample 5: not an appearance"):
            Appearance.from_json(look.to_json() | {"camera_effects": [wrong]}, "sample 5")


def test_each_camera_has_its_own_and_padding_stays_black() -> None:
    cameras = rig(60).cameras
    uneven = Rig(cameras=(cameras[0], replace(cameras[1], width=40, height=30), cameras[2]))
    images = np.random.default_rng(1).integers(0, 256, (3, 60, 60, 3)).astype(np.uint8)
    images[1, 30:] = images[1, :, 40:] = 0
    brighter = dataclasses.replace(NOTHING, exposure=2.0, read_noise=0.1)
    before = images.copy()
    shown = apply_effects(images, (NOTHING, brighter, NOTHING), uneven)
    assert np.array_equal(images, before)
    assert np.array_equal(shown[[0, 2]], images[[0, 2]])
    assert np.array_equal(shown[1, :30, :40], taken(images[1, :30, :40], exposure=2.0, read_noise=0.1))
    assert not shown[1, 30:].any()
    assert not shown[1, :, 40:].any()
    assert apply_effects(images, (), uneven) is images
    with pytest.raises(DactylError, match="effects on 2 images, there are 3 cameras"):
        apply_effects(images, (NOTHING, NOTHING), uneven)


def test_the_closed_loop_has_neither_effects_nor_clutter() -> None:
    for looks in (
        AppearanceConfig(camera_effects=FULL),
        AppearanceConfig(clutter=dataclasses.replace(AppearanceConfig().clutter, beside=UniformInt(1, 1))),
    ):
        with pytest.raises(ValueError, match="out here"):
            ClosedLoopConfig(Path("a.ckpt"), Path("out"), appearance=looks)
