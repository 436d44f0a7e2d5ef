"""Poses against SciPy and homogeneous matrices."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from vision.geometry.poses import Pose
from vision.geometry.rotations import rigid_transform

seeds = st.integers(0, 2**32 - 1)


def random_pose(seed: int, count: int = 5) -> tuple[Pose, Rotation, np.ndarray]:
    """Poses from quaternions w x y z of either sign, with the rotations and positions that they stand for."""
    rng = np.random.default_rng(seed)
    turn, position = Rotation.random(count, rng=rng), rng.normal(size=(count, 3))
    quaternion = np.roll(turn.as_quat(), 1, axis=1) * rng.choice([-1, 1], (count, 1))
    return Pose.from_quaternion(position, quaternion), turn, position


@given(seeds)
def test_points_move_as_scipy_and_homogeneous_matrices_move_them(seed: int) -> None:
    pose, turn, position = random_pose(seed)
    points = np.random.default_rng(seed + 1).normal(size=(7, 3))
    moved = pose.transform(points)
    assert moved.shape == (5, 7, 3)
    for number in range(5):
        np.testing.assert_allclose(moved[number], turn[number].apply(points) + position[number], atol=1e-12)
        np.testing.assert_allclose(pose.at(number).transform(points), moved[number], atol=1e-12)
    T = rigid_transform(*pose)
    np.testing.assert_allclose(moved, points @ T[:, :3, :3].mT + T[:, None, :3, 3], atol=1e-12)
    tensors = Pose(*map(torch.from_numpy, pose))
    np.testing.assert_allclose(tensors.transform(torch.from_numpy(points)).numpy(), moved, atol=1e-12)
    np.testing.assert_array_equal(tensors.numpy().position, position)


@given(seeds)
def test_the_quaternion_is_the_one_that_files_hold(seed: int) -> None:
    pose, turn, position = random_pose(seed)
    assert (pose.quaternion[:, 0] >= 0).all()
    expected = turn.as_quat(canonical=True)[:, [3, 0, 1, 2]]
    np.testing.assert_allclose(pose.quaternion, expected, atol=1e-12)
    again = Pose.from_columns({"true_position": position, "true_quaternion": pose.quaternion}, "true")
    np.testing.assert_allclose(again.rotation, pose.rotation, atol=1e-12)
    np.testing.assert_array_equal(again.position, position)


@given(seeds)
def test_in_another_frame_a_bodys_points_are_the_same_points(seed: int) -> None:
    pose, *_ = random_pose(seed)
    motion = rigid_transform(*random_pose(seed + 1)[0].at(0))  # from the other frame's coordinates to these
    points = np.random.default_rng(seed).normal(size=(4, 3))
    there = pose.in_frame(motion).transform(points)
    np.testing.assert_allclose(there @ motion[:3, :3].T + motion[:3, 3], pose.transform(points), atol=1e-12)


def test_a_repeated_pose_is_a_batch() -> None:
    one = random_pose(0)[0].at(2)
    many = one.repeated(4)
    assert (many.rotation.shape, many.position.shape) == ((4, 3, 3), (4, 3))
    np.testing.assert_array_equal(many.at(3).rotation, one.rotation)
