"""What a training with PPO is configured by."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from datagen.policy.ppo import PpoLearning
from datagen.policy.recurrent import TABLE_2, input_width
from datagen.sim.environment import Environment
from datagen.sim.randomization import EVERYTHING, NOTHING
from datagen.sim.scene import SceneConfig
from vision.config import to_jsonable
from vision.scene.objects import OBJECTS


@dataclass(frozen=True)
class PpoConfig:
    """How to train.

    Attributes:
        output: folder; an unfinished training there goes on, a larger ``steps`` extends it.
        method: ppo.
        object: block or prism.
        locked_wrist: hold the two wrist joints.
        seed: of every random draw.
        steps: environment steps in all worlds together; training ends at the first checkpoint that is so far.
        workers: that play; 384 in the paper.
        executor: local (they play in this process, one after the other) or ray (each an actor of a Ray cluster).
        ray_address: of the cluster, host:port, or auto for the one that this machine belongs to; null starts Ray here.
        worlds: of each worker, simulated at once; 16 in the paper.
        threads: of each worker that simulate, 0 for all processors; Ray reserves so many cores, at least one.
        rollout_steps: of each world, between updates of the networks.
        randomized: in the paper's randomized simulation (all of `randomization.EVERYTHING`).
        largest_turn: goals lie within this angle of the object's orientation, rad; pi: anywhere, as in the paper.
        policy_inputs: what the policy network sees; the default is Table 2.
        start_states: states that episodes begin from, made by the paper's 100 random actions each.
        checkpoint_rollouts: rollouts between checkpoints.
        device: that learns, as torch calls it: cpu, cuda.
        torch_threads: of the learner and of each worker.
        learning: the networks and their learning.
    """

    output: Path
    method: Literal["ppo"] = "ppo"
    object: str = "block"
    locked_wrist: bool = False
    seed: int = 0
    steps: int = 1_000_000_000
    workers: int = 1
    executor: Literal["local", "ray"] = "local"
    ray_address: str | None = None
    worlds: int = 64
    threads: int = 0
    rollout_steps: int = 100
    randomized: bool = True
    largest_turn: float = float(np.pi)
    policy_inputs: tuple[str, ...] = TABLE_2
    start_states: int = 256
    checkpoint_rollouts: int = 20
    device: str = "cpu"
    torch_threads: int = 1
    learning: PpoLearning = field(default_factory=PpoLearning)

    def __post_init__(self) -> None:
        if self.ray_address is not None and self.executor != "ray":
            raise ValueError("ray_address: is of use only with executor ray")
        if self.object not in OBJECTS:
            raise ValueError(f"object: expected one of {', '.join(OBJECTS)}, got {self.object}")
        for name in ("steps", "workers", "worlds", "start_states", "checkpoint_rollouts", "torch_threads"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}: must be at least 1, got {getattr(self, name)}")
        for name in ("seed", "threads"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name}: must not be negative, got {getattr(self, name)}")
        if self.rollout_steps < 1 or self.rollout_steps % self.learning.chunk:
            raise ValueError(
                f"rollout_steps: must be a multiple of learning.chunk ({self.learning.chunk}), got {self.rollout_steps}"
            )
        if not 0 < self.largest_turn <= np.pi:
            raise ValueError(f"largest_turn: must lie in (0, pi], got {self.largest_turn}")
        input_width(self.policy_inputs)

    @property
    def steps_per_rollout(self) -> int:
        return self.workers * self.worlds * self.rollout_steps

    def identity(self) -> dict[str, Any]:
        """The keys that a training must keep when it goes on."""
        free = ("output", "steps", "executor", "ray_address", "threads", "torch_threads", "device")
        return {key: value for key, value in to_jsonable(self).items() if key not in free}

    def environment(self) -> Environment:
        scene = SceneConfig(self.object, locked_wrist=self.locked_wrist)
        return Environment(scene, self.seed, self.worlds, self.threads, EVERYTHING if self.randomized else NOTHING)
