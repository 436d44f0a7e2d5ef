import functools
import operator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.synthetic import make_dataset
from train.batches import StepSampler, collate
from train.data import TripletDataModule
from train.data_config import DataConfig
from train.sources import TripletSources
from vision.errors import DactylError
from vision.storage.datasets import TripletDataset

sizes = st.integers(1, 30)


@given(samples=sizes, batch=sizes, seed=st.integers(0, 9))
def test_every_sample_comes_once_in_every_epoch(samples: int, batch: int, seed: int) -> None:
    order = np.concatenate(list(StepSampler(samples, batch, 40, seed)))
    assert len(order) == 40 * batch
    epochs = [order[start : start + samples] for start in range(0, len(order) - samples + 1, samples)]
    for epoch in epochs:
        assert sorted(epoch) == list(range(samples))
    if samples > 20 and len(epochs) > 1:
        assert any((epoch != epochs[0]).any() for epoch in epochs[1:])  # and in another order


@given(samples=sizes, batch=sizes, seed=st.integers(0, 9), first=st.integers(0, 20))
def test_a_resumed_order_is_the_rest_of_the_whole(samples: int, batch: int, seed: int, first: int) -> None:
    whole = list(StepSampler(samples, batch, 20, seed))
    rest = StepSampler(samples, batch, 20, seed, first=first)
    assert list(rest) == whole[first:]
    assert len(rest) == 20  # Lightning counts from the start


@given(samples=sizes, batch=sizes, world=st.integers(1, 4))
def test_processes_share_one_order(samples: int, batch: int, world: int) -> None:
    shares = [list(StepSampler(samples, batch, 8, 0, rank=rank, world=world)) for rank in range(world)]
    together = [functools.reduce(operator.iadd, (share[step] for share in shares), []) for step in range(8)]
    assert together == list(StepSampler(samples, batch * world, 8, 0))


def test_another_seed_is_another_order() -> None:
    first, second = (np.concatenate(list(StepSampler(100, 10, 10, seed))) for seed in (0, 1))
    assert (first != second).any()


def test_batches_are_typed_and_channels_last_without_a_copy(tiny: Path) -> None:
    source = TripletDataset(tiny)
    batch = collate([source[0], source[1]])
    assert batch["images"].shape == (2, 3, 3, 64, 64)
    assert batch["images"].dtype == torch.uint8
    assert batch["images"].flatten(0, 1).is_contiguous(memory_format=torch.channels_last)
    assert batch["index"].tolist() == [0, 1]
    assert not batch["online"].any()
    assert {
        key: value.dtype for key, value in batch.items() if key not in ("images", "index", "online")
    } == dict.fromkeys(
        ("object_position", "object_quaternion", "joint_position", "camera_intrinsics", "camera_extrinsics"),
        torch.float32,
    )


def test_an_episode_is_on_one_side_of_the_split(tiny: Path) -> None:
    data = TripletSources(DataConfig(str(tiny), val_fraction=0.4), seed=0)
    assert sorted([*data.train_numbers, *data.val_numbers]) == list(range(10))
    assert len(data.val_numbers) == 4
    episodes = [
        {int(data.source.label(int(n))["episode"]) for n in part} for part in (data.train_numbers, data.val_numbers)
    ]
    assert not episodes[0] & episodes[1]
    again = TripletSources(DataConfig(str(tiny), val_fraction=0.4), seed=0)
    np.testing.assert_array_equal(again.val_numbers, data.val_numbers)


def test_a_validation_on_what_is_learnt_is_noticed(tiny: Path, tmp_path: Path) -> None:
    """Its errors were those of a network that knows the pictures, and nothing said so."""
    other = make_dataset(tmp_path / "other", 2, image_size=64, seed=1)
    assert TripletSources(DataConfig(str(tiny), val=str(tiny)), seed=0).validates_on_training
    for config in (DataConfig(str(tiny), val=str(other)), DataConfig(str(tiny), val_fraction=0.4)):
        assert not TripletSources(config, seed=0).validates_on_training
    for ours, theirs, same in (("a", "a", True), ("a", "b", False), ("a", None, False), (None, None, False)):
        data = TripletSources(DataConfig(str(tiny), val=str(other)), seed=0)
        for source, states in ((data.source, ours), (data.val_source, theirs)):
            source.manifest.config.update({} if states is None else {"states": states})
        assert data.validates_on_training == same, "a recording has no states, and other pictures of a state its pose"


def test_statistics_are_those_of_the_training_part(tiny: Path) -> None:
    data = TripletSources(DataConfig(str(tiny), val_fraction=0.4), seed=0)
    positions = np.stack([data.source.label(int(n))["object_position"] for n in data.train_numbers])
    mean, deviation = data.position_statistics()
    np.testing.assert_allclose(mean, positions.mean(axis=0), rtol=1e-6)
    np.testing.assert_allclose(deviation, positions.std(axis=0), rtol=1e-5)


def test_a_damaged_shard_is_named_before_training(tiny: Path, tmp_path: Path) -> None:
    folder = make_dataset(tmp_path / "data", 4, image_size=64)
    shard = folder / "shard-000000.tar"
    content = bytearray(shard.read_bytes())
    content[5000] ^= 1
    shard.write_bytes(content)
    data = TripletSources(DataConfig(str(tiny), val=str(folder)), seed=0)
    with pytest.raises(DactylError, match=r"shard-000000\.tar"):
        data.verify()


def test_datasets_that_do_not_fit_are_refused(tiny: Path, tmp_path: Path) -> None:
    other = make_dataset(tmp_path / "prism", 2, image_size=64, object_name="prism")
    with pytest.raises(DactylError, match="object is block, expected prism"):
        TripletSources(DataConfig(str(tiny), val=str(other)), seed=0)
    larger = make_dataset(tmp_path / "larger", 2, image_size=96)
    with pytest.raises(DactylError, match="image size is 64x64 pixels, expected 96x96"):
        TripletSources(DataConfig(str(tiny), val=str(larger)), seed=0)
    single = make_dataset(tmp_path / "single", 2, image_size=64, samples_per_episode=2)
    with pytest.raises(DactylError, match="no sample is left"):
        TripletSources(DataConfig(str(single)), seed=0)


def test_the_same_episodes_are_held_out_whatever_the_seed(tiny: Path) -> None:
    """Else a training that begins with the weights of another would be validated on what these have learnt."""
    config = DataConfig(str(tiny), val_fraction=0.4)
    first, second = (TripletSources(config, seed=seed) for seed in (1, 19))
    assert first.val_numbers.tolist() == second.val_numbers.tolist()
    assert 0 < len(first.val_numbers) < len(first.train_numbers)
    less = TripletSources(replace(config, val_fraction=0.2), seed=0)
    assert set(less.val_numbers) < set(first.val_numbers)


def test_fewer_held_out_samples_than_processes_are_refused(tiny: Path) -> None:
    """A process without any waited for the others' batches for ever."""
    data = TripletDataModule(DataConfig(str(tiny), val_fraction=0.4), seed=0)
    data.trainer = SimpleNamespace(global_rank=0, world_size=5)  # type: ignore[assignment]
    with pytest.raises(DactylError, match="4 samples for validation are too few for 5 processes"):
        data.val_dataloader()
