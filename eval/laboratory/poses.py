"""Poses of 7 numbers, x y z in metres and a unit quaternion w x y z, and common mistakes in writing them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from vision.geometry.rotations import FloatArray, matrix_from_quaternion, quaternion_from_matrix, rigid_transform
from vision.rigs.calibration import MAX_POSITION_M


def check_pose(key: str, pose: Sequence[float], max_position: float = MAX_POSITION_M) -> None:
    """Raise ValueError naming ``key`` unless ``pose`` is x y z within ``max_position`` metres and a unit w x y z."""
    if len(pose) != 7 or not np.isfinite(pose).all() or abs(np.linalg.norm(pose[3:]) - 1) > 1e-3:
        raise ValueError(f"{key}: expected x y z and a unit quaternion w x y z, got {list(pose)}")
    if (largest := max(pose[:3], key=abs)) and abs(largest) > max_position:
        raise ValueError(
            f"{key}: position {largest:g} m, expected at most {max_position:g}; are these millimetres? divide by 1000"
        )


def transform_from_pose(pose: Sequence[float]) -> FloatArray:
    """Convert a pose of 7 numbers to a transform (4, 4)."""
    return rigid_transform(matrix_from_quaternion(pose[3:]), pose[:3])


def reordered(transforms: ArrayLike) -> FloatArray:
    """Return the transforms (..., 4, 4) meant if their quaternions were written x y z w and read as w x y z.

    This commutes with interpolation, because reordering a quaternion's numbers is a rotation in four dimensions.
    """
    transforms = np.asarray(transforms, np.float64)
    quaternions = np.roll(quaternion_from_matrix(transforms[..., :3, :3]), 1, axis=-1)
    return rigid_transform(matrix_from_quaternion(quaternions), transforms[..., :3, 3])


def inverse(transforms: FloatArray) -> FloatArray:
    """Invert rigid transforms (..., 4, 4)."""
    return np.asarray(np.linalg.inv(transforms), np.float64)
