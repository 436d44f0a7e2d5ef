"""Poses of bodies. Together with :class:`vision.geometry.cameras.Cameras` they are what functions pass to each other;
files hold them as a position and a quaternion."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from vision.geometry.rotations import FloatArray, matrix_from_quaternion, quaternion_from_matrix


class Pose(NamedTuple):
    """Pose of a body in a frame, the world's unless stated otherwise, as NumPy arrays or as tensors; dimensions before
    the given ones, if any, are those of a batch.

    Attributes:
        rotation: (..., 3, 3) body to frame.
        position: (..., 3) metres, of the body's origin.
    """

    rotation: Any
    position: Any

    @classmethod
    def from_quaternion(cls, position: ArrayLike, quaternion: ArrayLike) -> Pose:
        """Return the pose, in arrays, with that position (..., 3) and quaternion (..., 4) w x y z, body to frame."""
        return cls(matrix_from_quaternion(quaternion), np.asarray(position, dtype=np.float64))

    @classmethod
    def from_columns(cls, columns: Mapping[str, Any], name: str) -> Pose:
        """Return the poses that a table, a label or a sample holds as ``<name>_position`` and ``<name>_quaternion``."""
        return cls.from_quaternion(columns[f"{name}_position"], columns[f"{name}_quaternion"])

    @property
    def quaternion(self) -> FloatArray:
        """Rotation as quaternion (..., 4) w x y z with ``w >= 0``; of arrays only."""
        return quaternion_from_matrix(self.rotation)

    def transform(self, points: Any) -> Any:
        """Return points (N, 3) or (..., N, 3) of the body in the frame, (..., N, 3)."""
        return points @ self.rotation.mT + self.position[..., None, :]

    def in_frame(self, motion: FloatArray) -> Pose:
        """Return the same pose in another frame, whose coordinates the rigid ``motion`` (4, 4) takes to those of the
        present one."""
        back = motion[:3, :3].T
        return Pose(back @ self.rotation, (self.position - motion[:3, 3]) @ back.T)

    def at(self, rows: Any) -> Pose:
        """Return the poses in some rows of a batch, or the one in a row."""
        return Pose(self.rotation[rows], self.position[rows])

    def repeated(self, count: int) -> Pose:
        """Return a batch of ``count`` times the same poses, (count, ...), as read-only views of the arrays."""
        return Pose(*(np.broadcast_to(array, (count, *array.shape)) for array in self))

    def double(self) -> Pose:
        """Return a copy with its tensors in float64."""
        return Pose(self.rotation.double(), self.position.double())

    def numpy(self) -> Pose:
        """Return a copy with its tensors as NumPy arrays."""
        return Pose(self.rotation.numpy(), self.position.numpy())
