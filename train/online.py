"""Triplets rendered while the network trains on them, as in the reference: no sample is repeated.

An online sample is byte-identical to what ``dactyl render`` would have written for the same states, ranges, seed and
number, including its JPEG images. Filament's frames depend on how many its context drew before
(``datagen.render.filament``), so samples are rendered in chunks, each by a fresh context, as those of a shard are. The
samples of a training are then a function of its configuration: not of the number of render processes, nor of one that
died and was replaced, nor of the batch at which the training was resumed. With another number of training processes
each has its own chunks, so the samples are the same except for the dithering, a quarter of a level on average.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from datagen.appearance.pose_augmentation import augment_pose
from datagen.generate.chunks import Chunks
from datagen.generate.config import RenderConfig
from datagen.generate.shard_task import tasks_per_process
from datagen.generate.value_batches import ValueBatches
from datagen.states.drawn import load_drawn_states
from datagen.workers.pool import TaskFailedError
from datagen.workers.stream import OrderedStream
from train.batches import BATCH_KEYS, Batch, collate
from train.online_config import OnlineConfig
from train.online_device import DeviceBatches
from vision.errors import DactylError
from vision.scene.scene import Scene
from vision.storage.datasets import TripletDataset
from vision.storage.manifest import DatasetFolder
from vision.storage.samples import SamplesInMemory


class OnlineTriplets:
    """The endless set of online samples.

    Args:
        config: what to render.
        held_out_of: dataset whose samples ``held_out`` are kept for validation; if it was made from the same states,
            their episodes are left out here.
        held_out: numbers of those samples.

    Raises:
        DactylError: the states are missing or damaged, or all are held out.
    """

    def __init__(self, config: OnlineConfig, held_out_of: TripletDataset, held_out: NDArray[np.int64]) -> None:
        self.config = config
        self._states = load_drawn_states(config.states)
        if self._is_of_these_states(held_out_of):
            episodes = (int(held_out_of.label(int(number))["episode"]) for number in held_out)
            self._states = self._states.excluding(episodes)
        if not len(self._states):
            raise DactylError(f"{config.states}: every episode is held out for validation; collect more states")
        self._states = self._states.shared()
        self._described = self._describe()
        self.scene = self._described.drawn_scene()

    def refuse_repetition(self, stored: DatasetFolder) -> None:
        """Raise DactylError if ``stored`` already contains the samples that would be rendered."""
        if self._is_of_these_states(stored) and stored.manifest.seed == self.config.seed:
            raise DactylError(
                f"{stored.folder}: has the seed of data.online, {self.config.seed}; choose another for it"
            )

    def positions(self, count: int) -> NDArray[np.float64]:
        """Return object positions (count, 3), metres, distributed as those of the samples."""
        config, states = self.config, self._states
        rows = np.random.default_rng([config.seed]).integers(len(states), size=count)
        drawn = (
            augment_pose(
                config.augmentation,
                self.scene.object,
                states.object_position[row],
                states.object_quaternion[row],
                config.seed,
                n,
            )
            for n, row in enumerate(rows)
        )
        return np.stack([position for position, _, _ in drawn])

    def identity(self) -> dict[str, Any]:
        """Return what determines the samples, as ``dactyl render`` records it, and their fraction of each batch."""
        return self._described.identity() | {"states": self._states.fingerprint, "fraction": self.config.fraction}

    def batches(
        self, per_batch: int, first: int, end: int, rank: int, world: int, processes: int, device: torch.device
    ) -> OnlineBatches | DeviceBatches:
        """Return batches ``first`` to ``end`` of one of ``world`` training processes, ``per_batch`` samples each.

        Args:
            processes: training processes on this machine, which share its cores.
            device: device that trains.
        """
        config, begin, stop = self.config, first * per_batch, end * per_batch
        workers = self._described.processes(config.workers, processes)
        if config.renderer == "warp":
            keys = tuple(key for key in BATCH_KEYS if key != "images")
            values = ValueBatches(self._described, self.scene, self._states, per_batch, rank, world, keys)
            drawing = device if config.device == "auto" else torch.device(config.device)
            return DeviceBatches(values, range(first, end), drawing, workers, config.timeout_s)
        chunks = Chunks(self._described, self.scene, self._states, per_batch, rank, world, begin, stop)
        return OnlineBatches(chunks, workers, config.timeout_s)

    def _describe(self) -> RenderConfig:
        config = self.config
        return RenderConfig(
            states=config.states,
            output=Path(),
            seed=config.seed,
            shard_size=config.chunk,
            scene=config.scene,
            renderer=config.renderer,
            appearance=config.appearance,
            augmentation=config.augmentation,
            render=config.render,
        )

    def _is_of_these_states(self, dataset: DatasetFolder) -> bool:
        return dataset.manifest.config.get("states") == self._states.fingerprint


class OnlineBatches:
    """Iterable of batches of online samples; :meth:`close` ends the render processes, which start on iteration."""

    def __init__(self, chunks: Chunks, workers: int, timeout_s: float) -> None:
        self._chunks, self._workers, self._timeout_s = chunks, workers, timeout_s
        self._stream: OrderedStream[list[dict[str, Any]]] | None = None

    def __iter__(self) -> Iterator[Batch]:
        self.close()
        chunks = self._chunks
        decode_chunk = functools.partial(decoded, chunks.scene)
        lives = tasks_per_process(chunks.config.renderer)
        stream = OrderedStream(
            *(chunks, chunks.numbers, self._workers, decode_chunk), timeout_s=self._timeout_s, tasks_per_process=lives
        )
        self._stream = stream
        samples = itertools.chain.from_iterable(stream)
        try:
            while batch := list(itertools.islice(samples, chunks.per_batch)):
                yield collate(batch, online=True)
        except TaskFailedError as error:
            positions = chunks.positions(error.number)
            index = chunks.index(positions[min(error.done, len(positions) - 1)])
            raise DactylError(f"online sample {index}: gave up: {error}; the same command resumes") from None
        finally:
            stream.close()

    def close(self) -> None:
        if self._stream is not None:
            self._stream.close()


def decoded(scene: Scene, encoded: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return encoded samples of a scene as a dataset reads them from a shard."""
    samples = SamplesInMemory(scene, encoded, "data.online")
    return [samples[number] for number in range(len(samples))]
