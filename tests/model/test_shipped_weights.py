"""The weights that come along: each loads, is what its card speaks of, and knows the scene of today."""

from __future__ import annotations

import pytest

from datagen.sim.complete import complete_scene
from vision.estimator import PoseEstimator
from vision.io.files import sha256
from vision.network_files import WEIGHTS
from vision.scene.scene import require_same

NAMES = sorted(path.stem for path in WEIGHTS.glob("*.pt"))


def test_there_are_weights_for_both_of_the_papers_objects() -> None:
    assert {"block", "prism"} <= set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_a_network_knows_todays_scene_and_its_card_is_its_own(name: str) -> None:
    trained = PoseEstimator.from_pretrained(name).scene
    today = complete_scene(trained.name)
    rig = today.rig.resized(max(*(side for camera in trained.rig.cameras for side in (camera.width, camera.height)), 1))
    require_same(today.with_rig(rig), trained, name, to_a_network=True)
    assert sha256(WEIGHTS / f"{name}.pt") in (WEIGHTS / f"{name}.md").read_text()
