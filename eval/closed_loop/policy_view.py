"""The object's poses from estimates, and an observation in which they replace the tracker's."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from datagen.sim.interface import Observation
from vision.geometry.poses import Pose
from vision.geometry.rotations import (
    FloatArray,
    canonical_quaternion,
    quaternion_from_rotation,
    rotation_from_quaternion,
)
from vision.objects.symmetries import Symmetries, least_turn, nearest_alike
from vision.published import STEP_SECONDS


class WorldEstimates(NamedTuple):
    """Estimates in N worlds at one step: position (N, 3), quaternion (N, 4), and covariance (N, 6, 6) of the error,
    radians about the world's axes, then metres; NaN if the estimator gives none."""

    position: FloatArray
    quaternion: FloatArray
    covariance: FloatArray

    def updated(self, worlds: NDArray[np.int64], found: WorldEstimates) -> WorldEstimates:
        """Return a copy with what was ``found`` in some worlds (K,)."""
        arrays = [array.copy() for array in self]
        for array, new in zip(arrays, found, strict=True):
            array[worlds] = new
        return WorldEstimates(*arrays)


class PolicyView(NamedTuple):
    """A policy's observation of the object in N worlds: position (N, 3), quaternion (N, 4), velocity (N, 3) in the
    world frame and angular velocity (N, 3) in the object's."""

    position: FloatArray
    quaternion: FloatArray
    velocity: FloatArray
    angular_velocity: FloatArray


def with_differences(now: WorldEstimates, before: WorldEstimates, symmetries: Symmetries) -> PolicyView:
    """Return the estimates, with velocities from the differences to those one step before.

    For an object with symmetries these are the least differences, because it may be estimated in any of the poses that
    look alike.
    """
    last = rotation_from_quaternion(before.quaternion)
    alike = nearest_alike(symmetries, last, Pose.from_quaternion(now.position, now.quaternion))
    return PolicyView(
        now.position,
        canonical_quaternion(now.quaternion),
        (alike.position - before.position) / STEP_SECONDS,
        (last.inv() * Rotation.from_matrix(alike.rotation)).as_rotvec() / STEP_SECONDS,
    )


def observation_by_sight(sensed: Observation, view: PolicyView, symmetries: Symmetries) -> Observation:
    """Return an observation in which everything about the object comes from vision.

    Args:
        sensed: observation of the tracker and the other sensors, N worlds.
        view: what the policy observes of the object.
        symmetries: of the object; the rotation to the goal is the least after which it looks like the goal.
    """
    rotation, goal = (rotation_from_quaternion(each) for each in (view.quaternion, sensed["goal_quaternion"]))
    return {
        **sensed,
        "object_position": view.position,
        "object_quaternion": view.quaternion,
        "relative_goal": quaternion_from_rotation(least_turn(symmetries, rotation, goal)),
        "object_linear_velocity": view.velocity,
        "object_angular_velocity": view.angular_velocity,
    }
