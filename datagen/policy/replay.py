"""Experience on disk, sampled with hindsight.

A ring of time steps by worlds in memory-mapped files: it is as large as the disk allows, costs little memory, and is
still there after a kill. Slot t of a world holds the state, the goal and the action taken in it; an episode's last
slot holds the state that ended it, and no action.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from datagen.policy.features import STATE_WIDTH, goal_vector
from datagen.sim.interface import ACTIONS, FloatArray
from datagen.sim.outcome import GOAL_THRESHOLD
from vision.geometry.rotations import quaternion_from_rotation, rotation_from_quaternion

_COLUMNS: dict[str, tuple[tuple[int, ...], type]] = {
    "state": ((STATE_WIDTH,), np.float32),
    "quaternion": ((4,), np.float32),
    "goal": ((4,), np.float32),
    "action": ((ACTIONS,), np.float32),
    "acted": ((), np.bool_),
    "dropped": ((), np.bool_),
    "end": ((), np.int64),
}
_GOING_ON = np.iinfo(np.int64).max


@dataclass(frozen=True)
class Hindsight:
    """How goals and returns are made from experience.

    Attributes:
        relabelled: share of samples whose goal becomes an orientation that the episode reached later.
        horizon: at most so many steps later.
        steps: rewards summed before the critic's estimate takes over (n-step returns).
        discount: of the reward, per step.
    """

    relabelled: float = 0.8
    horizon: int = 100
    steps: int = 3
    discount: float = 0.98

    def __post_init__(self) -> None:
        if not 0 <= self.relabelled <= 1:
            raise ValueError(f"relabelled: must lie in [0, 1], got {self.relabelled}")
        if self.horizon < 1 or self.steps < 1:
            raise ValueError(f"horizon and steps: must be at least 1, got {self.horizon} and {self.steps}")
        if not 0 < self.discount < 1:
            raise ValueError(f"discount: must lie between 0 and 1, got {self.discount}")


@dataclass(frozen=True)
class Sample:
    """B transitions, float32. The return counts the time at the goal and lies in [0, 1]: reward 1 - discount for every
    step that ends within the goal's threshold."""

    state: NDArray[np.float32]
    goal: NDArray[np.float32]
    action: NDArray[np.float32]
    reward: NDArray[np.float32]
    """(B,): discounted rewards up to the next state."""
    discount: NDArray[np.float32]
    """(B,): what the next state's value counts; zero after a drop."""
    next_state: NDArray[np.float32]
    next_goal: NDArray[np.float32]


class Replay:
    """The last `steps` time steps of `worlds`, in `folder`.

    Args:
        folder: where the files lie; those of the same size are used again.
        steps: capacity of each world.
        worlds: side by side.
        time: steps recorded before; the files then hold them.
    """

    def __init__(self, folder: Path, steps: int, worlds: int, time: int = 0) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.steps, self.worlds, self.time = steps, worlds, time
        self._data: dict[str, np.ndarray] = {}
        for name, (shape, dtype) in _COLUMNS.items():
            full = (steps, worlds, *shape)
            path = folder / f"{name}.bin"
            there = path.exists() and path.stat().st_size == np.prod(full) * np.dtype(dtype).itemsize
            self._data[name] = np.memmap(path, dtype, "r+" if there and time else "w+", shape=full)
        self._start = np.full(worlds, time, dtype=np.int64)
        if time:  # what was going on when the process ended never went on
            end = self._data["end"]
            end[end == _GOING_ON] = time - 1
            self._data["acted"][(time - 1) % steps] = False

    def __len__(self) -> int:
        return min(self.time, self.steps) * self.worlds

    def add(
        self, state: np.ndarray, quaternion: FloatArray, goal: FloatArray, action: FloatArray, acted: NDArray[np.bool_]
    ) -> None:
        """Record a time step of all worlds; those without `acted` only show the state that ended their episode."""
        slot = self.time % self.steps
        for name, value in zip(_COLUMNS, (state, quaternion, goal, action, acted, False, _GOING_ON), strict=True):
            self._data[name][slot] = value
        self._data["end"][slot, ~acted] = self.time
        self._start[~acted] = self.time + 1
        self.time += 1

    def finish(self, worlds: NDArray[np.int64], dropped: NDArray[np.bool_], broken: NDArray[np.bool_]) -> None:
        """The actions just recorded ended the episodes of `worlds`; (N,) booleans say which dropped or broke.

        The state that follows a drop or the end of time is recorded next; that of a broken world never was one.
        """
        for world in worlds:
            last = self.time - 1 if broken[world] else self.time
            times = np.arange(max(self._start[world], self.time - self.steps), self.time)
            self._data["end"][times % self.steps, world] = last
            self._data["dropped"][(self.time - 1) % self.steps, world] = dropped[world]

    def sample(self, rng: np.random.Generator, count: int, how: Hindsight) -> Sample:
        """`count` transitions, uniform over those in the buffer, with goals and returns as `how` says."""
        data, newest = self._data, self.time - 1
        oldest = max(0, self.time - self.steps)
        time = np.empty(0, dtype=np.int64)
        world = np.empty(0, dtype=np.int64)
        while len(time) < count:
            t = rng.integers(oldest, newest, count)
            w = rng.integers(self.worlds, size=count)
            slot = t % self.steps
            good = data["acted"][slot, w] & (np.minimum(data["end"][slot, w], newest) > t)
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
            near = (target * rotation_from_quaternion(there).inv()).magnitude() < GOAL_THRESHOLD
            counts = near & (step < ahead + ~lost)  # not in the step of a drop, nor beyond the last
            reward += (1 - how.discount) * how.discount ** (step - 1) * counts
        then = ((time + ahead) % self.steps, world)
        goals = [
            goal_vector(quaternion_from_rotation(target * rotation_from_quaternion(data["quaternion"][at]).inv()))
            for at in (now, then)
        ]
        return Sample(
            state=data["state"][now],
            goal=goals[0],
            action=data["action"][now],
            reward=reward.astype(np.float32),
            discount=(how.discount**ahead * ~lost).astype(np.float32),
            next_state=data["state"][then],
            next_goal=goals[1],
        )
