"""Rigs whose cameras have images of different sizes: each is seen as in a rig of its own size."""

from __future__ import annotations

from dataclasses import astuple, replace

import numpy as np
import pytest
import torch
from msgspec import structs
from scipy.spatial.transform import Rotation

from tests.scenes import scene
from vision.estimator import PoseEstimator
from vision.geometry.cameras import Cameras, project
from vision.networks.backbones import BackboneConfig
from vision.networks.geometric_output import GeometricOutput
from vision.networks.model import build_model
from vision.networks.model_config import ModelConfig, WindowConfig
from vision.networks.point_network import PointNetwork
from vision.rigs.rig import Rig
from vision.scene.framing import pixels_across, window_sides
from vision.scene.scene import Scene

SIZE = 64


def mixed() -> Scene:
    """The block in front of the usual cameras, of which the second one has images of five times the size."""
    block = scene("block", SIZE)
    left, _, right = block.rig.cameras
    large = block.rig.resized(5 * SIZE).cameras[1]
    return block.with_rig(Rig(cameras=(left, structs.replace(large, height=4 * SIZE), right)))


def pictures() -> tuple[torch.Tensor, torch.Tensor]:
    """Of the small rig (B, C, 3, h, w), and the same ones of the mixed rig, whose second camera sees something else."""
    generator = torch.Generator().manual_seed(1)
    small = torch.randint(0, 256, (2, 3, 3, SIZE, SIZE), dtype=torch.uint8, generator=generator)
    large = torch.randint(0, 256, (2, 3, 3, 4 * SIZE, 5 * SIZE), dtype=torch.uint8, generator=generator)
    for camera in (0, 2):
        large[:, camera] = 0
        large[:, camera, :, :SIZE, :SIZE] = small[:, camera]
    return small, large


@pytest.mark.parametrize("window", [None, WindowConfig(size=32, locator_size=40), WindowConfig(size=32, count=3)])
@pytest.mark.parametrize("side", [None, 0.5])
def test_small_images_beside_a_large_one_are_seen_as_ever(window: WindowConfig | None, side: float | None) -> None:
    """Found: all were seen as squares of the largest, of which a small one was a corner of few pixels."""
    if window is not None:
        window = replace(window, side=side)
    image_size = 48 if window is None else None
    config = ModelConfig(
        head="geometric", backbone=BackboneConfig("pyramid", width=8), window=window, image_size=image_size
    )
    torch.manual_seed(0)
    alone = build_model(config, scene("block", SIZE)).eval()
    together = build_model(config, mixed()).eval()
    assert isinstance(together, PointNetwork)
    together.load_state_dict(alone.state_dict())
    with torch.no_grad():
        outputs = [model(images) for model, images in zip((alone, together), pictures(), strict=True)]
    expected, found = (output for output in outputs if isinstance(output, GeometricOutput))
    for camera in (0, 2):
        for name in ("corners", "centre", "landmarks"):
            if (points := getattr(expected, name)) is not None:
                for a, b in zip(astuple(points[:, camera]), astuple(getattr(found, name)[:, camera]), strict=True):
                    torch.testing.assert_close(b, a, rtol=1e-4, atol=1e-3)


def test_no_camera_may_be_missing_beside_one_of_another_size() -> None:
    """Found: without one camera, the others' small images were seen as squares of the largest."""
    config = ModelConfig(head="geometric", backbone=BackboneConfig("pyramid", width=8))
    estimator = PoseEstimator(build_model(config, mixed()))
    images = np.moveaxis(pictures()[1].numpy(), 2, -1)
    nominal = estimator.rig.nominal
    assert estimator.predict(images, nominal)["position"].shape == (2, 3)
    with pytest.raises(ValueError, match=r"all 3 cameras \(left, top, right\), got 2: .* images of different sizes"):
        estimator.predict(images[:, :2], Cameras(nominal.intrinsics[:2], nominal.extrinsics[:2]))


def test_a_regression_sees_small_images_enlarged() -> None:
    config = ModelConfig(head="regression", backbone=BackboneConfig("pyramid", width=8), image_size=48)
    model = build_model(config, mixed()).eval()
    small, large = pictures()
    seen = model._whole(large.flatten(0, 1), 3, 48).unflatten(0, (2, 3))
    alone = build_model(config, scene("block", SIZE))._whole(small.flatten(0, 1), 3, 48).unflatten(0, (2, 3))
    assert torch.equal(seen[:, [0, 2]], alone[:, [0, 2]])


@pytest.mark.parametrize(("degrees", "high"), [(0.0, 1.0), (25.0, 1.0), (40.0, 1.0), (0.0, 2.0)])
def test_a_window_holds_an_object_far_from_a_lens_axis(degrees: float, high: float) -> None:
    """By the corners' own projections, in any orientation, where pixels are higher than wide, too."""
    block, distance = scene("block", 200), 0.35
    camera = structs.replace(
        block.rig.cameras[0],
        width=640,
        height=480,
        intrinsics=np.array([[286.0, 0, 320], [0, 286.0 * high, 240], [0, 0, 1]]),
        extrinsics=np.eye(4),
    )
    angle = np.deg2rad(degrees)
    start = distance * np.array([np.sin(angle), 0.0, np.cos(angle)])
    there = structs.replace(
        block, rig=Rig(cameras=(camera,)), workspace=structs.replace(block.workspace, start=tuple(start.tolist()))
    )
    (side,) = window_sides(there)
    rotations = Rotation.random(400, np.random.default_rng(0)).as_matrix()
    corners = block.object.keypoints @ rotations.transpose(0, 2, 1) + start
    cameras = Cameras(camera.intrinsics, camera.extrinsics)
    pixels, centre = project(corners, cameras), project(start[None], cameras)
    needed = 2 * np.abs(pixels - centre).max(axis=(1, 2))
    assert np.median(needed) < side
    assert needed.max() < 1.15 * side
    assert side < 2.4 * max(1.0, high) * pixels_across(there, camera)


def test_a_window_holds_an_object_whose_origin_is_not_its_middle() -> None:
    """Found: it was as large as the object, around the origin, which cut off up to half of a mesh."""
    block = scene("block", 200)
    shift = np.array([0.6, 0.2, 0.1]) * block.object.diameter
    changed = {key: getattr(block.object, key) + shift for key in ("points", "keypoints")}
    there = structs.replace(block, object=structs.replace(block.object, **changed))
    rotations = Rotation.random(400, np.random.default_rng(0)).as_matrix()
    start = np.array(there.workspace.start)
    corners = there.object.points @ rotations.transpose(0, 2, 1) + start
    for camera, side in zip(there.rig.cameras, window_sides(there), strict=True):
        view = Cameras(camera.intrinsics, camera.extrinsics)
        needed = 2 * np.abs(project(corners, view) - project(start[None], view)).max(axis=(1, 2))
        assert needed.max() < 1.15 * side
        assert side < 1.3 * needed.max(), "and hardly more"
