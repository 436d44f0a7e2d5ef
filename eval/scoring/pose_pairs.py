"""True poses paired with their estimates, from which errors are computed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.spatial.transform import Rotation

from vision.geometry.cameras import Cameras
from vision.geometry.poses import Pose
from vision.geometry.rotations import FloatArray
from vision.objects.pose_object import PoseObject
from vision.objects.symmetries import centre_shift, nearest_alike


@dataclass(frozen=True)
class PosePairs:
    """N true poses of an object in the world, and their estimates.

    Attributes:
        target: the object: its points (P, 3) in metres, symmetries, and the rotations that leave its shape unchanged.
        true, predicted: the N poses, object to world.
        cameras: true cameras, K (N, C, 3, 3) and T (N, C, 4, 4); None if unknown.
    """

    target: PoseObject
    true: Pose
    predicted: Pose
    cameras: Cameras | None = None

    def __len__(self) -> int:
        return len(self.true.position)

    @cached_property
    def true_points(self) -> FloatArray:
        """The object's points in the world, (N, P, 3), metres."""
        return np.asarray(self.true.transform(self.target.points))

    @cached_property
    def predicted_points(self) -> FloatArray:
        """The object's points in the world by the estimated poses, (N, P, 3), metres."""
        return np.asarray(self.predicted.transform(self.target.points))

    @cached_property
    def shift(self) -> FloatArray:
        """Estimate minus truth of the point that no symmetry moves, (N, 3), metres, world frame."""
        return np.asarray(centre_shift(self.target.symmetries, self.true, self.predicted))

    def alike_points(self) -> Iterator[FloatArray]:
        """Yield the object's points in the world, (N, P, 3), for every pose that looks like the true one.

        Of a continuous symmetry these are steps of ten degrees, counted from the spin that is nearest to the
        estimate's: an estimate that is right up to its spin has no error.
        """
        symmetries, true = self.target.symmetries, self.true
        if len(symmetries.axes):
            true = nearest_alike(symmetries, Rotation.from_matrix(self.predicted.rotation), true)
        for motion in symmetries.transforms():
            yield np.asarray(true.transform(self.target.points @ motion[:3, :3].T + motion[:3, 3]))
