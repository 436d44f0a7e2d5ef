"""Difficulty of a training: goals move away and randomizations widen once the present ones are mastered."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from vision.configuration.bounds import fraction


@dataclass(frozen=True)
class Widening:
    """How a number grows from `first` to its final value.

    Attributes:
        first: initial value.
        step: size of each increase.
        fraction: fraction of the last `goals` goals that must be reached, at the present edge, for an increase.
        goals: number of goals counted; the count restarts after each increase.
    """

    first: float = 0.0
    step: float = 0.05
    fraction: float = 0.8
    goals: int = 200

    def __post_init__(self) -> None:
        fraction(self, "first")
        if not (self.step > 0 and 0 < self.fraction <= 1 and self.goals >= 1):
            raise ValueError(f"step, fraction, goals: {self.step}, {self.fraction}, {self.goals} are out of range")


class Curriculum:
    """Number that grows from ``config.first`` to ``last``."""

    def __init__(self, config: Widening, last: float = 1.0) -> None:
        self.config, self.last = config, last
        self.value = min(config.first, last)
        self._recent: deque[bool] = deque(maxlen=config.goals)

    def count(self, reached: int, missed: int) -> bool:
        """Count goals reached and missed at the present value, and return whether it increased."""
        self._recent.extend([True] * reached + [False] * missed)
        if self.value >= self.last or len(self._recent) < self.config.goals:
            return False
        if sum(self._recent) < self.config.fraction * self.config.goals:
            return False
        self.value = min(self.last, self.value + self.config.step)
        self._recent.clear()
        return True
