"""The best constant: no other constant found by search may be better."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs
from scipy.spatial.transform import Rotation

from eval.scoring.baseline import best_constant, geometric_median, rotation_median
from eval.scoring.metrics import pose_errors
from tests.datasets import write_dataset
from tests.eval.errors import position_error_mm, rotation_error_deg
from tests.scene.test_symmetries import SYMMETRIES
from tests.scenes import scene
from vision.geometry.poses import Pose
from vision.geometry.rotations import cube_rotations, quaternion_from_rotation
from vision.objects.symmetries import symmetric_distance
from vision.storage.datasets import TripletDataset

CENTRE = np.array([1.0, 0.87, 0.15])
seeds = st.integers(0, 2**32 - 1)


def mean_rotation_error(quaternions: np.ndarray, candidates: np.ndarray) -> np.ndarray:
    """Degrees, one for each of the candidates."""
    return rotation_error_deg(quaternions[None], candidates[:, None]).mean(axis=1)


def clustered(rng: np.random.Generator, count: int, spread: float) -> np.ndarray:
    """Quaternions around the 24 cube orientations of one turn: what a grasped block gives, many local minima."""
    turns = Rotation.from_matrix(cube_rotations()[rng.integers(0, 24, count)])
    around = Rotation.random(random_state=rng) * turns * Rotation.from_rotvec(rng.normal(0, spread, (count, 3)))
    return quaternion_from_rotation(around)


@settings(max_examples=8)
@given(seeds, st.sampled_from([0.05, 0.3, 3.0]), st.integers(1, 300))
def test_no_rotation_is_better_on_average(seed: int, spread: float, count: int) -> None:
    rng = np.random.default_rng(seed)
    quaternions = clustered(rng, count, spread)
    found = rotation_median(quaternions, SYMMETRIES["none"])
    assert np.linalg.norm(found) == pytest.approx(1.0)
    ours = mean_rotation_error(quaternions, found[None])[0]
    everywhere = quaternion_from_rotation(Rotation.random(2_000, random_state=rng))
    near = Rotation.from_quat(np.roll(found, -1)) * Rotation.from_rotvec(rng.normal(0, 0.02, (500, 3)))
    mean = Rotation.from_quat(np.roll(quaternions, -1, axis=1)).mean()
    others = np.concatenate(
        [everywhere, quaternion_from_rotation(near), quaternions, quaternion_from_rotation(mean)[None]]
    )
    assert ours <= mean_rotation_error(quaternions, others).min() + 1e-3


def test_the_median_of_one_cluster_with_outliers_stays_in_the_cluster() -> None:
    """The median is robust: a tenth of the samples turned by 120 degrees moves it little, the mean more."""
    rng = np.random.default_rng(0)
    centre = Rotation.random(random_state=rng)
    turns = rng.normal(0, 0.02, (100, 3))
    turns[:10] += [2.1, 0.0, 0.0]
    rotations = centre * Rotation.from_rotvec(turns)
    median = Rotation.from_quat(np.roll(rotation_median(quaternion_from_rotation(rotations), SYMMETRIES["none"]), -1))
    assert np.rad2deg((centre.inv() * median).magnitude()) < 1.0
    assert np.rad2deg((centre.inv() * rotations.mean()).magnitude()) > 5.0


@pytest.mark.parametrize("kind", SYMMETRIES)
def test_poses_that_look_alike_are_one_to_the_median(kind: str) -> None:
    symmetries, rng, count = SYMMETRIES[kind], np.random.default_rng(0), 100
    centre = Rotation.random(rng=rng)
    seen = centre * Rotation.from_rotvec(rng.normal(0, 0.1, (count, 3)))
    alike = seen * Rotation.from_matrix(symmetries.rotations[rng.integers(0, len(symmetries.rotations), count)])
    for axis in symmetries.axes:
        alike = alike * Rotation.from_rotvec(rng.uniform(-3, 3, (count, 1)) * axis)

    def error(candidate: Rotation) -> float:
        constant = np.tile(candidate.as_matrix(), (count, 1, 1))
        return float(symmetric_distance(symmetries, alike.as_matrix(), constant).mean())

    found = Rotation.from_quat(np.roll(rotation_median(quaternion_from_rotation(alike), symmetries), -1))
    assert error(found) <= error(centre) + 1e-9


def test_the_constants_position_is_that_of_the_point_that_no_symmetry_moves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a can whose frame's origin is far off its axis, held in one place and spun."""
    centre, rng = np.array([0.05, 0.02, 0.0]), np.random.default_rng(0)
    can = structs.replace(scene("block").object, symmetries=structs.replace(SYMMETRIES["can"], centre=centre))
    dataset = TripletDataset(write_dataset(tmp_path, (20,)))
    spins = Rotation.from_rotvec(rng.uniform(-3, 3, (20, 1)) * np.array([0.0, 0.0, 1.0]))
    labels = [
        {"object_position": CENTRE - spin.apply(centre), "object_quaternion": np.roll(spin.as_quat(), 1)}
        for spin in spins
    ]
    monkeypatch.setattr(dataset, "object", can)
    monkeypatch.setattr(dataset, "label", labels.__getitem__)
    constant = best_constant(dataset)
    true = Pose.from_quaternion(*([label[f"object_{part}"] for label in labels] for part in ("position", "quaternion")))
    guess = Pose.from_quaternion(constant.position, constant.quaternion).repeated(20)
    errors = pose_errors(can, true, guess)
    np.testing.assert_allclose(errors.position_mm, 0, atol=1e-3)
    np.testing.assert_allclose(errors.rotation_deg, 0, atol=1e-3)


@settings(max_examples=20)
@given(seeds, st.integers(1, 100))
def test_no_point_is_nearer_on_average(seed: int, count: int) -> None:
    rng = np.random.default_rng(seed)
    points = np.array([1.0, 0.9, 0.15]) + rng.normal(0, [0.02, 0.01, 0.003], (count, 3))
    found = geometric_median(points)
    ours = np.linalg.norm(points - found, axis=1).mean()
    others = np.concatenate([points, points.mean(axis=0)[None], found + rng.normal(0, 1e-3, (500, 3))])
    assert ours <= np.linalg.norm(points[None] - others[:, None], axis=-1).mean(axis=1).min() + 1e-7


def test_geometric_median_of_a_line_is_the_median() -> None:
    line = np.zeros((5, 3))
    line[:, 1] = [0.0, 0.1, 0.11, 3.0, 9.0]
    np.testing.assert_allclose(geometric_median(line), [0.0, 0.11, 0.0], atol=1e-6)


def test_the_constant_is_fitted_to_the_labels_of_the_set(tmp_path: Path) -> None:
    dataset = TripletDataset(write_dataset(tmp_path, (12, 8)))
    labels = [dataset.label(number) for number in range(20)]
    positions = np.array([label["object_position"] for label in labels])
    quaternions = np.array([label["object_quaternion"] for label in labels])
    constant = best_constant(dataset)
    assert constant.labels == 20
    error = position_error_mm(positions, constant.position).mean()
    assert error <= position_error_mm(positions, positions.mean(axis=0)).mean()
    assert (
        mean_rotation_error(quaternions, np.array([constant.quaternion]))[0]
        <= mean_rotation_error(quaternions, quaternions).min() + 1e-6
    )
