"""Memory of a policy: its last frames, each with what it saw and did, reset when an episode begins.

A frame holds what the sensors reported of fingertips, object and joints, and the action before. The object's
orientation enters as the rotation from that frame to the present, which does not depend on the goal.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from datagen.sim.interface import Worlds
from vision.geometry.rotations import FloatArray, rotation_from_quaternion

FRAME_INPUTS = ("fingertip_position", "object_position", "joint_position", "last_action")
"""Parts of the state vector that a frame holds, besides the object's rotation since then."""


@dataclass(frozen=True)
class Memory:
    """How an actor remembers.

    Attributes:
        kind: none; stack (the frames are further inputs of the first layer) or gru (a recurrent layer reads them, the
            oldest first, starting from an empty state in training and in use).
        frames: number of frames, 80 ms apart; 0 for none.
        units: width of the recurrent layer.
    """

    kind: Literal["none", "stack", "gru"] = "none"
    frames: int = 0
    units: int = 128

    def __post_init__(self) -> None:
        if (self.kind == "none") != (self.frames == 0):
            raise ValueError(f"frames: none remembers 0, others at least 1, got {self.kind} with {self.frames}")
        if not 0 <= self.frames <= 1000 or not 1 <= self.units <= 65_536:
            raise ValueError(
                f"frames and units: must be 0 to 1,000 and 1 to 65,536, got {self.frames} and {self.units}"
            )


class History:
    """Last frames of N worlds.

    Args:
        frames: number of frames, K.
        worlds: number of worlds, N.
        width: width of a state vector, S.
    """

    def __init__(self, frames: int, worlds: int, width: int) -> None:
        self._states = np.zeros((worlds, frames, width), dtype=np.float32)
        self._quaternions = np.tile([1.0, 0.0, 0.0, 0.0], (worlds, frames, 1))
        self._empty = np.ones(worlds, dtype=bool)

    def forget(self, worlds: Worlds) -> None:
        """Begin an episode in ``worlds``; the frames before its first step equal that step."""
        self._empty[np.asarray(worlds, dtype=np.int64)] = True

    def recall(
        self, state: NDArray[np.float32], quaternion: FloatArray
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return the frames before the present one, and add the present one.

        Args:
            state: present state vectors (N, S).
            quaternion: present orientations of the object (N, 4).

        Returns:
            State vectors of the frames before, the latest first, (N, K, S), and rotation vectors from the orientation
            in each to the present one, rad, (N, K, 3); both float32.
        """
        new, self._empty[:] = self._empty.copy(), False
        self._states[new], self._quaternions[new] = state[new, None], quaternion[new, None]
        states, turns = self._states.copy(), rotations_since(self._quaternions, quaternion)
        self._states[:, 1:], self._quaternions[:, 1:] = self._states[:, :-1].copy(), self._quaternions[:, :-1].copy()
        self._states[:, :1], self._quaternions[:, :1] = state[:, None], quaternion[:, None]
        return states, turns


def rotations_since(past: FloatArray, present: FloatArray) -> NDArray[np.float32]:
    """Return rotation vectors (N, K, 3), float32, from orientations ``past`` (N, K, 4) to ``present`` (N, 4)."""
    count, frames, _ = past.shape
    if not frames:
        return np.zeros((count, 0, 3), dtype=np.float32)
    now = rotation_from_quaternion(np.repeat(present, frames, axis=0))
    since = now * rotation_from_quaternion(past.reshape(-1, 4)).inv()
    return since.as_rotvec().reshape(count, frames, 3).astype(np.float32)
