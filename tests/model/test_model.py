import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from msgspec import structs
from scipy.spatial.transform import Rotation
from torch import Tensor

from tests.model.test_bundle import Truth
from tests.scenes import scene
from vision.errors import DactylError
from vision.geometry.cameras import Cameras, camera_matrix
from vision.network_files import checkpoint_record, read_model
from vision.networks.backbones import BackboneConfig
from vision.networks.confidence import CONFIDENT_ANGLE, fit_deviation, honest_deviation, probability_within
from vision.networks.geometric import GeometricModel
from vision.networks.geometric_output import GeometricOutput
from vision.networks.heads import PointOutput
from vision.networks.losses import LossConfig
from vision.networks.model import build_model
from vision.networks.model_config import ModelConfig, WindowConfig
from vision.networks.pose_model import PoseModel
from vision.networks.preprocessing import normalize, resize
from vision.networks.regression import RegressionModel
from vision.networks.windows import make_windows
from vision.objects.symmetries import Symmetries
from vision.rigs.rig import Rig
from vision.scene.scene import Scene
from vision.solvers.bundle import solve_pose

SMALL = BackboneConfig("pyramid", width=8, blocks=1)
CONFIGS = {
    "paper": ModelConfig(),
    "six_d": ModelConfig(rotation="six_d", backbone=SMALL),
    "resnet18": ModelConfig(backbone=BackboneConfig("resnet18")),
    "told": ModelConfig(rotation="six_d", backbone=SMALL, camera_input=True),
    "geometric": ModelConfig("geometric", SMALL),
    "windowed": ModelConfig(
        "geometric", SMALL, window=WindowConfig(side=0.38, size=48, locator_size=48, locator_width=8)
    ),
}


def scene_of(cameras: int, size: int) -> Scene:
    """The block seen by up to three cameras of the rig and two more beside the first."""
    whole = scene("block", size)
    first = whole.rig.cameras[0]
    more = [structs.replace(first, name=f"more{n}", intrinsics=camera_matrix(20.0 + n, size, size)) for n in range(2)]
    return whole.with_rig(Rig(cameras=(*whole.rig.cameras, *more)[:cameras]))


def model_and_cameras(name: str, cameras: int = 3, size: int = 64, batch: int = 2) -> tuple[PoseModel, Cameras]:
    shown = scene_of(cameras, size)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = build_model(CONFIGS[name], shown).eval()
    model.set_position_statistics(torch.tensor([1.02, 0.87, 0.145]), torch.full((3,), 0.02))
    tensors = (shown.rig.nominal.intrinsics, shown.rig.nominal.extrinsics)
    return model, Cameras(*(torch.tensor(array).float().expand(batch, -1, -1, -1) for array in tensors))


def pictures(cameras: int = 3, size: int = 64, batch: int = 2) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (batch, cameras, 3, size, size), dtype=torch.uint8, generator=generator)


@pytest.mark.parametrize("name", CONFIGS)
@pytest.mark.parametrize("cameras", [1, 2, 3, 4, 5])
def test_any_number_of_cameras(name: str, cameras: int) -> None:
    model, seen_by = model_and_cameras(name, cameras)
    found = model.predict(pictures(cameras), seen_by)
    assert found.pose.position.shape == (2, 3)
    assert found.pose.rotation.shape == (2, 3, 3)
    assert found.confidence.shape == (2,)
    assert ((found.confidence >= 0) & (found.confidence <= 1)).all()
    torch.testing.assert_close(
        torch.linalg.det(found.pose.rotation), torch.ones(2, dtype=torch.float64), atol=1e-6, rtol=0
    )


def test_cameras_share_the_tower() -> None:
    """Swapped pictures give swapped corners, and more cameras bring no weights but the regression's first layer."""
    model, _ = model_and_cameras("windowed")
    images, order = pictures(), [2, 0, 1]
    with torch.no_grad():
        there, swapped = model(images), model(images[:, order])
    torch.testing.assert_close(swapped.corners.pixels, there.corners.pixels[:, order], atol=1e-3, rtol=0)
    sizes = [
        sum(weight.numel() for weight in model_and_cameras("paper", cameras)[0].parameters()) for cameras in (1, 2, 3)
    ]
    assert sizes[1] - sizes[0] == sizes[2] - sizes[1] == 2 * 64 * 128


