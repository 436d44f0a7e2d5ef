"""Frames that cannot show their samples, and samples that no image can show."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from msgspec import structs

from datagen.appearance.sample import Sample
from datagen.generate.config import RenderConfig
from datagen.generate.frames import FrameGuard, is_blank
from datagen.generate.shard_task import make_samples
from datagen.states.collect import StatesConfig, collect
from datagen.states.drawn import load_drawn_states
from datagen.workers.pool import TransientError
from tests.scenes import compiled
from vision.errors import DactylError
from vision.rigs.rig import Rig
from vision.scene.scene import Scene


@pytest.mark.parametrize("color", [(0, 0, 0), (90, 90, 90), (200, 30, 30)])
def test_an_image_of_one_color_is_blank(color: tuple[int, int, int]) -> None:
    image = np.full((20, 30, 3), color, np.uint8)
    assert is_blank(image)
    image[5:9, 5:9] = 255
    assert not is_blank(image)


def _drawn(tmp_path: Path) -> tuple[Scene, Sample]:
    """A sample of a scene whose third camera looks away, and sees neither object nor hand."""
    collect(StatesConfig(tmp_path / "states", count=4, worlds=2, threads=1))
    config = RenderConfig(tmp_path / "states", tmp_path / "set", 4)
    scene = config.drawn_scene()
    materials, states = compiled().materials, load_drawn_states(tmp_path / "states")
    sample = next(sample for sample, _ in make_samples(config, scene, states, materials, range(4)))
    extrinsics = sample.appearance.camera_extrinsics.copy()
    extrinsics[2, :3] = np.diag([1.0, -1.0, -1.0]) @ extrinsics[2, :3]
    return scene, replace(sample, appearance=replace(sample.appearance, camera_extrinsics=extrinsics))


@pytest.mark.parametrize(
    ("blank", "refused"), [((), None), ((2,), None), ((1,), "top"), ((1, 2), "top"), ((0, 1, 2), "left")]
)
def test_a_view_without_the_object_may_be_blank(blank: tuple[int, ...], refused: str | None, tmp_path: Path) -> None:
    """Without a background it shows nothing; the driver was blamed. All at once are the driver's fault."""
    scene, sample = _drawn(tmp_path)
    images = np.random.default_rng(0).integers(0, 256, (3, 200, 200, 3), np.uint8)
    images[list(blank)] = 7
    guard = FrameGuard("llvmpipe", scene)
    if refused is None:
        guard.check(sample, images)
        return
    with pytest.raises(TransientError, match=f"camera {refused} came out blank on llvmpipe"):
        guard.check(sample, images)


def test_blank_views_in_a_row_are_no_repetition(tmp_path: Path) -> None:
    """Found: a camera that sees nothing of two samples ended every rendering of them, whatever the driver."""
    scene, sample = _drawn(tmp_path)
    moved = replace(sample, index=1, object_position=sample.object_position + np.array([0.001, 0, 0]))
    other = replace(moved, appearance=replace(sample.appearance, clutter=(), camera_intrinsics=moved_focus(sample)))
    images = np.random.default_rng(0).integers(0, 256, (3, 200, 200, 3), np.uint8)
    images[2] = 7
    guard = FrameGuard("llvmpipe", scene)
    guard.check(sample, images)
    fresh = images.copy()
    fresh[:2] += 1
    guard.check(other, fresh)
    with pytest.raises(TransientError, match="camera left repeats sample 1 on llvmpipe"):
        guard.check(replace(moved, index=2), fresh)


def moved_focus(sample: Sample) -> np.ndarray:
    """Another focal length: another look."""
    return sample.appearance.camera_intrinsics * [[1.01, 1, 1], [1, 1.01, 1], [1, 1, 1]]


def test_an_object_that_reaches_behind_a_camera_is_refused_with_its_state(tmp_path: Path) -> None:
    """It has no pixels, of which labels could be written."""
    collect(StatesConfig(tmp_path / "states", count=4, worlds=2, threads=1))
    states = load_drawn_states(tmp_path / "states")
    config = RenderConfig(tmp_path / "states", tmp_path / "set", 4)
    drawn = config.drawn_scene()
    cameras = list(drawn.rig.cameras)
    moved = cameras[1].extrinsics.copy()
    moved[2, 3] = -(moved[2, :3] @ states.object_position[0])  # at the depth of the object
    cameras[1] = structs.replace(cameras[1], extrinsics=moved)
    scene = drawn.with_rig(Rig(cameras=tuple(cameras)))
    materials = compiled().materials
    with pytest.raises(DactylError, match=r"sample 0: in state \d the object reaches behind camera top; move"):
        list(make_samples(config, scene, states, materials, range(4)))
