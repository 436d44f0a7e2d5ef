"""Networks speak of joint targets, the environment of targets relative to where joints are: from one to the other."""

from __future__ import annotations

import numpy as np

from datagen.sim.interface import FloatArray
from datagen.sim.scene import SimScene


class JointTargets:
    """A target at -1 is the lowest angle that its actuator can be told, at 1 the highest.

    A constant output then holds a pose, where a relative one must be renewed as the joint gives way: what a network
    learns first. Every target within half a range of the joint can be told either way.
    """

    def __init__(self, scene: SimScene) -> None:
        low, high = scene.control_range.T
        self._middle, self._half_range = (low + high) / 2, (high - low) / 2
        self._present = scene.controls.present

    def relative(self, target: FloatArray, joint_position: FloatArray) -> FloatArray:
        """Actions (N, A) of the environment for targets (N, A) in [-1, 1] and joint angles (N, J)."""
        current = (self._present(joint_position) - self._middle) / self._half_range
        action: FloatArray = np.clip(target - current, -1, 1)
        return action

    def holding(self, joint_position: FloatArray) -> FloatArray:
        """Targets (N, A) at the present angles (N, J)."""
        action: FloatArray = np.clip((self._present(joint_position) - self._middle) / self._half_range, -1, 1)
        return action
