"""``dactyl policy train`` with hindsight experience replay: many hands act while one learner learns.

Some worlds act without exploration and are given goals of every kind: their successes are the success that is
reported. The others explore, each with its own amount of noise, and begin with goals close by.

The output folder holds ``checkpoint.pt`` (everything to go on from), ``policy.pt`` (what acts), ``progress.csv`` and
``progress.png`` (the learning curve), and ``replay`` (experience). A training that SIGTERM or SIGINT stops saves all of
them first; one that is killed goes on from its last checkpoint.

Our own, because no library carries the method whole: stable-baselines3 has hindsight replay for SAC, TD3 and TQC, but
its actors and critics see the same observation, and its critics are regressed to returns where ours tell success from
failure.
"""

from __future__ import annotations

import time
from collections import deque
from pathlib import Path

import numpy as np
import torch

from datagen.policy.features import goal_vector, state_vector
from datagen.policy.her import Learner
from datagen.policy.her_config import HerConfig
from datagen.policy.journal import Journal, Tally, means
from datagen.policy.network import load_file, save_policy
from datagen.policy.replay import Replay
from datagen.policy.signals import signals_held
from datagen.policy.starts import start_states
from datagen.policy.targets import JointTargets
from datagen.sim.environment import Environment
from datagen.sim.hand import CUPPED_POSE
from datagen.sim.interface import ACTIONS
from datagen.sim.outcome import Outcome
from datagen.sim.scene import SceneConfig
from datagen.sim.trials import TRAINING, Trials
from datagen.variation import generator
from vision.config import differences
from vision.errors import DactylError
from vision.progress import progress
from vision.storage.files import atomic_write, exclusive_folder

CHECKPOINT, POLICY = "checkpoint.pt", "policy.pt"
_COLUMNS = ("exploring_success", "largest_turn", "critic_loss", "value", "chosen_logit", "action_square")
_MEMORY = 0.75  # of exploration noise from step to step: it pushes for a third of a second


