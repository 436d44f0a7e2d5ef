"""Streams of datasets that are too large to store, shard by shard.

Each shard is read completely, once per epoch, checked against its hash, and discarded when its samples have been used.
The order of samples is drawn beforehand, without reading any: it is the same for any number of processes and from any
starting point.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from webdataset import tariterators

from vision.errors import DactylError
from vision.io.files import read_start
from vision.storage.datasets import TripletDataset
from vision.storage.layout import sample_key
from vision.storage.manifest import DatasetFolder
from vision.storage.shards import ShardRecord


@dataclass(frozen=True)
class Epoch:
    """The order of one epoch of N samples.

    Attributes:
        shards: shards of each lane, in the order in which it reads them.
        lane: lane of the sample at each position, (N,).
        place: number of samples of that lane before it, (N,).
    """

    shards: list[NDArray[np.int64]]
    lane: NDArray[np.int64]
    place: NDArray[np.int64]


class StreamOrder:
    """An order with every sample once in every epoch, mixed across several open shards.

    An epoch deals the shards, in a random order, to lanes. A lane reads its shards one after the other, the samples of
    each in a random order; the lane of the next sample is random, too.

    Args:
        samples: number of samples in each shard.
        lanes: maximum number of shards open at the same time.
        seed: seed of everything drawn, together with the number of the epoch.
    """

    def __init__(self, samples: Sequence[int], lanes: int, seed: int) -> None:
        self.samples = np.asarray(samples, np.int64)
        self.lanes = min(lanes, len(samples))
        self._seed = seed
        self._epoch: tuple[int, Epoch] | None = None

    def __len__(self) -> int:
        """Return the number of samples in an epoch."""
        return int(self.samples.sum())

    def epoch(self, number: int) -> Epoch:
        """Return the order of an epoch; the last one is cached."""
        kept = self._epoch  # the thread that reads ahead may replace it, too
        if kept is None or kept[0] != number:
            rng = np.random.default_rng([self._seed, number])
            shards = rng.permutation(len(self.samples))
            dealt = [shards[lane :: self.lanes] for lane in range(self.lanes)]
            counts = [int(self.samples[of_lane].sum()) for of_lane in dealt]
            lane = rng.permutation(np.repeat(np.arange(self.lanes), counts))
            place = np.empty_like(lane)
            place[np.argsort(lane, kind="stable")] = np.concatenate([np.arange(count) for count in counts])
            self._epoch = kept = number, Epoch(dealt, lane, place)
        return kept[1]

    def rows(self, number: int, shard: int) -> NDArray[np.int64]:
        """Return the order of a shard's samples in an epoch."""
        return np.random.default_rng([self._seed, number, shard]).permutation(int(self.samples[shard]))


class ShardInMemory(TripletDataset):
    """A shard as a dataset that reads no file.

    Raises:
        DactylError: the content is not the shard's, or not a shard.
    """

    def __init__(self, dataset: DatasetFolder, shard: ShardRecord, content: bytes) -> None:
        vars(self).update(vars(dataset))  # from the manifest, without opening anything again
        path = self.folder / shard.name
        if hashlib.sha256(content).hexdigest() != shard.sha256:
            raise DactylError(f"{path}: content differs from the manifest; delete it and rerun dactyl render")
        self.shards = (shard,)
        self._first = np.array([0, shard.samples])
        self._samples = self._unpack(content)
        keys = [sample["__key__"] for sample in self._samples]
        self.indices = np.array([int(key) if key.isdecimal() else -1 for key in keys], np.int64)
        if [sample_key(int(index)) for index in self.indices] != keys or len(keys) != shard.samples:
            raise DactylError(f"{path}: not the samples that the manifest lists; delete it and rerun dactyl render")
        for key, sample in zip(keys, self._samples, strict=True):
            if not self._fits(tuple(name for name in sample if not name.startswith("__"))):
                raise DactylError(f"{path}: sample '{key}' is incomplete; delete it and rerun dactyl render")

    def member(self, number: int, suffix: str) -> bytes:
        content: bytes = self._samples[number][suffix]
        return content

    def _unpack(self, content: bytes) -> list[dict[str, Any]]:
        shard = self.shards[0]
        if content[257:262] != b"ustar":  # otherwise the library would unpack a compressed tar of any size
            raise DactylError(f"{self.folder / shard.name}: not a readable tar; delete it and rerun dactyl render")
        files = tariterators.tar_file_expander([{"url": shard.name, "stream": io.BytesIO(content)}])
        try:
            return list(tariterators.group_by_keys(files))
        except Exception as error:  # the library may raise anything for a foreign tar
            again = "delete it and rerun dactyl render"
            raise DactylError(f"{self.folder / shard.name}: not a readable tar ({error}); {again}") from error


def read_shard(dataset: DatasetFolder, shard: ShardRecord) -> ShardInMemory:
    """Read a shard from its folder or URL and check it against its hash.

    Raises:
        DactylError: it cannot be read, or differs.
    """
    path = dataset.folder / shard.name
    try:
        content = read_start(path, shard.bytes + 1)  # one byte more gives a longer file another hash
    except OSError as error:
        raise DactylError(f"{path}: cannot be read ({error}); was the dataset moved or deleted?") from error
    return ShardInMemory(dataset, shard, content)


class LaneReader:
    """Reader of one lane's samples. Read in order, each shard is read once, ahead of its turn."""

    def __init__(self, dataset: DatasetFolder, order: StreamOrder, lane: int) -> None:
        self._dataset, self._order, self._lane = dataset, order, lane
        self._open: tuple[int, int, ShardInMemory, NDArray[np.int64]] | None = None
        self._ahead: tuple[int, int, Future[ShardInMemory]] | None = None

    def sample(self, epoch: int, place: int) -> dict[str, Any]:
        """Return ``LABEL`` and ``images`` of the lane's sample at ``place`` in an epoch."""
        shards = self._order.epoch(epoch).shards[self._lane]
        ends = np.cumsum(self._order.samples[shards])
        turn = int(np.searchsorted(ends, place, side="right"))
        if self._open is None or self._open[:2] != (epoch, turn):
            self._open = (epoch, turn, self._take(epoch, turn), self._order.rows(epoch, int(shards[turn])))
            self._read_ahead(epoch, turn + 1)
        _, _, shard, rows = self._open
        return shard[int(rows[place - (ends[turn] - len(rows))])]

    def _take(self, epoch: int, turn: int) -> ShardInMemory:
        if self._ahead is not None and self._ahead[:2] == (epoch, turn):
            return self._ahead[2].result()
        return self._read(epoch, turn)

    def _read_ahead(self, epoch: int, turn: int) -> None:
        if turn < len(self._order.epoch(epoch).shards[self._lane]):
            self._ahead = epoch, turn, self._thread.submit(self._read, epoch, turn)

    def _read(self, epoch: int, turn: int) -> ShardInMemory:
        number = int(self._order.epoch(epoch).shards[self._lane][turn])
        return read_shard(self._dataset, self._dataset.shards[number])

    @cached_property
    def _thread(self) -> ThreadPoolExecutor:
        """Thread pool, created by the process that reads: threads do not survive a fork."""
        return ThreadPoolExecutor(1)
