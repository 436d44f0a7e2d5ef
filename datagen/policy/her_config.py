"""What a training with hindsight experience replay is configured by."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from datagen.policy.her import Learning
from vision.config import to_jsonable
from vision.scene.objects import OBJECTS


@dataclass(frozen=True)
class HerConfig:
    """How to train.

    Attributes:
        output: folder; an unfinished training there goes on, a larger ``steps`` extends it.
        method: her; ``--method ppo`` has other keys, see `datagen.policy.ppo_config`.
        object: block or prism.
        locked_wrist: hold the two wrist joints.
        seed: of every random draw.
        steps: environment steps in all worlds together.
        worlds: simulated at once.
        clean_worlds: how many of them act without exploration, for the reported figures.
        threads: that simulate; 0 for all processors.
        torch_threads: that learn.
        updates: of the networks for each step of all worlds.
        replay_steps: capacity for each world; 800 bytes a step.
        warmup: environment steps of the most noise around the cupped hand, before anything is learnt.
        noise: standard deviation of the exploration in joint targets, in half control ranges, of the least and the
            most exploring world.
        first_turn: exploring worlds begin with goals within this angle, rad.
        widen_at: that angle grows by a tenth whenever so large a share of the last 500 goals was reached.
        start_states: states that episodes begin from, made by the paper's 100 random actions each.
        log_steps: environment steps between rows of the log.
        checkpoint_seconds: between checkpoints.
        learning: the networks and their learning.
    """

    output: Path
    method: Literal["her"] = "her"
    object: str = "block"
    locked_wrist: bool = False
    seed: int = 0
    steps: int = 20_000_000
    worlds: int = 64
    clean_worlds: int = 8
    threads: int = 0
    torch_threads: int = 1
    updates: int = 6
    replay_steps: int = 20_000
    warmup: int = 50_000
    noise: tuple[float, float] = (0.05, 0.6)
    first_turn: float = 1.0
    widen_at: float = 0.6
    start_states: int = 256
    log_steps: int = 50_000
    checkpoint_seconds: float = 300.0
    learning: Learning = field(default_factory=Learning)

    def __post_init__(self) -> None:
        if self.object not in OBJECTS:
            raise ValueError(f"object: expected one of {', '.join(OBJECTS)}, got {self.object}")
        for name in ("steps", "updates", "start_states", "log_steps", "clean_worlds", "torch_threads"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}: must be at least 1, got {getattr(self, name)}")
        if not self.clean_worlds < self.worlds:
            raise ValueError(f"clean_worlds: must be fewer than worlds, got {self.clean_worlds} of {self.worlds}")
        if self.replay_steps < 2 * self.learning.hindsight.horizon:
            raise ValueError(f"replay_steps: must be at least twice the horizon, got {self.replay_steps}")
        if not 0 <= self.noise[0] <= self.noise[1]:
            raise ValueError(f"noise: expected 0 <= least <= most, got {self.noise[0]} and {self.noise[1]}")

    def identity(self) -> dict[str, Any]:
        """The keys that a training must keep when it goes on."""
        free = ("output", "method", "steps", "threads", "torch_threads", "log_steps", "checkpoint_seconds")
        return {key: value for key, value in to_jsonable(self).items() if key not in free}
