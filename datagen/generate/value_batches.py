"""Values of online batches, made in advance by worker processes for a renderer that draws whole batches."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from datagen.generate.chunks import first_number
from datagen.generate.shard_task import SamplesTask, make_samples
from datagen.render.world_values import Values, WorldValues
from vision.machine.progress import Advance

Labels = dict[str, NDArray[Any]]
"""Rows of the samples' labels by key, in the order of the renderer's rows."""


@dataclass(frozen=True)
class ValueBatches(SamplesTask):
    """Task for worker processes that makes one batch of values and labels, without drawing.

    Attributes:
        per_batch: samples of this training process in each batch.
        rank: number of this training process.
        world: number of training processes.
        keys: keys of the labels to return.
    """

    per_batch: int
    rank: int
    world: int
    keys: tuple[str, ...]

    def indices(self, batch: int) -> range:
        """Return the numbers of a batch's samples; the training processes have equal parts of each batch."""
        first = first_number(batch, self.per_batch, self.rank, self.world)
        return range(first, first + self.per_batch)

    def __call__(self, batch: int, advance: Advance) -> tuple[Values, Labels]:
        self.refuse_other_pictures()
        values = cached_values(self.scene, self.config.render)
        materials = values.stage.scene.materials
        pairs = list(make_samples(self.config, self.scene, self.states, materials, self.indices(batch)))
        rows = values(sample for sample, _ in pairs)
        labels = {key: np.stack([np.asarray(label[key]) for _, label in pairs]) for key in self.keys}
        advance(len(pairs))
        return rows, labels


cached_values = functools.lru_cache(maxsize=1)(WorldValues)
