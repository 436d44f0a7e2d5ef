"""Pose augmentation: the paper's shares, every orientation of the cube, and a jitter as wide as configured."""

from __future__ import annotations

import numpy as np
import pytest
from msgspec.structs import replace
from scipy import stats

from datagen.appearance.pose_augmentation import PoseAugmentConfig, augment_pose
from tests.scenes import scene
from vision.distributions import Normal
from vision.geometry.rotations import FloatArray, cube_rotations, matrix_from_quaternion, rotation_from_quaternion
from vision.objects.symmetries import Symmetries

COUNT = 4000
POSITION = np.array([1.0, 0.87, 0.15])
QUATERNION = np.array([0.5, -0.1, 0.7, 0.2]) / np.linalg.norm([0.5, -0.1, 0.7, 0.2])

Augmented = list[tuple[FloatArray, FloatArray, str]]


def augmented(config: PoseAugmentConfig) -> Augmented:
    return [augment_pose(config, scene().object, POSITION, QUATERNION, 0, index) for index in range(COUNT)]


@pytest.fixture(scope="module")
def poses() -> Augmented:
    return augmented(PoseAugmentConfig())


def turns_from_pose(poses: Augmented, kind: str) -> FloatArray:
    """Rotations (N, 3, 3) in the object's own frame."""
    found = np.array([quaternion for _, quaternion, made in poses if made == kind])
    return matrix_from_quaternion(QUATERNION).T @ matrix_from_quaternion(found)


def test_shares_are_the_papers(poses: Augmented) -> None:
    kinds = [kind for _, _, kind in poses]
    counts = [kinds.count(kind) for kind in ("none", "rotated", "jittered")]
    assert sum(counts) == COUNT
    assert stats.chisquare(counts, np.array([0.2, 0.4, 0.4]) * COUNT).pvalue > 1e-4


def test_all_24_orientations_are_reached_evenly(poses: Augmented) -> None:
    turns = turns_from_pose(poses, "rotated")
    distance = np.abs(turns[:, None] - cube_rotations()).max(axis=(2, 3))
    assert (distance.min(axis=1) < 1e-9).all()
    counts = np.bincount(distance.argmin(axis=1), minlength=24)
    assert stats.chisquare(counts).pvalue > 1e-4
    assert all((position == POSITION).all() for position, _, kind in poses if kind == "rotated")


def test_a_body_whose_origin_lies_beside_its_symmetry_stays_where_it_is() -> None:
    """Points of a bar along x, turned by half about the vertical through its middle, fall onto each other."""
    middle, half = np.array([0.02, 0.0, 0.0]), np.diag([-1.0, -1.0, 1.0])
    symmetries = Symmetries(rotations=np.stack([np.eye(3), half]), centre=middle)
    bar = replace(scene().object, symmetries=symmetries, shape_symmetries=symmetries.rotations)
    ends, rotation = np.add(middle, [[-0.05, 0, 0], [0.05, 0, 0]]), matrix_from_quaternion(QUATERNION)
    before, seen = ends @ rotation.T + POSITION, set()
    for index in range(20):
        position, quaternion, _ = augment_pose(PoseAugmentConfig(1.0, 0.0), bar, POSITION, QUATERNION, 0, index)
        after = ends @ matrix_from_quaternion(quaternion).T + position
        seen.add(turned := bool(np.linalg.norm(after[0] - before[0]) > 0.01))
        np.testing.assert_allclose(after, before[::-1] if turned else before, atol=1e-12)
    assert seen == {False, True}


def test_jitter_is_gaussian_in_position_and_rotation(poses: Augmented) -> None:
    config = PoseAugmentConfig()
    shift = np.array([position - POSITION for position, _, kind in poses if kind == "jittered"])
    turn = np.array(
        [
            (rotation_from_quaternion(quaternion) * rotation_from_quaternion(QUATERNION).inv()).as_rotvec()
            for _, quaternion, kind in poses
            if kind == "jittered"
        ]
    )
    for values, jitter in ((shift, config.position_jitter), (turn, config.rotation_jitter)):
        for axis in range(3):
            assert stats.kstest(values[:, axis], stats.norm(0, jitter.std).cdf).pvalue > 1e-4
    assert np.abs(np.corrcoef(shift.T, turn.T)[:3, 3:]).max() < 0.1  # independent of each other


def test_the_rest_is_as_collected(poses: Augmented) -> None:
    untouched = [(position, quaternion) for position, quaternion, kind in poses if kind == "none"]
    assert all((p == POSITION).all() and (q == QUATERNION).all() for p, q in untouched)


def test_quaternions_are_stored_unit_and_with_positive_w(poses: Augmented) -> None:
    quaternions = np.array([quaternion for _, quaternion, _ in poses])
    assert np.allclose(np.linalg.norm(quaternions, axis=1), 1)
    assert (quaternions[:, 0] >= 0).all()


def test_configuration_is_followed() -> None:
    only_turns = augmented(PoseAugmentConfig(rotated=1.0, jittered=0.0))
    assert {kind for _, _, kind in only_turns} == {"rotated"}
    still = augmented(PoseAugmentConfig(0.0, 1.0, Normal(0, 0), Normal(0, 0)))
    assert all(np.allclose(position, POSITION) and np.allclose(q, QUATERNION) for position, q, _ in still)
    with pytest.raises(ValueError, match="rotated and jittered"):
        PoseAugmentConfig(rotated=0.7, jittered=0.7)
