"""Batches whose samples depend only on the seed and the batch's number.

Training counts batches, not epochs: batch number b of stored triplets has positions ``[b * B, (b + 1) * B)`` of an
endless sequence of permutations, one for each epoch, drawn from (seed, epoch). Every sample therefore comes exactly
once in every epoch, whatever the batch size, and a batch may span two epochs. Online triplets are numbered without end,
and batch b has B of them, starting at number ``b * B``. In both, processes that train together take equal parts of each
batch, one after the other. A resumed training continues at its batch number, which is the only state.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

BATCH_KEYS = (
    "images", "index", "object_position", "object_quaternion", "joint_position", "camera_intrinsics",
    "camera_extrinsics",
)  # fmt: skip
"""Keys of a sample that training needs."""

Batch = dict[str, Tensor]


class StepSampler:
    """Sampler of batches ``first`` to ``batches``, for one of several equal processes.

    Args:
        samples: number of samples in the dataset.
        batch_size: samples in a batch of one process.
        batches: number of batches in the whole training.
        seed: seed of the permutations.
        first: number of the first batch.
        rank: number of this process.
        world: number of processes.
    """

    def __init__(
        self, samples: int, batch_size: int, batches: int, seed: int, first: int = 0, rank: int = 0, world: int = 1
    ) -> None:
        self.samples, self.batch_size, self.batches, self.seed = samples, batch_size, batches, seed
        self.first, self.rank, self.world = first, rank, world

    def __len__(self) -> int:
        """Return the number of batches in the whole training, including those before ``first``, up to which Lightning
        counts."""
        return self.batches

    def __iter__(self) -> Iterator[list[int]]:
        epoch, order = -1, np.empty(0, np.int64)
        for batch in range(self.first, self.batches):
            start = (batch * self.world + self.rank) * self.batch_size
            numbers = []
            for position in range(start, start + self.batch_size):
                if position // self.samples != epoch:
                    epoch = position // self.samples
                    order = np.random.default_rng([self.seed, epoch]).permutation(self.samples)
                numbers.append(int(order[position % self.samples]))
            yield numbers


class Waiting:
    """Time since which the training has been waiting for a batch; it does not wait when ``since`` is None."""

    since: float | None = None

    @property
    def seconds(self) -> float:
        return 0.0 if self.since is None else time.monotonic() - self.since


class MixedBatches:
    """Batches with stored triplets first, then online ones; either may be missing.

    Args:
        batches: number of batches in the whole training, including those before a resumed one, up to which Lightning
            counts.
        stored, online: batches of each kind, in step with each other.
        waiting: object that records when this waits for them.
        pinned: whether stored batches are in pinned memory already.

    Attributes:
        waited_s: seconds spent waiting for batches.
    """

    def __init__(
        self,
        batches: int,
        stored: Iterable[Batch] | None,
        online: Iterable[Batch] | None,
        waiting: Waiting | None = None,
        pinned: bool = True,
    ) -> None:
        self._batches = batches
        self._parts = [part for part in (stored, online) if part is not None]
        self._pin = (online is not None or not pinned) and torch.cuda.is_available()
        self._waiting = waiting or Waiting()
        self.waited_s = 0.0

    def __len__(self) -> int:
        return self._batches

    def __iter__(self) -> Iterator[Batch]:
        parts = [iter(part) for part in self._parts]
        while True:
            began = self._waiting.since = time.monotonic()
            try:
                batches = [batch for part in parts if (batch := next(part, None)) is not None]
            finally:
                self._waiting.since = None
            if len(batches) < len(parts):
                return
            batch = batches[0] if len(batches) == 1 else _joined(batches)
            if self._pin:
                batch = {key: value.pin_memory() if value.is_cpu else value for key, value in batch.items()}
            self.waited_s += time.monotonic() - began
            yield batch


def collate(samples: Sequence[dict[str, Any]], online: bool = False) -> Batch:
    """Return ``BATCH_KEYS`` as tensors (B, ...): float32, ``index`` int64, and ``images`` (B, C, 3, H, W) uint8, a view
    of rows of RGB: channels-last without a copy. Adds ``online`` (B,) bool: whether ``index`` counts online or stored
    samples."""
    batch = {key: torch.from_numpy(np.stack([sample[key] for sample in samples])) for key in BATCH_KEYS}
    images, index = batch.pop("images").permute(0, 1, 4, 2, 3), batch.pop("index")
    labels = {key: value.float() for key, value in batch.items()}
    return {"images": images, "index": index, "online": torch.full((len(samples),), online), **labels}


def _joined(batches: Sequence[Batch]) -> Batch:
    """Join several batches; the images, too, are rows of RGB, on the device on which some of them were rendered."""
    device = batches[-1]["images"].device
    batch = {key: torch.cat([each[key] for each in batches]) for key in batches[0] if key != "images"}
    rows = torch.cat([each["images"].permute(0, 1, 3, 4, 2).to(device) for each in batches])
    return {"images": rows.permute(0, 1, 4, 2, 3), **batch}
