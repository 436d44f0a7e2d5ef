"""The weights that come along: each loads, is what its card speaks of, and knows the scene of today."""

from __future__ import annotations

import re
from typing import Any

import pytest
import yaml

from datagen.sim.complete import complete_scene
from vision.estimator import PoseEstimator
from vision.io.files import sha256
from vision.network_files import WEIGHTS, read_checkpoint
from vision.networks.point_network import PointNetwork
from vision.scene.framing import window_sides
from vision.scene.scene import require_same

NAMES = sorted(path.stem for path in WEIGHTS.glob("*.pt"))


def test_there_are_weights_for_both_of_the_papers_objects() -> None:
    assert {"block", "prism"} <= set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_a_network_knows_todays_scene(name: str) -> None:
    trained = PoseEstimator.from_pretrained(name).scene
    today = complete_scene(trained.name)
    rig = today.rig.resized(max(*(side for camera in trained.rig.cameras for side in (camera.width, camera.height)), 1))
    require_same(today.with_rig(rig), trained, name, to_a_network=True)


@pytest.mark.parametrize(
    ("name", "sides"),
    [
        ("block", (74.2783472355, 63.9657511542, 73.6209308017)),
        ("prism", (73.5928823083, 63.3754542428, 72.9415327287)),
        ("trifinger-cube-v1", (71.4961330182, 72.1866219092, 71.3404573152)),
        ("trifinger-cube-v2", (71.4961330182, 72.1866219092, 71.3404573152)),
    ],
)
def test_windows_are_as_large_as_in_the_training(name: str, sides: tuple[float, ...]) -> None:
    """They follow from the scene, not from the file: another rule for them would change what a network sees."""
    estimator = PoseEstimator.from_pretrained(name)
    assert isinstance(estimator.model, PointNetwork)
    assert window_sides(estimator.scene) == pytest.approx(sides, rel=1e-9)
    fraction = estimator.model.config.window and estimator.model.config.window.side
    own = sides if fraction is None else [fraction * camera.longer_side for camera in estimator.rig.cameras]
    assert estimator.model.window_sides == pytest.approx(own, rel=1e-9)


@pytest.mark.parametrize("name", NAMES)
def test_a_card_says_what_its_file_is(name: str) -> None:
    """All that follows from the file alone; the figures are those of an evaluation, which does not come along."""
    path = WEIGHTS / f"{name}.pt"
    card = path.with_suffix(".md").read_text()
    estimator = PoseEstimator.from_pretrained(name)
    scene = estimator.scene
    sides = " and ".join(dict.fromkeys(f"{camera.width} x {camera.height}" for camera in scene.rig.cameras))
    hand = f"in the hand {scene.hand.name}" if scene.hand else "without a hand"
    for said in (
        f"File: {path.stat().st_size:,} bytes, SHA-256 `{sha256(path)}`.",
        f"# Pose of the {estimator.object.name} from {len(scene.rig.cameras)} cameras",
        f"network that {estimator.description}.",
        f'PoseEstimator.from_pretrained("{name}")',
        f"It knows one object, the {estimator.object.name} of the scene {scene.name} "
        f"({1e3 * estimator.object.diameter:.0f} mm across), {hand}, as {len(scene.rig.cameras)} cameras near the "
        f"rig's places see it in images of {sides} pixels.",
    ):
        assert said in card
    assert _without_defaults(_recipe(card)["model"]) == _without_defaults(
        read_checkpoint(path)["hyper_parameters"]["model"]
    )


def _recipe(card: str) -> dict[str, Any]:
    """Return the training's configuration, the last block of a card."""
    recipe: dict[str, Any] = yaml.safe_load(re.findall(r"```yaml\n(.*?)```", card, flags=re.DOTALL)[-1])
    return recipe


def _without_defaults(model: dict[str, Any]) -> dict[str, Any]:
    """Leave out what a record of the training leaves out: options that were not used."""
    return {key: value for key, value in model.items() if value}
