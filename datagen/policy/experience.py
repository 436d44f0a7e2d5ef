"""Input and output of a replay buffer: recorded steps, and the transitions that networks learn from."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vision.configuration.bounds import fraction


@dataclass(frozen=True)
class Step:
    """Record of one time step of W worlds.

    Attributes:
        state: true state vectors, (W, S).
        hidden: values that no observation contains, (W, H).
        seen: state vectors as the sensors report them, (W, S).
        quaternion: true orientation of the object, (W, 4).
        seen_quaternion: orientation as reported, (W, 4).
        goal: goal orientation, (W, 4).
        action: joint targets, (W, A).
        acted: False for the state that ended an episode, in which no action was taken, (W,).
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
    """Concatenate the worlds of all ``steps``."""
    columns = (vars(step) for step in steps)
    return Step(*(np.concatenate(parts) for parts in zip(*(each.values() for each in columns), strict=True)))


@dataclass(frozen=True)
class Widths:
    """Widths of the vectors of a scene's networks."""

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
    """B moments relative to a goal, float32: true values for critics, sensed values for actors."""

    state: NDArray[np.float32]
    hidden: NDArray[np.float32]
    goal: NDArray[np.float32]
    seen: NDArray[np.float32]
    seen_goal: NDArray[np.float32]
    past: NDArray[np.float32]
    """Sensed states in the frames before, the latest first, (B, K, S)."""
    turns: NDArray[np.float32]
    """Sensed rotation of the object since each frame, (B, K, 3)."""


@dataclass(frozen=True)
class Transitions:
    """B transitions. The return measures the time at the goal and lies in [0, 1]: the reward is 1 - discount for every
    step that ends within the goal's threshold."""

    now: Moments
    action: NDArray[np.float32]
    reward: NDArray[np.float32]
    """Discounted rewards up to ``then``, (B,)."""
    discount: NDArray[np.float32]
    """Weight of the value of ``then``, (B,); zero after a drop."""
    then: Moments
