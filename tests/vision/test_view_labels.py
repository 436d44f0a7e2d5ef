"""Labels of the views: what is written comes back, older datasets stay readable, and damage is named."""

from __future__ import annotations

import io
from collections.abc import Callable, Set
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from datagen.inspection.check import CheckConfig, faults
from eval.scoring.samples import VISIBILITY, describe_samples
from tests.datasets import RENDERER, make_images, make_label, write_dataset, write_manifest
from tests.scenes import rig, scene
from vision.errors import DactylError
from vision.geometry.cameras import Cameras, project
from vision.geometry.rotations import matrix_from_quaternion
from vision.storage.datasets import TripletDataset
from vision.storage.manifest import DatasetFolder
from vision.storage.samples import Samples
from vision.storage.schema import LABEL
from vision.storage.shards import encode_sample, mask_suffix, write_shard
from vision.storage.streams import read_shard

SIZE, COUNT = 32, 3
VIEW_LABEL = {key: field for key, field in LABEL.items() if field.optional}


def make_labelled(index: int) -> tuple[dict[str, Any], np.ndarray]:
    """A label with ``VIEW_LABEL``, and its masks: a rectangle for each camera, none for the second."""
    label = make_label(index, SIZE)
    corners = scene("block").object.keypoints @ matrix_from_quaternion(label["object_quaternion"]).T
    keypoints_2d = project(corners + label["object_position"], Cameras.from_label(label))
    masks, boxes = np.zeros((3, SIZE, SIZE), dtype=bool), np.zeros((3, 4))
    for camera in (0, 2):
        left, top = 5 + index, 7 + camera
        boxes[camera] = left, top, left + 6, top + 9
        masks[camera, top : top + 9, left : left + 6] = True
    return {**label, "visibility": np.array([0.5, 0.0, 1.0]), "box_2d": boxes, "keypoints_2d": keypoints_2d}, masks


def write(folder: Path, spoil: Callable[[dict[str, Any], np.ndarray], None] = lambda label, masks: None) -> Path:
    """A dataset with view labels; ``spoil`` changes those of its last sample."""
    samples = []
    for index in range(COUNT):
        label, masks = make_labelled(index)
        if index == COUNT - 1:
            spoil(label, masks)
        samples.append(encode_sample(label, make_images(index), rig(32), {}, masks))
    write_manifest(folder, [write_shard(folder, 0, samples, "test", RENDERER)])
    return folder


def streamed(folder: Path) -> Samples:
    """The samples of the first shard, as a training reads those of a dataset that passes by."""
    dataset = DatasetFolder(folder)
    return read_shard(dataset, dataset.shards[0])


@pytest.mark.parametrize("opened", [TripletDataset, streamed])
def test_what_is_written_comes_back(opened: Callable[[Path], Samples], tmp_path: Path) -> None:
    dataset = opened(write(tmp_path))
    assert len(dataset) == COUNT
    for index in range(COUNT):
        label, masks = make_labelled(index)
        sample = dataset[index]
        np.testing.assert_array_equal(dataset.masks(index), masks)
        for key, field in VIEW_LABEL.items():
            np.testing.assert_array_equal(sample[key], label[key])
            assert sample[key].dtype == field.dtype
    assert len(dataset.member(0, "mask_left.png")) < 200, "one bit a pixel"
    assert list(faults(CheckConfig(tmp_path))) == []


@pytest.mark.parametrize("opened", [TripletDataset, streamed])
def test_datasets_without_them_stay_readable(opened: Callable[[Path], Samples], tmp_path: Path) -> None:
    dataset = opened(write_dataset(tmp_path, (3, 2)))
    assert dataset[1].keys() == LABEL.keys() - VIEW_LABEL.keys() | {"images"}
    assert dataset.masks(0) is None


def test_evaluation_finds_the_visible_share(tmp_path: Path) -> None:
    columns = describe_samples(TripletDataset(write(tmp_path / "with")), None)
    np.testing.assert_allclose(columns[VISIBILITY], [[0.5, 0.0, 1.0]] * COUNT)
    assert VISIBILITY not in describe_samples(TripletDataset(write_dataset(tmp_path / "without")), None)


@pytest.mark.parametrize(
    ("key", "value", "complaint"),
    [
        ("visibility", np.array([0.5, 0.0, 1.1]), "visibility: outside"),
        ("visibility", np.array([0.5, 0.0]), "visibility: expected shape"),
        ("box_2d", np.zeros((3, 3)), "box_2d: expected shape"),
        ("keypoints_2d", np.full((3, 8, 2), np.nan), "keypoints_2d: not finite"),
    ],
)
def test_wrong_labels_are_never_written(tmp_path: Path, key: str, value: Any, complaint: str) -> None:
    def spoil(label: dict[str, Any], masks: np.ndarray) -> None:
        label[key] = value

    with pytest.raises(DactylError, match=complaint):
        write(tmp_path, spoil)


def test_check_names_labels_that_contradict_each_other(tmp_path: Path) -> None:
    def spoil(label: dict[str, Any], masks: np.ndarray) -> None:
        masks[0, 0, 0] = True
        label["visibility"][2] = 0.0
        label["keypoints_2d"][1, 3, 0] += 0.1

    found = list(faults(CheckConfig(write(tmp_path, spoil))))
    assert len(found) == 3
    assert all("shard-000000.tar: 000000002" in line for line in found)
    assert "label.json: keypoints_2d" in found[0]
    assert "mask_left.png: its box is (0, 0, 13, 16)" in found[1]
    assert "mask_right.png: shows 54 pixels, the label says that 0%" in found[2]


@pytest.mark.parametrize(
    ("image", "complaint"),
    [
        (Image.new("1", (SIZE, SIZE + 1)), "not a mask of 32x32 pixels"),
        (Image.new("RGB", (SIZE, SIZE)), "not a mask of 32x32 pixels"),
        (None, "not a readable PNG"),
    ],
)
def test_foreign_masks_are_refused(tmp_path: Path, image: Image.Image | None, complaint: str) -> None:
    label, masks = make_labelled(0)
    members = encode_sample(label, make_images(0), rig(32), {}, masks)
    buffer = io.BytesIO()
    if image is not None:
        image.save(buffer, "PNG")
    members[mask_suffix("top")] = buffer.getvalue() or members[mask_suffix("top")][:-30]
    write_manifest(tmp_path, [write_shard(tmp_path, 0, [members], "test", RENDERER)])
    dataset = TripletDataset(tmp_path)
    with pytest.raises(DactylError, match=complaint):
        dataset.masks(0)
    assert any(complaint in line and "mask_top.png" in line for line in faults(CheckConfig(tmp_path)))


@pytest.mark.parametrize(
    ("left", "with_masks", "complaint"),
    [
        ({"visibility"}, True, "'box_2d' is missing beside other labels"),
        (set(), True, "'box_2d' is missing beside other labels"),
        ({"box_2d", "keypoints_2d"}, False, "'visibility' is missing beside other labels"),
        (VIEW_LABEL.keys(), False, "labels of the views without masks"),
    ],
)
def test_check_wants_all_of_them_or_none(tmp_path: Path, left: Set[str], with_masks: bool, complaint: str) -> None:
    label, masks = make_labelled(0)
    label = {key: value for key, value in label.items() if key not in VIEW_LABEL or key in left}
    members = encode_sample(label, make_images(0), rig(32), {}, masks if with_masks else None)
    write_manifest(tmp_path, [write_shard(tmp_path, 0, [members], "test", RENDERER)])
    (found,) = faults(CheckConfig(tmp_path))
    assert complaint in found
