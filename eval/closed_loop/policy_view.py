"""The object's poses as estimates give them, and an observation in which they take the tracker's place."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from datagen.sim.interface import Observation
from eval.scoring.trial_results import STEP_SECONDS
from vision.geometry.rotations import FloatArray, quaternion_from_rotation, rotation_from_quaternion
from vision.scene.symmetries import Symmetries, least_turn, nearest_alike


class Seen(NamedTuple):
    """Estimates in N worlds at one step: position (N, 3), quaternion (N, 4), and covariance (N, 6, 6) of the error,
    radians about the world's axes then metres; NaN where the estimator gives none."""

    position: FloatArray
    quaternion: FloatArray
    covariance: FloatArray

    def updated(self, worlds: NDArray[np.int64], found: Mapping[str, np.ndarray]) -> Seen:
        """The same with what was ``found`` in some worlds (K,)."""
        arrays = [getattr(self, name).copy() for name in self._fields]
        for name, array in zip(self._fields, arrays, strict=True):
            array[worlds] = found[name]
        return Seen(*arrays)


class PolicyView(NamedTuple):
    """What a policy knows of the object in N worlds: position (N, 3), quaternion (N, 4), velocity (N, 3) in the world
    frame and angular velocity (N, 3) in the object's."""

    position: FloatArray
    quaternion: FloatArray
    velocity: FloatArray
    angular_velocity: FloatArray


def with_differences(now: Seen, before: Seen, symmetries: Symmetries) -> PolicyView:
    """Estimates as they are; velocities are the least differences from those one step before, as an object with
    symmetries may be seen in another of the poses that look alike."""
    rotation, last = (rotation_from_quaternion(seen.quaternion) for seen in (now, before))
    position, alike = nearest_alike(symmetries, last, now.position, rotation)
    return PolicyView(
        now.position,
        quaternion_from_rotation(rotation),
        (position - before.position) / STEP_SECONDS,
        (last.inv() * alike).as_rotvec() / STEP_SECONDS,
    )


def observation_by_sight(sensed: Observation, view: PolicyView, symmetries: Symmetries) -> Observation:
    """An observation in which all that concerns the object is what was seen.

    Args:
        sensed: of the tracker and the rest of the sensors, N worlds.
        view: what the policy knows of the object.
        symmetries: of the object: to the goal leads the shortest way after which it looks as asked.
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
