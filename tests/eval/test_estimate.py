"""``dactyl estimate``: from pictures of any size, lens and layout to poses, overlays and what looks unusual."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import msgspec
import numpy as np
import pytest
from msgspec import structs
from PIL import Image
from scipy.spatial.transform import Rotation

from dactyl.cli import main
from eval.estimation.run import _contradictions
from eval.laboratory.calibration_files import read_calibration
from eval.laboratory.network_views import CentralViews
from tests.eval.lab import opencvs, write_csv
from tests.eval.rendered import rendered_set
from tests.scenes import rig
from vision.errors import DactylError
from vision.estimator import PoseEstimator
from vision.geometry.cameras import from_opencv
from vision.geometry.distortion import Lens
from vision.geometry.rotations import geodesic_distance, matrix_from_quaternion, rigid_transform
from vision.rigs.calibration import save_calibration
from vision.rigs.rig import Camera, Rig
from vision.storage.datasets import TripletDataset

COUNT = 16
NAMES = ("left", "top", "right")
LENS = Lens("radial-tangential", (-0.12, 0.03, 0.001, -0.001))
CAPTURE = rigid_transform(Rotation.from_euler("xyz", [90, 5, 30], degrees=True).as_matrix(), [0.4, -0.3, 0.2])


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> TripletDataset:
    return rendered_set(tmp_path_factory.mktemp("estimate"), COUNT)


def estimate(capsys: pytest.CaptureFixture[str], *arguments: object) -> list[dict[str, Any]]:
    """The command's lines."""
    capsys.readouterr()
    assert main(["estimate", *map(str, arguments)]) == 0, capsys.readouterr().err
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def errors(lines: Sequence[dict[str, Any]], dataset: TripletDataset, frame: np.ndarray | None = None) -> np.ndarray:
    """Degrees and millimetres (N, 2) from the labels of the first samples, in the frame to world ``frame``."""
    inverse = np.linalg.inv(np.eye(4) if frame is None else frame)
    found = []
    for number, line in enumerate(lines):
        label = dataset.label(number)
        turn = inverse[:3, :3] @ matrix_from_quaternion(label["object_quaternion"])
        place = inverse[:3] @ [*label["object_position"], 1.0]
        off = np.rad2deg(geodesic_distance(matrix_from_quaternion(line["quaternion"]), turn))
        found.append((off, 1000 * np.linalg.norm(line["position"] - place)))
    return np.array(found)


