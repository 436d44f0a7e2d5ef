"""``dactyl policy train --method ppo``: workers play, one learner learns from all that they played.

A worker steps its own batch of hands, in this process or anywhere in a Ray cluster; it gets the networks, plays a whole
rollout and sends it back. The learner uses one device.

The output folder holds ``checkpoint.pt``, ``policy.pt`` (what acts), ``progress.csv`` and ``progress.png``. After every
checkpoint all worlds begin new episodes: a training that went on from it gives, to the bit, what one that was never
stopped gives. What was played since the last checkpoint is lost when a training is stopped.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator

import torch

from datagen.policy.game import HandGame
from datagen.policy.journal import Journal, Tally
from datagen.policy.network import load_file
from datagen.policy.ppo import PpoLearner
from datagen.policy.ppo_config import PpoConfig
from datagen.policy.recurrent import INPUTS, input_width, save_recurrent
from datagen.policy.rollout import ActorCritic, Experience, Rollout, together
from datagen.policy.starts import start_states
from datagen.sim.interface import FloatArray
from datagen.variation import generator
from datagen.workers.ray_cluster import connected
from vision.config import differences
from vision.errors import DactylError
from vision.progress import progress
from vision.storage.files import atomic_write, exclusive_folder

CHECKPOINT, POLICY = "checkpoint.pt", "policy.pt"
_COLUMNS = ("reward", "explained", "policy_loss", "value_loss", "entropy", "divergence", "clipped")


class Worker:
    """One of the players: a batch of hands, and copies of the networks."""

    def __init__(self, config: PpoConfig, number: int, starts: FloatArray, episode: int) -> None:
        torch.set_num_threads(config.torch_threads)
        self.config, self.number = config, number
        environment = config.environment()
        environment.largest_turn[:] = config.largest_turn
        self.game = HandGame(environment, config.policy_inputs, starts, (episode, config.workers))
        learning = config.learning
        widths = input_width(config.policy_inputs), input_width(tuple(INPUTS))
        self.players = ActorCritic(*widths, learning.dense, learning.lstm)
        self.rollout = Rollout(self.game, self.players, learning.chunk)

    def play(self, weights: dict[str, torch.Tensor], rollout: int) -> tuple[Experience, Tally, int]:
        """The numbered rollout, what happened in it, and the number of the next episode."""
        self.players.load_state_dict(weights)
        rng = generator(self.config.seed, rollout, f"rollout/{self.number}")
        if rollout % self.config.checkpoint_rollouts == 0:
            self.rollout.begin(rng)
        experience = self.rollout.collect(self.config.rollout_steps, rng)
        tally, self.game.tally = self.game.tally, Tally()
        return experience, tally, self.game.episode


Play = Callable[[dict[str, torch.Tensor], int], list[tuple[Experience, Tally, int]]]
"""From the players' weights and a rollout's number to what each worker brings back."""


@contextlib.contextmanager
def crew(config: PpoConfig, starts: FloatArray, episodes: list[int]) -> Iterator[Play]:
    """The workers, here or in a Ray cluster; `episodes` are the numbers of their next episodes."""
    if config.executor == "local":
        workers = [Worker(config, number, starts, episode) for number, episode in enumerate(episodes)]
        yield lambda weights, rollout: [worker.play(weights, rollout) for worker in workers]
        return
    cores = max(1, config.threads)
    with connected(config.ray_address, cores * config.workers) as ray:
        remote = ray.remote(num_cpus=cores)(Worker)
        shared = ray.put(starts)
        actors = [remote.remote(config, number, shared, episode) for number, episode in enumerate(episodes)]

        def play(weights: dict[str, torch.Tensor], rollout: int) -> list[tuple[Experience, Tally, int]]:
            sent = ray.put(weights)
            try:
                return ray.get([actor.play.remote(sent, rollout) for actor in actors])
            except ray.exceptions.RayError as error:
                text = " ".join(str(error).split())[:300]
                raise DactylError(f"a worker was lost ({text}); the same command goes on from {CHECKPOINT}") from None

        yield play


def train_ppo(config: PpoConfig) -> None:
    """Train, or go on training, as ``config`` says.

    Raises:
        DactylError: the output holds another training, is in use, or is damaged; a worker was lost.
    """
    torch.set_num_threads(config.torch_threads)
    with exclusive_folder(config.output):
        _train(config)


def _train(config: PpoConfig) -> None:
    try:
        learner = PpoLearner(
            config.learning, input_width(config.policy_inputs), input_width(tuple(INPUTS)), config.seed, config.device
        )
    except (RuntimeError, AssertionError) as error:
        raise DactylError(f"device {config.device}: {' '.join(str(error).split())[:200]}; choose another") from None
    journal = Journal(config.output, _COLUMNS)
    starts = start_states(config.output, config.environment(), config.start_states)
    rollout, seconds = 0, 0.0
    episodes = [config.start_states + number for number in range(config.workers)]  # those before made the starts
    if (config.output / CHECKPOINT).exists():
        rollout, seconds, episodes = _resume(config, learner, journal)
    size = config.steps_per_rollout
    with (
        crew(config, starts, episodes) as play,
        progress(f"training {config.output.name}", config.steps, "steps", rollout * size) as advance,
    ):
        while rollout * size < config.steps or rollout % config.checkpoint_rollouts:
            began = time.monotonic()
            weights = {name: tensor.cpu() for name, tensor in learner.players.state_dict().items()}
            brought = play(weights, rollout)
            experience = together([one for one, _, _ in brought])
            figures = learner.update(experience, generator(config.seed, rollout, "updates"))
            rollout += 1
            seconds += time.monotonic() - began
            tally = Tally()
            for _, other, _ in brought:
                tally.add(other)
            journal.write(rollout * size, seconds, tally, figures)
            advance(size)
            if rollout % config.checkpoint_rollouts == 0:
                _save(config, learner, rollout, seconds, [episode for _, _, episode in brought])
                journal.draw()


def _save(config: PpoConfig, learner: PpoLearner, rollout: int, seconds: float, episodes: list[int]) -> None:
    steps = rollout * config.steps_per_rollout
    about = {
        "name": f"ppo-{config.object}",
        "object": config.object,
        "steps": steps,
        "seconds": round(seconds),
        "config": config.identity(),
    }
    save_recurrent(config.output / POLICY, learner.players.policy, config.policy_inputs, about)
    content = {
        "config": config.identity(),
        "rollout": rollout,
        "seconds": seconds,
        "episodes": episodes,
        "players": learner.players.state_dict(),
        "optimizer": learner.optimizer.state_dict(),
    }
    atomic_write(config.output / CHECKPOINT, lambda file: torch.save(content, file))


def _resume(config: PpoConfig, learner: PpoLearner, journal: Journal) -> tuple[int, float, list[int]]:
    path = config.output / CHECKPOINT
    content = load_file(path, "checkpoint")
    changed = differences(content["config"], config.identity())
    if changed:
        raise DactylError(f"{path}: trained with another configuration ({changed[0]}); choose another output")
    learner.players.load_state_dict(content["players"])
    learner.optimizer.load_state_dict(content["optimizer"])
    journal.cut(content["rollout"] * config.steps_per_rollout)
    return content["rollout"], content["seconds"], content["episodes"]
