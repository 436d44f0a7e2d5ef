"""Configuration of the triplets of a training."""

from __future__ import annotations

from dataclasses import dataclass

from train.online_config import OnlineConfig
from vision.configuration.bounds import at_least_one, inner_fraction, not_negative, positive


@dataclass(frozen=True)
class DataConfig:
    """Sources and batches of the triplets.

    Attributes:
        train: dataset folder; null if all triplets are rendered online.
        val: dataset folder for validation; null splits it off the training set.
        val_fraction: fraction of the training set's episodes that is kept for validation if val is null.
        online: render triplets while training; null takes all from the training set.
        batch_size: triplets in a batch, over all devices together.
        workers: number of processes that decode images, for each training process; 0 decodes in that process itself,
            null takes all cores, shared out among the training processes.
        timeout_s: seconds without a batch after which a loading process is assumed to hang, and the training ends.
        cache: keep decoded images in memory (0.36 MB per triplet at 200 x 200). Each worker keeps all of them, so a set
            that fits once may not fit several times.
        verify: check every shard against its SHA-256 before its first sample is used.
        streaming: read the training set shard by shard, each checked against its SHA-256 as it passes, instead of by
            sample number: for sets larger than the disk, or under URLs. Needs data.val.
        open_shards: number of shards across which a streamed set's samples are mixed; each takes some 20 MB of memory.
    """

    train: str | None = None
    val: str | None = None
    val_fraction: float = 0.05
    online: OnlineConfig | None = None
    batch_size: int = 64
    workers: int | None = 0
    timeout_s: float = 300.0
    cache: bool = False
    verify: bool = True
    streaming: bool = False
    open_shards: int = 16

    def __post_init__(self) -> None:
        at_least_one(self, "batch_size", "open_shards")
        not_negative(self, "workers")
        positive(self, "timeout_s")
        if self.val is None:
            inner_fraction(self, "val_fraction")
        if self.train is None and self.online is None:
            raise ValueError("data.train or data.online is needed: a dataset folder, or states to render from")
        if self.train is None and self.stored_per_batch:
            raise ValueError(
                f"data.train is needed for {self.stored_per_batch} triplets of a batch; or set data.online.fraction 1"
            )
        if self.train is None and self.val is None:
            raise ValueError("data.val is needed where data.train is null: a dataset folder to validate on")
        if self.streaming and (self.train is None or self.val is None or self.cache):
            raise ValueError("data.streaming needs data.train, a data.val of its own, and no data.cache")
        if self.online is not None and not self.online_per_batch:
            raise ValueError(
                f"data.online.fraction {self.online.fraction} of {self.batch_size} triplets is none; raise one"
            )

    @property
    def online_per_batch(self) -> int:
        """Triplets of a batch that are rendered online."""
        return 0 if self.online is None else round(self.online.fraction * self.batch_size)

    @property
    def stored_per_batch(self) -> int:
        """Triplets of a batch that come from the training set."""
        return self.batch_size - self.online_per_batch
