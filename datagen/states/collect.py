"""Collect hand-and-object states in simulation; ``datagen.states.files`` describes the folder that results.

A part is a pure function of (configuration, part number), so a rerun after a kill gives the bytes of an uninterrupted
one. Its rows come in the order of time: one that the count cuts short needs no simulation beyond its last row.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from datagen.policy import TRAINED, create_policy, policy_label
from datagen.sim.complete import complete_scene
from datagen.sim.environment import Environment
from datagen.sim.interface import Policy
from datagen.sim.outcome import Outcome
from datagen.sim.randomization import EVERYTHING, NOTHING
from datagen.sim.trials import TRAINING, Trials
from datagen.states.files import (
    REJECTIONS,
    Columns,
    PartRecord,
    States,
    committed_part,
    load_states,
    read_manifest,
    states_fingerprint,
    write_manifest,
    write_part,
)
from datagen.variation import generator
from vision.config import to_jsonable
from vision.errors import DactylError
from vision.progress import Advance, progress
from vision.scene.load import check_scene, load_scene
from vision.storage.files import exclusive_folder, remove
from vision.storage.folders import MANIFEST, reserve_output
from vision.storage.schema import STATES

__all__ = ["States", "StatesConfig", "collect", "load_states", "simulate_part", "states_fingerprint"]


@dataclass(frozen=True)
class StatesConfig:
    """What to collect.

    Attributes:
        output: folder for the states; an unfinished one is resumed, a larger count extends it.
        count: number of states.
        seed: of every random draw; test sets need one of their own.
        scene: name or file of the scene: hand, object, cameras and surroundings (configs/scenes).
        policy: what moves the hand: a name, a file (.pt, .pt2) or an entry point (package.module:function); trained is
            the one that is shipped for the object, random exploration where none is.
        randomized: in the paper's randomized simulation (all of `randomization.EVERYTHING`), as its states were; the
            default is the calibrated one. Stored states are the true ones either way.
        locked_wrist: hold the two wrist joints (Table 3's locked wrist).
        episode_steps: longest episode, in steps of 80 ms; it ends earlier by the rules of the paper's training: at a
            drop, and after 8 s at one goal. Long ones make good the 100 steps that each takes to begin.
        stride: keep the state of every so many steps; a larger one makes neighbours less alike, and takes longer.
        worlds: episodes simulated at once, which make one part.
        threads: that simulate; 0 for all processors. Not part of the result.
    """

    output: Path
    count: int = 1_000_000
    seed: int = 0
    scene: str = "block"
    policy: str = TRAINED
    locked_wrist: bool = False
    randomized: bool = False
    episode_steps: int = 400
    stride: int = 1
    worlds: int = 128
    threads: int = 0

    def __post_init__(self) -> None:
        for name in ("count", "episode_steps", "stride", "worlds"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}: must be at least 1, got {getattr(self, name)}")
        for name in ("seed", "threads"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name}: must not be negative, got {getattr(self, name)}")
        check_scene(self.scene)
        try:
            policy_label(self.policy, load_scene(self.scene))
        except DactylError as error:
            raise ValueError(f"policy: {error}") from None

    def identity(self) -> dict[str, Any]:
        """The keys that decide the bytes of a part; not where it goes, how many there are or who computes it."""
        keys = {key: value for key, value in to_jsonable(self).items() if key not in ("output", "count", "threads")}
        scene = complete_scene(self.scene)
        return {**keys, "scene": scene.identity(), "policy": policy_label(self.policy, scene)}


def collect(config: StatesConfig) -> States:
    """Make, resume, extend or reuse the states that ``config`` describes, with a progress bar.

    Raises:
        DactylError: the output holds states of another configuration (the differing keys are named) or more states
            than asked for, another process writes to it, or the hand's model is missing.
    """
    with exclusive_folder(config.output):
        _claim(config)
        records: list[PartRecord] = []
        while (record := _reusable_part(config, records)) is not None:
            records.append(record)
        if _total(records) < config.count:
            remove(config.output / MANIFEST)
            _make_missing(config, records)
        write_manifest(config.output, complete_scene(config.scene), config.identity(), records)
    return load_states(config.output)


def simulate_part(
    config: StatesConfig, environment: Environment, policy: Policy, part: int, limit: int, advance: Advance
) -> tuple[Columns, dict[str, int], bool]:
    """Run the part's episodes in lockstep, each until it is over by the paper's rules of training (a drop, 8 s at one
    goal, which also ends what got stuck, or 50 goals), the object is out of the hand, or ``episode_steps`` have passed.

    Returns:
        At most ``limit`` states in the order of (step, episode); how many states were rejected, by reason; whether
        the part is complete, which it is not when ``limit`` stopped it.
    """
    episodes = part * config.worlds + np.arange(config.worlds)
    alive = np.arange(config.worlds)
    rejected = dict.fromkeys(REJECTIONS, 0)
    rejected["initial_lost"] = int(environment.reset(alive, episodes).sum())
    policy.reset(alive, [generator(config.seed, int(episode), "policy") for episode in episodes])
    trials = Trials(TRAINING, config.worlds)
    rows: list[Columns] = []
    workspace = environment.scene.scene.workspace
    room = limit
    for step in range(config.episode_steps):
        observation = environment.observe()
        lost = np.linalg.norm(observation["object_position"][alive] - workspace.start, axis=1) > workspace.lost_distance
        rejected["dropped"] += int(lost.sum())
        alive = alive[~lost]
        if step % config.stride == 0:
            kept = alive[:room]
            state = {key: np.asarray(value)[kept] for key, value in observation.items() if key in STATES}
            rows.append({"episode": episodes[kept], "step": np.full(len(kept), step), **state})
            advance(len(kept))
            room -= len(kept)
        if room == 0 or not len(alive):
            break
        outcome = environment.step(policy.act(environment.sense()), alive)
        for reason, count in _rejections(outcome).items():
            rejected[reason] += count
        over, _ = trials.update(outcome, alive)
        alive = alive[~over[alive]]
    return {key: np.concatenate([row[key] for row in rows]) for key in STATES}, rejected, room > 0


def _rejections(outcome: Outcome) -> dict[str, int]:
    """Ended episodes by reason, each counted once, the gravest reason first."""
    return {
        "non_finite": int(outcome.non_finite.sum()),
        "physics_warning": int((outcome.warned & ~outcome.non_finite).sum()),
        "dropped": int((outcome.dropped & ~outcome.non_finite & ~outcome.warned).sum()),
    }


def _claim(config: StatesConfig) -> None:
    """Note the configuration in a new folder; refuse one that was begun with another, or finished with more states."""
    folder = config.output
    reserve_output(folder, config.identity(), "part-*")
    if (folder / MANIFEST).exists() and (there := read_manifest(folder).states) > config.count:
        raise DactylError(f"{folder}: holds {there} states, more than count {config.count}; choose another output")


def _total(records: list[PartRecord]) -> int:
    return sum(record.states for record in records)


def _reusable_part(config: StatesConfig, before: list[PartRecord]) -> PartRecord | None:
    """The part that follows ``before``, where it is there, whole, and as long as the count asks for."""
    room = config.count - _total(before)
    record = committed_part(config.output, len(before)) if room else None
    if record is None or not (record.states == room or (record.complete and record.states < room)):
        return None
    return record


def _make_missing(config: StatesConfig, records: list[PartRecord]) -> None:
    """Append the parts that the count still needs, made, or found after a gap."""
    scene = complete_scene(config.scene)
    randomization = EVERYTHING if config.randomized else NOTHING
    environment = Environment(scene, config.seed, config.worlds, config.threads, randomization, config.locked_wrist)
    policy = create_policy(config.policy, environment.scene, config.worlds)
    made_by = {"scene": scene.fingerprint, "policy": policy.name, "seed": config.seed}
    with progress(f"collecting {config.output.name}", config.count, "states", _total(records)) as advance:
        while (room := config.count - _total(records)) > 0:
            record = _reusable_part(config, records)
            if record is None:
                part = simulate_part(config, environment, policy, len(records), room, advance)
                record = write_part(config.output, len(records), *part, made_by)
            else:
                advance(record.states)
            records.append(record)
