"""Parts of a collection of states, each the episodes of one batch of worlds, simulated by any process."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from datagen.policy import create_policy
from datagen.sim.environment import Environment
from datagen.sim.interface import Policy
from datagen.sim.outcome import Outcome
from datagen.sim.randomization import EVERYTHING, NOTHING
from datagen.sim.trials import TRAINING, Trials
from datagen.states.files import REJECTIONS, Columns
from datagen.variation import generator
from vision.machine.progress import Advance
from vision.scene.scene import Scene
from vision.storage.schema import STATES

if TYPE_CHECKING:
    from datagen.states.collect import StatesConfig


def simulate_part(
    config: StatesConfig, environment: Environment, policy: Policy, part: int, limit: int, advance: Advance
) -> StatesPart:
    """Run the part's episodes in lockstep, each until it ends by the paper's rules of training (a drop, 8 s at one
    goal, which also ends stuck episodes, or 50 goals), the object is out of the hand, or ``episode_steps`` have passed.

    Stops at the step at which ``limit`` states are kept; ``advance`` is called with the number kept in each step, which
    is 0 where an episode begins and between strides: who waits for it sees that the process works.
    """
    episodes = part * config.worlds + np.arange(config.worlds)
    alive = np.arange(config.worlds)
    rejected = dict.fromkeys(REJECTIONS, 0)
    rejected["initial_lost"] = int(environment.reset(alive, episodes, advance).sum())
    policy.reset(alive, [generator(config.seed, int(episode), "policy") for episode in episodes])
    trials = Trials(TRAINING, config.worlds)
    made = StatesPart([], [], rejected, policy.name)
    workspace = environment.scene.scene.workspace
    room = limit
    for step in range(config.episode_steps):
        observation = environment.observe()
        lost = np.linalg.norm(observation["object_position"][alive] - workspace.start, axis=1) > workspace.lost_distance
        rejected["dropped"] += int(lost.sum())
        alive = alive[~lost]
        advance(0)
        if step % config.stride == 0:
            kept = alive[:room]
            state = {key: np.asarray(value)[kept] for key, value in observation.items() if key in STATES}
            made.rows.append({"episode": episodes[kept], "step": np.full(len(kept), step), **state})
            made.rejected_before.append(dict(rejected))
            advance(len(kept))
            room -= len(kept)
        if room == 0 or not len(alive):
            break
        outcome = environment.step(policy.act(environment.sense()), alive)
        for reason, count in _rejections(outcome).items():
            rejected[reason] += count
        # Without a hand there are no goals to pursue: an object at rest is as useful as one that falls.
        over = trials.update(outcome, alive)[0] if environment.scene.actions else outcome.ended
        alive = alive[~over[alive]]
    return made


@dataclass(frozen=True)
class StatesPart:
    """Kept states of one batch of episodes, step by step.

    Attributes:
        rows: states of each step at which states are kept, in order.
        rejected_before: number of states rejected before each of ``rows``, by reason.
        rejected: number of states rejected in all, by reason.
        policy: name of the policy that moved the hand.
    """

    rows: list[Columns]
    rejected_before: list[dict[str, int]]
    rejected: dict[str, int]
    policy: str

    def cut(self, limit: int) -> tuple[Columns, dict[str, int], bool]:
        """Cut the part to at most ``limit`` states.

        Returns:
            At most ``limit`` states in the order of (step, episode); the number rejected up to the last of them, by
            reason; whether that is the whole part.
        """
        ends = np.cumsum([len(row["episode"]) for row in self.rows])
        columns = {key: np.concatenate([row[key] for row in self.rows])[:limit] for key in STATES}
        if ends[-1] < limit:
            return columns, self.rejected, True
        return columns, self.rejected_before[int(np.searchsorted(ends, limit))], False


class PartTask:
    """Task for worker processes that simulates any part of a configuration.

    Args:
        config: configuration of the states.
        scene: its scene, complete, since somebody may edit the scene's file before a worker starts.
        policy: label of its policy (:func:`datagen.policy.policy_label`); another one in its place is refused.
        threads: threads that step the worlds.
    """

    def __init__(self, config: StatesConfig, scene: Scene, policy: str, threads: int) -> None:
        self._config, self._scene, self._policy, self._threads = config, scene, policy, threads
        self._simulation: tuple[Environment, Policy] | None = None

    def __call__(self, part: int, advance: Advance) -> StatesPart:
        return self.simulate(part, self._config.count, advance)

    def simulate(self, part: int, limit: int, advance: Advance) -> StatesPart:
        """Simulate the part up to the step at which ``limit`` states are kept."""
        return simulate_part(self._config, *self._worlds_and_policy(), part, limit, advance)

    def _worlds_and_policy(self) -> tuple[Environment, Policy]:
        """Return the worlds and the policy, created at the first call, in the process that uses them."""
        if self._simulation is None:
            config = self._config
            randomization = EVERYTHING if config.randomized else NOTHING
            environment = Environment(
                self._scene, config.seed, config.worlds, self._threads, randomization, config.locked_wrist
            )
            policy = create_policy(config.policy, environment.scene, config.worlds, self._policy)
            self._simulation = environment, policy
        return self._simulation


def _rejections(outcome: Outcome) -> dict[str, int]:
    """Count ended episodes by reason, each once, under its most serious reason."""
    return {
        "non_finite": int(outcome.non_finite.sum()),
        "physics_warning": int((outcome.warned & ~outcome.non_finite).sum()),
        "dropped": int((outcome.dropped & ~outcome.non_finite & ~outcome.warned).sum()),
    }
