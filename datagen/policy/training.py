"""``dactyl policy train`` with hindsight experience replay: many hands act while one learner learns.

Players and learner work in chunks of steps: while a chunk is played with the weights of the one before, the learner
learns from all chunks so far. The result does not depend on which of them is faster.

The output folder holds ``config.json`` (the configuration, written first), ``starts.npy`` (initial states of episodes),
``checkpoint.pt`` (networks and progress) and ``replay`` (experience), which a resumed training needs, ``policy.pt``
(the actor), ``progress.csv`` and ``progress.png`` (the learning curve). A training stopped by SIGTERM or SIGINT saves
all of them first; a killed one resumes from its last checkpoint.

We implement this ourselves because no library has the whole method: stable-baselines3 has hindsight replay for SAC, TD3
and TQC, but its actors and critics see the same observation, and its critics are regressed to returns, whereas ours
classify success and failure.
"""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import torch

from datagen.policy import shipped
from datagen.policy.curriculum import Curriculum, Mastery
from datagen.policy.experience import Widths, together
from datagen.policy.her import Learner
from datagen.policy.her_config import HerConfig
from datagen.policy.journal import Journal, Tally
from datagen.policy.layout import layout_of
from datagen.policy.learner import compiles, means
from datagen.policy.network import Actor, Normaliser, fitting, load_file, load_policy_for, save_policy
from datagen.policy.player import Orders, Played
from datagen.policy.player_processes import started_players
from datagen.policy.replay import Replay
from datagen.policy.signals import signals_held
from datagen.policy.starts import STARTS, start_states
from datagen.policy.student import Student
from datagen.sim.complete import complete_scene
from datagen.variation import generator
from vision.errors import DactylError
from vision.io.files import atomic_write, exclusive_folder
from vision.machine.console import Console
from vision.machine.hardware import torch_device
from vision.machine.progress import progress
from vision.scene.scene import Scene
from vision.storage.folders import reserve_output

CHECKPOINT, POLICY = "checkpoint.pt", "policy.pt"
_COLUMNS = (
    "exploring_success", "largest_turn", "width", "core_seconds", "critic_loss", "value", "chosen_logit",
    "action_square", "distance",
)  # fmt: skip


