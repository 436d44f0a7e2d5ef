"""Turns to what looks alike."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from vision.geometry.poses import Pose
from vision.geometry.rotations import cube_rotations, rotate
from vision.objects.symmetries import Symmetries, centre_shift, least_turn, nearest_alike, symmetric_distance

FLIP = np.stack([np.eye(3), np.diag([1.0, -1.0, -1.0])])
SYMMETRIES = {
    "none": Symmetries(rotations=np.eye(3)[None]),
    "cube": Symmetries(rotations=cube_rotations()),
    "cone": Symmetries(rotations=np.eye(3)[None], axes=np.eye(3)[2:]),
    "can": Symmetries(rotations=FLIP, axes=np.eye(3)[2:]),
    "ball": Symmetries(rotations=np.eye(3)[None], axes=np.eye(3)[1:]),
}


@pytest.mark.parametrize("kind", SYMMETRIES)
def test_the_way_to_a_goal_is_the_shortest_to_what_looks_like_it(kind: str) -> None:
    symmetries = SYMMETRIES[kind]
    present, goal = (Rotation.random(200, rng=np.random.default_rng(seed)) for seed in (0, 1))
    way = least_turn(symmetries, present, goal)
    shortest = symmetric_distance(symmetries, goal.as_matrix(), present.as_matrix())
    np.testing.assert_allclose(way.magnitude(), shortest, atol=1e-6)
    there = (way * present).as_matrix()
    np.testing.assert_allclose(symmetric_distance(symmetries, goal.as_matrix(), there), 0, atol=1e-6)
    assert ((goal * present.inv()).magnitude() > shortest + 0.1).any() == (kind != "none")


def test_the_way_to_a_cone_upside_down_is_half_a_turn() -> None:
    way = least_turn(SYMMETRIES["cone"], Rotation.identity(1), Rotation.from_matrix(FLIP[1:]))
    assert way.magnitude() == pytest.approx(np.pi)


@pytest.mark.parametrize("kind", SYMMETRIES)
def test_the_nearest_pose_that_looks_alike_has_the_same_points(kind: str) -> None:
    """Of a body that is turned about a point other than its origin."""
    plain, rng = SYMMETRIES[kind], np.random.default_rng(2)
    symmetries = Symmetries(rotations=plain.rotations, axes=plain.axes, centre=np.array([0.01, -0.02, 0.03]))
    reference, turn = (Rotation.random(20, rng=rng) for _ in range(2))
    place = rng.normal(size=(20, 3))
    found = nearest_alike(symmetries, reference, Pose(turn.as_matrix(), place))
    still, rotation = found.transform(symmetries.centre[None])[:, 0], Rotation.from_matrix(found.rotation)
    np.testing.assert_allclose(still, rotate(turn, symmetries.centre) + place, atol=1e-12)
    given, tensors = Pose(turn.as_matrix(), place), Pose(*map(torch.tensor, found))
    np.testing.assert_allclose(centre_shift(symmetries, given, found), 0, atol=1e-12)
    np.testing.assert_allclose(centre_shift(symmetries, found.at(3), given.at(3)), 0, atol=1e-12)
    off = tensors._replace(position=tensors.position + torch.tensor([0.0, 0.003, 0.004]))
    np.testing.assert_allclose(centre_shift(symmetries, tensors, off).norm(dim=-1), 0.005, atol=1e-9)
    moved = symmetric_distance(symmetries, turn.as_matrix(), rotation.as_matrix())
    np.testing.assert_allclose(moved, 0, atol=1e-6)
    left = symmetric_distance(symmetries, turn.as_matrix(), reference.as_matrix())
    np.testing.assert_allclose((rotation * reference.inv()).magnitude(), left, atol=1e-6)
