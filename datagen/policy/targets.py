"""Conversion of the networks' joint targets to the environment's targets relative to the present joint positions."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from datagen.sim.scene import SimScene
from vision.geometry.rotations import FloatArray


@dataclass(frozen=True)
class Servo:
    """How the joints are led to their targets.

    An action is relative to the joint's position, so a joint that is a step late swings about its target for ever if
    it is sent all the way at once.

    Attributes:
        gain: fraction of the way to the target that each action asks for.
        damping: fraction of the joint's motion in the last step that is taken off.
    """

    gain: float = 1.0
    damping: float = 0.0

    def __post_init__(self) -> None:
        if not (0 < self.gain <= 2 and 0 <= self.damping <= 2):
            raise ValueError(f"gain, damping: must lie in (0, 2] and [0, 2], got {self.gain} and {self.damping}")


class JointTargets:
    """Joint targets in [-1, 1], from the lowest to the highest control of each actuator.

    A constant target holds a pose, whereas a relative one must change as the joint gives way, so a network learns this
    first. Every target within half a range of the joint can be expressed either way.
    """

    def __init__(self, scene: SimScene, servo: Servo) -> None:
        self.servo = servo
        low, high = scene.control_range.T
        self._middle, self._half_range = (low + high) / 2, (high - low) / 2
        self._present = scene.controls.present

    def relative(self, target: FloatArray, joint_position: FloatArray, before: FloatArray) -> FloatArray:
        """Return actions (N, A) of the environment for targets (N, A) in [-1, 1], joint angles (N, J) and those of the
        step before (N, J)."""
        current, last = (
            (self._present(joints) - self._middle) / self._half_range for joints in (joint_position, before)
        )
        action: FloatArray = self.servo.gain * (target - current) - self.servo.damping * (current - last)
        return np.clip(action, -1, 1)

    def holding(self, joint_position: FloatArray) -> FloatArray:
        """Return targets (N, A) that hold the present angles (N, J)."""
        action: FloatArray = np.clip((self._present(joint_position) - self._middle) / self._half_range, -1, 1)
        return action
