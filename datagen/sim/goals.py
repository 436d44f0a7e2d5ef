"""Goal orientations."""

from __future__ import annotations

import numpy as np
from scipy.spatial.transform import Rotation

from vision.geometry.rotations import (
    FloatArray,
    canonical_quaternion,
    quaternion_from_rotation,
    rotation_from_quaternion,
)


def random_orientation(rng: np.random.Generator) -> FloatArray:
    """Draw a quaternion (4,) uniform over the rotations."""
    quaternion = rng.normal(size=4)
    return canonical_quaternion(quaternion / np.linalg.norm(quaternion))


def orientation_near(rng: np.random.Generator, present: FloatArray, largest_turn: float) -> FloatArray:
    """Draw a quaternion (4,) uniform over the rotations within ``largest_turn`` rad of ``present``; pi allows all."""
    if largest_turn >= np.pi:
        return random_orientation(rng)
    # The volume of the rotations by up to an angle is proportional to angle - sin(angle).
    angles = np.linspace(0, largest_turn, 512)
    volume = angles - np.sin(angles)
    axis = rng.normal(size=3)
    turn = axis / np.linalg.norm(axis) * np.interp(rng.random() * volume[-1], volume, angles)
    return quaternion_from_rotation(Rotation.from_rotvec(turn) * rotation_from_quaternion(present))