def test_table_12_has_its_sizes() -> None:
    model, _ = model_and_cameras("paper", size=200)
    first, second = (layer for layer in model.head.layers if isinstance(layer, torch.nn.Linear))
    assert (first.in_features, first.out_features, second.out_features) == (3 * 64 * 2, 128, 7)
    convolutions = [layer for layer in model.tower.stem if isinstance(layer, torch.nn.Conv2d)]
    assert [(c.kernel_size, c.out_channels, c.stride, c.padding) for c in convolutions] == [
        ((5, 5), 32, (1, 1), (0, 0)),
        ((3, 3), 32, (1, 1), (0, 0)),
    ]
    assert [stage.conv1.out_channels for stage in model.tower.stages] == [16, 32, 32, 64, 64, 64, 64]


def test_exposure_is_normalised_away() -> None:
    model, cameras = model_and_cameras("paper")
    images = pictures() // 2
    brighter = images + 60
    found, same = model.predict(images, cameras), model.predict(brighter, cameras)
    torch.testing.assert_close(found.pose.position, same.pose.position, atol=1e-6, rtol=0)
    flat = normalize(torch.full((1, 3, 8, 8), 7.0))
    assert not flat.any()
    noise = normalize(255 * torch.rand(4, 3, 32, 32))
    torch.testing.assert_close(noise.mean(dim=(1, 2, 3)), torch.zeros(4), atol=1e-5, rtol=0)
    torch.testing.assert_close(noise.var(dim=(1, 2, 3)), torch.ones(4), atol=0.05, rtol=0)


@pytest.mark.parametrize("name", ["paper", "windowed"])
def test_bfloat16_and_channels_last_change_little(name: str) -> None:
    model, _ = model_and_cameras(name)
    images, window = pictures(), {}
    if isinstance(model, GeometricModel) and model.config.window is not None:
        # The same windows: where the locator looks is not the question.
        window = {"windows": make_windows(torch.full((2, 3, 2), 32.0), 30.0, model.input_size)}
    with torch.no_grad():
        exact = model(images, **window)
        model.to(memory_format=torch.channels_last)
        with torch.autocast("cpu", torch.bfloat16):
            rounded = model(images, **window)
    if name == "paper":
        assert rounded.values.dtype == torch.float32
        torch.testing.assert_close(rounded.values, exact.values, atol=0.02, rtol=0)
    else:
        assert rounded.corners.pixels.dtype == torch.float32
        torch.testing.assert_close(rounded.corners.pixels, exact.corners.pixels, atol=0.5, rtol=0)


def test_a_reduced_image_still_speaks_of_the_pixels_it_was_given() -> None:
    config = ModelConfig("geometric", SMALL, image_size=32)
    model = build_model(config, scene("block", 64)).eval()
    with torch.no_grad():
        for weight in model.head.parameters():
            weight.zero_()  # every point in the middle
        found = model(pictures())
    torch.testing.assert_close(found.corners.pixels, torch.full((2, 3, 8, 2), 32.0))
    torch.testing.assert_close(found.corners.log_scale.exp(), torch.full((2, 3, 8), 64.0 / 16))


def test_landmarks_are_in_the_image_whatever_scene_shows_them() -> None:
    model, _ = model_and_cameras("windowed")
    assert isinstance(model, GeometricModel)
    assert model.config.window is not None
    images, size = pictures(), model.config.window.locator_size
    whole = make_windows(torch.full((2, 3, 2), 32.0), 64.0, size)
    with torch.no_grad():
        there, same = model(images), model(images, scenes=whole)
        assert there.landmarks.pixels.shape == (2, 3, 15, 2)
        torch.testing.assert_close(same.landmarks.pixels, there.landmarks.pixels, atol=1e-2, rtol=0)
        torch.testing.assert_close(same.landmarks.log_scale, there.landmarks.log_scale, atol=1e-2, rtol=0)
        for weight in model.locator_head.parameters():
            weight.zero_()  # every point in the middle
        shifted = model(images, scenes=make_windows(torch.full((2, 3, 2), 40.0), 32.0, size))
    torch.testing.assert_close(shifted.landmarks.pixels, torch.full_like(shifted.landmarks.pixels, 40.0))
    torch.testing.assert_close(shifted.centre.log_scale.exp(), torch.full((2, 3, 1), 32.0 / 16))


