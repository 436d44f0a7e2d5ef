"""dactyl check names every bad shard and sample; info, page and doctor tell the truth."""

from __future__ import annotations

import html
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from dactyl.cli import main
from datagen.appearance.draw import AppearanceConfig
from datagen.appearance.sample import Sample
from datagen.inspection.check import CheckConfig, faults
from datagen.inspection.doctor import complaint, examine
from datagen.inspection.gallery import page
from datagen.render import create_renderer
from datagen.render.base import RENDERING, RenderOptions
from tests.datasets import RENDERER, make_images, make_label, make_sample, write_dataset, write_manifest
from tests.scenes import rig, scene
from vision.distributions import Uniform
from vision.errors import DactylError
from vision.geometry.rotations import count_by_cube_rotation, cube_rotations, quaternion_from_matrix
from vision.io.json_values import to_jsonable
from vision.rigs.rig import Camera, Rig
from vision.storage.datasets import TripletDataset
from vision.storage.shards import encode_sample, write_shard


def found(folder: Path) -> list[str]:
    return list(faults(CheckConfig(folder)))


def test_a_sound_dataset_has_no_faults(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write_dataset(tmp_path / "set", (3, 2))
    assert main(["check", "--dataset", str(folder)]) == 0
    assert "sound" in capsys.readouterr().out


def test_every_bad_shard_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write_dataset(tmp_path / "set", (2, 2, 2, 2))
    flipped = bytearray((folder / "shard-000000.tar").read_bytes())
    flipped[3000] ^= 1
    (folder / "shard-000000.tar").write_bytes(flipped)
    (folder / "shard-000001.tar").unlink()
    with (folder / "shard-000003.tar").open("ab") as shard:
        shard.write(b"more")
    (folder / "shard-000009.tar").write_bytes(b"")
    expected = {"9": "does not know", "0": "content differs", "1": "missing", "3": "bytes, the manifest says"}
    named = found(folder)
    assert len(named) == len(expected)
    for line, (number, what) in zip(named, expected.items(), strict=True):
        assert f"shard-00000{number}.tar" in line
        assert what in line
    assert main(["check", "--dataset", str(folder)]) == 1
    assert "4 faults" in capsys.readouterr().err


def test_every_bad_sample_is_named(tmp_path: Path) -> None:
    labels, images = [make_label(index) for index in range(5)], [make_images(index) for index in range(5)]
    images[1][2] = 90
    images[3][0] = images[2][1]
    labels[4]["object_position"] = np.array([3.0, 0.87, 0.15])
    samples = [encode_sample(label, image, rig(32), {}) for label, image in zip(labels, images, strict=True)]
    write_manifest(tmp_path, [write_shard(tmp_path, 0, samples, "test", RENDERER)])
    named = found(tmp_path)
    assert len(named) == 3
    assert "000000001.right.jpg: blank" in named[0]
    assert "000000004.label.json: the object" in named[1]
    assert "000000003.left.jpg: the same picture as" in named[2]
    assert "000000002.top.jpg" in named[2]


def test_a_blank_picture_of_a_smaller_camera_is_found(tmp_path: Path) -> None:
    """Beside the larger ones it has a black border, which is none of its own."""
    wide = rig(32)
    cameras = [Camera(each.name, 32, 32, each.intrinsics, each.extrinsics) for each in wide.cameras]
    cameras[1] = Camera("top", 20, 24, wide.cameras[1].intrinsics, wide.cameras[1].extrinsics)
    drawn = scene("block", 32).with_rig(Rig(cameras=tuple(cameras)))
    images = make_images(0, 32)
    images[1, :24, :20], images[1, 24:], images[1, :, 20:] = 90, 0, 0
    sample = encode_sample(make_label(0, 32), images, drawn.rig, {})
    write_manifest(tmp_path, [write_shard(tmp_path, 0, [sample], "test", RENDERER)], 32, scene=drawn.to_json())
    assert any("000000000.top.jpg: blank" in fault for fault in found(tmp_path))


def test_pictures_of_another_version_cannot_be_drawn_again(tmp_path: Path) -> None:
    """Not called faulty: this program would draw other ones."""
    folder = write_dataset(tmp_path, (3, 2))
    config = {"renderer": "classic", "render": {"image_size": 32}}
    write_manifest(folder, TripletDataset(folder).shards, config=config)
    with pytest.raises(DactylError, match="rendering version None, this program draws version"):
        list(faults(CheckConfig(folder, rerender=1)))
    assert found(folder) == []


@pytest.mark.parametrize("renderer", ["unity", "gone", None])
def test_what_cannot_be_started_here_is_not_drawn_again(tmp_path: Path, renderer: str | None) -> None:
    """A player of another machine, a package that is not installed, or no renderer at all."""
    folder = write_dataset(tmp_path, (2,))
    write_manifest(folder, TripletDataset(folder).shards, config={"renderer": renderer, "rendering": RENDERING})
    with pytest.raises(DactylError, match=f"rendered by {renderer}, which cannot be started from here"):
        list(faults(CheckConfig(folder, rerender=1)))


def test_info(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info", "--dataset", str(write_dataset(tmp_path / "set", (3, 2)))]) == 0
    assert "5 in 2 shards" in capsys.readouterr().out


def test_info_says_what_was_not_the_default(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write_dataset(tmp_path, (3, 2))
    appearance = to_jsonable(AppearanceConfig(light_total_intensity=Uniform(0.0, 9.5)))
    config = {"appearance": appearance, "render": to_jsonable(RenderOptions()) | {"image_size": 32}}
    write_manifest(folder, TripletDataset(folder).shards, config=config)
    assert main(["info", "--dataset", str(folder)]) == 0
    said = capsys.readouterr().out
    assert "light_total_intensity.high 9.5 (15.0)" in said
    assert "image_size 32 (None)" in said
    assert "light_distance" not in said


def test_check_counts_what_is_there(tmp_path: Path) -> None:
    samples = [make_sample(index) for index in (0, 1, 3)]
    record = write_shard(tmp_path, 0, samples, "test", RENDERER)
    write_manifest(tmp_path, [record], config={"shard_size": 4})
    (gap,) = found(tmp_path)
    assert "1 samples are missing, the first is 000000002" in gap
    write_manifest(tmp_path, [record], config={"recording": "lab"})
    assert found(tmp_path) == []


def test_orientations_are_counted_by_the_nearest_of_24() -> None:
    quaternions = np.array([quaternion_from_matrix(rotation) for rotation in cube_rotations()])
    tilted = quaternions + np.random.default_rng(0).normal(0, 0.05, quaternions.shape)
    tilted /= np.linalg.norm(tilted, axis=1, keepdims=True)
    assert count_by_cube_rotation(tilted).tolist() == [1] * 24


def test_page_holds_every_picture_and_value(tmp_path: Path) -> None:
    text = page(TripletDataset(write_dataset(tmp_path / "set", (3, 2))), [0, 3])
    assert text.count("data:image/jpeg;base64,") == text.count("<svg") == 6
    assert text.count("<line") == 6 * 12
    assert html.escape("exposure: 0.3") in text
    assert "://" not in text


class Spoiled:
    """A renderer whose pictures are changed on the way."""

    def __init__(self, how: str) -> None:
        self.renderer = create_renderer("classic", scene("block", 100), RenderOptions(mesh_fraction=0.05))
        self.materials, self.how = self.renderer.materials, how

    def render(self, samples: Sequence[Sample]) -> np.ndarray:
        images = self.renderer.render(samples)
        changed = {
            "nothing": images,
            "mirrored": images[:, :, :, ::-1],
            "upside down": images[:, :, ::-1],
            "cameras swapped": images[:, ::-1],
            "blank": np.full_like(images, 60),
            "shifted": np.roll(images, 6, axis=3),
        }
        return changed[self.how]


@pytest.mark.parametrize("how", ["nothing", "mirrored", "upside down", "cameras swapped", "blank", "shifted"])
def test_doctor_knows_wrong_pictures(how: str) -> None:
    spoiled = Spoiled(how)
    try:
        assert bool(complaint(spoiled, scene("block", 100))) == (how != "nothing")  # type: ignore[arg-type]
    finally:
        spoiled.renderer.close()


def test_doctor_says_what_draws_and_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    well = examine("filament")
    assert not well.complaint
    assert well.device.endswith(("(software)", "(hardware)"))
    monkeypatch.setenv("VK_DRIVER_FILES", "/nowhere.json")
    monkeypatch.setenv("VK_ICD_FILENAMES", "/nowhere.json")
    assert "mesa-vulkan-drivers" in examine("filament").complaint
    assert "does not answer within 0.01 s" in examine("filament", 0.01).complaint
