"""Configuration of a training with hindsight experience replay."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from datagen.policy.curriculum import Widening
from datagen.policy.her import Learning
from datagen.sim.environment import Environment
from datagen.sim.randomization import EVERYTHING, GROUPS, NOTHING, Group, Randomization
from vision.configuration.bounds import (
    all_cores_or_some,
    at_least_one,
    changed_keys,
    fraction,
    known_device,
    not_negative,
    positive,
)
from vision.io.json_values import identity_of
from vision.machine.hardware import count_or_cores
from vision.scene.load import check_scene
from vision.scene.scene import Scene

_OF_CRITICS = {"critics_first", "first_updates", "anchor", "anchor_steps"}
_LEARNT_BY_CRITICS = {
    "critic", "actor_every", "actor_critics", "averaging", "policy_averaging", "smoothing", "action_cost",
}  # fmt: skip
"""Keys of a training and of its ``learning`` that a student, which has no critics, would ignore."""


@dataclass(frozen=True)
class HerConfig:
    """How to train.

    Attributes:
        output: folder; an unfinished training there is resumed, a larger ``steps`` extends it.
        scene: name or file of the scene (configs/scenes).
        locked_wrist: hold the hand's wrist joints still (`wrist` in its file).
        init: weights to start from, a policy.pt of a training or the name of a shipped one, for this hand and this or
            another object that is described alike (docs/policy.md); null starts from random weights.
        teacher: weights of an actor whose actions are learnt on the states that the trained one reaches
            (`datagen.policy.student`); null learns from goals, by hindsight. A student has no critics, so keys that
            concern them keep their defaults.
        randomized: train in the paper's randomized simulation.
        groups: groups of effects that are randomized: physics, observation, unmodelled.
        widening: growth of the randomizations' width, as goals are reached by the worlds that act without exploration.
        seed: seed of every random draw.
        steps: environment steps in all worlds together.
        players: number of processes that simulate while the learner learns; 0 simulates in the learner's process, in
            turns with it. The result depends on it, so it is not null.
        worlds: worlds of each player, simulated in parallel.
        clean_worlds: number of worlds that act without exploration, for the reported figures.
        threads: number of simulation threads of each player; null takes all cores, shared out among the players.
        torch_threads: number of CPU threads of torch in the learner; null takes all cores, or OMP_NUM_THREADS.
        device: device on which the learner runs: cpu, cuda or cuda:N; auto is a GPU if there is one.
        compile: compile the networks (torch.compile), which takes a minute or two at the start and then learns faster;
            where torch cannot (without a C++ compiler or Python's headers), a line says so, and learning goes on as
            without. Not for students of a `teacher`.
        chunk: steps that are played and learnt from at a time; the acting policy is up to two chunks old.
        updates: updates of the networks for each step of all worlds of a player.
        replay_steps: capacity for each world; some 2 kB per step.
        warmup: environment steps with the most noise around the cupped hand, before anything is learnt; with `init`, of
            the given policy.
        critics_first: environment steps after that in which only critics learn, while the actor stays as it is: with
            critics that know nothing yet it would forget its skill in minutes.
        first_updates: updates of the critics for each step of all worlds of a player, during `critics_first`.
        anchor: initial weight of the mean square by which the actor's actions differ from those of the given one.
        anchor_steps: environment steps after `critics_first` over which that weight fades to zero.
        noise: standard deviation of the exploration in joint targets, in half control ranges, for the least and the
            most exploring world; at most 2, the whole range.
        first_turn: exploring worlds begin with goals within this angle, rad.
        widen_at: fraction of some 500 goals that must be reached for that angle to grow by a tenth.
        start_states: number of states that episodes start from, each made by the paper's 100 random actions, with the
            randomizations at full width from the first.
        log_steps: environment steps between rows of the log.
        checkpoint_s: time between checkpoints, seconds.
        learning: the networks and how they learn.
    """

    output: Path
    scene: str = "block"
    locked_wrist: bool = False
    init: str | None = None
    teacher: str | None = None
    randomized: bool = False
    groups: tuple[Group, ...] = tuple(GROUPS)
    widening: Widening = field(default_factory=Widening)
    seed: int = 0
    steps: int = 20_000_000
    players: int = 1
    worlds: int = 64
    clean_worlds: int = 8
    threads: int | None = 1
    torch_threads: int | None = 1
    device: str = "cpu"
    compile: bool = False
    chunk: int = 16
    updates: int = 6
    replay_steps: int = 20_000
    warmup: int = 50_000
    critics_first: int = 0
    first_updates: int = 6
    anchor: float = 0.0
    anchor_steps: int = 0
    noise: tuple[float, float] = (0.05, 0.6)
    first_turn: float = 1.0
    widen_at: float = 0.6
    start_states: int = 256
    log_steps: int = 50_000
    checkpoint_s: float = 300.0
    learning: Learning = field(default_factory=Learning)

    def __post_init__(self) -> None:
        check_scene(self.scene)
        if len(set(self.groups)) < len(self.groups):
            raise ValueError(f"groups: expected each at most once, got {', '.join(self.groups)}")
        at_least_one(self, "steps", "worlds", "chunk", "updates", "start_states", "log_steps", "clean_worlds")
        not_negative(
            self,
            "players",
            "warmup",
            "critics_first",
            "first_updates",
            "anchor",
            "anchor_steps",
            "seed",
            "checkpoint_s",
        )
        positive(self, "first_turn")
        fraction(self, "widen_at")
        all_cores_or_some(self, "threads", "torch_threads")
        known_device(self, "device")
        if not self.clean_worlds < self.worlds:
            raise ValueError(f"clean_worlds: must be fewer than worlds, got {self.clean_worlds} of {self.worlds}")
        if not self.warmup and not (self.init or self.teacher):  # in which the inputs' normalisation is learnt
            raise ValueError("warmup: must be at least 1 without init, got 0")
        if self.anchor and not self.init:
            raise ValueError("anchor: holds the actor near that of init, which is not given")
        if self.anchor and not self.anchor_steps:
            raise ValueError("anchor: has faded at once without anchor_steps; give the steps over which it fades")
        if self.replay_steps < 2 * self.learning.hindsight.horizon:
            raise ValueError(f"replay_steps: must be at least twice the horizon, got {self.replay_steps}")
        if not 0 <= self.noise[0] <= self.noise[1] <= 2:
            raise ValueError(f"noise: expected 0 <= least <= most <= 2, got {self.noise[0]} and {self.noise[1]}")
        if self.randomized and not self.groups:
            raise ValueError("groups: expected at least one where randomized is true, got none")
        changed = set(changed_keys(self, ()))
        if not self.randomized and (ignored := sorted(changed & {"groups", "widening"})):
            raise ValueError(f"{', '.join(ignored)}: of the randomized simulation; give randomized true, too")
        if self.teacher:
            self._refuse_what_no_student_uses(changed)

    def _refuse_what_no_student_uses(self, changed: set[str]) -> None:
        if self.learning.privileged:
            raise ValueError("learning.privileged: makes a teacher; a student, with teacher, must do without")
        inner = {f"learning.{key}" for key in _LEARNT_BY_CRITICS & set(changed_keys(self.learning, ()))}
        if ignored := sorted(changed & _OF_CRITICS | inner):
            raise ValueError(
                f"{', '.join(ignored)}: for critics, which a student, with teacher, has none of; leave out"
            )

    @property
    def randomization(self) -> Randomization:
        """Randomization at full width."""
        effects = [effect for group in self.groups for effect in GROUPS[group]]
        return EVERYTHING.only(*effects) if self.randomized else NOTHING

    @property
    def steps_per_chunk(self) -> int:
        """Environment steps per chunk in all worlds of all players."""
        return max(1, self.players) * self.worlds * self.chunk

    def environment(self, scene: Scene) -> Environment:
        """Create the worlds of one player in the configured scene, complete."""
        threads = count_or_cores(self.threads, max(1, self.players))
        return Environment(scene, self.seed, self.worlds, threads, self.randomization, self.locked_wrist)

    def identity(self) -> dict[str, Any]:
        """Return the keys that a resumed training must keep."""
        free = (
            "output", "steps", "threads", "torch_threads", "device", "compile", "log_steps", "checkpoint_s",
        )  # fmt: skip
        return identity_of(self, free, {"learning.policy_averaging": 1.0})
