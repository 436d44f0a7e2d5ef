"""What goes into a replay and comes out: steps as they are recorded, transitions as networks learn from them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vision.bounds import fraction


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
