"""Collection of hand and object states in simulation; ``datagen.states.files`` describes the resulting folder.

A part is a pure function of (configuration, part number), so processes make parts in parallel, and a rerun after a kill
gives the bytes of an uninterrupted run. Its rows are in the order of time, so a part that the count cuts short needs no
simulation beyond its last row.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from datagen.policy import TRAINED, policy_label
from datagen.sim.complete import complete_scene
from datagen.sim.environment import INITIAL_STEPS
from datagen.sim.scene import SIMULATION
from datagen.states.files import (
    PartRecord,
    States,
    committed_part,
    load_states,
    read_manifest,
    write_manifest,
    write_part,
)
from datagen.states.parts import PartTask, StatesPart
from datagen.workers.pool import TaskFailedError
from datagen.workers.stream import OrderedStream
from vision.configuration.bounds import all_cores_or_some, at_least_one, not_negative
from vision.errors import DactylError
from vision.io.files import exclusive_folder, remove
from vision.io.json_values import identity_of
from vision.machine.hardware import count_or_cores, usable_cores
from vision.machine.progress import progress
from vision.scene.load import check_scene, load_scene
from vision.scene.scene import Scene
from vision.storage.folders import MANIFEST, reserve_output

_MOST_EMPTY = 5  # consecutive parts without a kept state
_MOST_PARTS = 100_000  # that one command makes in parallel
_STEPS_WORTH_A_PROCESS = 30_000  # of 80 ms: about ten seconds of a core, while starting a process takes five


@dataclass(frozen=True)
class StatesConfig:
    """What to collect.

    Attributes:
        output: folder for the states; an unfinished one is resumed, a larger count extends it.
        count: number of states.
        seed: seed of every random draw; test sets need their own.
        scene: name or file of the scene: hand, object, cameras and surroundings (configs/scenes).
        policy: what moves the hand: a name (ours, or one that another package offers), a file (.pt, .pt2) or a function
            (package.module:function); trained is the one shipped for the object, or random exploration if there is
            none.
        randomized: use the paper's randomized simulation (all of `randomization.EVERYTHING`), as its states did; the
            default is the plain one. Stored states are the true ones either way.
        locked_wrist: hold the hand's wrist joints still (`wrist` in its file; Table 3's locked wrist).
        episode_steps: longest episode, in steps of 80 ms; it ends earlier by the rules of the paper's training: at a
            drop, and after 8 s at one goal. Long episodes make up for the 100 steps that each takes to begin.
        stride: keep one state of every so many steps; a larger stride makes neighbours less alike, and takes longer.
        worlds: episodes simulated in parallel, which make one part.
        workers: number of processes that simulate parts in parallel; null takes all cores, for as many parts as there
            are to make.
        threads: number of simulation threads of each process; null takes all cores, shared out among those. Neither
            workers nor threads change the result.
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
    workers: int | None = None
    threads: int | None = None

    def __post_init__(self) -> None:
        at_least_one(self, "count", "episode_steps", "stride", "worlds")
        not_negative(self, "seed")
        all_cores_or_some(self, "workers", "threads")
        check_scene(self.scene)
        try:
            policy_label(self.policy, load_scene(self.scene))
        except DactylError as error:
            raise ValueError(f"policy: {error}") from None

    def identity(self, scene: Scene) -> dict[str, Any]:
        """Return the keys that determine a part's bytes in this scene, without output, count and processes."""
        keys = identity_of(self, ("output", "count", "workers", "threads"))
        if SIMULATION > 1:  # older folders do not state it
            keys["simulation"] = SIMULATION
        return keys | {"scene": scene.identity(), "policy": policy_label(self.policy, scene)}


