"""Recording of played trials, for films."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from datagen.sim.interface import Observation
from vision.geometry.rotations import FloatArray

_TRIALS = 16  # number of recorded trials
_MOST_FRAMES = 150  # 12 s, which stays below 3 MB as a GIF


@dataclass(frozen=True, eq=False)
class RecordedStep:
    """Content of one frame: joints (J,) in rad, the object's position (3,) in m and quaternion (4,) w x y z, the goal's
    quaternion (4,), and the number of goals reached before."""

    joint_position: FloatArray
    object_position: FloatArray
    object_quaternion: FloatArray
    goal_quaternion: FloatArray
    reached: int


class TrialRecorder:
    """Recorder of the first trials, step by step."""

    def __init__(self) -> None:
        self.trials: list[list[RecordedStep]] = [[] for _ in range(_TRIALS)]

    def note(self, true: Observation, going: NDArray[np.int64]) -> None:
        """Record, before a step, the trials that are ``going``, (K,); ``true`` is the state of all, (N, ...)."""
        for trial in going[going < _TRIALS]:
            frames, goal = self.trials[trial], true["goal_quaternion"][trial]
            reached = frames[-1].reached if frames else 0
            if frames and not np.array_equal(goal, frames[-1].goal_quaternion):
                reached += 1
            joints, position = true["joint_position"][trial], true["object_position"][trial]
            frames.append(RecordedStep(joints, position, true["object_quaternion"][trial], goal, reached))

    def best(self) -> list[RecordedStep]:
        """Return the stretch of any trial, at most as long as a film may be, with the most goals reached."""

        def goals(stretch: Sequence[RecordedStep]) -> int:
            return stretch[-1].reached - stretch[0].reached

        stretches = (
            frames[start : start + _MOST_FRAMES]
            for frames in self.trials
            for start in range(max(1, len(frames) - _MOST_FRAMES + 1))
        )
        return max((stretch for stretch in stretches if stretch), key=goals)
