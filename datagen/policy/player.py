"""Player of a training with hindsight replay: a batch of hands, in this process or in a separate one.

Some worlds act without exploration and get goals of every kind; their success is the one reported. The others explore,
each with its own amount of noise, and begin with close goals.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field

import numpy as np
import torch

from datagen.policy.experience import Step
from datagen.policy.features import goal_vector, state_vector
from datagen.policy.her_config import HerConfig
from datagen.policy.journal import Tally
from datagen.policy.layout import layout_of
from datagen.policy.memory import History
from datagen.policy.network import Normaliser
from datagen.policy.starts import start_states
from datagen.policy.targets import JointTargets
from datagen.sim.trials import TRAINING, Trials
from datagen.variation import generator
from vision.machine.hardware import one_thread
from vision.scene.scene import Scene

_MEMORY = 0.75  # correlation of exploration noise from step to step: it pushes for a third of a second


@dataclass(frozen=True)
class Orders:
    """Instructions of a player for its next chunk.

    Attributes:
        actor: weights of the actor. They are arrays, because torch would pass tensors on as open files, which a player
            that is ended meanwhile never fetches.
        normaliser: statistics of the normaliser of its inputs.
        grasping: whether to act by the largest noise around the cupped hand instead.
        turn: angle within which goals of exploring worlds lie, rad.
        width: width of the randomizations, in [0, 1].
    """

    actor: dict[str, np.ndarray]
    normaliser: dict[str, np.ndarray]
    grasping: bool
    turn: float
    width: float


@dataclass
class Played:
    """Result of a player.

    Attributes:
        steps: recorded steps.
        endings: after each step, which worlds' episodes ended, dropped and broke, booleans (W,) each.
        clean, exploring: tallies of the worlds that act without exploration, and of the others.
        width: of the randomizations, in the episodes whose goals ``clean`` counts.
        episode: number of the next episode.
        seconds: processor time that it took, s.
    """

    steps: list[Step] = field(default_factory=list)
    endings: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = field(default_factory=list)
    clean: Tally = field(default_factory=Tally)
    exploring: Tally = field(default_factory=Tally)
    width: float = 0.0
    episode: int = 0
    seconds: float = 0.0


class Player:
    """Batch of hands.

    Args:
        config: configuration of the training.
        scene: its scene, complete.
        number: number of this player among ``config.players``.
        episode: number of its next episode.
        steps: steps of the training so far, by which its draws differ from earlier ones.
    """

    def __init__(self, config: HerConfig, scene: Scene, number: int, episode: int, steps: int) -> None:
        self.config, self.episode = config, episode
        self._stride = max(1, config.players)
        self.environment = config.environment(scene)
        self.starts = start_states(config.output, self.environment, config.start_states)
        compiled, worlds = self.environment.scene, config.worlds
        self.targets = JointTargets(compiled, config.learning.servo)
        self.grasp = self.targets.holding(scene.initial_joints[None])
        layout = layout_of(compiled)
        self.actor = config.learning.actor(layout, self.environment.hidden().shape[1])
        self.normaliser = Normaliser(layout.state)
        self.history = History(config.learning.memory.frames, worlds, layout.state)
        self.trials = Trials(TRAINING, worlds)
        self.clean = np.arange(worlds) < config.clean_worlds
        self.spread = np.zeros((worlds, 1))
        self.spread[~self.clean, 0] = np.linspace(*config.noise, worlds - config.clean_worlds)
        self.noise = np.zeros((worlds, layout.actuators))
        self.last_action = np.zeros((worlds, layout.actuators))
        self.last_joints = np.zeros((worlds, layout.joints))
        self.over = np.zeros(worlds, dtype=bool)
        # A new generator after every resume: draws never repeat, and its state need not be saved.
        self.rng = generator(config.seed, steps, f"training/{number}")
        self._begun, self._width, self._begun_at = False, -1.0, np.full(worlds, -1.0)

    def play(self, orders: Orders, steps: int) -> Played:
        """Play ``steps`` steps in all worlds."""
        began = time.process_time()
        for part, weights in ((self.actor, orders.actor), (self.normaliser, orders.normaliser)):
            part.load_state_dict({name: torch.from_numpy(array) for name, array in weights.items()})
        if orders.width != self._width:
            self._width = orders.width
            self.environment.configure(self.config.randomization.scaled(orders.width))
        self.orders = orders
        if not self._begun:
            self._begin(np.arange(self.config.worlds))
            self._begun = True
        played = Played(width=self._width)
        for _ in range(steps):
            self._step(played)
        played.episode, played.seconds = self.episode, time.process_time() - began
        return played

    def _step(self, played: Played) -> None:
        """Play one step in all worlds; worlds whose trial was over begin another."""
        environment, over = self.environment, self.over
        true, sensed = environment.observe(), environment.sense()
        state, seen = (state_vector(environment.scene, each, self.last_action) for each in (true, sensed))
        state, seen = np.nan_to_num(state), np.nan_to_num(seen)
        past, turns = self.history.recall(seen, sensed["object_quaternion"])
        hidden = environment.hidden().astype(np.float32)
        if self.orders.grasping:
            action, spread = self.grasp, np.where(self.clean[:, None], 0.0, self.config.noise[1])
        else:
            privileged = self.actor.privileged > 0
            shown, goal = (state, true["relative_goal"]) if privileged else (seen, sensed["relative_goal"])
            with torch.inference_mode(), one_thread():  # a learner in this process uses its own threads
                vectors = (torch.from_numpy(vector) for vector in (shown, goal_vector(goal), past, turns, hidden))
                present, goals, before, *rest = vectors
                target = self.actor(self.normaliser(present), goals, self.normaliser(before), *rest)
            action, spread = target.double().numpy(), self.spread
        self.noise = _MEMORY * self.noise + np.sqrt(1 - _MEMORY**2) * self.rng.normal(size=self.noise.shape)
        action = np.clip(action + spread * self.noise, -1, 1)
        played.steps.append(
            Step(
                state=state,
                hidden=hidden,
                seen=seen,
                quaternion=true["object_quaternion"],
                seen_quaternion=sensed["object_quaternion"],
                goal=true["goal_quaternion"],
                action=action,
                acted=~over,
            )
        )
        acting = np.flatnonzero(~over)
        joints = sensed["joint_position"]
        outcome = environment.step(self.targets.relative(action, joints, self.last_joints), acting)
        self.last_action, self.last_joints = action, joints
        self._begin(np.flatnonzero(over))
        ended, late = self.trials.update(outcome, acting)
        # After a widening, trials under way keep the physics that they began with.
        at_edge = self.clean & (self._begun_at == self._width)
        for tally, whose in ((played.clean, at_edge), (played.exploring, ~self.clean)):
            tally.count(outcome, self.trials.reached, late, ended, whose)
        played.endings.append((ended, outcome.dropped, outcome.non_finite | outcome.warned))
        self.over = ended

    def _begin(self, worlds: np.ndarray) -> None:
        """Put ``worlds`` into start states drawn at random."""
        self.trials.begin(worlds)
        self._begun_at[worlds] = self._width
        self.history.forget(worlds)
        self.environment.limit_turns(np.where(self.clean, np.pi, self.orders.turn))
        chosen = self.starts[self.rng.integers(len(self.starts), size=len(worlds))]
        self.environment.restore(worlds, chosen, self.episode + self._stride * np.arange(len(worlds)))
        self.episode += self._stride * len(worlds)
        joints = self.environment.batch.qpos[:, self.environment.scene.hand_qpos]
        self.last_action[worlds], self.last_joints[worlds] = self.targets.holding(joints)[worlds], joints[worlds]
