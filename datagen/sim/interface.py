"""Observations and interface of policies, the same for random exploration and for trained networks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, TypedDict

import numpy as np
from numpy.typing import NDArray

from vision.geometry.rotations import FloatArray

Worlds = Sequence[int] | NDArray[np.integer[Any]]
"""Numbers of the worlds that a call concerns."""


class Observation(TypedDict):
    """State of N worlds, float64; metres, radians, seconds, world frame, quaternions w x y z with w >= 0.

    The scene's hand has F fingertips, J joints (metres for slides) and, in actions, A actuators, in the order of
    `vision.scene.hand.Hand`.

    The paper's policy network sees the first three (Table 2); the value network, which trains in simulation alone, also
    sees the rest (asymmetric actor-critic).
    """

    fingertip_position: FloatArray
    """Positions of the fingertips, (N, F, 3)."""
    object_position: FloatArray
    """Position of the object, (N, 3)."""
    relative_goal: FloatArray
    """Smallest rotation that takes the object from its orientation to one that looks like the goal's, (N, 4)."""

    object_quaternion: FloatArray
    """Orientation of the object, object to world, (N, 4)."""
    goal_quaternion: FloatArray
    """Goal orientation, object to world, (N, 4)."""
    joint_position: FloatArray
    """Joint positions, (N, J)."""
    joint_velocity: FloatArray
    """Joint velocities, rad/s, (N, J)."""
    object_linear_velocity: FloatArray
    """Linear velocity of the object, m/s, (N, 3)."""
    object_angular_velocity: FloatArray
    """Angular velocity of the object in its own frame, rad/s, (N, 3)."""


def blank_observation(worlds: int, fingertips: int, joints: int) -> Observation:
    """Return an observation of these sizes with everything at the origin, at rest, and no rotation."""
    quaternion = np.tile([1.0, 0.0, 0.0, 0.0], (worlds, 1))
    return {
        "fingertip_position": np.zeros((worlds, fingertips, 3)),
        "object_position": np.zeros((worlds, 3)),
        "relative_goal": quaternion,
        "object_quaternion": quaternion,
        "goal_quaternion": quaternion,
        "joint_position": np.zeros((worlds, joints)),
        "joint_velocity": np.zeros((worlds, joints)),
        "object_linear_velocity": np.zeros((worlds, 3)),
        "object_angular_velocity": np.zeros((worlds, 3)),
    }


class Policy(Protocol):
    """Policy that acts in N worlds at once. It keeps memory (a recurrent state, a random process) for each world."""

    name: str
    """Label of the states made with it; a new behaviour needs a new name."""

    def reset(self, worlds: Worlds, generators: Sequence[np.random.Generator]) -> None:
        """Begin a new episode in each of ``worlds``: forget the old one, and draw from its generator from now on."""

    def act(self, observation: Observation) -> FloatArray:
        """Return actions (N, A) in [-1, 1] for all worlds, in the order of the hand's actuators.

        World n's action depends only on that world's observations and generator, so it does not depend on the rest of
        the batch.
        """