class Training:
    """Training in the configured scene, complete, that ``run`` continues until ``config.steps``."""

    def __init__(self, config: HerConfig, scene: Scene) -> None:
        self.config, self.scene = config, scene
        environment = config.environment(scene)
        self.layout, self.target = layout_of(environment.scene), environment.scene.object
        widths = Widths(self.layout.state, environment.hidden().shape[1], self.layout.actuators)
        self.learner = self._learner(widths.hidden)
        self.steps, self.seconds, self.core_seconds, self.turn = 0, 0.0, 0.0, config.first_turn
        self.width = Curriculum(config.widening, 1.0 if config.randomized else 0.0)
        players = max(1, config.players)
        self.episodes = [config.start_states + number for number in range(players)]  # earlier ones made the starts
        self.mastery = Mastery(500, config.widen_at)
        self.journal = Journal(config.output, _COLUMNS)
        self.tally, self.exploring, self.learned = Tally(), Tally(), list[dict[str, float]]()
        checkpoint = config.output / CHECKPOINT
        recorded = self._resume(checkpoint) if checkpoint.exists() else 0
        if not recorded and config.init:
            self._take_on(config.init)
        self.journal.cut(self.steps)
        folder, worlds = config.output / "replay", players * config.worlds
        self.replay = Replay(folder, config.replay_steps, worlds, widths, self.target.symmetries, recorded)
        self.rng = generator(config.seed, self.steps, "training")
        start_states(config.output, environment, config.start_states)  # the players read them

    def run(self) -> None:
        """Train, with logs and checkpoints."""
        config, saved = self.config, time.monotonic()
        with (
            started_players(config, self.scene, self.episodes, self.steps) as self.players,
            progress(f"training {config.output.name}", config.steps, "steps", self.steps) as advance,
        ):
            self.players.start(self._orders(), config.chunk)
            try:
                while self.steps < config.steps:
                    with signals_held():  # a signal then finds a consistent state between two chunks
                        self._advance()
                    advance(config.steps_per_chunk)
                    if time.monotonic() - saved > config.checkpoint_s:
                        self.save()
                        saved = time.monotonic()
            except BaseException as stop:
                if not isinstance(stop, Exception):  # a signal, not a fault
                    self.save()
                raise
        self.save()

    def _advance(self) -> None:
        """Record a chunk, start the next one, and learn meanwhile."""
        config, began, worked = self.config, time.monotonic(), time.process_time()
        played = self.players.finish()
        self._take_in(played)
        before, self.steps = self.steps, self.steps + config.steps_per_chunk
        self.players.start(self._orders(), config.chunk)
        learnt_for = self.steps - config.warmup
        if learnt_for > 0 and self.replay.usable():
            acting = learnt_for > config.critics_first
            count = (config.updates if acting else config.first_updates) * config.learning.batch
            left = 1 - (learnt_for - config.critics_first) / max(1, config.anchor_steps)
            anchor = config.anchor * max(0.0, left)
            for _ in range(config.chunk * max(1, config.players)):
                sample = self.replay.sample(self.rng, count, config.learning.hindsight, config.learning.memory.frames)
                self.learned.append(self.learner.update(sample, self.rng, acting, anchor))
        self.seconds += time.monotonic() - began
        self.core_seconds += time.process_time() - worked
        if config.players:
            self.core_seconds += sum(one.seconds for one in played)
        if before // config.log_steps < self.steps // config.log_steps or self.steps >= config.steps:
            self._log()

    def _log(self) -> None:
        """Write what happened since the last row."""
        figures = {
            "exploring_success": self.exploring.success,
            "largest_turn": self.turn,
            "width": self.width.value,
            "core_seconds": self.core_seconds,
            **means(self.learned),
        }
        self.journal.write(self.steps, self.seconds, self.tally, figures)
        self.tally, self.exploring, self.learned = Tally(), Tally(), []

    def _take_in(self, played: list[Played]) -> None:
        """Record the played steps, and update tallies and curricula."""
        config = self.config
        self.episodes = [one.episode for one in played]
        for one in played:
            self.tally.add(one.clean)
            self.exploring.add(one.exploring)
            if self.mastery.count(one.exploring.reached, one.exploring.goals):
                self.turn = min(np.pi, 1.1 * self.turn)
            if one.width == self.width.value:  # players learn of a new width a chunk or two later
                self.width.count(one.clean.reached, one.clean.goals)
        for index in range(config.chunk):
            step = together([one.steps[index] for one in played])
            if not (config.init or config.teacher) and self.steps < 4 * config.warmup:
                # Fixed afterwards, so that the meaning of inputs does not change while critics and actor use them.
                self.learner.normaliser.update(torch.from_numpy(step.state).to(self.learner.device))
            self.replay.add(step)
            ended, dropped, broken = (
                np.concatenate(parts) for parts in zip(*(one.endings[index] for one in played), strict=True)
            )
            self.replay.finish(np.flatnonzero(ended), dropped, broken)

    def _orders(self) -> Orders:
        actor, normaliser = (
            {name: tensor.detach().cpu().numpy().copy() for name, tensor in part.state_dict().items()}
            for part in (self.learner.actor, self.learner.normaliser)
        )
        grasping = not (self.config.init or self.config.teacher) and self.steps < self.config.warmup
        return Orders(actor, normaliser, grasping, self.turn, self.width.value)

    def _learner(self, hidden: int) -> Learner | Student:
        config = self.config
        if not config.teacher:
            device = torch_device(config.device)
            compiled = config.compile and compiles(device)
            return Learner(config.learning, self.layout, hidden, config.seed, device, compiled)
        actor, normaliser = self._weights(config.teacher, self.target.name)
        if actor.privileged not in (0, hidden) or actor.memory.frames > config.learning.memory.frames:
            raise DactylError(f"{config.teacher}: is told or remembers what this training does not record")
        if actor.servo != config.learning.servo:
            raise DactylError(f"{config.teacher}: made for {actor.servo}; give learning.servo the same")
        return Student(config.learning, actor, normaliser, hidden, config.seed, torch_device(config.device))

    def _weights(self, source: str, target: str | None) -> tuple[Actor, Normaliser]:
        actor, normaliser, _ = load_policy_for(shipped().get(source, Path(source)), self.layout, target)
        return actor, normaliser

    def _take_on(self, source: str) -> None:
        actor, normaliser = self._weights(source, None)  # what turns one object is a beginning for another
        try:
            self.learner.take_on(actor, normaliser)
        except ValueError as error:
            raise DactylError(f"{source}: cannot be continued ({error}); change learning") from None

    def save(self) -> None:
        """Write the checkpoint and the policy, after the experience that the checkpoint counts on."""
        self.replay.flush()
        content = {
            "config": self.config.identity(),
            "steps": self.steps,
            "seconds": self.seconds,
            "core_seconds": self.core_seconds,
            "turn": self.turn,
            "width": self.width.value,
            "episodes": self.episodes,
            "replay_time": self.replay.time,
            "learner": self.learner.state_dict(),
        }
        atomic_write(self.config.output / CHECKPOINT, lambda file: torch.save(content, file))
        about = {
            "name": f"her-{self.target.name}",
            "object": self.target.name,
            "steps": self.steps,
            "seconds": round(self.seconds),
            "core_seconds": round(self.core_seconds),
            "config": self.config.identity(),
        }
        save_policy(self.config.output / POLICY, self.learner.saved_actor, self.learner.normaliser, about)
        self.journal.draw()

    def _resume(self, path: Path) -> int:
        content = load_file(path, "checkpoint")
        with fitting(path):
            self.learner.load_state_dict(content["learner"])
            self.steps, self.seconds, self.turn = content["steps"], content["seconds"], content["turn"]
            self.core_seconds, self.width.value = content["core_seconds"], content["width"]
            self.episodes = content["episodes"]
            return int(content["replay_time"])


def train(config: HerConfig) -> int:
    """Train, or resume a training, as ``config`` states; return the number of steps, a whole number of chunks.

    One that already has so many steps is left as it is, and a line says so.

    Raises:
        DactylError: the output holds another training, is in use, or is damaged; a player was lost.
    """
    if config.torch_threads is not None:
        torch.set_num_threads(config.torch_threads)
    with exclusive_folder(config.output):
        scene = complete_scene(config.scene)  # once: someone may edit its file meanwhile
        reserve_output(config.output, config.identity() | {"scene": scene.identity()}, STARTS)
        training = Training(config, scene)
        if training.steps >= config.steps:
            more = f"it already has the {config.steps:,} steps asked for; larger steps extend it"
            Console(stderr=True).print(f"{config.output}: {more}")
            training.save()  # a kill may have come after the last checkpoint and before the policy
        else:
            training.run()
    return training.steps
