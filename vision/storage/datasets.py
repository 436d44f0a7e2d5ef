"""Readers of datasets of image triplets by sample number.

Tars carry no checksum of their data, so the reader trusts only the manifest: sizes are compared when a dataset is
opened, and a shard's hash before its first sample is returned, once in a process. Only plain files with the names that
we write are accepted (``vision.storage.samples`` on what is in them).
"""

from __future__ import annotations

from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from vision.io.store import Location, is_remote
from vision.storage.layout import ShardLayout, read_member, sample_key
from vision.storage.manifest import DatasetFolder
from vision.storage.samples import Samples, require_distinct
from vision.storage.shards import ShardRecord

_AT_ONCE = 16  # requests to a remote store


class TripletDataset(DatasetFolder, Samples):
    """A finished dataset, read by sample number: ``dataset[i]`` has ``LABEL``'s keys and ``images`` (C, H, W, 3) uint8.

    Opening it compares the shards' sizes with the manifest and reads the position of each sample from their records (a
    shard whose record has none is scanned). Samples are then read by offset, so that any order is equally fast. No file
    is kept open: worker processes can share the dataset, and the number of shards is not limited by that of open files.

    A shard is compared with its hash before its first sample is returned.

    Args:
        folder: folder of the dataset, or its URL.
        verify: whether to compare shards with their hashes; False if that has been done already.

    Raises:
        DactylError: the dataset is missing, unfinished or of another schema version, or a shard is missing, truncated
            or foreign.
    """

    def __init__(self, folder: str | Location, verify: bool = True) -> None:
        super().__init__(folder)
        self._unverified = set(range(len(self.shards))) if verify else set[int]()
        self._first = np.cumsum([0] + [shard.samples for shard in self.shards])
        # Read records concurrently: on a remote store each read is a network round trip.
        with ThreadPoolExecutor(_AT_ONCE if is_remote(self.folder) else 1) as threads:
            self._layouts = list(threads.map(self._open_shard, self.shards))
        indices = [layout.indices for layout in self._layouts]
        self.indices = np.concatenate(indices) if indices else np.zeros(0, np.int64)
        require_distinct(self.indices, self.folder)

    def member(self, number: int, suffix: str) -> bytes:
        shard = self._shard_of(number)
        if shard in self._unverified:
            self._check_hash(self.shards[shard])
            self._unverified.discard(shard)
        layout, row = self._layouts[shard], number - self._first[shard]
        column = layout.members.index(suffix)
        name = f"{sample_key(int(self.indices[number]))}.{suffix}"
        path = self._shard_file(self.shards[shard])
        return read_member(path, name, int(layout.offsets[row, column]), int(layout.sizes[row, column]))

    def members(self, number: int) -> Collection[str]:
        return self._layouts[self._shard_of(number)].members

    def where(self, number: int) -> str:
        return f"{self.folder / self.shards[self._shard_of(number)].name}: {sample_key(int(self.indices[number]))}"

    def verify(self) -> None:
        """Compare every shard's SHA-256 with the manifest; :class:`DactylError` names the first that differs."""
        for shard in self.shards:
            self._check_hash(shard)
        self._unverified.clear()

    def _open_shard(self, shard: ShardRecord) -> ShardLayout:
        if not is_remote(self.folder):  # a remote shard's hash is checked when it is fetched
            self._check_size(shard)
        return self._recorded_layout(shard) or self._walk(shard)

    def _shard_of(self, number: int) -> int:
        if not 0 <= number < len(self):
            raise IndexError(f"sample {number} of {len(self)}")
        return int(np.searchsorted(self._first, number, side="right")) - 1
