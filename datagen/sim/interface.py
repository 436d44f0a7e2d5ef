"""What a policy sees and what it must do, the same for random exploration and for trained networks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, TypedDict

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
Worlds = Sequence[int] | NDArray[np.integer[Any]]
"""Numbers of the worlds that a call concerns."""


class Observation(TypedDict):
    """State of N worlds, float64; metres, radians, seconds, world frame, quaternions w x y z with w >= 0.

    Of the scene's hand: F fingertips, J joints (metres where one slides) and, in actions, A actuators, in the order of
    `vision.scene.hand.Hand`.

    The first three are what the paper's policy network sees (Table 2); the value network, which trains in simulation
    alone, also sees the rest (asymmetric actor-critic).
    """

    fingertip_position: FloatArray
    """(N, F, 3)."""
    object_position: FloatArray
    """(N, 3)."""
    relative_goal: FloatArray
    """(N, 4): the least rotation that takes the object from its orientation to one that looks like the goal's."""

    object_quaternion: FloatArray
    """(N, 4), object to world."""
    goal_quaternion: FloatArray
    """(N, 4), orientation asked for, object to world."""
    joint_position: FloatArray
    """(N, J)."""
    joint_velocity: FloatArray
    """(N, J), rad/s."""
    object_linear_velocity: FloatArray
    """(N, 3), m/s."""
    object_angular_velocity: FloatArray
    """(N, 3), rad/s, in the object's frame."""


def blank_observation(worlds: int, fingertips: int, joints: int) -> Observation:
    """Observation of that many worlds, fingertips and joints: everything at the origin, unturned and at rest."""
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
    """Acts in N worlds at once. What it remembers (a recurrent state, a random process) it keeps for each world."""

    name: str
    """What states made with it are labelled with; a new behaviour gets a new name."""

    def reset(self, worlds: Worlds, generators: Sequence[np.random.Generator]) -> None:
        """Begin a new episode in each of `worlds`: forget the old one, and draw from its generator from now on."""

    def act(self, observation: Observation) -> FloatArray:
        """Actions (N, A) in [-1, 1] for all worlds, in the order of the hand's actuators.

        World n's action depends on that world's observations and generator only, so that a world behaves the same
        whatever else is in the batch.
        """
