"""Several windows of each image: what they find is averaged, in the order of one of the poses that look the same."""

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs
from scipy.spatial.transform import Rotation

from tests.scenes import scene
from vision.errors import DactylError
from vision.estimator import PoseEstimator
from vision.networks.backbones import BackboneConfig
from vision.networks.geometric_output import GeometricOutput
from vision.networks.heads import PointOutput
from vision.networks.losses import laplace_loss
from vision.networks.model import build_model
from vision.networks.model_config import ModelConfig, WindowConfig
from vision.networks.point_network import PointNetwork
from vision.networks.several_windows import averaged, roll_fractions
from vision.networks.windows import crop, make_windows
from vision.objects.symmetries import Symmetries
from vision.scene.scene import Scene

SIZE = 64


def network(of: Scene | None = None) -> PointNetwork:
    torch.manual_seed(0)
    window = WindowConfig(size=32, locator_size=40, locator_width=8)
    config = ModelConfig(head="geometric", backbone=BackboneConfig("pyramid", width=8), window=window)
    model = build_model(config, of or scene("block", SIZE)).eval()
    assert isinstance(model, PointNetwork)
    return model


def rolled_scenes(model: PointNetwork, roll: torch.Tensor) -> torch.Tensor:
    """Windows of the whole images for the locator, rolled."""
    return make_windows(torch.full((*roll.shape, 2), SIZE / 2), torch.full(roll.shape, float(SIZE)), 40, roll)


def symmetric() -> Scene:
    """The block as if quarter turns about an axis did not show."""
    block = scene("block", SIZE)
    quarters = Rotation.from_euler("z", [[0], [90], [180], [270]], degrees=True).as_matrix()
    return structs.replace(block, object=structs.replace(block.object, symmetries=Symmetries(rotations=quarters)))


def images(count: int = 2, cameras: int = 3) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randint(0, 256, (count, cameras, 3, SIZE, SIZE), dtype=torch.uint8, generator=generator)


@given(count=st.integers(1, 40))
def test_rolls_are_evenly_spaced_about_none(count: int) -> None:
    middles = np.array(roll_fractions(count))
    np.testing.assert_allclose(middles, -middles[::-1], atol=1e-12)
    np.testing.assert_allclose(np.diff(middles), 2 / count)
    assert np.abs(middles).max() <= 1 - 1 / count + 1e-12


def point(*times: tuple[float, float, float]) -> PointOutput:
    """One point of one image, (x, y, scale) each time."""
    pixels, scale = torch.tensor(times)[:, None, None, :2], torch.tensor(times)[:, None, 2:]
    return PointOutput(pixels, scale.log())


def test_an_average_is_weighted_by_precision() -> None:
    """Inverse variances of 1 and 1/4: four fifths of the first. The scale's square is the mean of theirs, with the same
    weights, and a quarter of the squared distances: along each axis a Laplace distribution's variance is 2 b^2."""
    mean = averaged(point((0, 0, 1), (10, 20, 2)), 2)
    torch.testing.assert_close(mean.pixels, torch.tensor([[[[2.0, 4.0]]]]))
    squares = 0.8 * (1 + 20 / 4) + 0.2 * (4 + 320 / 4)
    torch.testing.assert_close(mean.log_scale.exp(), torch.tensor([[[math.sqrt(squares)]]]))


def test_the_second_moment_is_that_of_the_losses_distribution() -> None:
    """Many sure points, scattered as the loss assumes, are one point of that scale."""
    drawn = torch.tensor(np.random.default_rng(0).laplace(scale=3.0, size=(200_000, 2)))
    scales = torch.linspace(2.5, 3.5, 41).double()
    losses = [
        laplace_loss(PointOutput(torch.zeros(1, 1, len(drawn), 2), scale.log().expand(1, 1, len(drawn))), drawn)
        for scale in scales
    ]
    assert abs(float(scales[torch.cat(losses).argmin()]) - 3.0) < 0.03
    sure = PointOutput(drawn[:, None, None], torch.full((len(drawn), 1, 1), -20.0).double())
    assert float(averaged(sure, len(drawn)).log_scale.exp()) == pytest.approx(3.0, rel=0.01)


def test_a_sure_time_among_unsure_ones_stays_sure() -> None:
    mean = averaged(point((0, 0, 0.5), (40, 0, 20), (-30, 0, 20)), 3)
    assert torch.linalg.vector_norm(mean.pixels) < 0.1
    assert 0.5 < float(mean.log_scale.exp()) < 1.1


