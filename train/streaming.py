"""Streams of stored triplets in a random order (``vision.storage.streams``), for datasets larger than the disk.

Loading processes share the lanes: each reads the shards of its own, and contributes to every batch the samples from
them. Combined they form the same batch for any number of loading processes. Processes that train together take parts of
each batch, and each reads all shards. A resumed training continues at its batch: no sample is skipped or repeated.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import IterableDataset, get_worker_info

from train.batches import BATCH_KEYS, Batch, Waiting, collate
from train.loading import Loading
from vision.errors import DactylError
from vision.io.store import Location
from vision.storage.manifest import DatasetFolder
from vision.storage.streams import LaneReader, StreamOrder, read_shard

_STATISTICS_SHARDS = 8


class StreamedTriplets:
    """A dataset whose shards are read only when they are needed.

    Args:
        folder: folder of the dataset, or its URL.
        open_shards: number of shards across which samples are mixed.
        seed: seed of the order.

    Attributes:
        dataset: its manifest.

    Raises:
        DactylError: there is no finished dataset, or it is empty.
    """

    def __init__(self, folder: str | Location, open_shards: int, seed: int) -> None:
        self.dataset = DatasetFolder(folder)
        self.order = StreamOrder([shard.samples for shard in self.dataset.shards], open_shards, seed)
        if not len(self.order):
            raise DactylError(f"{folder}: no samples; render more")

    def positions(self, count: int) -> NDArray[np.float64]:
        """Return object positions (count, 3), metres, of at most ``count`` samples: those of the first shards in the
        stream."""
        found: list[Any] = []
        first = [int(shards[0]) for shards in self.order.epoch(0).shards]
        for number in first[:_STATISTICS_SHARDS]:
            shard = read_shard(self.dataset, self.dataset.shards[number])
            found += [shard.label(row)["object_position"] for row in range(min(len(shard), count - len(found)))]
        return np.stack(found)

    def batches(
        self,
        size: int,
        first: int,
        end: int,
        rank: int,
        world: int,
        workers: int,
        shared: bool = True,
        timeout_s: float = 300.0,
        waiting: Waiting | None = None,
    ) -> StreamedBatches:
        """Return batches ``first`` to ``end`` of one of ``world`` training processes, ``size`` samples each.

        Args:
            workers: number of loading processes; 0 loads in this one.
            shared: whether to pass tensors through shared memory; if not, arrays through pipes.
            timeout_s: seconds without a part of a batch after which a loading process is assumed to hang.
            waiting: object that records when this waits.
        """
        parts = _BatchParts(self, size, range(first, end), rank, world)
        workers = min(workers, self.order.lanes)
        waiting = waiting or Waiting()
        loading = Loading(parts, workers, shared, timeout_s, waiting, _part_as_it_is, pinned=False, batch_size=None)
        return StreamedBatches(loading, size, max(1, workers))


class StreamedBatches:
    """Iterable of batches, combined from the parts of the loading processes.

    Args:
        loading: the parts, in their order.
        size: samples in a batch.
        parts: number of parts of a batch.
    """

    def __init__(self, loading: Loading, size: int, parts: int) -> None:
        self._loading, self._size, self._parts = loading, size, parts

    def __iter__(self) -> Iterator[Batch]:
        parts = iter(self._loading)
        while True:
            batch: Batch = {}
            # The loader returns the processes' parts in turn.
            for _ in range(self._parts):
                part = next(parts, None)
                if part is None:
                    return
                places = part.pop("place")
                if "images" in part:
                    part["images"] = part["images"].permute(0, 1, 3, 4, 2)  # their layout in memory
                for key, rows in part.items():
                    if key not in batch:
                        batch[key] = torch.empty((self._size, *rows.shape[1:]), dtype=rows.dtype)
                    batch[key][places] = rows
            yield {**batch, "images": batch["images"].permute(0, 1, 4, 2, 3)}

    def close(self) -> None:
        """End the loading processes; calling it twice is harmless."""
        self._loading.close()


def _part_as_it_is(part: Batch | DactylError) -> Batch | DactylError:
    return part


class _BatchParts(IterableDataset[Batch | DactylError]):
    """The samples of each batch whose lanes belong to this loading process; possibly none.

    A part has ``place`` (n,) int64, the positions of its samples in the batch, and is otherwise a batch of them.
    """

    def __init__(self, triplets: StreamedTriplets, size: int, numbers: range, rank: int, world: int) -> None:
        self._triplets, self._size, self._numbers, self._rank, self._world = triplets, size, numbers, rank, world

    def __iter__(self) -> Iterator[Batch | DactylError]:
        try:
            yield from self._parts()
        except DactylError as error:  # raised by the receiver: torch would put its traceback into the message
            yield error

    def _parts(self) -> Iterator[Batch]:
        info = get_worker_info()
        worker, workers = (0, 1) if info is None else (info.id, info.num_workers)
        order, dataset = self._triplets.order, self._triplets.dataset
        lanes = {lane: LaneReader(dataset, order, lane) for lane in range(worker, order.lanes, workers)}
        for batch in self._numbers:
            start = (batch * self._world + self._rank) * self._size
            samples, places = [], []
            for place, position in enumerate(range(start, start + self._size)):
                number, within = divmod(position, len(order))
                epoch = order.epoch(number)
                reader = lanes.get(int(epoch.lane[within]))
                if reader is not None:
                    sample = reader.sample(number, int(epoch.place[within]))
                    samples.append({key: sample[key] for key in BATCH_KEYS})
                    places.append(place)
            yield {**(collate(samples) if samples else {}), "place": torch.tensor(places, dtype=torch.int64)}