def test_nominal_cameras_are_mended_and_exact_ones_are_not() -> None:
    """A network that sees all points where they are, through cameras that are displaced."""
    truth = Truth(8, seed=6)
    corners, landmarks = truth.sights(0.0, 0.0)
    windowed = ModelConfig("geometric", SMALL, window=WindowConfig(side=0.38, size=48, locator_width=8))
    model = build_model(windowed, scene("block", 200)).eval()
    model.set_position_statistics(torch.tensor([1.02, 0.87, 0.145]), torch.full((3,), 0.02))
    seen = [PointOutput(sight.pixels.float(), sight.scale.float().log()) for sight in (corners, landmarks)]
    output = GeometricOutput(seen[0], None, seen[1], None, torch.zeros(8, 3, 2, 3))
    blind = GeometricOutput(seen[0], None, None, None, torch.zeros(8, 3, 2, 3))
    told = {
        "true": model.pose(output, truth.cameras),
        "nominal": model.pose(output, truth.nominal, nominal=True),
        "wrong": model.pose(output, truth.nominal),
        "without landmarks": model.pose(blind, truth.nominal, nominal=True),
    }
    off = {
        name: 1e3 * torch.linalg.vector_norm(pose.pose.position - truth.position, dim=-1) for name, pose in told.items()
    }
    assert off["true"].max() < 0.05
    assert off["nominal"].max() < 1.0
    assert off["wrong"].mean() > 10
    assert off["without landmarks"].mean() > 10


def displaced(cameras: Cameras, shift_m: float, turn_deg: float, zoom: float) -> Cameras:
    """Each camera moved along and turned about its own x axis, with ``zoom`` times its focal lengths."""
    turn = torch.eye(4)
    turn[:3, :3] = torch.tensor(Rotation.from_euler("x", turn_deg, degrees=True).as_matrix())
    turn[0, 3] = -shift_m  # the world as that camera sees it
    return Cameras(cameras.intrinsics * torch.tensor([zoom, zoom, 1.0])[:, None], turn @ cameras.extrinsics)


def test_a_regression_is_told_of_its_cameras_how_they_differ_from_the_rigs() -> None:
    model, nominal = model_and_cameras("told")
    assert isinstance(model, RegressionModel)
    there = model.camera_features(displaced(nominal, 1.5e-3, 2.0, 1.06))
    numbers = torch.tensor([-1.5, 0, 0, math.radians(2) / 0.02, 0, 0, math.log(1.06) / 0.03, 1.0])
    torch.testing.assert_close(there, numbers.expand(2, 3, 8), atol=2e-3, rtol=0)  # float32 near a metre
    nowhere = torch.tensor([0.0] * 7 + [1.0]).expand(2, 3, 8)
    torch.testing.assert_close(model.camera_features(nominal), nowhere, atol=2e-3, rtol=0)


def test_only_a_regression_that_is_told_its_cameras_heeds_them() -> None:
    images = pictures()
    for name, heeds in (("six_d", False), ("told", True)):
        model, nominal = model_and_cameras(name)
        assert model.uses_cameras == heeds
        there, moved = (model.predict(images, cameras) for cameras in (nominal, displaced(nominal, 0.01, 3.0, 1.05)))
        assert torch.equal(there.pose.rotation, moved.pose.rotation) != heeds
        assert torch.equal(there.pose.position, moved.pose.position) != heeds
        # Nominal cameras say nothing about where they are: no number does.
        unknown, same = (
            model.predict(images, cameras, nominal=True) for cameras in (nominal, displaced(nominal, 0.01, 3.0, 1.05))
        )
        assert torch.equal(unknown.pose.position, same.pose.position)
        assert torch.equal(unknown.pose.position, there.pose.position) != heeds


def test_reduction_smooths_first() -> None:
    stripes = (torch.arange(64) % 2 * 255).to(torch.uint8).expand(1, 3, 64, 64)
    assert resize(stripes, 16)[..., 2:-2].std() < 5  # without smoothing: all black, all white or wide bands


def test_statistics_travel_with_the_weights() -> None:
    model, cameras = model_and_cameras("paper")
    fresh = build_model(model.config, model.scene).eval()
    fresh.load_state_dict(model.state_dict())
    assert torch.equal(
        fresh.predict(pictures(), cameras).pose.position, model.predict(pictures(), cameras).pose.position
    )


