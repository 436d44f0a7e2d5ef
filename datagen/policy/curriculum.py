"""Difficulty of a training: goals move away and randomizations widen once the present ones are mastered."""

from __future__ import annotations

from dataclasses import dataclass

from vision.configuration.bounds import fraction


@dataclass(frozen=True)
class Widening:
    """How a number grows from `first` to its final value.

    Attributes:
        first: initial value.
        step: size of each increase.
        fraction: fraction of the goals that must be reached, at the present edge, for an increase.
        goals: number of goals after which that is decided, and the count begins anew.
    """

    first: float = 0.0
    step: float = 0.05
    fraction: float = 0.8
    goals: int = 200

    def __post_init__(self) -> None:
        fraction(self, "first")
        if not (self.step > 0 and 0 < self.fraction <= 1 and self.goals >= 1):
            raise ValueError(f"step, fraction, goals: {self.step}, {self.fraction}, {self.goals} are out of range")


class Mastery:
    """Count of goals that decides, whenever there are ``goals`` of them, whether ``fraction`` of these were reached.

    Results come in chunks of steps, whose order of goals is not known, so chunks count as a whole.
    """

    def __init__(self, goals: int, fraction: float) -> None:
        self._goals, self._fraction = goals, fraction
        self._reached, self._total = 0, 0

    def count(self, reached: int, total: int) -> bool:
        """Count a chunk of ``total`` goals, and return whether it completes a count of which enough were reached."""
        self._reached, self._total = self._reached + reached, self._total + total
        if self._total < self._goals:
            return False
        mastered = self._reached >= self._fraction * self._total
        self._reached, self._total = 0, 0
        return mastered


class Curriculum:
    """Number that grows from ``config.first`` to ``last``."""

    def __init__(self, config: Widening, last: float = 1.0) -> None:
        self.config, self.last = config, last
        self.value = min(config.first, last)
        self._mastery = Mastery(config.goals, config.fraction)

    def count(self, reached: int, total: int) -> bool:
        """Count goals tried at the present value, and those of them that were reached; return whether it increased."""
        if self.value >= self.last or not self._mastery.count(reached, total):
            return False
        self.value = min(self.last, self.value + self.config.step)
        return True
