"""Datasets that pass by: a drawn order that knows nothing of who reads it, and no sample of a foreign shard."""

from __future__ import annotations

import gzip
import hashlib
import multiprocessing
import os
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import fsspec
import msgspec
import numpy as np
import pytest
import torch

from tests.datasets import make_sample, write_dataset, write_manifest
from train import loading
from train.batches import Batch
from train.data import TripletDataModule
from train.data_config import DataConfig
from train.streaming import StreamedTriplets
from vision.errors import DactylError
from vision.storage import streams
from vision.storage.datasets import TripletDataset
from vision.storage.manifest import DatasetFolder
from vision.storage.samples import SamplesInMemory
from vision.storage.shards import shard_name, write_shard
from vision.storage.streams import StreamOrder, read_shard

SHARDS = (5, 5, 5, 3, 5)
SAMPLES = sum(SHARDS)


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_dataset(tmp_path_factory.mktemp("stream") / "set", SHARDS)


def read(
    folder: Path | str,
    first: int = 0,
    end: int = 9,
    *,
    size: int = 4,
    rank: int = 0,
    world: int = 1,
    workers: int = 0,
    shared: bool = True,
    open_shards: int = 3,
) -> list[Batch]:
    triplets = StreamedTriplets(folder, open_shards, seed=7)
    return list(triplets.batches(size, first, end, rank, world, workers, shared))


def assert_equal(one: list[Batch], other: list[Batch]) -> None:
    assert len(one) == len(other)
    for mine, theirs in zip(one, other, strict=True):
        assert mine.keys() == theirs.keys()
        for key, values in mine.items():
            torch.testing.assert_close(values, theirs[key], rtol=0, atol=0)


def test_every_sample_comes_once_in_every_epoch(stored: Path) -> None:
    indices = torch.cat([batch["index"] for batch in read(stored, end=3 * SAMPLES, size=1)]).reshape(3, SAMPLES)
    for epoch in indices:
        assert sorted(epoch.tolist()) == list(range(SAMPLES))
    assert not torch.equal(indices[0], indices[1])
    assert not torch.equal(indices[1], indices[2])


def test_samples_are_those_that_are_read_by_number(stored: Path) -> None:
    dataset = TripletDataset(stored)
    for batch in read(stored):
        for row, index in enumerate(batch["index"].tolist()):
            sample = dataset[index]
            np.testing.assert_array_equal(batch["images"][row].permute(0, 2, 3, 1).numpy(), sample["images"])
            np.testing.assert_allclose(batch["object_position"][row].numpy(), sample["object_position"], rtol=1e-6)


@pytest.mark.parametrize("workers", [1, 2, 3, 7])
def test_loading_processes_do_not_matter(stored: Path, workers: int) -> None:
    assert_equal(read(stored, workers=workers), read(stored))


