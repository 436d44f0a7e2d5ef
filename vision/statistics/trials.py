"""Trials of a policy that turns an object: how one ends, and a table of many beside the paper's."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from vision.statistics.bootstrap import Interval, mean_interval

Ending = Literal["dropped", "late", "complete"]
"""End of a trial: the object fell (or the simulation broke), time at a goal ran out, or all goals were reached."""


@dataclass(frozen=True)
class ConsecutiveGoals:
    """Consecutive goals that a policy reached in some trials: a row of Table 3, or one of ours beside it.

    Attributes:
        label: object, and what the policy observed of it.
        place: ``plain`` or ``randomized`` for a simulation, or ``robot``.
        trials: number of trials.
        mean, std, median: of the goals; None where they are published and not repeated here.
        interval: 95 % interval of the mean, by bootstrap over trials, since counts up to a limit are far from Gaussian;
            None for published rows, for trials too few to say something about others, and for trials that are all
            equal, of which a bootstrap shows no scatter.
        endings: number of trials that ended in each way; None for published rows.
    """

    label: str
    place: str
    trials: int
    mean: float
    std: float | None = None
    median: float | None = None
    interval: Interval | None = None
    endings: Counter[Ending] | None = None

    @classmethod
    def of(cls, label: str, place: str, goals: Sequence[int], endings: Sequence[Ending], most: int) -> ConsecutiveGoals:
        """Summarise trials by the goals that each reached, of which ``most`` complete one, and by how it ended."""
        reached = np.asarray(goals, dtype=np.float64)
        interval = mean_interval(reached, np.arange(len(reached)), np.random.default_rng(0), least=0.0, most=most)
        statistics = float(reached.mean()), float(reached.std()), float(np.median(reached))
        return cls(label, place, len(reached), *statistics, interval, Counter(endings))

    def cells(self) -> list[str]:
        """Return a row's texts, one for each of :data:`GOAL_TITLES`."""
        mean = f"{self.mean:.1f}" if self.std is None else f"{self.mean:.1f} ± {self.std:.1f}"
        between = "–" if self.interval is None else f"{self.interval.low:.1f}–{self.interval.high:.1f}"
        median = "–" if self.median is None else f"{self.median:g}"
        endings = self.endings
        ended = ["–" if endings is None else str(endings[one]) for one in ("dropped", "late", "complete")]
        return [self.label, self.place, str(self.trials), mean, between, median, *ended]


GOAL_TITLES = ("trials of", "in", "n", "consecutive goals", "95 % CI", "median", "dropped", "out of time", "all goals")
"""Titles of the columns of a table of trials."""
