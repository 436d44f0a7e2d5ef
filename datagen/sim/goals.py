"""Orientations to ask for, and how far an object is from looking as it does in them."""

from __future__ import annotations

import numpy as np
from scipy.spatial.transform import Rotation

from vision.geometry.rotations import (
    FloatArray,
    canonical_quaternion,
    quaternion_from_rotation,
    rotation_from_quaternion,
)
from vision.scene.symmetries import Symmetries


def random_orientation(rng: np.random.Generator) -> FloatArray:
    """A quaternion (4,) uniform over the rotations."""
    quaternion = rng.normal(size=4)
    return canonical_quaternion(quaternion / np.linalg.norm(quaternion))


def orientation_near(rng: np.random.Generator, present: FloatArray, largest_turn: float) -> FloatArray:
    """A quaternion (4,) uniform over the rotations within `largest_turn` rad of `present`; from pi on, over all."""
    if largest_turn >= np.pi:
        return random_orientation(rng)
    # The volume of the rotations by up to an angle goes as angle - sin(angle).
    angles = np.linspace(0, largest_turn, 512)
    volume = angles - np.sin(angles)
    axis = rng.normal(size=3)
    turn = axis / np.linalg.norm(axis) * np.interp(rng.random() * volume[-1], volume, angles)
    return quaternion_from_rotation(Rotation.from_rotvec(turn) * rotation_from_quaternion(present))


def rotation_to_goal(symmetries: Symmetries, present: Rotation, goal: Rotation) -> Rotation:
    """The least rotations (N) that take an object from orientations `present` to ones in which it looks as at `goal`.

    Args:
        symmetries: of the object, with one axis at most: about two it looks alike however it is turned.
        present, goal: object to world, N each.
    """
    back = present.inv()
    if symmetries.trivial:
        return goal * back
    found = []
    for matrix in symmetries.rotations:
        alike = goal * Rotation.from_matrix(matrix)
        for axis in symmetries.axes:
            # A turn by t about it leaves a rotation whose w is w cos(t/2) - (x, y, z) axis sin(t/2): make that largest.
            vector, w = np.split((back * alike).as_quat(), [3], axis=1)
            half = np.arctan2(-(vector @ axis), w[:, 0])
            alike = alike * Rotation.from_rotvec(2 * half[:, None] * axis)
        found.append(alike * back)
    nearest = np.argmin([each.magnitude() for each in found], axis=0)
    return Rotation.from_quat(np.stack([each.as_quat() for each in found])[nearest, np.arange(len(nearest))])
