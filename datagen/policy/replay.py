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
from scipy.spatial.transform import Rotation

from datagen.policy.features import goal_vector
from datagen.policy.memory import rotations_since
from datagen.sim.outcome import GOAL_THRESHOLD
from vision.bounds import fraction
from vision.geometry.rotations import quaternion_from_rotation, rotation_from_quaternion
from vision.scene.symmetries import Symmetries, least_turn

_GOING_ON = np.iinfo(np.int64).max


@dataclass(frozen=True)
class Step:
    """What is recorded of one time step of W worlds.

    Attributes:
        state: the true state vectors, (W, S).
        hidden: what no observation tells, (W, H).
        seen: state vectors as the sensors report them, (W, S).
        quaternion: of the object, as it is, (W, 4).
        seen_quaternion: as it is reported, (W, 4).
        goal: orientation asked for, (W, 4).
        action: (W, A).
        acted: False where only the state that ended an episode is shown, (W,).
    """

    state: np.ndarray
    hidden: np.ndarray
    seen: np.ndarray
    quaternion: np.ndarray
    seen_quaternion: np.ndarray
    goal: np.ndarray
    action: np.ndarray
    acted: np.ndarray


def together(steps: list[Step]) -> Step:
    """The worlds of all `steps`, side by side."""
    columns = (vars(step) for step in steps)
    return Step(*(np.concatenate(parts) for parts in zip(*(each.values() for each in columns), strict=True)))


@dataclass(frozen=True)
class Widths:
    """Widths of the vectors that a scene's networks deal in."""

    state: int
    hidden: int
    actions: int


@dataclass(frozen=True)
class Hindsight:
    """How goals and returns are made from experience.

    Attributes:
        relabelled: fraction of samples whose goal is replaced by an orientation that the episode reached later.
        horizon: largest number of steps after which such an orientation was reached.
        steps: rewards summed before the critic's estimate takes over (n-step returns).
        discount: discount of the reward, per step.
    """

    relabelled: float = 0.8
    horizon: int = 100
    steps: int = 3
    discount: float = 0.98

    def __post_init__(self) -> None:
        fraction(self, "relabelled")
        if self.horizon < 1 or self.steps < 1:
            raise ValueError(f"horizon and steps: must be at least 1, got {self.horizon} and {self.steps}")
        if not 0 < self.discount < 1:
            raise ValueError(f"discount: must lie between 0 and 1, got {self.discount}")


@dataclass(frozen=True)
class Moments:
    """B moments with a goal in mind, float32: for critics as they are, for actors as they are seen."""

    state: NDArray[np.float32]
    hidden: NDArray[np.float32]
    goal: NDArray[np.float32]
    seen: NDArray[np.float32]
    seen_goal: NDArray[np.float32]
    past: NDArray[np.float32]
    """(B, K, S): what was seen in the frames before, the latest first."""
    turns: NDArray[np.float32]
    """(B, K, 3): rotation of the object since each, as seen."""


@dataclass(frozen=True)
class Transitions:
    """B transitions. The return counts the time at the goal and lies in [0, 1]: reward 1 - discount for every step that
    ends within the goal's threshold."""

    now: Moments
    action: NDArray[np.float32]
    reward: NDArray[np.float32]
    """(B,): discounted rewards up to the next view."""
    discount: NDArray[np.float32]
    """(B,): what the next view's value counts; zero after a drop."""
    then: Moments


class Replay:
    """The last `steps` time steps of `worlds`, in `folder`.

    Args:
        folder: where the files lie; those of the same size are used again.
        steps: capacity of each world.
        worlds: side by side.
        widths: of the vectors.
        symmetries: of the object.
        time: steps recorded before; the files then hold them.
    """

    def __init__(
        self, folder: Path, steps: int, worlds: int, widths: Widths, symmetries: Symmetries, time: int = 0
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.steps, self.worlds, self.symmetries, self.time = steps, worlds, symmetries, time
        columns: dict[str, tuple[tuple[int, ...], type]] = {
            "state": ((widths.state,), np.float32),
            "hidden": ((widths.hidden,), np.float32),
            "seen": ((widths.state,), np.float32),
            "quaternion": ((4,), np.float32),
            "seen_quaternion": ((4,), np.float32),
            "goal": ((4,), np.float32),
            "action": ((widths.actions,), np.float32),
            "acted": ((), np.bool_),
            "dropped": ((), np.bool_),
            "begin": ((), np.int64),
            "end": ((), np.int64),
        }
        self._data: dict[str, np.ndarray] = {}
        for name, (shape, dtype) in columns.items():
            full = (steps, worlds, *shape)
            path = folder / f"{name}.bin"
            there = path.exists() and path.stat().st_size == np.prod(full) * np.dtype(dtype).itemsize
            self._data[name] = np.memmap(path, dtype, "r+" if there and time else "w+", shape=full)
        self._start = np.full(worlds, time, dtype=np.int64)
        if time:
            self._forget_after(time)

    def __len__(self) -> int:
        return min(self.time, self.steps) * self.worlds

    def _forget_after(self, time: int) -> None:
        """Leave out of the files what was recorded at `time` or later, by a process that was killed then.

        No episode that was under way at `time` went further; rows of later times have overwritten the oldest.
        """
        begin, end, acted = (self._data[name] for name in ("begin", "end", "acted"))
        expected = time - 1 - (time - 1 - np.arange(self.steps)) % self.steps  # the time that each slot stands for
        later = (begin > expected[:, None]).any(axis=1)  # all worlds were recorded at once
        acted[later] = False
        acted[(time - 1) % self.steps] = False
        np.minimum(end, time - 1, out=end)
        if not later.all():  # none of the rows that are left may look back at one that was overwritten
            np.maximum(begin, expected[~later].min(), out=begin)

    def add(self, step: Step) -> None:
        """Record a time step of all worlds."""
        slot = self.time % self.steps
        # `begin` goes first: by it a row is known that a kill left half written.
        rows = {"begin": self._start, **vars(step), "dropped": False, "end": _GOING_ON}
        for name, value in rows.items():
            self._data[name][slot] = value
        self._data["end"][slot, ~step.acted] = self.time
        self._start[~step.acted] = self.time + 1
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

    def sample(self, rng: np.random.Generator, count: int, how: Hindsight, frames: int) -> Transitions:
        """`count` transitions, uniform over those in the buffer, with goals and returns as `how` says, and so many
        frames before each."""
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
            left_to_turn = least_turn(self.symmetries, rotation_from_quaternion(there), target)
            near = left_to_turn.magnitude() < GOAL_THRESHOLD
            counts = near & (step < ahead + ~lost)  # not in the step of a drop, nor beyond the last
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
        # Before an episode everything was as it was when it began; what the ring has overwritten, as in its oldest.
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
