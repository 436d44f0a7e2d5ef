"""End of a trial: enough goals, too long at one goal, or a drop (paper, sections 4.1 and 6.2)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from datagen.sim.interface import Worlds
from datagen.sim.outcome import Outcome
from vision.configuration.bounds import at_least_one
from vision.published import STEP_SECONDS, TRIAL_GOALS, TRIAL_SECONDS


@dataclass(frozen=True)
class TrialRules:
    """What ends a trial besides a drop.

    Attributes:
        goals: number of goals in a row that completes the trial.
        seconds: longest time at one goal, s.
    """

    goals: int = TRIAL_GOALS
    seconds: float = 8.0

    def __post_init__(self) -> None:
        at_least_one(self, "goals")
        if not STEP_SECONDS <= self.seconds < float("inf"):
            raise ValueError(f"seconds: must be at least {STEP_SECONDS}, got {self.seconds}")


TRAINING = TrialRules()
EVALUATION = TrialRules(seconds=TRIAL_SECONDS)

FIRST_TRIAL = 1 << 40
"""Number of the episode, and of the sample that says how it looks, of an evaluation's trial 0.

All random values are keyed by seed and number, and all commands have the same default seed. Collections of states,
trainings and rendered sets count from 0 and never come so far, so whatever their seed, no trial has a start, goals,
physics or an appearance that anything was trained on.
"""


class Trials:
    """Counter of goals and time in N worlds.

    Attributes:
        reached: goals reached in the present trial, int64 (N,).
        waited: steps of 80 ms since the last goal or the beginning, int64 (N,).
    """

    def __init__(self, rules: TrialRules, worlds: int) -> None:
        self.rules = rules
        self.reached = np.zeros(worlds, dtype=np.int64)
        self.waited = np.zeros(worlds, dtype=np.int64)

    def begin(self, worlds: Worlds) -> None:
        """Forget the old trials of ``worlds``."""
        self.reached[worlds] = self.waited[worlds] = 0

    def update(self, outcome: Outcome, worlds: Worlds) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Count a step of ``worlds``.

        Returns:
            Worlds whose trial is over, (N,), and those that ran out of time at a goal, (N,). Every other reason follows
            from the outcome and ``reached``.
        """
        self.reached += outcome.reached
        self.waited[worlds] += 1
        self.waited[outcome.reached] = 0
        # Round first: 8 s are 100 steps, but 8.0 / 0.08 may fall short of 100 in floating point.
        late = np.zeros(len(self.reached), dtype=bool)
        late[worlds] = self.waited[worlds] >= round(self.rules.seconds / STEP_SECONDS)
        complete = outcome.reached & (self.reached >= self.rules.goals)
        late &= ~outcome.ended
        return outcome.ended | late | complete, late
