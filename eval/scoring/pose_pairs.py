"""True poses paired with their estimates, from which errors are computed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.spatial.transform import Rotation

from vision.geometry.cameras import Cameras
from vision.geometry.rotations import FloatArray
from vision.scene.objects import PoseObject
from vision.scene.symmetries import nearest_alike


@dataclass(frozen=True)
class PosePairs:
    """N true poses of an object in the world, and their estimates.

    Attributes:
        target: the object: its points (P, 3) in metres, symmetries, and the rotations that leave its shape unchanged.
        true_position, predicted_position: (N, 3) metres.
        true_rotation, predicted_rotation: (N, 3, 3), object to world.
        cameras: true cameras, K (N, C, 3, 3) and T (N, C, 4, 4); None if unknown.
    """

    target: PoseObject
    true_position: FloatArray
    true_rotation: FloatArray
    predicted_position: FloatArray
    predicted_rotation: FloatArray
    cameras: Cameras | None = None

    def __len__(self) -> int:
        return len(self.true_position)

    @cached_property
    def true_points(self) -> FloatArray:
        """The object's points in the world, (N, P, 3), metres."""
        return _world(self.target.points, self.true_rotation, self.true_position)

    @cached_property
    def predicted_points(self) -> FloatArray:
        """The object's points in the world by the estimated poses, (N, P, 3), metres."""
        return _world(self.target.points, self.predicted_rotation, self.predicted_position)

    @cached_property
    def shift(self) -> FloatArray:
        """Estimate minus truth of the point that no symmetry moves, (N, 3), metres, world frame."""
        centre = self.target.symmetries.centre
        predicted = self.predicted_rotation @ centre + self.predicted_position
        return np.asarray(predicted - (self.true_rotation @ centre + self.true_position))

    def alike_points(self) -> Iterator[FloatArray]:
        """Yield the object's points in the world, (N, P, 3), for every pose that looks like the true one.

        Of a continuous symmetry these are steps of ten degrees, counted from the spin that is nearest to the
        estimate's: an estimate that is right up to its spin has no error.
        """
        symmetries, rotation, position = self.target.symmetries, self.true_rotation, self.true_position
        if len(symmetries.axes):
            predicted, true = (Rotation.from_matrix(one) for one in (self.predicted_rotation, rotation))
            position, nearest = nearest_alike(symmetries, predicted, position, true)
            rotation = nearest.as_matrix()
        for motion in symmetries.transforms():
            yield _world(self.target.points @ motion[:3, :3].T + motion[:3, 3], rotation, position)


def _world(points: FloatArray, rotation: FloatArray, position: FloatArray) -> FloatArray:
    """Transform points (P, 3) of the object to the world, (N, P, 3)."""
    return np.asarray(points @ np.swapaxes(rotation, -1, -2) + position[:, None])
