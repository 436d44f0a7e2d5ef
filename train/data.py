"""Lightning's data module: batches of a training's triplets, and of the held-out ones."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import lightning
import numpy as np
from torch.utils.data import Dataset

from train.batches import BATCH_KEYS, Batch, MixedBatches, StepSampler, Waiting
from train.data_config import DataConfig
from train.loading import Loading, shares_memory
from train.sources import TripletSources
from train.streaming import StreamedBatches
from vision.errors import DactylError
from vision.machine.hardware import count_or_cores
from vision.storage.datasets import TripletDataset

if TYPE_CHECKING:
    from train.online import OnlineBatches
    from train.online_device import DeviceBatches


class TripletDataModule(lightning.LightningDataModule):
    """Data module that serves a training's sources to the trainer.

    Attributes:
        sources: the datasets, opened and checked.
        waiting: time since which the training has been waiting for a batch.

    Raises:
        DactylError: as :class:`TripletSources`.
    """

    def __init__(self, config: DataConfig, seed: int) -> None:
        super().__init__()
        self.sources = TripletSources(config, seed)
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
        rig = self.sources.scene.rig
        batch = -(-self.sources.config.batch_size // processes) * len(rig) * rig.height * rig.width * 3
        self._workers = count_or_cores(self.sources.config.workers, processes)
        if self._workers:
            self._shared = shares_memory(self._workers, batch, 2 * processes)  # training and validation
        return self._shared

    def train_dataloader(self) -> MixedBatches:
        assert self.trainer is not None
        trainer, config, sources = self.trainer, self.sources.config, self.sources
        batches = trainer.max_steps * trainer.accumulate_grad_batches
        first = trainer.fit_loop.total_batch_idx + 1
        rank, world = trainer.global_rank, trainer.world_size
        stored: Iterable[Batch] | None = None
        if config.stored_per_batch and sources.streamed is not None:
            size = _share(config.stored_per_batch, world, "stored")
            loading = (self._workers, self._shared, config.timeout_s, self.waiting)
            stored = streamed = sources.streamed.batches(size, first, batches, rank, world, *loading)
            self._loaders.append(streamed)
        elif config.stored_per_batch:
            assert sources.source is not None
            triplets = Triplets(sources.source, sources.train_numbers, config.cache)
            size = _share(config.stored_per_batch, world, "stored")
            sampler = StepSampler(len(triplets), size, batches, sources.seed, first, rank, world)
            stored = self._loader(triplets, batch_sampler=sampler)
        if sources.online is not None:
            size = _share(config.online_per_batch, world, "online")
            self._rendering = sources.online.batches(
                size, first, batches, rank, world, trainer.num_devices, trainer.strategy.root_device
            )
        self._batches = MixedBatches(batches, stored, self._rendering, self.waiting, pinned=sources.streamed is None)
        return self._batches

    def val_dataloader(self) -> Loading:
        assert self.trainer is not None
        sources, config = self.sources, self.sources.config
        if len(sources.val_numbers) < self.trainer.world_size:  # one without any would wait for the others for ever
            raise DactylError(
                f"{config.val or config.train}: {len(sources.val_numbers)} samples for validation are too few "
                f"for {self.trainer.world_size} processes; render more, or take fewer trainer.devices"
            )
        # Every sample once, without padding: each process takes its part.
        numbers = sources.val_numbers[self.trainer.global_rank :: self.trainer.world_size]
        triplets = Triplets(sources.val_source, numbers, config.cache)
        return self._loader(triplets, batch_size=max(1, config.batch_size // self.trainer.world_size))

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

    def _loader(self, dataset: Dataset[Any], **options: Any) -> Loading:
        loader = Loading(dataset, self._workers, self._shared, self.sources.config.timeout_s, self.waiting, **options)
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
