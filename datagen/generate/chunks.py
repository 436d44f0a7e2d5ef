"""Triplets without end, a chunk at a time and without a file: what a training renders while it runs.

Filament's frames depend on how many its context drew before (``datagen.render.filament``), so a chunk is drawn by a
fresh context, as a shard is: its bytes are then a function of its number only. No torch in here, for it would come
into every process that renders.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from datagen.generate.config import RenderConfig
from datagen.generate.shard_task import encoded_samples, shard_renderer
from datagen.states.files import States, load_states
from vision.progress import Advance
from vision.scene.scene import Scene


@dataclass(frozen=True)
class Chunks:
    """Renders online samples, a chunk at a time: a task for worker processes.

    Online samples are numbered along the batches: ``per_batch`` for each training process in each batch. A process's
    own are its positions 0, 1, ...; a chunk holds ``config.shard_size`` of them in a row.

    Attributes:
        config: what to render.
        scene: what is drawn, :meth:`RenderConfig.drawn_scene`.
        held_out: episodes that are not used.
        first: position to begin with; those of its chunk before it are skipped.
        end: position to end before.
    """

    config: RenderConfig
    scene: Scene
    held_out: frozenset[int]
    per_batch: int
    rank: int
    world: int
    first: int
    end: int

    @property
    def numbers(self) -> range:
        """The chunks that hold these positions."""
        return range(self.first // self.config.shard_size, -(-self.end // self.config.shard_size))

    def index(self, position: int) -> int:
        """Number of the sample at one of this process's positions."""
        batch, place = divmod(position, self.per_batch)
        return first_number(batch, self.per_batch, self.rank, self.world) + place

    def positions(self, number: int) -> range:
        """Positions of a chunk that are to be rendered."""
        begin = number * self.config.shard_size
        return range(max(begin, self.first), min(begin + self.config.shard_size, self.end))

    def __call__(self, number: int, advance: Advance) -> list[dict[str, bytes]]:
        config, positions = self.config, self.positions(number)
        states = states_excluding(config.states, self.held_out)
        encoded = []
        with shard_renderer(config.renderer, self.scene, config.render) as renderer:
            renderer.skip(positions.start - number * config.shard_size)
            for members in encoded_samples(config, self.scene, states, renderer, map(self.index, positions)):
                encoded.append(members)
                advance(1)
        return encoded


def first_number(batch: int, per_batch: int, rank: int, world: int) -> int:
    """Number of the first online sample of a training process in a batch: equal shares along the batches."""
    return (batch * world + rank) * per_batch


@functools.lru_cache(maxsize=1)
def states_excluding(folder: Path, held_out: frozenset[int]) -> States:
    """The states in a folder of all episodes that are not held out; kept for the next call."""
    states = load_states(folder)
    keep = ~np.isin(states.episode, list(held_out))
    arrays = {name: value[keep] for name, value in vars(states).items() if isinstance(value, np.ndarray)}
    return States(states.scene, states.policy, states.seed, **arrays)