def test_a_training_is_told_of_windows_that_lose_detail() -> None:
    """Images of 64 pixels show the block smaller than the window; of 1,000, three times as large."""
    assert not list(model_and_cameras("windowed")[0].advice())
    (said,) = model_and_cameras("windowed", size=1000)[0].advice()
    assert said.startswith("model.window.size: windows around the object are ")
    assert "larger size keeps detail" in said


def test_only_a_window_finds_nominal_cameras() -> None:
    """Found: without one, nominal cameras were answered as if they were the true ones."""
    assert "without model.window" in str(model_and_cameras("geometric")[0].nominal_fault)
    for name in ("windowed", "paper"):
        assert model_and_cameras(name)[0].nominal_fault is None


def test_calibration_makes_confidence_honest() -> None:
    model, _ = model_and_cameras("geometric")
    assert isinstance(model, GeometricModel)
    generator = torch.Generator().manual_seed(0)
    normal = torch.linalg.vector_norm(torch.randn(20_000, 3, generator=generator), dim=-1)
    deviations = CONFIDENT_ANGLE * torch.rand(20_000, generator=generator).mul(4).sub(2).exp()
    grown = 0.7 * deviations * (deviations / CONFIDENT_ANGLE) ** 0.4
    model.calibrate(3.0 * deviations * normal, deviations, nominal=False)
    model.calibrate(torch.where(torch.arange(20_000) % 50 == 0, 2.0, grown * normal), deviations, nominal=True)
    assert model.error_scale.tolist() == pytest.approx([3.0, 0.7], rel=0.05)
    assert model.error_power.tolist() == pytest.approx([1.0, 1.4], abs=0.03)

    honest = honest_deviation(deviations, fit_deviation(grown * normal, deviations))
    right, confidence = grown * normal < CONFIDENT_ANGLE, probability_within(CONFIDENT_ANGLE, honest)
    for quarter in confidence.argsort().chunk(4):
        assert float(confidence[quarter].mean()) == pytest.approx(float(right[quarter].float().mean()), abs=0.02)


def test_beyond_what_was_held_out_errors_grow_in_proportion() -> None:
    """A power that holds up to two degrees says nothing of twenty: unusual images were given far too little trust."""
    random = torch.Generator().manual_seed(5)
    deviations = CONFIDENT_ANGLE * torch.empty(20_000).uniform_(0.2, 0.5, generator=random)
    errors = deviations * (deviations / CONFIDENT_ANGLE) ** 0.5 * torch.randn(20_000, 3, generator=random).norm(dim=1)
    fit = fit_deviation(errors, deviations)
    assert fit.most == pytest.approx(0.485 * CONFIDENT_ANGLE, rel=0.01)
    within, twice, four_times = honest_deviation(fit.most * torch.tensor([0.5, 2.0, 4.0]), fit).tolist()
    assert four_times / twice == pytest.approx(2.0)
    assert twice / within == pytest.approx(4.0 * 2.0 ** (fit.power - 1.0))


def test_of_a_body_of_revolution_two_axes_show() -> None:
    """Errors about three axes were assumed: deviations came out 23 % too small, and confidence too high."""
    random = torch.Generator().manual_seed(4)
    deviations = CONFIDENT_ANGLE * torch.empty(20_000).uniform_(0.3, 2.0, generator=random)
    errors = deviations * torch.randn(20_000, 2, generator=random).norm(dim=1)
    assert fit_deviation(errors, deviations, 2)[:2] == pytest.approx((1.0, 1.0), abs=0.04)
    confidence = probability_within(CONFIDENT_ANGLE, deviations, 2)
    for quarter in confidence.argsort().chunk(4):
        right = (errors[quarter] < CONFIDENT_ANGLE).float()
        assert float(confidence[quarter].mean()) == pytest.approx(float(right.mean()), abs=0.02)


def test_landmarks_that_were_not_learnt_find_no_cameras(tmp_path: Path) -> None:
    """Such a network claimed the nominal protocol; a file of earlier versions does not say, and is believed."""
    model = build_model(CONFIGS["windowed"], scene("block", 64))
    assert model.finds_cameras
    model.begin_training(LossConfig(landmarks=0.0))
    torch.save({**checkpoint_record(model), "state_dict": {f"model.{k}": v for k, v in model.state_dict().items()}},
               tmp_path / "without.ckpt")  # fmt: skip
    read = read_model(tmp_path / "without.ckpt")
    assert not read.finds_cameras
    assert "loss.landmarks 0" in str(read.nominal_fault)
    with pytest.raises(DactylError, match="self-calibration needs"):
        read.observe(torch.zeros(1, 3, 3, 64, 64, dtype=torch.uint8))
    weights = {f"model.{k}": v for k, v in model.state_dict().items() if k != "landmarks_learnt"}
    torch.save({**checkpoint_record(model), "state_dict": weights}, tmp_path / "earlier.ckpt")
    assert read_model(tmp_path / "earlier.ckpt").finds_cameras


