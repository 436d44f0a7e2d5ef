"""Frames that cannot show their samples, and samples that no image can show."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from msgspec import structs

from datagen.generate.config import RenderConfig
from datagen.generate.frames import is_blank
from datagen.generate.shard_task import make_samples
from datagen.states.collect import StatesConfig, collect
from datagen.states.drawn import load_drawn_states
from tests.scenes import compiled
from vision.errors import DactylError
from vision.rigs.rig import Rig


@pytest.mark.parametrize("color", [(0, 0, 0), (90, 90, 90), (200, 30, 30)])
def test_an_image_of_one_color_is_blank(color: tuple[int, int, int]) -> None:
    image = np.full((20, 30, 3), color, np.uint8)
    assert is_blank(image)
    image[5:9, 5:9] = 255
    assert not is_blank(image)


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
