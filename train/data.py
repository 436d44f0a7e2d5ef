"""Sources of a training's triplets: stored datasets, triplets rendered online, or a mixture."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import lightning
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from train.batches import BATCH_KEYS, Batch, MixedBatches, StepSampler, Waiting
from train.data_config import DataConfig
from train.loading import Loading, shares_memory
from train.streaming import StreamedBatches, StreamedTriplets
from vision.errors import DactylError
from vision.machine.hardware import count_or_cores
from vision.scene.scene import require_same
from vision.statistics.spacing import evenly_spaced
from vision.storage.datasets import TripletDataset
from vision.storage.manifest import DatasetFolder

if TYPE_CHECKING:
    from train.online import OnlineBatches, OnlineTriplets
    from train.online_config import OnlineConfig
    from train.online_device import DeviceBatches

_STATISTICS_SAMPLES = 4096


class TripletDataModule(lightning.LightningDataModule):
    """Data module that opens, checks and splits the datasets, and serves them to the trainer.

    Attributes:
        scene: the scene that the images show.
        waiting: time since which the training has been waiting for a batch.

    Raises:
        DactylError: a dataset is missing, damaged or empty, or they do not show the same scene.
    """

    def __init__(self, config: DataConfig, seed: int) -> None:
        super().__init__()
        self.config = config
        self.seed = seed
        self.streamed: StreamedTriplets | None = None
        self.source: TripletDataset | None = None
        if config.train is not None and config.streaming:
            self.streamed = StreamedTriplets(config.train, config.open_shards, seed)
        elif config.train is not None:
            self.source = TripletDataset(config.train, config.verify)
        val_source = self.source if config.val is None else TripletDataset(config.val, config.verify)
        assert val_source is not None  # the configuration ensures it
        self.val_source = val_source
        self.scene = val_source.scene
        self.train_numbers, self.val_numbers = self._split()
        for folder, numbers, needed in (
            (config.train, self.train_numbers, config.stored_per_batch > 0),
            (config.val or config.train, self.val_numbers, True),
        ):
            if needed and not len(numbers):
                raise DactylError(f"{folder}: no sample is left for training or validation; render more")
        self.online = None if config.online is None else self._open_online(config.online)
        self._refuse_mismatch()
        self._batches: MixedBatches | None = None
        self._rendering: OnlineBatches | DeviceBatches | None = None
        self._loaders: list[Loading | StreamedBatches] = []
        self.waiting = Waiting()
        self._workers, self._shared = count_or_cores(config.workers), True

    def prepare_loading(self, processes: int) -> bool:
        """Determine the number of loading processes; return whether they can pass batches through shared memory.

        Args:
            processes: number of training processes on this machine, each with its own loading processes.

        Raises:
            DactylError: they could not even start.
        """
        rig = self.scene.rig
        batch = -(-self.config.batch_size // processes) * len(rig) * rig.height * rig.width * 3
        self._workers = count_or_cores(self.config.workers, processes)
        if self._workers:
            self._shared = shares_memory(self._workers, batch, 2 * processes)  # training and validation
        return self._shared

    @property
    def stored(self) -> DatasetFolder | None:
        """Training set, read by number or streamed."""
        return self.source if self.streamed is None else self.streamed.dataset

    @property
    def validates_on_training(self) -> bool:
        """Whether a separate validation set shows states of the training set."""
        if self.config.val is None or self.stored is None:
            return False
        stored, val = self.stored, self.val_source
        states, others = (each.manifest.config.get("states") for each in (stored, val))
        return stored.fingerprint == val.fingerprint or (states is not None and states == others)

    def verify(self) -> None:
        """Compare every shard with its hash; shards of a streamed dataset are checked as they are read."""
        if self.source is not None:
            self.source.verify()
        if self.val_source is not self.source:
            self.val_source.verify()

    def identity(self) -> dict[str, Any]:
        """Return what determines the samples: datasets and states by their content, wherever they are."""
        return {
            "train": None if self.stored is None else self.stored.fingerprint,
            "val": None if self.config.val is None else self.val_source.fingerprint,
            "val_fraction": self.config.val_fraction,
            **({} if self.config.val else {"held_out": "by episode"}),  # once by the training's seed, too
            "batch_size": self.config.batch_size,
            **({"open_shards": self.config.open_shards} if self.config.streaming else {}),
            **({} if self.online is None else {"online": self.online.identity()}),
        }

    def position_statistics(self) -> tuple[Tensor, Tensor]:
        """Return mean and standard deviation (3,) of the training positions, metres, from at most 4,096 samples."""
        if self.streamed is not None and self.config.stored_per_batch:
            positions = self.streamed.positions(_STATISTICS_SAMPLES)
        elif self.source is not None and self.config.stored_per_batch:
            numbers = self.train_numbers[evenly_spaced(len(self.train_numbers), _STATISTICS_SAMPLES)]
            positions = np.stack([self.source.label(int(number))["object_position"] for number in numbers])
        else:
            assert self.online is not None
            positions = self.online.positions(_STATISTICS_SAMPLES)
        return torch.from_numpy(positions.mean(axis=0)).float(), torch.from_numpy(positions.std(axis=0)).float()

    def train_dataloader(self) -> MixedBatches:
        assert self.trainer is not None
        trainer, config = self.trainer, self.config
        batches = trainer.max_steps * trainer.accumulate_grad_batches
        first = trainer.fit_loop.total_batch_idx + 1
        rank, world = trainer.global_rank, trainer.world_size
        stored: Iterable[Batch] | None = None
        if config.stored_per_batch and self.streamed is not None:
            size = _share(config.stored_per_batch, world, "stored")
            loading = (self._workers, self._shared, config.timeout_s, self.waiting)
            stored = streamed = self.streamed.batches(size, first, batches, rank, world, *loading)
            self._loaders.append(streamed)
        elif config.stored_per_batch:
            assert self.source is not None
            triplets = Triplets(self.source, self.train_numbers, config.cache)
            size = _share(config.stored_per_batch, world, "stored")
            sampler = StepSampler(len(triplets), size, batches, self.seed, first, rank, world)
            stored = self._loader(triplets, batch_sampler=sampler)
        if self.online is not None:
            size = _share(config.online_per_batch, world, "online")
            self._rendering = self.online.batches(
                size, first, batches, rank, world, trainer.num_devices, trainer.strategy.root_device
            )
        self._batches = MixedBatches(batches, stored, self._rendering, self.waiting, pinned=self.streamed is None)
        return self._batches

    def val_dataloader(self) -> Loading:
        assert self.trainer is not None
        if len(self.val_numbers) < self.trainer.world_size:  # one without any would wait for the others for ever
            raise DactylError(
                f"{self.config.val or self.config.train}: {len(self.val_numbers)} samples for validation are too few "
                f"for {self.trainer.world_size} processes; render more, or take fewer trainer.devices"
            )
        # Every sample once, without padding: each process takes its part.
        numbers = self.val_numbers[self.trainer.global_rank :: self.trainer.world_size]
        triplets = Triplets(self.val_source, numbers, self.config.cache)
        return self._loader(triplets, batch_size=max(1, self.config.batch_size // self.trainer.world_size))

    @property
    def waited_s(self) -> float:
        """Seconds that this process has spent waiting for training batches."""
        return 0.0 if self._batches is None else self._batches.waited_s

    def close(self) -> None:
        """End the processes that render and load; calling it twice is harmless."""
        if self._rendering is not None:
            self._rendering.close()
        for loader in self._loaders:
            loader.close()

    def _split(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the numbers of the training set's samples to train on, and of the validation set's."""
        if self.source is None:
            count = 0 if self.streamed is None else len(self.streamed.order)
            return np.arange(count), np.arange(len(self.val_source))
        numbers = np.arange(len(self.source))
        if self.config.val is not None:
            return numbers, np.arange(len(self.val_source))
        episodes = np.array([int(self.source.label(int(number))["episode"]) for number in numbers])
        distinct = np.unique(episodes)
        # Whatever the seed, and nearly whatever is added to the set: a training continued with `init` then holds out
        # nothing that its initial weights have learnt.
        ranks = [hashlib.blake2b(str(episode).encode()).digest() for episode in distinct]
        count = max(1, round(self.config.val_fraction * len(distinct)))
        held_out = [episode for _, episode in sorted(zip(ranks, distinct, strict=True))[:count]]
        in_val = np.isin(episodes, held_out)
        return numbers[~in_val], numbers[in_val]

    def _open_online(self, config: OnlineConfig) -> OnlineTriplets:
        from train.online import OnlineTriplets  # imports the simulator

        online = OnlineTriplets(config, self.val_source, self.val_numbers)
        for stored in (self.stored, self.val_source):
            if stored is not None:
                online.refuse_repetition(stored)
        return online

    def _refuse_mismatch(self) -> None:
        """Raise DactylError unless all training and validation data show the same scene."""
        if (stored := self.stored) is not None:
            others = "" if self.config.val is None else f": unlike {self.config.val} (data.val)"
            require_same(self.scene, stored.scene, f"{self.config.train}{others}", to_a_network=True)
        if self.online is not None:
            require_same(self.scene, self.online.scene, "data.online", to_a_network=True)

    def _loader(self, dataset: Dataset[Any], **options: Any) -> Loading:
        loader = Loading(dataset, self._workers, self._shared, self.config.timeout_s, self.waiting, **options)
        self._loaders.append(loader)
        return loader


class Triplets(Dataset[Any]):
    """Some samples of a dataset as training needs them, optionally kept in memory; an unreadable sample is its error.

    ``numbers`` stays an array: worker processes share its memory, which is impossible for a list's numbers.
    """

    def __init__(self, source: TripletDataset, numbers: np.ndarray, cache: bool) -> None:
        self.source = source
        self.numbers = numbers
        self.cache: dict[int, dict[str, Any]] | None = {} if cache else None

    def __len__(self) -> int:
        return len(self.numbers)

    def __getitem__(self, number: int) -> dict[str, Any] | DactylError:
        try:
            if self.cache is None:
                return self._read(number)
            if number not in self.cache:
                self.cache[number] = self._read(number)
            return self.cache[number]
        except DactylError as error:
            return error

    def _read(self, number: int) -> dict[str, Any]:
        sample = self.source[int(self.numbers[number])]
        return {key: sample[key] for key in BATCH_KEYS}


def _share(batch_size: int, world: int, kind: str) -> int:
    """Return the number of triplets of each process's part of a batch."""
    if batch_size % world:
        raise DactylError(
            f"data.batch_size: {batch_size} {kind} triplets of a batch cannot be shared equally by {world} processes; "
            "choose a multiple"
        )
    return batch_size // world
