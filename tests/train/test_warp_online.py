"""Online triplets drawn by the training process itself: the samples of ``dactyl render --renderer warp``.

Part of ``make test-extras``: the renderer's kernels are compiled once, which takes minutes.
"""

from __future__ import annotations

import csv
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

pytest.importorskip("mujoco_warp")

from datagen.generate.config import RenderConfig
from datagen.generate.dataset import generate
from datagen.generate.shard_task import make_samples
from datagen.render import create_renderer
from datagen.render.base import RenderOptions
from datagen.render.warp_options import WarpOptions
from datagen.states.collect import StatesConfig, collect
from datagen.states.drawn import load_drawn_states
from tests.synthetic import make_dataset
from train.batches import Batch, MixedBatches, collate
from train.online import OnlineTriplets
from train.online_config import OnlineConfig
from train.online_device import DeviceBatches
from vision.errors import DactylError
from vision.storage.datasets import TripletDataset

pytestmark = pytest.mark.timeout(1_200)
SIZE = 32
OPTIONS = RenderOptions(image_size=SIZE, warp=WarpOptions(rays=1))


@pytest.fixture(scope="module")
def states(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("states") / "states"
    collect(StatesConfig(folder, count=9, seed=3, worlds=3, threads=1))
    return folder


@pytest.fixture(scope="module")
def held_out(tmp_path_factory: pytest.TempPathFactory) -> TripletDataset:
    return TripletDataset(make_dataset(tmp_path_factory.mktemp("val") / "val", 2, image_size=SIZE))


def batches(
    states: Path, held_out: TripletDataset, first: int = 0, end: int = 3, size: int = 4, rank: int = 0, world: int = 1
) -> list[Batch]:
    config = OnlineConfig(states, seed=5, workers=1, renderer="warp", render=OPTIONS)
    online = OnlineTriplets(config, held_out, np.arange(2))
    made = online.batches(size, first, end, rank, world, 1, torch.device("cpu"))
    assert isinstance(made, DeviceBatches)
    return list(made)


@pytest.fixture(scope="module")
def whole(states: Path, held_out: TripletDataset) -> list[Batch]:
    return batches(states, held_out)


def test_samples_are_those_that_dactyl_render_draws(whole: list[Batch], states: Path, tmp_path: Path) -> None:
    """Labels to the bit; pictures to the bit as they are before JPEG, and but for its rounding as they are stored."""
    config = RenderConfig(states, tmp_path / "set", 12, seed=5, renderer="warp", workers=1, render=OPTIONS)
    drawn = config.drawn_scene()
    with create_renderer("warp", drawn, OPTIONS) as renderer:
        pairs = list(make_samples(config, drawn, load_drawn_states(states), renderer.materials, range(12)))
        images = renderer.render([sample for sample, _ in pairs])
    stored = TripletDataset(generate(config).folder)
    for number, batch in enumerate(whole):
        numbers = range(4 * number, 4 * number + 4)
        expected = collate([stored[index] for index in numbers], online=True)
        assert batch.keys() == expected.keys()
        for key in batch.keys() - {"images"}:
            torch.testing.assert_close(batch[key], expected[key], rtol=0, atol=0, msg=key)
        assert batch["images"].shape == expected["images"].shape
        assert batch["images"].stride() == expected["images"].stride()
        np.testing.assert_array_equal(batch["images"].permute(0, 1, 3, 4, 2).numpy(), images[list(numbers)])
        assert (batch["images"].int() - expected["images"].int()).abs().float().mean() < 3.0


def test_a_resumed_training_goes_on_with_the_same_pictures(
    whole: list[Batch], states: Path, held_out: TripletDataset
) -> None:
    for one, other in zip(batches(states, held_out, first=1), whole[1:], strict=True):
        for key, values in one.items():
            assert torch.equal(values, other[key]), key


def test_training_processes_share_the_samples_of_one(
    whole: list[Batch], states: Path, held_out: TripletDataset
) -> None:
    pair = [batches(states, held_out, size=2, rank=rank, world=2) for rank in range(2)]
    for number, batch in enumerate(whole):
        for key, values in batch.items():
            assert torch.equal(torch.cat([part[number][key] for part in pair]), values), key


def test_stored_triplets_join_them(whole: list[Batch], held_out: TripletDataset) -> None:
    stored = [collate([held_out[0], held_out[1]])]
    (batch,) = MixedBatches(1, stored, whole[:1])
    assert batch["online"].tolist() == [False] * 2 + [True] * 4
    assert torch.equal(batch["images"][2:], whole[0]["images"])


def test_what_cannot_draw_is_named(states: Path, held_out: TripletDataset) -> None:
    config = OnlineConfig(states, seed=5, workers=1, renderer="warp", render=OPTIONS)
    online = OnlineTriplets(replace(config, device="cuda:63"), held_out, np.arange(2))
    with pytest.raises(DactylError, match="cuda:63"):
        list(online.batches(2, 0, 1, 0, 1, 1, torch.device("cpu")))


@pytest.mark.parametrize("devices", [1, 2])
def test_a_training_draws_its_own_pictures(states: Path, tmp_path: Path, devices: int) -> None:
    """Alone, and as two processes, each of which draws its part of each batch."""
    val = make_dataset(tmp_path / "val", 4, image_size=SIZE)
    run = tmp_path / "run"
    online = ["--data.online.states", str(states), "--data.online.renderer", "warp", "--data.online.workers", "1"]
    online += ["--data.online.render.image_size", str(SIZE), "--data.online.render.warp.rays", "1"]
    small = ["--model.backbone.name", "pyramid", "--model.backbone.width", "8", "--model.backbone.blocks", "1"]
    small += ["--data.batch_size", "4", "--trainer.max_steps", "2", "--trainer.log_every_n_steps", "1"]
    small += ["--trainer.accelerator", "cpu", "--threads", "1", "--log.pictures", "0"]
    several = ["--trainer.devices", str(devices), *(["--trainer.strategy", "ddp"] if devices > 1 else [])]
    result = subprocess.run(
        [
            *(sys.executable, "-m", "dactyl", "train", "--data.val", str(val), "--output", str(run)),
            *(*online, *small, *several),
        ],
        capture_output=True,
        text=True,
        check=False,
        env=dict(os.environ),
    )
    assert result.returncode == 0, result.stderr
    assert torch.load(run / "last.ckpt", weights_only=True)["global_step"] == 2
    rows = [row for log in run.glob("csv/*/metrics.csv") for row in csv.DictReader(log.open())]
    assert len([row for row in rows if row.get("rate/waiting_share")]) == 2
