"""The Rerun viewer's recording holds what the dataset does, in the world's frame; without Rerun one line says so."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dactyl.inspection import sample_errors
from datagen.generate import shard_task
from datagen.generate.config import RenderConfig
from datagen.generate.shard_task import ShardTask
from datagen.inspection.overview import InspectConfig, inspect
from datagen.inspection.viewer import view_in_rerun
from datagen.states.collect import StatesConfig, collect
from datagen.states.drawn import load_drawn_states
from tests.datagen.test_generate import Painter, config_of
from tests.datasets import write_dataset, write_manifest
from vision.configuration.command_line import UsageError, parse
from vision.errors import DactylError
from vision.geometry.cameras import Cameras, project
from vision.geometry.rotations import matrix_from_quaternion
from vision.storage.datasets import TripletDataset


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> TripletDataset:
    folder = tmp_path_factory.mktemp("viewer")
    collect(StatesConfig(folder / "states", count=4, seed=3, worlds=4, threads=1))
    config: RenderConfig = config_of(folder / "states", folder / "set", count=4)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shard_task, "create_renderer", lambda *arguments: Painter())
        task = ShardTask(config, config.drawn_scene(), load_drawn_states(config.states), "test")
        write_manifest(config.output, [task(0, lambda count: None)], 32)
    return TripletDataset(config.output)


def logged(path: Path) -> dict[str, dict[int, dict[str, Any]]]:
    """What a recording holds: entity, sample (-1 for what does not change), component."""
    chunks = pytest.importorskip("rerun.chunk", reason="needs the extra viewer: make test-extras")
    found: dict[str, dict[int, dict[str, Any]]] = {}
    for chunk in chunks.RrdReader(path).stream():
        batch = chunk.to_record_batch()
        columns = {name: batch.column(name) for name in batch.schema.names if ":" in name}
        for row in range(batch.num_rows):
            sample = batch.column("sample")[row].as_py() if "sample" in batch.schema.names else -1
            values = {name: column[row].as_py() for name, column in columns.items()}
            found.setdefault(chunk.entity_path, {}).setdefault(sample, {}).update(values)
    return found


def test_the_recording_holds_the_samples(dataset: TripletDataset, tmp_path: Path) -> None:
    pytest.importorskip("rerun.chunk", reason="needs the extra viewer: make test-extras")
    path = tmp_path / "deep" / "set.rrd"
    inspect(InspectConfig(dataset.folder, page_samples=2, viewer="rerun", save=path), sample_errors)
    assert not (dataset.folder / "browse.html").exists(), "the viewer stands for sheet and page"
    found = logged(path)
    assert set(found["/world/object"]) == {-1, 0, 3}
    for number in (0, 3):
        label = dataset.label(number)
        pose = found["/world/object"][number]
        assert np.allclose(pose["Transform3D:translation"], label["object_position"], atol=1e-6)
        x, y, z, w = pose["Transform3D:quaternion"][0]
        assert np.allclose([w, x, y, z], label["object_quaternion"], atol=1e-6)
        for camera, name in enumerate(dataset.rig.names):
            place = found[f"/world/cameras/{name}"][number]
            picture = found[f"/world/cameras/{name}/image"][number]
            assert bytes(picture["EncodedImage:blob"][0]) == dataset.member(number, f"{name}.jpg")
            # As Rerun has it: camera to world, matrices column by column.
            rotation = np.reshape(place["Transform3D:mat3x3"], (3, 3)).T
            K = np.reshape(picture["Pinhole:image_from_camera"], (3, 3)).T
            in_camera = rotation.T @ (label["object_position"] - np.ravel(place["Transform3D:translation"]))
            expected = project(label["object_position"][None], Cameras.from_label(label).at(camera))
            assert np.allclose((K @ in_camera)[:2] / in_camera[2], expected[0], atol=0.05)
        bones = np.array(found["/world/hand"][number]["LineStrips3D:strips"])
        assert bones.shape[1:] == (2, 3)
        assert len(bones) >= 15
        assert np.linalg.norm(bones[:, 0] - bones[:, 1], axis=1).max() < 0.3, "the forearm is the longest part"
        assert np.linalg.norm(bones.mean(axis=(0, 1)) - label["object_position"]) < 0.25, "the hand is where it is"
        assert str(label["index"]) in found["/label"][number]["TextDocument:text"][0]


def test_the_objects_shape_is_in_its_own_frame(dataset: TripletDataset, tmp_path: Path) -> None:
    pytest.importorskip("rerun.chunk", reason="needs the extra viewer: make test-extras")
    view_in_rerun(dataset, [0], tmp_path / "set.rrd")
    shape = logged(tmp_path / "set.rrd")["/world/object"][-1]
    vertices = np.array(shape["Mesh3D:vertex_positions"])
    assert np.allclose(np.abs(vertices), 0.0285, atol=1e-6)
    assert len(shape["Mesh3D:triangle_indices"]) == 12
    assert len(shape["LineStrips3D:strips"]) == 12
    pose = matrix_from_quaternion(dataset.label(0)["object_quaternion"])
    assert not np.allclose(pose, np.eye(3)), "else the frames could not be told apart"


def test_what_cannot_be_written_is_one_line(dataset: TripletDataset, tmp_path: Path) -> None:
    pytest.importorskip("rerun.chunk", reason="needs the extra viewer: make test-extras")
    (tmp_path / "file").write_text("")
    with pytest.raises(DactylError, match=r"file/set\.rrd: cannot write"):
        view_in_rerun(dataset, [0], tmp_path / "file" / "set.rrd")


def test_without_rerun_one_line_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "rerun", None)
    with pytest.raises(DactylError, match=r"pip install 'dactyl-vision\[viewer\]'"):
        view_in_rerun(TripletDataset(write_dataset(tmp_path)), [0], tmp_path / "set.rrd")


@pytest.mark.parametrize("options", [["--save", "a.rrd"], ["--viewer", "rerun", "--save", "a.png"]])
def test_save_is_a_recording_for_the_viewer(options: list[str]) -> None:
    with pytest.raises(UsageError, match=r"save: expected a file that ends in \.rrd"):
        parse(InspectConfig, ["--dataset", "set", *options], "dactyl inspect", "")