def test_a_handful_of_samples_says_nothing_of_a_power() -> None:
    assert fit_deviation(torch.tensor([0.02]), torch.tensor([0.01]))[1] == pytest.approx(1.0)
    scale, power, _ = fit_deviation(torch.zeros(3), torch.zeros(3))
    assert 0 < scale < 1
    assert 1.0 <= power <= 2.0


def test_true_and_nominal_cameras_have_confidences_of_their_own() -> None:
    model, cameras = model_and_cameras("geometric")
    assert isinstance(model, GeometricModel)
    before = [model.predict(pictures(), cameras, nominal).confidence for nominal in (False, True)]
    model.error_scale[1] = 10.0
    after = [model.predict(pictures(), cameras, nominal).confidence for nominal in (False, True)]
    assert torch.equal(after[0], before[0])
    assert (after[1] < before[1]).all()


@pytest.mark.parametrize(
    "images",
    [pictures().float(), pictures()[:, :, :, :32], pictures()[0], pictures().permute(0, 1, 3, 4, 2)],
    ids=["float", "size", "no batch", "channels last"],
)
def test_other_images_are_refused(images: Tensor) -> None:
    model, cameras = model_and_cameras("geometric")
    with pytest.raises(ValueError, match="expected uint8 images"):
        model.predict(images, cameras)


@pytest.mark.parametrize(
    "wrong",
    [
        {"hidden": 0},
        {"iterations": -1},
        {"image_size": 8},
        {"window": WindowConfig()},
        {"head": "geometric", "image_size": 100, "window": WindowConfig()},
        {"head": "geometric", "camera_input": True},
    ],
)
def test_impossible_configurations_are_refused(wrong: dict) -> None:
    with pytest.raises(ValueError, match=r"must be|needs"):
        ModelConfig(**wrong)
    for window in ({"side": 0}, {"size": 8}, {"locator_size": 16}, {"locator_width": 20}):
        with pytest.raises(ValueError, match="must"):
            WindowConfig(**window)


@pytest.mark.parametrize(
    ("head", "key", "value"),
    [("geometric", "rotation", "six_d"), ("geometric", "hidden", 999), ("regression", "iterations", 3)],
)
def test_a_key_that_the_model_does_not_use_is_refused(head: str, key: str, value: Any, tmp_path: Path) -> None:
    """But read from files of versions that did not refuse it."""
    with pytest.raises(ValueError, match=f"^{key}: head {head} does not use it"):
        ModelConfig(head=head, **{key: value})
    model = build_model(ModelConfig(head, SMALL), scene("block", 64))
    record = checkpoint_record(model)
    record["hyper_parameters"]["model"][key] = value
    weights = {f"model.{name}": tensor for name, tensor in model.state_dict().items()}
    torch.save({**record, "state_dict": weights}, tmp_path / "old.ckpt")
    assert read_model(tmp_path / "old.ckpt").config == model.config


def test_the_covariance_of_a_balls_position_is_the_solvers() -> None:
    """None of its rotations shows: held-out errors of zero say nothing of how large those of its position are."""
    block = scene("block", 64)
    ball = structs.replace(block.object, symmetries=Symmetries(rotations=np.eye(3)[None], axes=np.eye(3)[1:]))
    model = build_model(CONFIGS["geometric"], structs.replace(block, object=ball)).eval()
    assert isinstance(model, GeometricModel)
    _, cameras = model_and_cameras("geometric")
    with torch.no_grad():
        output = model(pictures())
    before = model.pose(output, cameras)
    assert before.deviation is not None
    model.calibrate(torch.zeros(2), before.deviation, nominal=False)
    for prediction in (before, model.pose(output, cameras)):
        corners, _ = model.observations(output)
        solution = solve_pose(model.keypoints, corners, cameras, model.position_mean)
        torch.testing.assert_close(prediction.covariance, solution.covariance)
        assert (prediction.confidence == 1).all()
