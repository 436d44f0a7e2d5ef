"""What the estimator is told: exactly as wrong as estimator_inputs, and nothing else changed."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from datagen.appearance.draw import AppearanceConfig
from eval.scoring.conditions import (
    AMOUNTS,
    LARGEST_DISPLACEMENT,
    Condition,
    camera_subsets,
    estimator_inputs,
    miscalibrations,
)
from eval.scoring.config import EvaluateConfig
from eval.scoring.usable_conditions import wanted_conditions
from tests.scenes import rig, scene
from vision.geometry.cameras import Cameras, project
from vision.rigs.rig import Rig

SIZE = 200
RIG = rig(SIZE)


@pytest.fixture
def batch() -> dict[str, Any]:
    rng = np.random.default_rng(0)
    shift = np.tile(np.eye(4), (5, 3, 1, 1))
    shift[..., :3, 3] = rng.normal(0, 0.01, (5, 3, 3))
    return {
        "index": np.arange(5) * 7,
        "images": rng.integers(0, 256, (5, 3, SIZE, SIZE, 3)).astype(np.uint8),
        "camera_intrinsics": np.tile(RIG.nominal.intrinsics, (5, 1, 1, 1)),
        "camera_extrinsics": shift @ RIG.nominal.extrinsics,
    }


def test_protocols(batch: dict[str, Any]) -> None:
    images, cameras = estimator_inputs(Condition("nominal"), batch, RIG)
    assert images.shape == (5, 3, SIZE, SIZE, 3)
    np.testing.assert_array_equal(cameras.extrinsics, np.tile(RIG.nominal.extrinsics, (5, 1, 1, 1)))
    _, cameras = estimator_inputs(Condition("calibrated"), batch, RIG)
    np.testing.assert_array_equal(cameras.intrinsics, batch["camera_intrinsics"])
    np.testing.assert_array_equal(cameras.extrinsics, batch["camera_extrinsics"])


def test_a_camera_is_taken_away_with_its_pictures(batch: dict[str, Any]) -> None:
    assert [condition.name for condition in camera_subsets(RIG)] == [
        "without-left", "without-top", "without-right",
    ]  # fmt: skip
    images, cameras = estimator_inputs(Condition("calibrated", without="top"), batch, RIG)
    np.testing.assert_array_equal(images, batch["images"][:, [0, 2]])
    np.testing.assert_array_equal(cameras.intrinsics, batch["camera_intrinsics"][:, [0, 2]])
    np.testing.assert_array_equal(cameras.extrinsics, batch["camera_extrinsics"][:, [0, 2]])
    assert camera_subsets(Rig(cameras=RIG.cameras[:2])) == []


@pytest.mark.parametrize("mixed", [False, True])
def test_no_camera_is_taken_away_where_images_differ_in_size(mixed: bool, capsys: pytest.CaptureFixture[str]) -> None:
    """The network knows an image's size by its place among all."""
    large = RIG.resized(2 * SIZE).cameras[1] if mixed else RIG.cameras[1]
    estimator: Any = SimpleNamespace(
        scene=scene("block", SIZE).with_rig(Rig(cameras=(RIG.cameras[0], large, RIG.cameras[2]))),
        any_number_of_cameras=True,
        uses_cameras=True,
        finds_cameras=False,
        nominal_fault=None,
    )
    config = EvaluateConfig(Path("a"), {"a": Path("b")}, Path("c"), camera_subsets=True)
    found = [condition.name for condition in wanted_conditions(estimator, config)]
    assert found == ["nominal", "calibrated", *([] if mixed else ["without-left", "without-top", "without-right"])]
    said = "camera_subsets: left out: the cameras have images of different sizes, and the network needs all"
    assert " ".join(capsys.readouterr().err.split()) == (said if mixed else "")


@pytest.mark.parametrize("condition", miscalibrations(), ids=lambda condition: condition.name)
def test_cameras_are_wrong_by_the_amount_and_only_in_that(condition: Condition, batch: dict[str, Any]) -> None:
    before = {key: values.copy() for key, values in batch.items()}
    _, (matrices, transforms, *_) = estimator_inputs(condition, batch, RIG)
    for key, values in before.items():
        np.testing.assert_array_equal(batch[key], values, err_msg="the samples themselves stay")

    def centres(extrinsics: np.ndarray) -> np.ndarray:
        return -np.einsum("ncij,nci->ncj", extrinsics[..., :3, :3], extrinsics[..., :3, 3])

    moved = 1000 * np.linalg.norm(centres(transforms) - centres(batch["camera_extrinsics"]), axis=-1)
    relative = transforms[..., :3, :3] @ np.swapaxes(batch["camera_extrinsics"][..., :3, :3], -1, -2)
    turned = np.rad2deg(Rotation.from_matrix(relative.reshape(-1, 3, 3)).magnitude())
    wider = np.abs(
        np.rad2deg(2 * np.arctan(SIZE / 2 / matrices[..., 1, 1]))
        - np.rad2deg(2 * np.arctan(SIZE / 2 / batch["camera_intrinsics"][..., 1, 1]))
    )
    for kind, found in (("position", moved), ("rotation", turned), ("field-of-view", wider)):
        expected = condition.amount if kind == condition.displaced else 0.0
        np.testing.assert_allclose(found, expected, atol=1e-5)
    np.testing.assert_allclose(matrices[..., 0, 0], matrices[..., 1, 1], rtol=1e-12)


def test_amounts_share_their_direction_and_samples_do_not(batch: dict[str, Any]) -> None:
    point = np.array([[1.0, 0.87, 0.15]])

    def shifts(amount: float) -> np.ndarray:
        told = estimator_inputs(Condition("calibrated", None, "rotation", amount), batch, RIG)[1][:2]
        true = project(point, Cameras.from_label(batch))
        return (project(point, Cameras(*told)) - true)[:, :, 0]

    small, large = shifts(AMOUNTS["rotation"][0]), shifts(AMOUNTS["rotation"][1])
    cosine = (small * large).sum(-1) / np.linalg.norm(small, axis=-1) / np.linalg.norm(large, axis=-1)
    assert (cosine > 0.98).all()
    assert len(np.unique(np.round(small.reshape(-1, 2), 6), axis=0)) == 15


def test_the_largest_displacement_is_that_of_table_9() -> None:
    drawn = AppearanceConfig()
    assert {
        "position": pytest.approx(1000 * drawn.camera_position.high),
        "rotation": drawn.camera_rotation_deg.high,
        "field-of-view": drawn.camera_fovy_deg.high,
    } == LARGEST_DISPLACEMENT
