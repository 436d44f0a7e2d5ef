"""Outcome of an environment step, and the paper's reward for it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vision.geometry.rotations import FloatArray

GOAL_THRESHOLD = 0.4  # rad within which a goal is reached
GOAL_REWARD, DROP_REWARD = 5.0, -20.0  # on top of the rotation angle (rad) by which the object came closer


@dataclass(frozen=True)
class Outcome:
    """Outcome of a step, (N,) each, booleans except the reward; all False in worlds that it did not advance.

    Attributes:
        reached: the object came within ``GOAL_THRESHOLD`` of the goal, which was then replaced.
        dropped: the object is below the workspace's drop height.
        non_finite: the state holds NaN or infinity, or a joint angle beyond the range of stored states.
        warned: MuJoCo's warning counters rose (instability, contact or constraint buffer full).
        reward: the paper's reward, float64: radians by which the object came closer to the goal, +5 for reaching it,
            -20 for a drop; zero in worlds that did not advance or broke.
    """

    reached: NDArray[np.bool_]
    dropped: NDArray[np.bool_]
    non_finite: NDArray[np.bool_]
    warned: NDArray[np.bool_]
    reward: FloatArray

    @property
    def ended(self) -> NDArray[np.bool_]:
        """Whether the episode is over, (N,)."""
        return self.dropped | self.non_finite | self.warned
