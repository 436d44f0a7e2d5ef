"""Where samples lie: what records say is what the tars hold, and nothing wrong is believed."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.datasets import RENDERER, make_images, make_label, reseal, write_dataset, write_manifest
from tests.scenes import rig
from vision.errors import DactylError
from vision.storage import manifest
from vision.storage.datasets import TripletDataset
from vision.storage.layout import ShardLayout, scan_tar
from vision.storage.manifest import DatasetFolder
from vision.storage.shards import encode_sample, read_shard_record, shard_name, write_shard

REQUIRED = {*(f"{name}.jpg" for name in rig().names), "label.json", "appearance.json"}


@pytest.fixture(scope="module")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_dataset(tmp_path_factory.mktemp("pristine"), (3, 2))


@pytest.fixture
def folder(pristine: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(pristine, tmp_path / "set"))


def change_record(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    reseal((folder / shard_name(0)).with_suffix(".json"), change)


@pytest.mark.parametrize("number", [0, 1])
def test_the_record_says_what_the_tar_holds(pristine: Path, number: int) -> None:
    said = read_shard_record((pristine / shard_name(number)).with_suffix(".json"))
    recorded = ShardLayout.from_record(said.layout, said.shard.bytes)
    assert recorded == scan_tar(pristine / shard_name(number), 3 - number, REQUIRED, ())
    assert recorded is not None
    assert recorded.to_record() == said.layout


def test_opening_walks_no_tar(pristine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(manifest, "scan_tar", lambda *arguments: pytest.fail("walked a tar"))
    dataset = TripletDataset(pristine)
    assert [int(dataset[number]["index"]) for number in (4, 0, 3)] == [4, 0, 3]


MISFITS: dict[str, Callable[[dict[str, Any]], object]] = {
    "none, as older programs wrote": lambda record: record.pop("layout"),
    "of another shard": lambda record: record["shard"].update(sha256="0" * 64),
    "not a table": lambda record: record.update(layout=[1, 2]),
    "not numbers": lambda record: record["layout"]["samples"].__setitem__(0, "0 a b c d e"),
    "ragged": lambda record: record["layout"]["samples"].__setitem__(0, "0 1 2"),
    "negative": lambda record: record["layout"]["samples"].__setitem__(0, "0 -1 2 3 4 5"),
    "beyond 64 bits": lambda record: record["layout"]["samples"].__setitem__(0, f"0 {10**30} 2 3 4 5"),
    "of a longer tar": lambda record: record["layout"]["samples"].__setitem__(0, "0 99999 2 3 4 5"),
    "fewer samples": lambda record: record["layout"]["samples"].pop(),
    "foreign member": lambda record: record["layout"]["members"].__setitem__(0, "evil.pyd"),
    "member twice": lambda record: record["layout"]["members"].__setitem__(0, "label.json"),
    "not a record": lambda record: record.clear(),
}


@pytest.mark.parametrize("kind", MISFITS)
def test_a_layout_that_does_not_fit_is_not_used(folder: Path, kind: str) -> None:
    change_record(folder, MISFITS[kind])
    dataset = TripletDataset(folder)
    assert [int(dataset[number]["index"]) for number in range(5)] == list(range(5))


def exchange_sizes(record: dict[str, Any]) -> None:
    """The tar would be as long: only its headers show that this is wrong."""
    number, first, second, *rest = record["layout"]["samples"][1].split()
    record["layout"]["samples"][1] = " ".join([number, second, first, *rest])


def one_byte_less(record: dict[str, Any]) -> None:
    *rest, last = record["layout"]["samples"][1].split()
    record["layout"]["samples"][1] = " ".join([*rest, str(int(last) - 1)])


def another_number(record: dict[str, Any]) -> None:
    _, *sizes = record["layout"]["samples"][1].split()
    record["layout"]["samples"][1] = " ".join(["7", *sizes])


@pytest.mark.parametrize("lie", [exchange_sizes, one_byte_less, another_number])
def test_a_layout_that_lies_is_found_out_when_read_and_by_check(folder: Path, lie: Callable[..., None]) -> None:
    change_record(folder, lie)
    dataset = TripletDataset(folder)
    dataset[0]
    with pytest.raises(DactylError, match=r"shard-000000\.tar: 00000000\d\.\w+\.\w+ is not where it was"):
        dataset[1]
    with pytest.raises(DactylError, match=r"shard-000000\.json: is not of the shard beside it"):
        DatasetFolder(folder).check_shard(dataset.shards[0])


def test_masks_come_back_and_are_optional(pristine: Path, tmp_path: Path) -> None:
    masks = np.random.default_rng(0).random((2, 3, 32, 32)) < 0.3
    samples = [encode_sample(make_label(index), make_images(index), rig(32), {}, masks[index]) for index in range(2)]
    write_manifest(tmp_path, [write_shard(tmp_path, 0, samples, "test", RENDERER)])
    dataset = TripletDataset(tmp_path)
    for index in range(2):
        np.testing.assert_array_equal(dataset.masks(index), masks[index])
        assert dataset[index]["images"].shape == (3, 32, 32, 3)
    DatasetFolder(tmp_path).check_shard(dataset.shards[0])
    assert TripletDataset(pristine).masks(0) is None


def test_samples_of_a_shard_have_the_same_members(tmp_path: Path) -> None:
    mask = np.zeros((3, 32, 32), bool)
    plain = encode_sample(make_label(0), make_images(0), rig(32), {})
    masked = encode_sample(make_label(1), make_images(1), rig(32), {}, mask)
    with pytest.raises(ValueError, match="sample 000000001: has"):
        write_shard(tmp_path, 0, [plain, masked], "test", RENDERER)
    for bad in (mask[:2], mask.astype(np.uint8)):
        with pytest.raises(ValueError, match="expected masks"):
            encode_sample(make_label(0), make_images(0), rig(32), {}, bad)
