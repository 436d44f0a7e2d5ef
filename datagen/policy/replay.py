"""Replay buffer on disk, sampled with hindsight.

It is a ring of time steps by worlds in memory-mapped files: as large as the disk allows, cheap in memory, and kept
after a kill. Slot t of a world holds the state, the goal and the action taken in it; an episode's last slot holds the
state that ended it, and no action.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from datagen.policy.experience import Hindsight, Moments, Step, Transitions, Widths
from datagen.policy.features import goal_vector
from datagen.policy.memory import rotations_since
from datagen.sim.outcome import GOAL_THRESHOLD
from vision.errors import DactylError
from vision.geometry.rotations import quaternion_from_rotation, rotation_from_quaternion
from vision.objects.symmetries import Symmetries, least_turn

_GOING_ON = np.iinfo(np.int64).max
REPLAY_DTYPES: dict[str, type[np.generic]] = {
    **dict.fromkeys(("state", "hidden", "seen", "quaternion", "seen_quaternion", "goal", "action"), np.float32),
    **dict.fromkeys(("acted", "dropped"), np.bool_),
    **dict.fromkeys(("time", "begin", "end"), np.int64),
}
"""Types of the files' columns, by name."""


class Replay:
    """Buffer of the last ``steps`` time steps of ``worlds``, in ``folder``.

    Args:
        folder: folder of the files, which are made anew if ``time`` is zero.
        steps: capacity for each world, time steps.
        worlds: number of worlds.
        widths: widths of the vectors.
        symmetries: symmetries of the object.
        time: number of steps recorded before, which the files then hold.

    Raises:
        DactylError: ``time`` is not zero, and a file is missing or of another size.
        OSError: the disk has no room for the files.
    """

    def __init__(
        self, folder: Path, steps: int, worlds: int, widths: Widths, symmetries: Symmetries, time: int = 0
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.steps, self.worlds, self.symmetries, self.time = steps, worlds, symmetries, time
        vectors = {"state": widths.state, "hidden": widths.hidden, "seen": widths.state, "action": widths.actions}
        vectors |= dict.fromkeys(("quaternion", "seen_quaternion", "goal"), 4)
        self._data: dict[str, np.memmap] = {}
        for name, dtype in REPLAY_DTYPES.items():
            full = (steps, worlds, vectors[name]) if name in vectors else (steps, worlds)
            path, expected = folder / f"{name}.bin", int(np.prod(full)) * np.dtype(dtype).itemsize
            size = path.stat().st_size if path.exists() else 0
            if time and size != expected:
                raise DactylError(
                    f"{path}: missing or of another size, so the training has lost its experience; put it back, go on "
                    "with the version that began it, or begin another training with init"
                )
            if not time:
                with path.open("wb") as file:  # a disk that is full later would kill the process at its next write
                    os.posix_fallocate(file.fileno(), 0, expected)
            self._data[name] = np.memmap(path, dtype, "r+", shape=full)
        self._start = np.full(worlds, time, dtype=np.int64)
        if time:
            self._forget_after(time)

    def __len__(self) -> int:
        return min(self.time, self.steps) * self.worlds

    def flush(self) -> None:
        """Write all that was recorded to the disk."""
        for column in self._data.values():
            column.flush()

    def usable(self) -> bool:
        """Return whether there is anything to sample: an action whose next state belongs to the same episode."""
        newest = self.time - 1
        times = newest - (newest - np.arange(self.steps)) % self.steps  # the time that each slot holds
        return bool(self._precedes(slice(None), times[:, None]).any())

    def _precedes(self, place: Any, time: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Return whether an action was taken in the slots and worlds of ``place``, recorded at ``time``, and the next
        state belongs to the same episode."""
        until = np.minimum(self._data["end"][place], self.time - 1)
        precedes: NDArray[np.bool_] = self._data["acted"][place] & (until > time)
        return precedes

    def _forget_after(self, time: int) -> None:
        """Discard rows recorded at ``time`` or later by a process that was killed.

        Episodes under way at ``time`` end there; rows of later times have overwritten the oldest.
        """
        begin, end, acted = (self._data[name] for name in ("begin", "end", "acted"))
        later = (self._data["time"] >= time).any(axis=1)  # all worlds were recorded at once
        acted[later] = False
        acted[(time - 1) % self.steps] = False
        np.minimum(end, time - 1, out=end)
        if not later.all():  # no remaining row may refer back to one that was overwritten
            np.maximum(begin, self._data["time"][~later].min(), out=begin)

    def add(self, step: Step) -> None:
        """Record a time step of all worlds."""
        slot = self.time % self.steps
        # `time` is written first: it identifies a row that a kill left half written.
        rows = {"time": self.time, "begin": self._start, **vars(step), "dropped": False, "end": _GOING_ON}
        for name, value in rows.items():
            self._data[name][slot] = value
        self._data["end"][slot, ~step.acted] = self.time
        self._start[~step.acted] = self.time + 1
        self.time += 1

    def finish(self, worlds: NDArray[np.int64], dropped: NDArray[np.bool_], broken: NDArray[np.bool_]) -> None:
        """Mark the episodes of ``worlds`` as ended by the actions just recorded; (N,) booleans mark drops and breaks.

        The state after a drop or a timeout is recorded next; a broken world has no valid one.
        """
        for world in worlds:
            last = self.time - 1 if broken[world] else self.time
            times = np.arange(max(self._start[world], self.time - self.steps), self.time)
            self._data["end"][times % self.steps, world] = last
            self._data["dropped"][(self.time - 1) % self.steps, world] = dropped[world]

    def sample(self, rng: np.random.Generator, count: int, how: Hindsight, frames: int) -> Transitions:
        """Sample ``count`` transitions, uniform over those in a buffer that is ``usable``, with goals and returns as
        ``how`` states, and with ``frames`` frames before each."""
        data, newest = self._data, self.time - 1
        oldest = max(0, self.time - self.steps)
        time = np.empty(0, dtype=np.int64)
        world = np.empty(0, dtype=np.int64)
        while len(time) < count:
            t = rng.integers(oldest, newest, count)
            w = rng.integers(self.worlds, size=count)
            good = self._precedes((t % self.steps, w), t)
            time, world = np.append(time, t[good]), np.append(world, w[good])
        time, world = time[:count], world[:count]
        now = (time % self.steps, world)
        left = np.minimum(data["end"][now], newest) - time

        later = time + 1 + rng.integers(np.minimum(left, how.horizon))
        hindsight = rng.random(count) < how.relabelled
        achieved = data["quaternion"][later % self.steps, world]
        target = rotation_from_quaternion(np.where(hindsight[:, None], achieved, data["goal"][now]))

        ahead = np.minimum(how.steps, left)
        lost = data["dropped"][(time + ahead - 1) % self.steps, world]
        reward = np.zeros(count)
        for step in range(1, how.steps + 1):
            there = data["quaternion"][(time + np.minimum(step, ahead)) % self.steps, world]
            left_to_turn = least_turn(self.symmetries, rotation_from_quaternion(there), target)
            near = left_to_turn.magnitude() < GOAL_THRESHOLD
            counts = near & (step < ahead + ~lost)  # neither in the step of a drop, nor beyond the last
            reward += (1 - how.discount) * how.discount ** (step - 1) * counts
        return Transitions(
            now=self._view(time, world, target, frames),
            action=data["action"][now],
            reward=reward.astype(np.float32),
            discount=(how.discount**ahead * ~lost).astype(np.float32),
            then=self._view(time + ahead, world, target, frames),
        )

    def _view(self, time: NDArray[np.int64], world: NDArray[np.int64], target: Rotation, frames: int) -> Moments:
        data, at = self._data, (time % self.steps, world)
        # Frames before an episode equal its first; overwritten ones equal the oldest in the ring.
        first = np.maximum(data["begin"][at], self.time - self.steps)[:, None]
        before = np.maximum(time[:, None] - 1 - np.arange(frames), first)
        back = before % self.steps, world[:, None]
        ways = [
            least_turn(self.symmetries, rotation_from_quaternion(data[name][at]), target)
            for name in ("quaternion", "seen_quaternion")
        ]
        return Moments(
            state=data["state"][at],
            hidden=data["hidden"][at],
            goal=goal_vector(quaternion_from_rotation(ways[0])),
            seen=data["seen"][at],
            seen_goal=goal_vector(quaternion_from_rotation(ways[1])),
            past=data["seen"][back],
            turns=rotations_since(data["seen_quaternion"][back], data["seen_quaternion"][at]),
        )