def test_times_that_agree_change_nothing_and_others_say_that_they_do_not() -> None:
    torch.testing.assert_close(averaged(point(*[(3, 4, 2)] * 5), 5).log_scale.exp(), torch.tensor([[[2.0]]]))
    assert float(averaged(point((0, 0, 1), (40, 0, 1)), 2).log_scale.exp()) > 8


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
    off = (mean.pixels[..., None, :, :] - pixels[..., permutations, :]).abs().amax(dim=(-1, -2))
    assert float(off.amin(dim=-1).max()) < 1e-5, "each image's is one of the four orders"
    scale = log_scale[..., permutations].take_along_dim(off.argmin(dim=-1)[..., None, None], dim=-2)[..., 0, :]
    torch.testing.assert_close(mean.log_scale, scale, atol=1e-4, rtol=1e-4)
    assert (averaged(again, 4).pixels - pixels).abs().max() > 0.1


@pytest.mark.parametrize("name", ["block", "trifinger-cube", "symmetric"])
def test_the_middle_one_of_three_windows_is_the_only_one_of_one(name: str) -> None:
    """Its roll is zero. With it the other two, whose rolls are opposite, make up the average, image by image."""
    model, seen = network(symmetric() if name == "symmetric" else scene(name, SIZE)), images()
    assert (model.permutations is None) == (name != "symmetric")
    with torch.inference_mode():
        one = model(seen)
        looks = []
        for part in (-2 / 3, 0.0, 2 / 3):
            scenes = rolled_scenes(model, torch.full(seen.shape[:2], math.radians(5) * part))
            looks.append(model._look(seen, scenes=scenes, roll=torch.full(seen.shape[:2], math.radians(30) * part)))
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


def test_a_network_of_a_symmetric_object_may_see_another_pose_in_each_window(monkeypatch: pytest.MonkeyPatch) -> None:
    model, seen = network(symmetric()), images()
    model.use_windows(3)
    look, permutations = model._look, model.permutations
    assert permutations is not None

    def turned(*arguments: Any, **more: Any) -> GeometricOutput:
        """The middle window sees the block a quarter turn on."""
        found = look(*arguments, **more)
        orders = permutations[torch.tensor([0, 0, 1, 1, 0, 0])][:, None].expand(-1, 3, -1)
        pixels = found.corners.pixels.take_along_dim(orders[..., None], 2)
        return replace(found, corners=PointOutput(pixels, found.corners.log_scale.take_along_dim(orders, 2)))

    with torch.inference_mode():
        plain = model(seen).corners.pixels
        monkeypatch.setattr(model, "_look", turned)
        other = model(seen).corners.pixels
    off = (other[..., None, :, :] - plain[..., permutations, :]).abs().amax(dim=(-1, -2)).amin(dim=-1)
    assert float(off.max()) < 1e-3


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
            look = model._look(seen, scenes=rolled_scenes(model, rolled), roll=rolled)
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


def test_crops_are_exact_in_bfloat16_training() -> None:
    """Coordinates in bfloat16 would be off by up to half a pixel."""
    ticks = torch.arange(200) + 0.5
    image = torch.stack([*torch.meshgrid(ticks, ticks, indexing="xy"), torch.zeros(200, 200)])[None]
    window = make_windows(torch.tensor([[90.3, 104.7]]), 76.0, 76, torch.tensor([0.4]))
    exact = crop(image, window, 76)
    with torch.autocast("cpu", torch.bfloat16):
        torch.testing.assert_close(crop(image, window, 76), exact)


def test_any_number_of_cameras() -> None:
    model, five = network(), images(cameras=5)
    model.use_windows(3)
    with torch.inference_mode():
        found = model(five)
        assert found.corners.pixels.shape == (2, 5, 8, 2)
        for camera in range(5):
            alone = model(five[:, camera : camera + 1])
            torch.testing.assert_close(
                alone.corners.pixels[:, 0], found.corners.pixels[:, camera], atol=1e-3, rtol=1e-4
            )


def test_a_batch_is_divided_by_the_number_of_windows() -> None:
    """Memory stays what the caller chose, and the answers do not depend on it."""
    estimator = PoseEstimator(network(), windows=3)
    seen, sizes = images(7).permute(0, 1, 3, 4, 2).numpy(), list[int]()
    estimator.model.register_forward_pre_hook(lambda _, arguments: sizes.append(len(arguments[0])))
    nominal = estimator.rig.nominal
    few, all_at_once = (estimator.predict(seen, nominal, batch_size=size) for size in (7, 64))
    assert sizes == [2, 2, 2, 1, 7]
    np.testing.assert_allclose(few["position"], all_at_once["position"], atol=1e-6)
    sizes.clear()
    parts, whole = (estimator.observe(iter(seen), batch_size=size) for size in (7, 64))
    assert sizes == [2, 2, 2, 1, 7]
    for part, other in zip(parts, whole, strict=True):
        np.testing.assert_allclose(part, other, atol=1e-3, rtol=1e-4)