def test_parts_go_through_pipes_where_memory_is_not_shared(stored: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[dict] = []

    def tensors(batch: dict, pin: bool) -> Batch:
        sent.append(batch)
        return received(batch, pin)

    received = loading._tensors
    monkeypatch.setattr(loading, "_tensors", tensors)
    assert_equal(read(stored, workers=2, shared=False), read(stored))
    assert all(isinstance(value, np.ndarray) for part in sent[:18] for value in part.values())

    sent.clear()
    monkeypatch.setattr("train.data.shares_memory", lambda *_: False)
    config = DataConfig(str(stored), val=str(stored), batch_size=4, streaming=True, open_shards=3, workers=1)
    data = TripletDataModule(config, seed=7)
    fit_loop = SimpleNamespace(total_batch_idx=-1)
    data.trainer = SimpleNamespace(
        max_steps=2, accumulate_grad_batches=1, fit_loop=fit_loop, global_rank=0, world_size=1
    )
    assert not data.prepare_loading(1)
    assert_equal(list(data.train_dataloader()), read(stored, end=2))
    assert all(isinstance(value, np.ndarray) for part in sent[:2] for value in part.values())
    data.close()


@pytest.mark.parametrize("act", [lambda: time.sleep(1000), lambda: os.kill(os.getpid(), signal.SIGKILL)])
def test_a_loading_process_that_hangs_or_dies_is_named(
    stored: Path, act: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Found: a traceback, and a process that was waited for."""
    read_one, first = streams.read_shard, os.getpid()

    def fail(*parts: Any) -> SamplesInMemory:
        if os.getpid() != first:
            act()
        return read_one(*parts)

    monkeypatch.setattr(streams, "read_shard", fail)
    batches = StreamedTriplets(stored, 2, 7).batches(4, 0, 9, 0, 1, workers=1, timeout_s=2)
    with pytest.raises((DactylError, RuntimeError)) as caught:
        next(iter(batches))
    error = loading.loading_fault(caught.value) or caught.value
    assert isinstance(error, DactylError)
    assert "a loading process hangs" in str(error) or "a loading process died" in str(error)
    began = time.monotonic()
    batches.close()
    assert time.monotonic() - began < 4
    assert not multiprocessing.active_children()


def test_training_processes_share_the_batches_of_one(stored: Path) -> None:
    alone = read(stored, size=4)
    for part, whole in enumerate(alone):
        pair = [read(stored, size=2, rank=rank, world=2)[part] for rank in range(2)]
        assert torch.equal(torch.cat([one["index"] for one in pair]), whole["index"])


@pytest.mark.parametrize("first", [1, 5, 6, 8])
def test_a_resumed_training_goes_on_with_the_very_next_sample(stored: Path, first: int) -> None:
    """Batches 5 and 6 lie on either side of the end of an epoch."""
    assert_equal(read(stored, first), read(stored)[first:])


def test_samples_are_mixed_across_the_open_shards_and_no_others() -> None:
    order = StreamOrder([100] * 12, lanes=4, seed=1)
    epoch = order.epoch(0)
    shards = [epoch.shards[lane][place // 100] for lane, place in zip(epoch.lane, epoch.place, strict=True)]
    for start in range(0, 300, 50):
        assert len(set(shards[start : start + 50])) == 4, "as many shards are open, and take turns"
    assert np.mean(np.diff(epoch.lane) != 0) > 0.6
    assert sorted(np.concatenate(epoch.shards)) == list(range(12))
    assert sorted(order.rows(0, 3)) == list(range(100))
    assert not np.array_equal(order.rows(0, 3), order.rows(1, 3))


def test_each_shard_is_read_once_an_epoch(stored: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names: list[str] = []

    def counted(dataset: DatasetFolder, shard: streams.ShardRecord) -> SamplesInMemory:
        names.append(shard.name)
        return read_shard(dataset, shard)

    monkeypatch.setattr(streams, "read_shard", counted)
    read(stored, end=2 * SAMPLES, size=1)
    assert sorted(names) == sorted(2 * [shard_name(number) for number in range(len(SHARDS))])


def test_a_set_under_a_url_passes_by(stored: Path) -> None:
    memory = fsspec.filesystem("memory")
    for path in stored.iterdir():
        if not path.name.startswith("shard") or path.suffix == ".tar":  # records are not asked for
            memory.pipe_file(f"/streamed/{path.name}", path.read_bytes())
    assert_equal(read("memory://streamed"), read(stored))


@pytest.fixture
def damaged(tmp_path: Path) -> Path:
    return write_dataset(tmp_path / "set", SHARDS)


def test_a_shard_with_another_hash_gives_no_sample(damaged: Path) -> None:
    path = damaged / shard_name(2)
    content = bytearray(path.read_bytes())
    content[700] ^= 1
    path.write_bytes(content)
    given: list[int] = []
    batches: Iterator[Batch] = iter(StreamedTriplets(damaged, 2, 7).batches(1, 0, SAMPLES, 0, 1, 0))
    made_by = "rerun dactyl render or dactyl import-recording"
    with pytest.raises(DactylError, match=rf"shard-000002\.tar: content differs from the manifest; .*{made_by}"):
        given.extend(int(batch["index"]) for batch in batches)
    assert not {10, 11, 12, 13, 14} & set(given)


def test_a_pipe_or_an_endless_file_in_a_shards_place_is_not_read(
    damaged: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset, path = DatasetFolder(damaged), damaged / shard_name(0)
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(DactylError, match=r"shard-000000\.tar: cannot be read \(not a file\)"):
        read_shard(dataset, dataset.shards[0])
    path.unlink()
    with path.open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(DactylError, match=r"shard-000000\.tar: content differs from the manifest"):
        read_shard(dataset, dataset.shards[0])


def test_an_epoch_is_the_one_asked_for_whatever_another_thread_asks() -> None:
    """Found: another thread's epoch, where that one asked for it between the drawing and the answer."""
    order = StreamOrder([5] * 4, lanes=2, seed=1)

    class Interrupted(StreamOrder):
        def __setattr__(self, name: str, value: Any) -> None:
            super().__setattr__(name, value)
            if name == "_epoch" and value is not None:
                object.__setattr__(self, name, (4, order.epoch(4)))

    np.testing.assert_array_equal(Interrupted([5] * 4, lanes=2, seed=1).epoch(3).lane, order.epoch(3).lane)


@pytest.mark.parametrize(
    ("content", "named"),
    [
        (None, r"shard-000000\.tar: cannot be read"),
        (gzip.compress(b"0" * 10_000, mtime=0), r"shard-000000\.tar: not a readable tar"),
        (b"0" * 257 + b"ustar" + b"0" * 1000, r"shard-000000\.tar: not a readable tar"),
    ],
    ids=["missing", "compressed", "long after its header"],
)
def test_what_is_no_shard_is_named(damaged: Path, content: bytes | None, named: str) -> None:
    """Also where its hash is the manifest's: whoever wrote the one may have written the other."""
    dataset = DatasetFolder(damaged)
    shard, path = dataset.shards[0], damaged / shard_name(0)
    path.unlink()
    if content is not None:
        path.write_bytes(content)
        shard = msgspec.structs.replace(shard, bytes=len(content), sha256=hashlib.sha256(content).hexdigest())
    with pytest.raises(DactylError, match=named):
        read_shard(dataset, shard)


def test_a_sample_that_is_there_twice_is_refused(tmp_path: Path) -> None:
    samples = [make_sample(index) for index in (4, 5, 4)]
    write_manifest(tmp_path, [write_shard(tmp_path, 0, samples, "test", {})])
    dataset = DatasetFolder(tmp_path)
    with pytest.raises(DactylError, match=r"shard-000000\.tar: sample 000000004 is there twice"):
        read_shard(dataset, dataset.shards[0])


def test_foreign_members_are_refused(tmp_path: Path) -> None:
    samples = [make_sample(index) | {"extra.pyd": b"code"} for index in range(2)]
    write_manifest(tmp_path, [write_shard(tmp_path, 0, samples, "test", {})])
    dataset = DatasetFolder(tmp_path)
    with pytest.raises(DactylError, match="sample '000000000' is incomplete"):
        read_shard(dataset, dataset.shards[0])


def test_the_data_module_streams(stored: Path, damaged: Path) -> None:
    config = DataConfig(str(stored), val=str(damaged), batch_size=4, streaming=True, open_shards=3)
    data = TripletDataModule(config, seed=7)
    mean, deviation = data.sources.position_statistics()
    by_number = TripletDataModule(replace(config, streaming=False), seed=7)
    torch.testing.assert_close(mean, by_number.sources.position_statistics()[0], atol=0.02, rtol=0)
    assert (deviation > 0).all()
    assert data.sources.identity()["train"] == by_number.sources.identity()["train"]
    assert data.sources.identity() != by_number.sources.identity(), "another order: not the same training"
    data.sources.verify()


@pytest.mark.parametrize(
    "change", [{"val": None}, {"train": None, "online": None}, {"cache": True}, {"open_shards": 0}]
)
def test_impossible_streams_are_refused(change: dict[str, object]) -> None:
    good: dict[str, object] = {"train": "a", "val": "b", "streaming": True}
    with pytest.raises(ValueError, match=r"data\.streaming|data\.train|open_shards"):
        DataConfig(**good | change)  # type: ignore[arg-type]
