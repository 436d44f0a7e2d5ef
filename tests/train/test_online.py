"""Online samples: what dactyl render would have written, whatever renders them and wherever a training goes on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace as replace_config
from pathlib import Path

import numpy as np
import pytest
import torch
from msgspec.structs import replace
from numpy.typing import NDArray
from PIL import Image

from datagen.appearance.draw import AppearanceConfig
from datagen.appearance.sample import Sample
from datagen.generate import shard_task
from datagen.generate.chunks import Chunks
from datagen.generate.config import RenderConfig
from datagen.generate.shard_task import ShardTask
from datagen.pictures.surroundings_pool import SURROUNDINGS, SurroundingsConfig
from datagen.render.base import RendererInfo, RenderOptions
from datagen.states.collect import StatesConfig, collect
from datagen.states.drawn import load_drawn_states
from tests.datasets import reseal
from tests.scenes import compiled
from tests.synthetic import make_dataset
from train.batches import BATCH_KEYS, MixedBatches, collate
from train.data_config import DataConfig
from train.online import OnlineTriplets, decoded
from train.online_config import OnlineConfig
from train.sources import TripletSources
from vision.errors import DactylError
from vision.storage.datasets import TripletDataset
from vision.storage.folders import MANIFEST
from vision.storage.records import write_record

SIZE = 32


@pytest.fixture(scope="module")
def states(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("states") / "states"
    collect(StatesConfig(folder, count=9, seed=3, worlds=3, threads=1))
    return folder


class Dither:
    """Stands in for Filament: pictures depend on the sample and on how many this renderer drew before."""

    batch_size = 2
    info = RendererInfo("dither", "1", "none", "none")
    materials = compiled().materials

    def __init__(self) -> None:
        self.drawn = 0

    def skip(self, count: int) -> None:
        self.drawn += count

    def render(self, samples: Sequence[Sample]) -> NDArray[np.uint8]:
        images = []
        for sample in samples:
            generator = np.random.default_rng([sample.index, self.drawn])
            images.append(generator.integers(0, 255, (3, SIZE, SIZE, 3)).astype(np.uint8))
            self.drawn += 1
        return np.stack(images)

    def close(self) -> None: ...


@pytest.fixture
def dither(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shard_task, "create_renderer", lambda *_: Dither())


def config_of(states: Path, output: Path, count: int = 12, shard_size: int = 4) -> RenderConfig:
    options = RenderOptions(image_size=SIZE)
    return RenderConfig(states, output, count=count, shard_size=shard_size, seed=5, render=options)


def chunks(states: Path, first: int = 0, end: int = 12, per_batch: int = 3, rank: int = 0, world: int = 1) -> Chunks:
    config = config_of(states, Path())
    return Chunks(config, config.drawn_scene(), load_drawn_states(states), per_batch, rank, world, first, end)


def samples_of(task: Chunks) -> list[dict]:
    return [sample for number in task.numbers for sample in decoded(task.scene, task(number, lambda _: None))]


@pytest.mark.usefixtures("dither")
def test_online_samples_are_those_of_a_rendered_set(states: Path, tmp_path: Path) -> None:
    config = config_of(states, tmp_path)
    task = ShardTask(config, config.drawn_scene(), load_drawn_states(states), "x")
    records = [task(number, lambda _: None) for number in range(3)]
    stored = _dataset(tmp_path, records)
    online = samples_of(chunks(states))
    assert len(online) == len(stored) == 12
    for number, sample in enumerate(online):
        for key in BATCH_KEYS:
            np.testing.assert_array_equal(sample[key], stored[number][key], err_msg=key)


@pytest.mark.usefixtures("dither")
def test_what_determines_the_samples_is_the_identity_of_a_training(states: Path, tmp_path: Path) -> None:
    """Pictures of a folder by their content, as ``dactyl render`` has it; how it is drawn, not by how many."""
    folder = tmp_path / "rooms"
    folder.mkdir()
    Image.new("RGB", (16, 8), "blue").save(folder / "a.png")
    around = AppearanceConfig(surroundings=SurroundingsConfig(probability=1.0, folder=folder))
    render = RenderOptions(image_size=SIZE)
    nothing, none = TripletDataset(make_dataset(tmp_path / "val", 2, image_size=SIZE)), np.zeros(0, np.int64)

    def identity(config: OnlineConfig) -> dict[str, object]:
        return OnlineTriplets(config, nothing, none).identity()

    config = OnlineConfig(states, appearance=around, render=render)
    before = identity(config)
    assert identity(replace_config(config, workers=3, timeout_s=9.0)) == before
    assert identity(replace_config(config, fraction=0.5)) != before
    assert identity(replace_config(config, chunk=32)) != before
    stored = RenderConfig(states, tmp_path / "set", appearance=around, render=render, seed=config.seed, shard_size=64)
    assert before == stored.identity() | {"fraction": 1.0}
    Image.new("RGB", (16, 8), "red").save(folder / "a.png")
    SURROUNDINGS.forget()
    assert identity(config) != before


@pytest.mark.parametrize("first", [1, 4, 6, 11])
def test_a_resumed_training_goes_on_with_the_same_bytes(states: Path, first: int) -> None:
    whole, rest = samples_of(chunks(states)), samples_of(chunks(states, first))
    assert [sample["index"] for sample in rest] == list(range(first, 12))
    for one, other in zip(whole[first:], rest, strict=True):
        np.testing.assert_array_equal(one["images"], other["images"])


@pytest.mark.usefixtures("dither")
def test_two_processes_share_the_samples_of_one(states: Path) -> None:
    alone = samples_of(chunks(states, per_batch=6))
    pair = [samples_of(chunks(states, end=6, per_batch=3, rank=rank, world=2)) for rank in range(2)]
    together = [*pair[0][:3], *pair[1][:3], *pair[0][3:], *pair[1][3:]]
    assert [sample["index"] for sample in together] == list(range(12))
    for one, other in zip(alone, together, strict=True):
        for key in set(BATCH_KEYS) - {"images"}:
            np.testing.assert_array_equal(one[key], other[key], err_msg=key)


def test_held_out_episodes_are_not_trained_on(states: Path, tmp_path: Path) -> None:
    whole = load_drawn_states(states)
    episodes, left = whole.episode, whole.excluding([int(whole.episode[0])])
    assert 0 < len(left) < len(episodes)
    assert set(left.episode) == set(episodes) - {episodes[0]}
    held_out = _of_states(make_dataset(tmp_path / "val", 2, image_size=SIZE), states)
    online = OnlineTriplets(OnlineConfig(states, render=RenderOptions(image_size=SIZE)), held_out, np.arange(2))
    assert set(online._states.episode) == set(episodes) - {0}
    assert online.positions(50).shape == (50, 3)


def test_a_set_with_the_same_samples_is_refused(states: Path, tmp_path: Path) -> None:
    val = _of_states(make_dataset(tmp_path / "val", 2, image_size=SIZE, seed=7), states)
    online = OnlineConfig(states, seed=7, render=RenderOptions(image_size=SIZE))
    with pytest.raises(DactylError, match=r"val: has the seed of data\.online, 7"):
        TripletSources(DataConfig(val=str(val.folder), online=online), seed=0)


def test_pictures_of_another_size_are_refused(states: Path, tiny: Path) -> None:
    with pytest.raises(DactylError, match=r"data\.online: image size is 200x200 pixels, expected 64x64"):
        TripletSources(DataConfig(val=str(tiny), online=OnlineConfig(states)), seed=0)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({}, "data.train or data.online is needed"),
        ({"online": OnlineConfig(Path("s"))}, "data.val is needed"),
        ({"online": OnlineConfig(Path("s"), fraction=0.5), "val": "v"}, "data.train is needed for 32"),
        ({"online": OnlineConfig(Path("s"), fraction=0.001), "train": "t"}, "is none"),
    ],
)
def test_impossible_mixtures_are_refused(wrong: dict, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        DataConfig(**wrong)


def test_a_mixed_batch_has_stored_triplets_first(tiny: Path) -> None:
    source = TripletDataset(tiny)
    stored = [collate([source[0], source[1]]), collate([source[2], source[3]])]
    online = [collate([source[4]], online=True), collate([source[5]], online=True)]
    batches = MixedBatches(2, stored, online)
    made = list(batches)
    assert [batch["index"].tolist() for batch in made] == [[0, 1, 4], [2, 3, 5]]
    assert [batch["online"].tolist() for batch in made] == [[False, False, True]] * 2
    assert made[0]["images"].dtype == torch.uint8
    assert made[0]["images"].flatten(0, 1).is_contiguous(memory_format=torch.channels_last)
    assert batches.waited_s > 0


def _dataset(folder: Path, records: Sequence) -> TripletDataset:
    frame = make_dataset(folder / "frame", 1, image_size=SIZE)
    samples = sum(record.samples for record in records)
    manifest = replace(TripletDataset(frame).manifest, samples=samples, shards=tuple(records))
    write_record(folder / MANIFEST, manifest)
    return TripletDataset(folder)


def _of_states(folder: Path, states: Path) -> TripletDataset:
    """A made-up dataset that says it was rendered from these states."""
    from datagen.states.files import states_fingerprint

    reseal(folder / MANIFEST, lambda manifest: manifest["config"].update(states=states_fingerprint(states)))
    return TripletDataset(folder)
