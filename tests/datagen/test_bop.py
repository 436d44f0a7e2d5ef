"""Export to BOP, read back as the format's description says and nothing else of ours, and compared with the dataset."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import trimesh
from msgspec import structs

from datagen.export.bop import BopConfig, export_bop
from datagen.export.bop_models import object_mesh, write_models
from datagen.export.cli import main_bop
from tests.datasets import RENDERER, make_images, make_label, write_manifest
from tests.scenes import rig
from tests.scenes import scene as scene_of
from vision.errors import DactylError
from vision.geometry.cameras import Cameras, project
from vision.geometry.rotations import matrix_from_quaternion
from vision.objects.symmetries import Symmetries
from vision.storage.datasets import TripletDataset
from vision.storage.shards import encode_sample, write_shard

SIZE = 64
SAMPLES = 5


def truncated(label: dict[str, Any]) -> dict[str, Any]:
    """The object half outside of the first camera's picture: it stays, the picture moves by the principal point."""
    K = label["camera_intrinsics"].copy()
    K[0, 0, 2] -= project(label["object_position"][None], Cameras(K[0], label["camera_extrinsics"][0]))[0, 0]
    return label | {"camera_intrinsics": K}


@pytest.fixture(scope="module", params=[True, False], ids=["masks", "no masks"])
def dataset(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> TripletDataset:
    """Two shards; sample 3 is cut off by the border. Masks, where there are some, hide each picture's left half."""
    folder = tmp_path_factory.mktemp("set")
    masks = np.zeros((3, SIZE, SIZE), bool)
    masks[:, :, SIZE // 2 :] = True
    labels = [make_label(index, SIZE) for index in range(SAMPLES)]
    labels[3] = truncated(labels[3])
    samples = [
        encode_sample(label, make_images(index, SIZE), rig(SIZE), {}, masks if request.param else None)
        for index, label in enumerate(labels)
    ]
    records = [write_shard(folder, number, samples[3 * number : 3 * number + 3], "test", RENDERER) for number in (0, 1)]
    write_manifest(folder, records, SIZE)
    return TripletDataset(folder)


@pytest.fixture(scope="module")
def exported(dataset: TripletDataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("bop") / "dactyl"
    assert export_bop(BopConfig(dataset.folder, output)) == SAMPLES
    return output


def load(path: Path) -> Any:
    return json.loads(path.read_text())


def bop_pixels(points_mm: np.ndarray, camera: dict[str, Any], pose: dict[str, Any]) -> np.ndarray:
    """s p_i = K [R_m2c, t_m2c] p_m, as the description has it. (N, 2)"""
    K, R = (np.array(matrix).reshape(3, 3) for matrix in (camera["cam_K"], pose["cam_R_m2c"]))
    homogeneous = (points_mm @ R.T + pose["cam_t_m2c"]) @ K.T
    return homogeneous[:, :2] / homogeneous[:, 2:]


@pytest.mark.parametrize("number", range(SAMPLES))
def test_the_models_points_fall_where_the_datasets_cameras_see_them(
    exported: Path, dataset: TripletDataset, number: int
) -> None:
    model = trimesh.load(exported / "models" / "obj_000001.ply", process=False)
    label, scene = dataset.label(number), exported / "test" / f"{number:06d}"
    cameras, truths = load(scene / "scene_camera.json"), load(scene / "scene_gt.json")
    assert list(cameras) == list(truths) == ["0", "1", "2"]
    points = model.vertices / 1000 @ matrix_from_quaternion(label["object_quaternion"]).T + label["object_position"]
    for image in range(3):
        (truth,) = truths[str(image)]
        assert truth["obj_id"] == 1
        expected = project(points, Cameras.from_label(label).at(image))
        # OpenCV's first pixel has its centre in (0, 0), ours in (0.5, 0.5).
        pixels = bop_pixels(model.vertices, cameras[str(image)], truth) + 0.5
        np.testing.assert_allclose(pixels, expected, atol=1e-3)


def test_a_scene_stands_still(exported: Path) -> None:
    """Model to world is the same from each image: what estimators of several views rely on."""
    for scene in sorted((exported / "test").iterdir()):
        worlds = []
        for image, camera in load(scene / "scene_camera.json").items():
            (truth,) = load(scene / "scene_gt.json")[image]
            R_w2c = np.array(camera["cam_R_w2c"]).reshape(3, 3)
            R_m2c = np.array(truth["cam_R_m2c"]).reshape(3, 3)
            offset = R_w2c.T @ (np.array(truth["cam_t_m2c"]) - camera["cam_t_w2c"])
            worlds.append(np.column_stack([R_w2c.T @ R_m2c, offset]))
        np.testing.assert_allclose(worlds, worlds[:1] * 3, atol=1e-6)


def test_pictures_are_what_the_toolkit_looks_for(exported: Path, dataset: TripletDataset, tmp_path: Path) -> None:
    """It takes the suffix from the split: .jpg in train_pbr, else .png."""
    export_bop(BopConfig(dataset.folder, tmp_path / "pbr", "train_pbr", count=2))
    for number in range(SAMPLES):
        for image, name in enumerate(rig().names):
            rgb = Path(f"{number:06d}") / "rgb" / f"{image:06d}.png"
            jpeg = dataset.member(number, f"{name}.jpg")
            decoded = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
            np.testing.assert_array_equal(cv2.imread(str(exported / "test" / rgb)), decoded)
            if number < 2:
                assert (tmp_path / "pbr" / "train_pbr" / rgb.with_suffix(".jpg")).read_bytes() == jpeg
    assert not list((exported / "test").rglob("*.jpg"))
    assert not list((tmp_path / "pbr" / "train_pbr").glob("*/rgb/*.png"))


def rasterized(corners: np.ndarray, pad: int = 2 * SIZE) -> np.ndarray:
    """The silhouette on a large canvas by another way than ours: OpenCV fills the hull."""
    canvas = np.zeros((SIZE + 2 * pad, SIZE + 2 * pad), np.uint8)
    shift = 8
    hull = cv2.convexHull(((corners - 0.5 + pad) * 2**shift).round().astype(np.int32))
    cv2.fillConvexPoly(canvas, hull, 1, shift=shift)
    return canvas


def test_silhouettes_boxes_and_counts(exported: Path, dataset: TripletDataset) -> None:
    """OpenCV also fills the pixels that the outline merely touches: counts may differ by the outline's length."""
    for number in range(SAMPLES):
        label, scene = dataset.label(number), exported / "test" / f"{number:06d}"
        corners = dataset.object.keypoints @ matrix_from_quaternion(label["object_quaternion"]).T
        seen = project(corners + label["object_position"], Cameras.from_label(label))
        visible = dataset.masks(number)
        for image in range(3):
            (info,) = load(scene / "scene_gt_info.json")[str(image)]
            large = rasterized(seen[image])
            outline = cv2.arcLength(
                seen[image].astype(np.float32)[
                    cv2.convexHull(seen[image].astype(np.float32), returnPoints=False)[:, 0]
                ],
                True,
            )
            assert 0 <= large.sum() - info["px_count_all"] <= 1.2 * outline
            rows, columns = np.nonzero(large)
            x, y, width, height = info["bbox_obj"]
            box = np.array([x, y, x + width - 1, y + height - 1])
            expected = np.array([columns.min(), rows.min(), columns.max(), rows.max()]) - 2 * SIZE
            assert np.abs(box - expected).max() <= 1
            mask = cv2.imread(str(scene / "mask" / f"{image:06d}_000000.png"), cv2.IMREAD_UNCHANGED)
            assert mask.shape == (SIZE, SIZE)
            assert set(np.unique(mask)) <= {0, 255}
            inside = large[2 * SIZE : 3 * SIZE, 2 * SIZE : 3 * SIZE] > 0
            assert not ((mask > 0) & ~inside).any()
            assert (inside & ~(mask > 0)).sum() <= 1.2 * outline
            path = scene / "mask_visib" / f"{image:06d}_000000.png"
            assert path.exists() == (visible is not None)
            if visible is not None:
                np.testing.assert_array_equal(cv2.imread(str(path), cv2.IMREAD_UNCHANGED) > 0, visible[image])
                assert info["px_count_visib"] == visible[image].sum()
                assert info["visib_fract"] == min(1, visible[image].sum() / info["px_count_all"])
                assert info["bbox_visib"] == [SIZE // 2, 0, SIZE // 2, SIZE]
            else:
                assert not info.keys() & {"px_count_visib", "visib_fract", "bbox_visib"}, "unknown is not invented"


def test_what_the_border_cuts_off_counts(exported: Path) -> None:
    (info,) = load(exported / "test" / "000003" / "scene_gt_info.json")["0"]
    mask = cv2.imread(str(exported / "test" / "000003" / "mask" / "000000_000000.png"), cv2.IMREAD_UNCHANGED) > 0
    assert info["bbox_obj"][0] < 0
    assert 0.3 < mask.sum() / info["px_count_all"] < 0.7


def test_models(exported: Path, dataset: TripletDataset) -> None:
    target = dataset.object
    for folder in ("models", "models_eval"):
        model = trimesh.load(exported / folder / "obj_000001.ply")
        info = load(exported / folder / "models_info.json")["1"]
        np.testing.assert_allclose(model.bounds[0], [info["min_x"], info["min_y"], info["min_z"]], atol=1e-4)
        np.testing.assert_allclose(np.ptp(model.bounds, axis=0), [info[f"size_{axis}"] for axis in "xyz"], atol=1e-4)
        assert info["diameter"] == pytest.approx(1000 * target.diameter)
        assert "symmetries_discrete" not in info, "letters make every orientation look different"
        closed = trimesh.Trimesh(model.vertices, model.faces)  # equal vertices made one
        assert closed.is_watertight
        assert closed.volume == pytest.approx(57.0**3, rel=1e-5)
    assert trimesh.load(exported / "models_eval" / "obj_000001.ply").edges_unique_length.max() <= 5.01


def test_symmetries_are_in_millimetres_and_colours_are_red_green_blue(tmp_path: Path) -> None:
    """Of a can whose frame's origin is off its axis: no motion moves its centre."""
    centre, flip = np.array([0.01, -0.02, 0.03]), np.stack([np.eye(3), np.diag([1.0, -1.0, -1.0])])
    block = scene_of("block").object
    target = structs.replace(block, symmetries=Symmetries(rotations=flip, axes=np.eye(3)[2:], centre=centre))
    write_models(target, tmp_path)
    info = load(tmp_path / "models" / "models_info.json")["1"]
    (motion,) = (np.reshape(each, (4, 4)) for each in info["symmetries_discrete"])
    np.testing.assert_allclose(motion @ [*(1000 * centre), 1], [10, -20, 30, 1], atol=1e-9)
    assert info["symmetries_continuous"] == [{"axis": [0, 0, 1], "offset": [10, -20, 30]}]
    colors = trimesh.load(tmp_path / "models" / "obj_000001.ply", process=False).visual.vertex_colors
    np.testing.assert_array_equal(colors[:, :3], np.rint(255 * block.mesh_colors))


@pytest.mark.parametrize("name", ["block", "prism"])
def test_faces_look_outwards(name: str) -> None:
    target = scene_of(name).object
    mesh = object_mesh(target)
    assert trimesh.Trimesh(mesh.vertices, mesh.faces).is_winding_consistent
    assert mesh.volume > 0
    assert mesh.extents == pytest.approx(1000 * np.ptp(target.keypoints, axis=0))


def test_targets_and_camera(exported: Path, dataset: TripletDataset) -> None:
    targets = load(exported / "test_targets_bop19.json")
    assert {(target["scene_id"], target["im_id"]) for target in targets} == {
        (scene, image) for scene in range(SAMPLES) for image in range(3)
    }
    assert all(target["obj_id"] == target["inst_count"] == 1 for target in targets)
    camera = load(exported / "camera.json")
    assert (camera["width"], camera["height"], camera["cx"]) == (SIZE, SIZE, SIZE / 2 - 0.5)
    about = (exported / "dataset_info.md").read_text()
    assert dataset.fingerprint in about
    assert "Every orientation looks different" in about


def test_the_folder_appears_when_it_is_whole(
    dataset: TripletDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = tmp_path / "dactyl"
    monkeypatch.setattr("datagen.export.bop.write_models", lambda *_: (_ for _ in ()).throw(OSError("No space left")))
    with pytest.raises(DactylError, match=f"^{output}: cannot write: No space left"):
        export_bop(BopConfig(dataset.folder, output, count=2))
    assert not output.exists()
    monkeypatch.undo()
    assert export_bop(BopConfig(dataset.folder, output, "train", count=1)) == 1
    assert sorted(path.name for path in (output / "train").iterdir()) == ["000000"], "nothing of the first try is left"
    assert [path.name for path in tmp_path.iterdir()] == ["dactyl"]
    with pytest.raises(DactylError, match="is there already"):
        export_bop(BopConfig(dataset.folder, output))


def test_an_object_behind_a_camera_is_named(tmp_path: Path) -> None:
    label = make_label(0, SIZE)
    label["object_position"] = np.linalg.inv(label["camera_extrinsics"][1])[:3, 3]
    sample = encode_sample(label, make_images(0, SIZE), rig(SIZE), {})
    write_manifest(tmp_path, [write_shard(tmp_path, 0, [sample], "test", RENDERER)], SIZE)
    with pytest.raises(DactylError, match=r"shard-000000\.tar: 000000000: the object is behind a camera"):
        export_bop(BopConfig(tmp_path, tmp_path / "out"))


def test_the_command_line(dataset: TripletDataset, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = tmp_path / "bop"
    main_bop(["--dataset", str(dataset.folder), "--output", str(output), "--count", "1"])
    assert "1 triplets in the BOP format" in capsys.readouterr().out
