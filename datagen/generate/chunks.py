"""Endless triplets for online rendering, a chunk at a time and without files.

Filament's frames depend on how many its context drew before (``datagen.render.filament``), so each chunk, like a shard,
is drawn by a new context: its bytes then depend only on its number. This module must not import torch, which every
render process would then load.
"""

from __future__ import annotations

from dataclasses import dataclass

from datagen.generate.shard_task import SamplesTask, encoded_samples, shard_renderer
from vision.machine.progress import Advance


@dataclass(frozen=True)
class Chunks(SamplesTask):
    """Task for worker processes that renders online samples, a chunk at a time.

    Online samples are numbered along the batches, ``per_batch`` for each training process in each batch. A process's
    own samples are its positions 0, 1, ...; a chunk holds ``config.shard_size`` consecutive positions.

    Attributes:
        per_batch: samples of this training process in each batch.
        rank: number of this training process.
        world: number of training processes.
        first: first position; earlier ones of its chunk are skipped.
        end: position after the last.
    """

    per_batch: int
    rank: int
    world: int
    first: int
    end: int

    @property
    def numbers(self) -> range:
        """Numbers of the chunks that hold these positions."""
        return range(self.first // self.config.shard_size, -(-self.end // self.config.shard_size))

    def index(self, position: int) -> int:
        """Return the number of the sample at one of this process's positions."""
        batch, place = divmod(position, self.per_batch)
        return first_number(batch, self.per_batch, self.rank, self.world) + place

    def positions(self, number: int) -> range:
        """Return the positions of a chunk that are to be rendered."""
        begin = number * self.config.shard_size
        return range(max(begin, self.first), min(begin + self.config.shard_size, self.end))

    def __call__(self, number: int, advance: Advance) -> list[dict[str, bytes]]:
        config, positions = self.config, self.positions(number)
        self.refuse_other_pictures()
        encoded = []
        with shard_renderer(config.renderer, self.scene, config.render) as renderer:
            renderer.skip(positions.start - number * config.shard_size)
            for members in encoded_samples(config, self.scene, self.states, renderer, map(self.index, positions)):
                encoded.append(members)
                advance(1)
        return encoded


def first_number(batch: int, per_batch: int, rank: int, world: int) -> int:
    """Return the number of a training process's first online sample in a batch; all have equal parts of each batch."""
    return (batch * world + rank) * per_batch
