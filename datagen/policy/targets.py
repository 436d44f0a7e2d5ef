"""Conversion of the networks' joint targets to the environment's targets relative to the present joint positions."""

from __future__ import annotations

import numpy as np

from datagen.sim.interface import FloatArray
from datagen.sim.scene import SimScene


class JointTargets:
    """Joint targets in [-1, 1], from the lowest to the highest control of each actuator.

    A constant target holds a pose, whereas a relative one must change as the joint gives way, so a network learns this
    first. Every target within half a range of the joint can be expressed either way.
    """

    def __init__(self, scene: SimScene) -> None:
        low, high = scene.control_range.T
        self._middle, self._half_range = (low + high) / 2, (high - low) / 2
        self._present = scene.controls.present

    def relative(self, target: FloatArray, joint_position: FloatArray) -> FloatArray:
        """Return actions (N, A) of the environment for targets (N, A) in [-1, 1] and joint angles (N, J)."""
        current = (self._present(joint_position) - self._middle) / self._half_range
        action: FloatArray = np.clip(target - current, -1, 1)
        return action

    def holding(self, joint_position: FloatArray) -> FloatArray:
        """Return targets (N, A) that hold the present angles (N, J)."""
        action: FloatArray = np.clip((self._present(joint_position) - self._middle) / self._half_range, -1, 1)
        return action
