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
from vision.io.store import Location
from vision.storage.integrity import REMAKE, require_hash
from vision.storage.layout import sample_key
from vision.storage.manifest import DatasetFolder
from vision.storage.samples import SamplesInMemory, require_distinct
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


def read_shard(dataset: DatasetFolder, shard: ShardRecord) -> SamplesInMemory:
    """Read a shard completely from its folder or URL, and check it against its hash and the manifest.

    Raises:
        DactylError: it cannot be read, differs, or is not a shard.
    """
    path = dataset.folder / shard.name
    try:
        content = read_start(path, shard.bytes + 1)  # one byte more gives a longer file another hash
    except OSError as error:
        raise DactylError(f"{path}: cannot be read ({error}); was the dataset moved or deleted?") from error
    require_hash(path, hashlib.sha256(content).hexdigest(), shard.sha256)
    found = _unpacked(content, path)
    if len(found) != shard.samples:
        raise DactylError(f"{path}: {len(found)} samples, the manifest lists {shard.samples}; {REMAKE}")
    samples = SamplesInMemory(dataset.scene, found, str(path))
    require_distinct(samples.indices, path)
    for number in range(len(samples)):
        if not dataset.fits(samples.members(number)):
            key = sample_key(int(samples.indices[number]))
            raise DactylError(f"{path}: sample '{key}' is incomplete; {REMAKE}")
    return samples


def _unpacked(content: bytes, path: Location) -> list[dict[str, Any]]:
    """Return the files of each sample of a tar by name, with its key as ``__key__``."""
    if content[257:262] != b"ustar":  # otherwise the library would unpack a compressed tar of any size
        raise DactylError(f"{path}: not a readable tar; {REMAKE}")
    files = tariterators.tar_file_expander([{"url": path.name, "stream": io.BytesIO(content)}])
    try:
        return list(tariterators.group_by_keys(files))
    except Exception as error:  # the library may raise anything for a foreign tar
        raise DactylError(f"{path}: not a readable tar ({error}); {REMAKE}") from error


class LaneReader:
    """Reader of one lane's samples. Read in order, each shard is read once, ahead of its turn."""

    def __init__(self, dataset: DatasetFolder, order: StreamOrder, lane: int) -> None:
        self._dataset, self._order, self._lane = dataset, order, lane
        self._open: tuple[int, int, SamplesInMemory, NDArray[np.int64]] | None = None
        self._ahead: tuple[int, int, Future[SamplesInMemory]] | None = None

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

    def _take(self, epoch: int, turn: int) -> SamplesInMemory:
        if self._ahead is not None and self._ahead[:2] == (epoch, turn):
            return self._ahead[2].result()
        return self._read(epoch, turn)

    def _read_ahead(self, epoch: int, turn: int) -> None:
        if turn < len(self._order.epoch(epoch).shards[self._lane]):
            self._ahead = epoch, turn, self._thread.submit(self._read, epoch, turn)

    def _read(self, epoch: int, turn: int) -> SamplesInMemory:
        number = int(self._order.epoch(epoch).shards[self._lane][turn])
        return read_shard(self._dataset, self._dataset.shards[number])

    @cached_property
    def _thread(self) -> ThreadPoolExecutor:
        """Thread pool, created by the process that reads: threads do not survive a fork."""
        return ThreadPoolExecutor(1)
