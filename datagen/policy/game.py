"""The hand as a game for recurrent policies: the paper's observations, reward and trials in N worlds."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from datagen.policy.journal import Tally
from datagen.policy.recurrent import INPUTS, input_vector
from datagen.policy.rollout import StepResult
from datagen.sim.environment import Environment
from datagen.sim.interface import FloatArray
from datagen.sim.trials import TRAINING, Trials


class HandGame:
    """Training trials (50 goals, 8 s for each, until a drop) that begin in given states.

    Args:
        environment: N worlds.
        policy_inputs: names of what the policy network sees, as the sensors report it; the value network sees all of
            `INPUTS` as it is.
        starts: rows of ``batch.state``, (S, W).
        episodes: number of the next episode, and how many the players of other games use up in between.
    """

    def __init__(
        self, environment: Environment, policy_inputs: tuple[str, ...], starts: FloatArray, episodes: tuple[int, int]
    ) -> None:
        self.environment, self.worlds = environment, environment.worlds
        self.tally = Tally()
        self.episode, self._stride = episodes
        self._inputs, self._starts = policy_inputs, starts
        self._trials = Trials(TRAINING, self.worlds)
        self._everyone = np.ones(self.worlds, dtype=bool)

    def observe(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        sensed, true = self.environment.sense(), self.environment.observe()
        return input_vector(sensed, self._inputs), input_vector(true, tuple(INPUTS))

    def step(self, bins: NDArray[np.int64], acting: NDArray[np.bool_]) -> StepResult:
        worlds = np.flatnonzero(acting)
        outcome = self.environment.step(bins, worlds)
        over, late = self._trials.update(outcome, worlds)
        self.tally.count(outcome, self._trials.reached, late, over, self._everyone)
        return StepResult(outcome.reward, over, outcome.ended)

    def begin(self, worlds: NDArray[np.int64], rng: np.random.Generator) -> None:
        if not len(worlds):
            return
        self._trials.begin(worlds)
        chosen = self._starts[rng.integers(len(self._starts), size=len(worlds))]
        self.environment.restore(worlds, chosen, self.episode + self._stride * np.arange(len(worlds)))
        self.episode += self._stride * len(worlds)
