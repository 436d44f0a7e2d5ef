"""What a training learns from: stored datasets, triplets rendered online, or a mixture; opened, checked and split."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from train.data_config import DataConfig
from train.streaming import StreamedTriplets
from vision.errors import DactylError
from vision.scene.scene import require_same
from vision.statistics.spacing import evenly_spaced
from vision.storage.datasets import TripletDataset
from vision.storage.manifest import DatasetFolder

if TYPE_CHECKING:
    from train.online import OnlineTriplets
    from train.online_config import OnlineConfig

_STATISTICS_SAMPLES = 4096


class TripletSources:
    """Datasets of a training.

    Attributes:
        config: their configuration.
        seed: seed of the training.
        scene: the scene that the images show.
        source: training set, read by number; None if it is streamed, or all is rendered online.
        streamed: training set that is streamed, or None.
        val_source: set of the held-out samples.
        train_numbers, val_numbers: numbers of the samples of either that are trained on, and held out.
        online: triplets that are rendered online, or None.

    Raises:
        DactylError: a dataset is missing, damaged or empty, or they do not show the same scene.
    """

    def __init__(self, config: DataConfig, seed: int) -> None:
        self.config, self.seed = config, seed
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