def save(picture: np.ndarray, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(picture).save(path)
    return path


def test_a_dataset_and_its_overlays(
    dataset: TripletDataset, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = estimate(capsys, "--pictures", dataset.folder, "--overlays", tmp_path / "drawn")
    assert len(lines) == COUNT
    off = errors(lines, dataset)
    assert np.median(off, axis=0) == pytest.approx([0, 0], abs=2.5)
    assert sum(bool(line["unusual"]) for line in lines) <= 1
    assert [line["frame"] for line in lines] == ["world"] * COUNT
    drawn = sorted(path.name for path in (tmp_path / "drawn").iterdir())
    assert drawn == [f"{line['key']}.png" for line in lines]
    with Image.open(tmp_path / "drawn" / drawn[0]) as picture:
        assert (np.asarray(picture.convert("RGB")) == (255, 61, 242)).all(axis=-1).sum() > 100, "the estimate's magenta"
    # Deviations promise what the errors keep, to a factor: the position's is of three axes.
    promised = np.array([1000 * np.linalg.norm(line["position_std"]) for line in lines])
    assert 0.3 < np.median(off[:, 1] / promised) < 3


def test_one_sheet_and_a_file_of_lines(
    dataset: TripletDataset, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output, sheet = tmp_path / "out" / "poses.jsonl", tmp_path / "out" / "sheet.png"
    printed = estimate(
        capsys, "--pictures", dataset.folder, "--limit", 3, "--output", output, "--overlays", sheet, "--sheet", 2
    )
    assert printed == []
    keys = [json.loads(line)["key"] for line in output.read_text().splitlines()]
    assert keys == ["000000000", "000000007", "000000015"]
    with Image.open(sheet) as picture:
        assert picture.width > 2 * 3 * 400


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda images, masks: np.full_like(images, 128), "blank"),
        (lambda images, masks: 255 - images, "scatter"),
        (lambda images, masks: np.stack([_painted_over(*both) for both in zip(images, masks, strict=True)]), "scatter"),
        (lambda images, masks: images[[1, 2, 0]], "scatter"),
        (lambda images, masks: np.concatenate([np.full_like(images[:1], 90), images[1:]]), "left: blank"),
        (lambda images, masks: np.concatenate([0 * images[:1] + np.uint8([0, 135, 0]), images[1:]]), "left: blank"),
    ],
    ids=["grey", "inverted", "no object", "exchanged cameras", "one grey", "one green"],
)
def test_unusual_pictures_are_said_to_be(
    spoil: Any, reason: str, dataset: TripletDataset, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in range(COUNT):
        masks = dataset.masks(number)
        assert masks is not None
        spoilt = spoil(dataset[number]["images"], masks)
        for name, picture in zip(NAMES, spoilt, strict=True):
            save(picture, tmp_path / name / f"{number}.png")
    lines = estimate(capsys, "--pictures", tmp_path)
    assert [line["key"] for line in lines] == [str(number) for number in range(COUNT)], "2 comes before 10"
    assert all(any(reason in text for text in line["unusual"]) for line in lines)


@pytest.fixture(scope="module")
def steady(tmp_path_factory: pytest.TempPathFactory) -> TripletDataset:
    """Triplets of cameras that are displaced, all alike."""
    return rendered_set(tmp_path_factory.mktemp("steady"), 12, displacement="per-recording")


def test_cameras_that_stay_where_they_are_find_themselves(
    steady: TripletDataset, dataset: TripletDataset, capsys: pytest.CaptureFixture[str]
) -> None:
    """From the pictures whose poses are asked for; of cameras that move, nothing is found."""
    arguments = ("--pictures", steady.folder)
    lines = [estimate(capsys, *arguments, *more) for more in ((), ("--self_calibrate", 12))]
    nominal, found = (errors(each, steady).mean(axis=0) for each in lines)
    assert found[1] < 0.7 * nominal[1]
    assert found[1] < 1.5
    stated = 1000 * np.median([np.linalg.norm(line["position_std"]) for line in lines[1]])
    assert 0.4 < found[1] / stated < 1.5, "the stated deviation includes that of the found cameras"

    assert main(["estimate", "--pictures", str(dataset.folder), "--self_calibrate", "3"]) == 1
    printed = capsys.readouterr()
    assert f"{dataset.folder}: each of its samples has cameras of its own" in printed.err
    assert not printed.out


def _painted_over(image: np.ndarray, mask: np.ndarray) -> np.ndarray:
    around = cv2.dilate(mask.astype(np.uint8), np.ones((7, 7)))
    return np.asarray(cv2.inpaint(image, around, 3, cv2.INPAINT_TELEA))


def photographed(dataset: TripletDataset, number: int, camera: int, calibrated: Camera) -> np.ndarray:
    """What a laboratory's camera with a lens would have of a sample's image: seen through the same point, turned and
    enlarged."""
    sample = dataset[number]
    rows, columns = np.indices((calibrated.height, calibrated.width))
    pixels = np.stack([columns, rows], axis=-1).reshape(-1, 1, 2).astype(np.float64)
    plane = cv2.undistortPoints(pixels, *opencvs(calibrated)).reshape((*rows.shape, 2))
    rays = np.concatenate([plane, np.ones_like(plane[..., :1])], axis=-1)
    own = calibrated.extrinsics @ np.linalg.inv(CAPTURE)  # world to camera
    turn = sample["camera_extrinsics"][camera][:3, :3] @ own[:3, :3].T
    seen = rays @ turn.T @ sample["camera_intrinsics"][camera].T
    where = (seen[..., :2] / seen[..., 2:] - 0.5).astype(np.float32)
    return np.asarray(cv2.remap(sample["images"][camera], where[..., 0], where[..., 1], cv2.INTER_CUBIC))


def laboratory(dataset: TripletDataset, number: int) -> dict[str, Camera]:
    """Cameras of 800 x 600 with lenses, at the sample's true places but turned, in a capture frame of their own."""
    sample = dataset[number]
    cameras = {}
    for camera, name in enumerate(NAMES):
        turn = rigid_transform(Rotation.from_rotvec(np.deg2rad([2.0, -3.0, 8.0])).as_matrix(), [0, 0, 0])
        matrix = sample["camera_intrinsics"][camera].copy() * 2.6
        matrix[2, 2] = 1
        matrix[:2, 2] = 403.5, 296.5
        transform = turn @ sample["camera_extrinsics"][camera] @ CAPTURE
        cameras[name] = Camera(name, 800, 600, matrix, transform, LENS)
    return cameras


def test_a_calibration_undistorts_turns_and_answers_in_its_own_frame(
    dataset: TripletDataset, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cameras = laboratory(dataset, 0)
    save_calibration(tmp_path / "calibration.json", Rig(cameras=tuple(cameras.values())))
    files = [
        save(photographed(dataset, 0, number, cameras[name]), tmp_path / f"{name}.png")
        for number, name in enumerate(NAMES)
    ]
    named = [part for name, file in zip(NAMES, files, strict=True) for part in (f"--cameras.{name}", file)]
    (line,) = estimate(capsys, *named, "--calibration", tmp_path / "calibration.json")
    assert line["frame"] == "capture"
    assert line["unusual"] == []
    assert errors([line], dataset, CAPTURE)[0] == pytest.approx([0, 0], abs=2.0)
    kalibr = tmp_path / "camchain.yaml"
    kalibr.write_text(camchain(cameras))
    (other,) = estimate(capsys, "--pictures", tmp_path, "--calibration", kalibr)
    first = np.linalg.inv(cameras["left"].extrinsics @ np.linalg.inv(CAPTURE))  # Kalibr's frame, its first camera's
    assert errors([other], dataset, first)[0] == pytest.approx([0, 0], abs=2.0)
    # Whatever order Kalibr numbers the cameras in, and under names that a laboratory gave them.
    turned = {name: cameras[name] for name in ("top", "right", "left")}
    first = np.linalg.inv(cameras["top"].extrinsics @ np.linalg.inv(CAPTURE))
    for text in (camchain(turned), re.sub(r"cam(\d)", lambda found: list(turned)[int(found[1])], camchain(turned))):
        kalibr.write_text(text)
        (other,) = estimate(capsys, "--pictures", tmp_path, "--calibration", kalibr)
        assert errors([other], dataset, first)[0] == pytest.approx([0, 0], abs=2.0)


def test_numbered_cameras_that_can_be_exchanged_are_refused(tmp_path: Path) -> None:
    """Of two that face each other, half a turn makes either the other; of two side by side it does not."""
    lens, camera, path = Lens("radial-tangential", (0.0, 0.0, 0.0, 0.001)), rig(200).cameras[0], tmp_path / "chain.yaml"
    turn = np.diag([-1.0, 1.0, -1.0])
    for places, refused in (
        ([rigid_transform(rotation, [0, 0, 0.4]) for rotation in (np.eye(3), turn)], True),
        ([rigid_transform(np.eye(3), [x, 0, 0.4]) for x in (0.0, 0.15)], False),
    ):
        pair = [
            structs.replace(camera, name=name, extrinsics=place, distortion=lens)
            for name, place in zip("ab", places, strict=True)
        ]
        path.write_text(camchain({each.name: each for each in reversed(pair)}))
        if refused:
            with pytest.raises(DactylError, match=r"a, b can be cam[01], cam[01] or .*; rename the cameras in the"):
                read_calibration(path, Rig(cameras=tuple(pair)))
            continue
        a, b = read_calibration(path, Rig(cameras=tuple(pair))).cameras
        np.testing.assert_allclose(b.extrinsics, np.eye(4), atol=1e-9)  # Kalibr's first camera
        np.testing.assert_allclose(a.extrinsics[:3, 3], [-0.15, 0, 0], atol=1e-9)


def camchain(cameras: dict[str, Camera]) -> str:
    text, before = "", np.eye(4)
    for number, camera in enumerate(cameras.values()):
        (K, distortion), chain = opencvs(camera), camera.extrinsics @ np.linalg.inv(before)
        text += f"cam{number}:\n  camera_model: pinhole\n  distortion_model: radtan\n  resolution: [800, 600]\n"
        text += f"  intrinsics: [{K[0, 0]}, {K[1, 1]}, {K[0, 2]}, {K[1, 2]}]\n"
        text += f"  distortion_coeffs: {distortion.tolist()}\n"
        text += f"  T_cn_cnm1: {chain.tolist()}\n" if number else ""
        before = camera.extrinsics
    return text


def test_a_recording_with_times_and_a_partner_missing(
    dataset: TripletDataset, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in range(4):
        for name, picture in zip(NAMES, dataset[number]["images"], strict=True):
            save(picture, tmp_path / name / f"{number}.png")
    for name in NAMES:
        kept = [number for number in range(4) if (name, number) != ("right", 2)]
        write_csv(tmp_path / f"{name}.csv", "time_s,file", [[0.08 * n + 5, f"{name}/{n}.png"] for n in kept])
    capsys.readouterr()
    assert main(["estimate", "--pictures", str(tmp_path)]) == 0
    printed = capsys.readouterr()
    lines = [json.loads(line) for line in printed.out.splitlines()]
    assert [(line["key"], line["time_s"]) for line in lines] == [("000000", 5.0), ("000001", 5.08), ("000003", 5.24)]
    assert "1 pictures left out" in printed.err


def test_lenses_alone_undistort_for_nominal_cameras(
    dataset: TripletDataset, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for number, camera in enumerate(dataset.rig.cameras):
        K = camera.intrinsics.copy() * 2.6
        K[:, 2] = 403.0, 296.0, 1.0
        there = dataset[0]["camera_extrinsics"][number] @ CAPTURE
        nominal = Camera(camera.name, 800, 600, from_opencv(K), there, LENS)
        save(photographed(dataset, 0, number, nominal), tmp_path / f"{camera.name}-7.png")
        text = (
            "image_width: 800\nimage_height: 600\ndistortion_model: plumb_bob\ncamera_matrix:\n  rows: 3\n  cols: 3\n"
        )
        text += f"  data: {K.ravel().tolist()}\ndistortion_coefficients:\n  rows: 1\n  cols: 4\n"
        text += f"  data: {list(LENS.coefficients)}\n"
        (tmp_path / f"{camera.name}.yaml").write_text(text)
    lenses = [part for name in NAMES for part in (f"--lenses.{name}", tmp_path / f"{name}.yaml")]
    (line,) = estimate(capsys, "--pictures", tmp_path, *lenses)
    assert (line["key"], line["frame"]) == ("7", "world")
    assert errors([line], dataset)[0] == pytest.approx([0, 0], abs=4.0)


def test_lenses_of_the_networks_scene_undistort(
    dataset: TripletDataset, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without calibration or lenses; not pictures of a dataset, which have none, nor such as are said to have none."""
    lens = Lens("radial-tangential", (-2.0, 0.0, 0.05, -0.05))  # much, for a view as narrow as 20 degrees
    rig = Rig(cameras=tuple(msgspec.structs.replace(camera, distortion=lens) for camera in dataset.rig.cameras))
    for number, camera in enumerate(rig.cameras):
        K = dataset[0]["camera_intrinsics"][number] * 600 / camera.height
        K[:, 2] = 400.0, 300.0, 1.0
        taken_by = Camera(camera.name, 800, 600, K, dataset[0]["camera_extrinsics"][number] @ CAPTURE, lens)
        save(photographed(dataset, 0, number, taken_by), tmp_path / f"{camera.name}.png")
    pictures = [np.asarray(Image.open(tmp_path / f"{name}.png")) for name in NAMES]
    views = (CentralViews(rig), CentralViews(rig.without_lenses()), CentralViews(dataset.rig))
    rendered = dataset[0]["images"].astype(np.float64)
    flat, bent, unaware = (np.abs(view(pictures, NAMES) - rendered)[:, 10:-10, 10:-10].mean() for view in views)
    assert (flat < 4.0, bent > 4 * flat, bent) == (True, True, unaware), (flat, bent)

    estimator = PoseEstimator.load("block")
    monkeypatch.setattr(PoseEstimator, "load", lambda *_: estimator)
    assert main(["estimate", "--pictures", str(dataset.folder)]) == 0
    before = capsys.readouterr()
    estimator.rig = rig
    assert main(["estimate", "--pictures", str(dataset.folder)]) == 0
    assert capsys.readouterr().out == before.out
    for rectified in ("false", "true"):
        assert main(["estimate", "--pictures", str(tmp_path), "--rectified", rectified]) == 0
        said = "left, top, right: undistorted with the lenses of the network's scene"
        assert (said in capsys.readouterr().err) == (rectified == "false")
    assert main(["estimate", "--pictures", str(tmp_path), "--rectified", "true", "--lenses.left", "left.yaml"]) == 2
    assert "rectified: a calibration or lenses tell the distortion" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--pictures", "nowhere"], "nowhere: no such folder of pictures"),
        (["--pictures", "empty"], "empty: no pictures of the cameras left, top, right"),
        (["--cameras.left", "a.png", "--cameras.top", "b.png"], "camera 'right' is missing, its pictures expected"),
        (["--cameras.lft", "a.png"], "cameras: there is no camera 'lft'; the network's cameras are left, top, right"),
        (["--pictures", "half"], "half: has no top; the network's cameras are left, top, right"),
        (["--pictures", "apart"], "no picture has the same name for all cameras"),
        (["--pictures", "one", "--calibration", "one/left.png"], "left.png"),
        (["--pictures", "one", "--checkpoint", "blok"], "blok"),
        (["--pictures", "one", "--calibration", "far.json"], "far.json: camera 'right' is"),
    ],
)
def test_mistakes_are_one_line(
    arguments: list[str], text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("empty").mkdir()
    grey = np.full((200, 200, 3), 128, np.uint8)
    save(grey, Path("half/left/1.png"))
    for name in NAMES:
        save(grey, Path(f"one/{name}.png"))
        save(grey, Path(f"apart/{name}/{name}.png"))
    K = np.array([[900.0, 0, 400], [0, 900, 300], [0, 0, 1]])
    save_calibration(Path("far.json"), Rig(cameras=tuple(Camera(name, 800, 600, K, np.eye(4)) for name in NAMES)))
    assert main(["estimate", *arguments]) == 1
    said = capsys.readouterr().err.strip().splitlines()
    assert len(said) == 1
    assert text in said[0]


def test_both_or_neither_source_is_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["estimate"]) == 2
    assert "pictures or cameras: expected one of them" in capsys.readouterr().err
    assert main(["estimate", "--pictures", "a", "--calibration", "b", "--lenses.left", "c"]) == 2
    assert "calibration and lenses" in capsys.readouterr().err


def test_two_cameras_have_two_sources(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A copied line gave one camera another's pictures, and its pose was that of nothing."""
    same = ["--cameras.left", str(tmp_path), "--cameras.top", f"{tmp_path}/.", "--cameras.right", "2"]
    assert main(["estimate", *same]) == 2
    assert "is camera 'left' and camera 'top'; each has pictures of its own" in capsys.readouterr().err


@pytest.mark.parametrize("key", ["tolerance_s", "interval_s"])
def test_milliseconds_are_not_taken_for_seconds(key: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Pictures ten seconds apart would have made a triplet."""
    assert main(["estimate", "--pictures", "a", f"--{key}", "10"]) == 2
    assert f"{key}: expected at most 5 seconds, got 10; are these milliseconds?" in capsys.readouterr().err


def test_outputs_are_checked_before_anything_is_estimated(
    dataset: TripletDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(PoseEstimator, "predict", None)
    (tmp_path / "folder").mkdir()
    mine = tmp_path / "scene.yaml"
    mine.write_text("name: mine")
    for output, reason in (
        (tmp_path / "folder", "cannot write: a folder; choose another name"),
        (mine / "poses.jsonl", "is not a folder that can be written to"),
        (mine, "exists and holds no poses; choose another file"),
    ):
        assert main(["estimate", "--pictures", str(dataset.folder), "--output", str(output)]) == 1
        assert reason in capsys.readouterr().err
    assert mine.read_text() == "name: mine"


def test_a_network_of_other_cameras_is_named_as_the_reason(
    dataset: TripletDataset, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whoever forgets --checkpoint has the cameras of the shipped weights without knowing it."""
    for name in NAMES[:2]:
        save(dataset[0]["images"][0], tmp_path / name / "0.png")
    assert main(["estimate", "--pictures", str(tmp_path)]) == 1
    assert f"has no {NAMES[2]}; the network's cameras are left, top, right" in capsys.readouterr().err
    write_csv(tmp_path / f"{NAMES[0]}.csv", "time_s,file", [["0", f"{NAMES[0]}/0.png"]])
    assert main(["estimate", "--pictures", str(tmp_path)]) == 1
    assert f"has no {NAMES[1]}.csv; the network's cameras are left, top, right" in capsys.readouterr().err


def test_a_camera_that_contradicts_the_others_in_most_triplets_is_named() -> None:
    """Two good cameras hid a wrong calibration of the third: each triplet's spread is a mean over all."""
    usual, wrong = [1.0, 1.5, 0.8, 9.0, 1.2], [7.0, 6.0, 1.0, 8.0, 6.5]
    (line,) = _contradictions({"left": usual, "top": wrong, "right": usual})
    assert line.startswith("top: its keypoints are 6 times as far from the poses as expected")
    assert not list(_contradictions({"top": wrong[:4]})), "too few to tell"