def collect(config: StatesConfig) -> States:
    """Make, resume, extend or reuse the states that ``config`` describes, with a progress bar.

    Raises:
        DactylError: the output holds states of another configuration (the differing keys are named) or more states
            than configured, another process writes to it, the object is lost whenever an episode begins, or the hand's
            model is missing.
    """
    scene = complete_scene(config.scene)  # once: someone may edit its file meanwhile
    identity = config.identity(scene)
    with exclusive_folder(config.output):
        _claim(config, identity)
        records: list[PartRecord] = []
        while (record := _reusable_part(config, records)) is not None:
            records.append(record)
        if _total(records) < config.count:
            remove(config.output / MANIFEST)
            _make_missing(config, scene, identity["policy"], records)
        write_manifest(config.output, scene, identity, records)
    return load_states(config.output)


def _claim(config: StatesConfig, identity: dict[str, Any]) -> None:
    """Record the configuration in a new folder; refuse a folder with another one, or finished with more states."""
    folder = config.output
    reserve_output(folder, identity, "part-*")
    if (folder / MANIFEST).exists() and (there := read_manifest(folder).states) > config.count:
        raise DactylError(f"{folder}: holds {there} states, more than count {config.count}; choose another output")


def _total(records: list[PartRecord]) -> int:
    return sum(record.states for record in records)


def _reusable_part(config: StatesConfig, before: list[PartRecord]) -> PartRecord | None:
    """Return the part that follows ``before`` if it exists, is intact and has the length that the count requires."""
    room = config.count - _total(before)
    record = committed_part(config.output, len(before)) if room else None
    if record is None or not (record.states == room or (record.complete and record.states < room)):
        return None
    return record


def _make_missing(config: StatesConfig, scene: Scene, policy: str, records: list[PartRecord]) -> None:
    """Append the parts that the count still needs, simulated or found after a gap."""
    most = config.worlds * -(-config.episode_steps // config.stride)  # states of a part in which nothing is dropped
    cores, parts = usable_cores(), -(-(config.count - _total(records)) // most)
    steps = parts * config.worlds * (INITIAL_STEPS + config.episode_steps)
    workers = config.workers or max(1, min(cores, parts, steps // _STEPS_WORTH_A_PROCESS))
    task = PartTask(config, scene, policy, count_or_cores(config.threads, workers))
    with (
        progress(f"collecting {config.output.name}", config.count, "states", _total(records)) as advance,
        contextlib.ExitStack() as stack,
    ):
        # The number of parts that the count needs is only known once they are made, so workers go on until stopped.
        numbers = range(len(records), len(records) + _MOST_PARTS)
        stream: OrderedStream[StatesPart] | None = None
        if workers > 1:
            stream = stack.enter_context(OrderedStream(task, numbers, workers, lambda part: part))
        while (room := config.count - _total(records)) > 0:
            number = len(records)
            if number >= _MOST_EMPTY and not _total(records[-_MOST_EMPTY:]):
                start, distance = scene.workspace.start, scene.workspace.lost_distance
                raise DactylError(
                    f"{config.output}: {_MOST_EMPTY} parts in a row hold no state: whenever an episode begins, the "
                    f"object is farther than workspace.lost_distance ({distance:g} m) from workspace.start ({start}); "
                    "raise it in the scene file, and choose another output"
                )
            part = None if stream is None else _next_part(stream, config, number)
            record = _reusable_part(config, records)
            counted = part is None and record is None  # progress advances step by step while it is simulated here
            if record is None:
                part = part or task.simulate(number, room, advance)
                made_by = {"scene": scene.fingerprint, "policy": part.policy, "seed": config.seed}
                record = write_part(config.output, number, *part.cut(room), made_by)
            if not counted:
                advance(record.states)
            records.append(record)


def _next_part(stream: Iterator[StatesPart], config: StatesConfig, number: int) -> StatesPart | None:
    """Return the part of that number from the workers; None if they make no more."""
    try:
        return next(stream, None)
    except TaskFailedError as error:
        raise DactylError(f"{config.output}: part {number}: gave up: {error}; the same command resumes") from None
