"""Several windows of each image: what they find is averaged, in the order of one of the poses that look the same."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.scenes import scene
from vision.errors import DactylError
from vision.estimator import PoseEstimator
from vision.networks.backbones import BackboneConfig
from vision.networks.heads import PointOutput
from vision.networks.model import build_model
from vision.networks.model_config import ModelConfig, WindowConfig
from vision.networks.point_network import PointNetwork
from vision.networks.several_windows import averaged, parts

SIZE = 64


def network(name: str = "block") -> PointNetwork:
    torch.manual_seed(0)
    window = WindowConfig(size=32, locator_size=40, locator_width=8)
    config = ModelConfig(head="geometric", backbone=BackboneConfig("pyramid", width=8), window=window)
    model = build_model(config, scene(name, SIZE)).eval()
    assert isinstance(model, PointNetwork)
    return model


def images(count: int = 2, cameras: int = 3) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randint(0, 256, (count, cameras, 3, SIZE, SIZE), dtype=torch.uint8, generator=generator)


@given(count=st.integers(1, 40))
def test_parts_are_evenly_spaced_about_none(count: int) -> None:
    middles = np.array(parts(count))
    np.testing.assert_allclose(middles, -middles[::-1], atol=1e-12)
    np.testing.assert_allclose(np.diff(middles), 2 / count)
    assert np.abs(middles).max() <= 1 - 1 / count + 1e-12


def test_an_average_is_weighted_by_precision() -> None:
    """Inverse variances of 1 and 1/4: four fifths of the first."""
    pixels = torch.tensor([[[[0.0, 0.0]]], [[[10.0, 20.0]]]])
    mean = averaged(PointOutput(pixels, torch.tensor([[[0.0]], [[math.log(2.0)]]])), 2)
    torch.testing.assert_close(mean.pixels, torch.tensor([[[[2.0, 4.0]]]]))
    torch.testing.assert_close(mean.log_scale, torch.tensor([[[math.log(2.0) / 2]]]))


def test_poses_that_look_the_same_are_averaged_as_one() -> None:
    """Each image sees another of the object's symmetries each time."""
    generator = torch.Generator().manual_seed(2)
    permutations = torch.tensor([[0, 1, 2, 3], [1, 2, 3, 0], [2, 3, 0, 1], [3, 0, 1, 2]])
    pixels, log_scale = torch.randn(5, 3, 4, 2, generator=generator), torch.randn(5, 3, 4, generator=generator)
    orders = [permutations[torch.randint(0, 4, (5, 3), generator=generator)] for _ in range(3)]
    again = PointOutput(
        torch.cat([pixels, *(pixels.take_along_dim(order[..., None], 2) for order in orders)]),
        torch.cat([log_scale, *(log_scale.take_along_dim(order, 2) for order in orders)]),
    )
    mean = averaged(again, 4, permutations)
    torch.testing.assert_close(mean.pixels, pixels)
    torch.testing.assert_close(mean.log_scale, log_scale)
    assert (averaged(again, 4).pixels - pixels).abs().max() > 0.1


@pytest.mark.parametrize("name", ["block", "trifinger-cube"])
def test_the_middle_one_of_three_windows_is_the_only_one_of_one(name: str) -> None:
    """Its roll is zero. With it the other two, whose rolls are opposite, make up the average, image by image."""
    model, seen = network(name), images()
    with torch.inference_mode():
        one = model(seen)
        looks = []
        for part in (-2 / 3, 0.0, 2 / 3):
            scenes = model._rolled_scenes(torch.full((2, 3), math.radians(5) * part))
            looks.append(model._look(seen, scenes=scenes, roll=torch.full((2, 3), math.radians(30) * part)))
        model.use_windows(3)
        three = model(seen)
    torch.testing.assert_close(looks[1].corners.pixels, one.corners.pixels, atol=1e-3, rtol=1e-4)
    assert (looks[0].corners.pixels - one.corners.pixels).abs().max() > 1e-2
    for part in ("corners", "centre", "landmarks"):
        found = [getattr(look, part) for look in looks]
        every = PointOutput(torch.cat([each.pixels for each in found]), torch.cat([each.log_scale for each in found]))
        expected = averaged(every, 3, model.permutations if part == "corners" else None)
        torch.testing.assert_close(getattr(three, part).pixels, expected.pixels, atol=1e-3, rtol=1e-4)
        torch.testing.assert_close(getattr(three, part).log_scale, expected.log_scale, atol=1e-4, rtol=1e-4)


def test_training_sees_one_window() -> None:
    model, seen = network().train(), images()
    model.use_windows(3)
    windows, before = model(seen).windows, model(seen).corners.pixels
    model.use_windows(1)
    torch.testing.assert_close(model(seen, windows=windows).corners.pixels, before)


def test_a_rolled_window_lies_around_the_centre_that_was_found() -> None:
    model, seen = network(), images(1)
    with torch.inference_mode():
        for roll in (-0.3, 0.3):
            rolled = torch.full((1, 3), roll)
            look = model._look(seen, scenes=model._rolled_scenes(rolled), roll=rolled)
            middle = look.windows[..., :2].sum(dim=-1) * 16 + look.windows[..., 2]
            assert look.centre is not None
            torch.testing.assert_close(middle, look.centre.pixels[:, :, 0], atol=1e-3, rtol=1e-4)
            right = look.windows[..., 0]
            torch.testing.assert_close(torch.atan2(right[..., 1], right[..., 0]), torch.full((1, 3), roll))


@pytest.mark.parametrize("config", [ModelConfig(), ModelConfig(head="geometric", image_size=32)])
def test_a_network_without_a_window_refuses_several(config: ModelConfig) -> None:
    model = build_model(config, scene("block", SIZE))
    assert PoseEstimator(model, windows=1).windows == 1
    with pytest.raises(DactylError, match=r"windows: only a geometric network with model\.window"):
        PoseEstimator(model, windows=3)
