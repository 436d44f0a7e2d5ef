import math
from pathlib import Path

import pytest
import torch

from train.config import TrainConfig
from train.data_config import DataConfig
from train.image_augmentation import ImageAugment, ImageAugmentConfig
from vision.networks.model_config import ModelConfig, WindowConfig
from vision.networks.windows import to_image, window_scale


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_contrast_and_noise_have_the_papers_size() -> None:
    flat = torch.ones(4000, 3, 4, 4)
    found = ImageAugment(ImageAugmentConfig(), generator())(flat)
    contrast = found.mean(dim=(1, 2, 3))
    assert 0.44 < contrast.min() < 0.56
    assert 1.44 < contrast.max() < 1.56
    assert contrast.mean().item() == pytest.approx(1.0, abs=0.02)
    assert (found - contrast[:, None, None, None]).std().item() == pytest.approx(0.1, abs=0.005)


def test_tint_changes_channels_as_a_whole() -> None:
    config = ImageAugmentConfig(contrast=(1, 1), noise=0, tint=0.2)
    found = ImageAugment(config, generator())(torch.ones(4000, 3, 2, 2))
    assert found.std(dim=(2, 3)).max() == 0
    # A factor and an offset, both of deviation 0.2, on ones.
    assert found[:, :, 0, 0].std().item() == pytest.approx(0.2 * math.sqrt(2), rel=0.05)


def test_tone_keeps_to_its_range() -> None:
    levels = torch.arange(256.0).expand(2000, 3, 1, 256)
    exposed = ImageAugment(ImageAugmentConfig(exposure=1.0), generator()).adjust_tone(levels)
    dark = exposed[:, 0, 0, 40] / 40  # nowhere near white: a factor, of light by up to a stop
    assert 0.5 - 1e-5 <= (dark**2.2).min() < 0.51
    assert 1.98 < (dark**2.2).max() <= 2.0 + 1e-5
    assert exposed.max() == 255
    assert (exposed[..., 200] == 255).any()  # what contrast cannot do: white swallows what was brighter
    curved = ImageAugment(ImageAugmentConfig(gamma=1.0), generator()).adjust_tone(levels)
    power = torch.log(curved[:, 0, 0, 128] / 255) / math.log(128 / 255)
    assert 0.5 - 1e-4 <= power.min() < 0.51
    assert 1.98 < power.max() <= 2.0 + 1e-4
    torch.testing.assert_close(curved[..., [0, 255]], torch.tensor([0.0, 255.0]).expand(2000, 3, 1, 2))
    both = ImageAugment(ImageAugmentConfig(exposure=1.0, gamma=1.0), generator()).adjust_tone(levels)
    assert (both.diff(dim=-1) >= 0).all()


def test_without_tone_nothing_changes_and_nothing_is_drawn() -> None:
    augment, untouched = (
        ImageAugment(ImageAugmentConfig(), generator()),
        ImageAugment(ImageAugmentConfig(), generator()),
    )
    images = 255 * torch.rand(2, 3, 8, 8)
    assert augment.adjust_tone(images) is images
    assert torch.equal(augment(images), untouched(images))  # what is drawn next is what was drawn next


def test_half_of_the_samples_are_told_their_cameras() -> None:
    known = ImageAugment(ImageAugmentConfig(), generator()).cameras_known(4000)
    assert known.shape == (4000, 1, 1)
    assert set(known.flatten().tolist()) == {0.0, 1.0}
    assert known.mean().item() == pytest.approx(0.5, abs=0.03)


def test_equal_generators_give_equal_pictures_and_other_ones_do_not() -> None:
    images = torch.rand(2, 3, 8, 8)
    first, second, other = (ImageAugment(ImageAugmentConfig(), generator(seed))(images) for seed in (1, 1, 2))
    assert torch.equal(first, second)
    assert not torch.equal(first, other)


def test_windows_stay_around_the_object() -> None:
    config = ImageAugmentConfig(window_shift=0.05, window_zoom=0.1, window_roll_deg=20)
    centre = torch.full((500, 3, 2), 100.0)
    windows = ImageAugment(config, generator()).windows(centre, 90.0, 80)
    middle = to_image(windows, torch.full((500, 3, 1, 2), 40.0))[..., 0, :]
    assert (middle - 100).std().item() == pytest.approx(0.05 * 90, rel=0.1)
    scale = window_scale(windows) * 80 / 90
    assert 0.9 - 1e-5 <= scale.min() < 0.91
    assert 1.09 < scale.max() <= 1.1 + 1e-5
    roll = torch.rad2deg(torch.atan2(windows[..., 1, 0], windows[..., 0, 0]))
    assert 19 < roll.abs().max() <= 20.001


def test_scenes_stay_near_the_whole_image() -> None:
    config = ImageAugmentConfig(scene_shift=0.03, scene_zoom=0.05, scene_roll_deg=5)
    scenes = ImageAugment(config, generator()).scenes(torch.full((500, 3), 200.0), 100)
    assert scenes.shape == (500, 3, 2, 3)
    middle = to_image(scenes, torch.full((500, 3, 1, 2), 50.0))[..., 0, :]
    assert (middle - 100).mean().abs() < 1.0
    assert (middle - 100).std().item() == pytest.approx(0.03 * 200, rel=0.1)
    scale = window_scale(scenes) * 100 / 200
    assert 0.95 - 1e-5 <= scale.min() < 0.96
    roll = torch.rad2deg(torch.atan2(scenes[..., 1, 0], scenes[..., 0, 0]))
    assert 4.5 < roll.abs().max() <= 5.001


@pytest.mark.parametrize(
    "wrong",
    [
        {"contrast": (0.0, 1.0)},
        {"contrast": (1.5, 0.5)},
        {"noise": -0.1},
        {"tint": -1},
        {"exposure": -0.5},
        {"gamma": -0.5},
        {"window_zoom": 1.0},
        {"window_roll_deg": 200},
        {"scene_shift": -0.1},
        {"scene_zoom": 1.0},
        {"scene_roll_deg": -1},
    ],
)
def test_impossible_values_are_refused(wrong: dict) -> None:
    with pytest.raises(ValueError, match="must"):
        ImageAugmentConfig(**wrong)


@pytest.mark.parametrize(("key", "least"), [("window_roll_deg", 30), ("scene_roll_deg", 5)])
def test_a_network_learns_the_rolls_of_its_several_windows(key: str, least: float) -> None:
    def configured(count: int, value: float) -> TrainConfig:
        model = ModelConfig("geometric", window=WindowConfig(count=count))
        augment = ImageAugmentConfig(**{key: value})
        return TrainConfig(Path("out"), DataConfig("data"), model=model, augment=augment)

    configured(1, 0.0)
    configured(3, least)
    with pytest.raises(ValueError, match=rf"augment\.{key}: .* by up to {least} degrees.*; got {least - 1}"):
        configured(3, least - 1)