class Training:
    """One training: `run` goes on until ``config.steps``."""

    def __init__(self, config: HerConfig) -> None:
        self.config = config
        self.environment = Environment(
            SceneConfig(config.object, locked_wrist=config.locked_wrist), config.seed, config.worlds, config.threads
        )
        self.targets = JointTargets(self.environment.scene)
        self.grasp = self.targets.holding(
            np.array([[CUPPED_POSE.get(name, 0.0) for name in self.environment.scene.joint_names]])
        )
        self.learner = Learner(config.learning, config.seed)
        self.trials = Trials(TRAINING, config.worlds)
        self.clean = np.arange(config.worlds) < config.clean_worlds
        self.spread = np.zeros((config.worlds, 1))
        self.spread[~self.clean, 0] = np.linspace(*config.noise, config.worlds - config.clean_worlds)
        self.noise = np.zeros((config.worlds, ACTIONS))
        self.last_action = np.zeros((config.worlds, ACTIONS))
        self.steps, self.seconds, self.turn = 0, 0.0, config.first_turn
        self.episodes = config.start_states  # numbers used up
        self.recent: deque[bool] = deque(maxlen=500)
        self.journal = Journal(config.output, _COLUMNS)
        self.tally, self.exploring, self.learned = Tally(), Tally(), list[dict[str, float]]()
        checkpoint = config.output / CHECKPOINT
        self.replay = Replay(
            config.output / "replay",
            config.replay_steps,
            config.worlds,
            self._resume(checkpoint) if checkpoint.exists() else 0,
        )
        # Of its own for every stretch between a start and a stop: draws never repeat, and need not be saved.
        self.rng = generator(config.seed, self.steps, "training")
        self.starts = start_states(config.output, self.environment, config.start_states)
        self._begin(np.arange(config.worlds))

    def run(self) -> None:
        """Train, logging and saving on the way."""
        saved = time.monotonic()
        over = np.zeros(self.config.worlds, dtype=bool)
        with progress(f"training {self.config.output.name}", self.config.steps, "steps", self.steps) as advance:
            try:
                while self.steps < self.config.steps:
                    with signals_held():  # they find everything between two steps
                        over = self._advance(over)
                    advance(self.config.worlds)
                    if time.monotonic() - saved > self.config.checkpoint_seconds:
                        self.save()
                        saved = time.monotonic()
            except BaseException as stop:
                if not isinstance(stop, Exception):  # a signal, not a fault
                    self.save()
                raise
        self.save()

    def _advance(self, over: np.ndarray) -> np.ndarray:
        """A step of all worlds, what is learnt after it, and the log; takes and returns whose trial is over."""
        began = time.monotonic()
        over = self._step(over)
        if self.steps >= self.config.warmup:
            count = self.config.updates * self.config.learning.batch
            sample = self.replay.sample(self.rng, count, self.config.learning.hindsight)
            self.learned.append(self.learner.update(sample))
        before, self.steps = self.steps, self.steps + self.config.worlds
        self.seconds += time.monotonic() - began
        if before // self.config.log_steps < self.steps // self.config.log_steps:
            figures = {"exploring_success": self.exploring.success, "largest_turn": self.turn, **means(self.learned)}
            self.journal.write(self.steps, self.seconds, self.tally, figures)
            self.tally, self.exploring, self.learned = Tally(), Tally(), []
        return over

    def _step(self, over: np.ndarray) -> np.ndarray:
        """One step of all worlds; those whose trial was `over` begin another. Returns whose is over now."""
        observation = self.environment.observe()
        state = np.nan_to_num(state_vector(self.environment.scene, observation, self.last_action))
        vectors = torch.from_numpy(state), torch.from_numpy(goal_vector(observation["relative_goal"]))
        if self.steps < 4 * self.config.warmup:  # then inputs keep their meaning while critics and actor use it
            self.learner.normaliser.update(vectors[0])
        if self.steps < self.config.warmup:
            action, spread = self.grasp, np.full_like(self.spread, self.config.noise[1])
        else:
            action, spread = self.learner.act(*vectors).numpy().astype(np.float64), self.spread
        fresh = self.rng.normal(size=self.noise.shape)
        self.noise = _MEMORY * self.noise + np.sqrt(1 - _MEMORY**2) * fresh
        action = np.clip(action + spread * self.noise, -1, 1)
        acting = np.flatnonzero(~over)
        self.replay.add(state, observation["object_quaternion"], observation["goal_quaternion"], action, ~over)
        outcome = self.environment.step(self.targets.relative(action, observation["joint_position"]), acting)
        self.last_action = action
        self._begin(np.flatnonzero(over))
        ended, late = self.trials.update(outcome, acting)
        self._count(outcome, late, ended)
        self.replay.finish(np.flatnonzero(ended), outcome.dropped, outcome.non_finite | outcome.warned)
        return ended

    def _begin(self, worlds: np.ndarray) -> None:
        """Put `worlds` into start states drawn at random."""
        self.trials.begin(worlds)
        self.environment.largest_turn[:] = np.where(self.clean, np.pi, self.turn)
        chosen = self.starts[self.rng.integers(len(self.starts), size=len(worlds))]
        self.environment.restore(worlds, chosen, self.episodes + np.arange(len(worlds)))
        self.episodes += len(worlds)
        joints = self.environment.batch.qpos[:, self.environment.scene.hand_qpos]
        self.last_action[worlds] = self.targets.holding(joints)[worlds]

    def _count(self, outcome: Outcome, late: np.ndarray, ended: np.ndarray) -> None:
        failed = late | outcome.ended
        self.tally.count(outcome, self.trials.reached, late, ended, self.clean)
        self.exploring.count(outcome, self.trials.reached, late, ended, ~self.clean)
        self.recent.extend([True] * int(outcome.reached[~self.clean].sum()))
        self.recent.extend([False] * int(failed[~self.clean].sum()))
        if len(self.recent) == self.recent.maxlen and np.mean(self.recent) >= self.config.widen_at:
            self.turn = min(np.pi, 1.1 * self.turn)
            self.recent.clear()

    def save(self) -> None:
        """Write the checkpoint and the policy."""
        content = {
            "config": self.config.identity(),
            "steps": self.steps,
            "seconds": self.seconds,
            "turn": self.turn,
            "episodes": self.episodes,
            "replay_time": self.replay.time,
            "learner": self.learner.state_dict(),
        }
        atomic_write(self.config.output / CHECKPOINT, lambda file: torch.save(content, file))
        about = {
            "name": f"her-{self.config.object}",
            "object": self.config.object,
            "steps": self.steps,
            "seconds": round(self.seconds),
            "config": self.config.identity(),
        }
        save_policy(self.config.output / POLICY, self.learner.actor, self.learner.normaliser, about)
        self.journal.draw()

    def _resume(self, path: Path) -> int:
        content = load_file(path, "checkpoint")
        changed = differences(content["config"], self.config.identity())
        if changed:
            raise DactylError(f"{path}: trained with another configuration ({changed[0]}); choose another output")
        self.learner.load_state_dict(content["learner"])
        self.steps, self.seconds, self.turn = content["steps"], content["seconds"], content["turn"]
        self.episodes = content.get("episodes", self.steps)  # no more episodes than steps
        self.journal.cut(self.steps)
        return int(content["replay_time"])


def train(config: HerConfig) -> None:
    """Train, or go on training, as ``config`` says.

    Raises:
        DactylError: the output holds another training, is in use, or is damaged.
    """
    torch.set_num_threads(config.torch_threads)
    with exclusive_folder(config.output):
        Training(config).run()
