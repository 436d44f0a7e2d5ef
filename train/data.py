"""Triplets for training, in an order that depends on nothing but the seed.

Training counts batches, not epochs: batch number b holds positions ``[b * B, (b + 1) * B)`` of an endless sequence of
permutations, one for each epoch, drawn from (seed, epoch). So every sample comes exactly once in every epoch, whatever
the batch size; a batch may span two epochs; and a resumed training goes on at its batch number, with no state to
restore.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import lightning
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Subset

from vision.datasets import TripletDataset
from vision.errors import DactylError

_STATISTICS_SAMPLES = 4096
_KEPT = (
    "images", "index", "object_position", "object_quaternion", "joint_position", "camera_intrinsics",
    "camera_extrinsics",
)  # fmt: skip


@dataclass(frozen=True)
class DataConfig:
    """Where the triplets come from.

    Attributes:
        train: dataset folder.
        val: dataset folder for validation; null splits it off the training set.
        val_fraction: share of the training set's episodes that is then kept for validation.
        batch_size: triplets in a batch, on each device.
        workers: processes that decode pictures; 0 decodes in the training process.
        cache: keep decoded pictures in memory (0.36 MB a triplet at 200 x 200).
        verify: compare every shard with its SHA-256 before training.
    """

    train: str
    val: str | None = None
    val_fraction: float = 0.05
    batch_size: int = 64
    workers: int = 0
    cache: bool = False
    verify: bool = True

    def __post_init__(self) -> None:
        if self.batch_size < 1 or self.workers < 0:
            raise ValueError(
                f"batch_size must be 1 or more and workers 0 or more, got {self.batch_size}, {self.workers}"
            )
        if self.val is None and not 0 < self.val_fraction < 1:
            raise ValueError(f"val_fraction must lie between 0 and 1, got {self.val_fraction}")


class StepSampler:
    """Sample numbers of batches ``first`` to ``batches``, for one of several equal processes.

    Args:
        samples: in the dataset.
        batch_size: of one process.
        batches: in the whole training.
        seed: of the permutations.
        first: batch to go on with.
        rank: number of this process.
        world: number of processes.
    """

    def __init__(
        self, samples: int, batch_size: int, batches: int, seed: int, first: int = 0, rank: int = 0, world: int = 1
    ) -> None:
        self.samples, self.batch_size, self.batches, self.seed = samples, batch_size, batches, seed
        self.first, self.rank, self.world = first, rank, world

    def __len__(self) -> int:
        """Batches in the whole training, those before ``first`` included: what Lightning counts up to."""
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


class _Triplets(Dataset[dict[str, Any]]):
    """Samples as training needs them, optionally kept in memory."""

    def __init__(self, source: TripletDataset, cache: bool) -> None:
        self.source = source
        self.cache: dict[int, dict[str, Any]] | None = {} if cache else None

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, number: int) -> dict[str, Any]:
        if self.cache is None:
            return self._read(number)
        if number not in self.cache:
            self.cache[number] = self._read(number)
        return self.cache[number]

    def _read(self, number: int) -> dict[str, Any]:
        sample = self.source[number]
        return {key: sample[key] for key in _KEPT}


def collate(samples: Sequence[dict[str, Any]]) -> dict[str, Tensor]:
    """``LABEL`` keys as float32 tensors (B, ...), ``index`` int64, and ``images`` (B, C, 3, H, W) uint8, a view of rows
    of RGB: channels-last without a copy."""
    batch = {key: torch.from_numpy(np.stack([sample[key] for sample in samples])) for key in samples[0]}
    images = batch.pop("images").permute(0, 1, 4, 2, 3)
    index = batch.pop("index")
    return {"images": images, "index": index, **{key: value.float() for key, value in batch.items()}}


class TripletDataModule(lightning.LightningDataModule):
    """Opens, checks and splits the datasets, and serves them to the trainer.

    Raises:
        DactylError: a dataset is missing, damaged or empty, or the two do not show the same thing.
    """

    def __init__(self, config: DataConfig, seed: int) -> None:
        super().__init__()
        self.config = config
        self.seed = seed
        self.source = TripletDataset(config.train)
        self.val_source = self.source if config.val is None else TripletDataset(config.val)
        for ours, theirs, what in (
            (self.source.object.name, self.val_source.object.name, "object"),
            (self.source.image_size, self.val_source.image_size, "image size"),
            (self.source.rig.names, self.val_source.rig.names, "cameras"),
        ):
            if ours != theirs:
                raise DactylError(f"{config.val}: {what} {theirs}, but {config.train} has {ours}; make it again")
        self.train_numbers, self.val_numbers = self._split()
        for folder, numbers in ((config.train, self.train_numbers), (config.val or config.train, self.val_numbers)):
            if not len(numbers):
                raise DactylError(f"{folder}: no sample is left for training or validation; render more")
        self._train = _Triplets(self.source, config.cache)
        self._val = _Triplets(self.val_source, config.cache)

    def verify(self) -> None:
        """Compare every shard with its hash."""
        self.source.verify()
        if self.val_source is not self.source:
            self.val_source.verify()

    def position_statistics(self) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation (3,) of the training positions, metres, from at most 4,096 samples."""
        spread = np.linspace(0, len(self.train_numbers) - 1, min(len(self.train_numbers), _STATISTICS_SAMPLES))
        numbers = self.train_numbers[spread.astype(np.int64)]
        positions = np.stack([self.source.label(int(number))["object_position"] for number in numbers])
        return torch.from_numpy(positions.mean(axis=0)).float(), torch.from_numpy(positions.std(axis=0)).float()

    def train_dataloader(self) -> DataLoader[dict[str, Tensor]]:
        assert self.trainer is not None
        sampler = StepSampler(
            len(self.train_numbers),
            self.config.batch_size,
            self.trainer.max_steps * self.trainer.accumulate_grad_batches,
            self.seed,
            first=self.trainer.fit_loop.total_batch_idx + 1,
            rank=self.trainer.global_rank,
            world=self.trainer.world_size,
        )
        return self._loader(Subset(self._train, self.train_numbers.tolist()), batch_sampler=sampler)

    def val_dataloader(self) -> DataLoader[dict[str, Tensor]]:
        assert self.trainer is not None
        # Every sample once, without padding: each process takes its share.
        numbers = self.val_numbers[self.trainer.global_rank :: self.trainer.world_size]
        return self._loader(Subset(self._val, numbers.tolist()), batch_size=self.config.batch_size)

    def _split(self) -> tuple[np.ndarray, np.ndarray]:
        numbers = np.arange(len(self.source))
        if self.config.val is not None:
            return numbers, np.arange(len(self.val_source))
        episodes = np.array([int(self.source.label(int(number))["episode"]) for number in numbers])
        distinct = np.random.default_rng([self.seed]).permutation(np.unique(episodes))
        held_out = distinct[: max(1, round(self.config.val_fraction * len(distinct)))]
        in_val = np.isin(episodes, held_out)
        return numbers[~in_val], numbers[in_val]

    def _loader(self, dataset: Dataset[dict[str, Any]], **options: Any) -> DataLoader[dict[str, Tensor]]:
        workers = self.config.workers
        return DataLoader(
            dataset,
            collate_fn=collate,
            num_workers=workers,
            persistent_workers=workers > 0,
            pin_memory=torch.cuda.is_available(),
            **options,
        )
