"""Calibration from made pictures of a board: the cameras that took them come back."""

from __future__ import annotations

import re
import shutil
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from msgspec import structs
from PIL import Image
from scipy.spatial.transform import Rotation

from dactyl.cli import main
from eval.laboratory.board import Board
from eval.laboratory.calibrate import CalibrateConfig, calibrate
from eval.laboratory.self_calibration import SelfCalibrateConfig, calibrate_from
from tests.eval.lab import add_noise, cameras, distort, opencvs
from vision.errors import DactylError
from vision.geometry.cameras import to_opencv
from vision.geometry.distortion import Lens
from vision.geometry.rotations import quaternion_from_matrix, rigid_transform
from vision.rigs.calibration import load_calibration
from vision.rigs.rig import Camera

BOARD = Board(7, 5, 0.03, 0.022)
_PIXELS_A_SQUARE = 80
TRUE = structs.replace(cameras()["top"], distortion=Lens("radial-tangential", (-0.18, 0.06, 0.0, 0.0, 0.0)))


def board_picture(board: Board = BOARD) -> np.ndarray:
    dictionary = cv2.aruco.getPredefinedDictionary(getattr(cv2.aruco, board.dictionary))
    charuco = cv2.aruco.CharucoBoard((board.columns, board.rows), board.square, board.marker, dictionary)
    charuco.setLegacyPattern(board.legacy)
    size = (board.columns * _PIXELS_A_SQUARE, board.rows * _PIXELS_A_SQUARE)
    return np.asarray(charuco.generateImage(size, marginSize=0))


def show(camera: Camera, camera_from_board: np.ndarray, rng: np.random.Generator, printed: np.ndarray) -> np.ndarray:
    """(480, 640, 3): the board before grey, through lens and noise."""
    per_pixel = BOARD.square / _PIXELS_A_SQUARE  # metres; the board's picture has its corner at (-0.5, -0.5)
    onto_board = np.array([[per_pixel, 0, per_pixel / 2], [0, per_pixel, per_pixel / 2], [0, 0, 1]])
    homography = to_opencv(camera.intrinsics) @ camera_from_board[:3, [0, 1, 3]] @ onto_board
    size = (2 * camera.width, 2 * camera.height)
    twice = np.array([[2, 0, 0.5], [0, 2, 0.5], [0, 0, 1.0]])
    large = cv2.warpPerspective(printed, twice @ homography, size, borderValue=150)
    ideal = cv2.resize(large, (camera.width, camera.height), interpolation=cv2.INTER_AREA)
    return add_noise(distort(np.repeat(ideal[..., None], 3, axis=2), camera), rng, 2.0)


def make_pictures(folder: Path, tilt_deg: float, count: int = 14, board: Board = BOARD) -> dict[str, list[float]]:
    """Pictures of the board in ``folder``; the board's known place in the first."""
    rng = np.random.default_rng(0)
    folder.mkdir(parents=True)
    reference = {}
    for number in range(count):
        tilt = Rotation.from_rotvec(np.deg2rad(tilt_deg) * np.append(_direction(number, count), 0))
        turn = tilt * Rotation.from_euler("z", rng.uniform(-10, 10), degrees=True)
        middle = np.array([*rng.uniform(-0.05, 0.05, 2), rng.uniform(0.42, 0.6)])
        board_middle = np.array([*board.size, 0]) / 2
        pose = rigid_transform(turn.as_matrix(), middle - turn.apply(board_middle))
        Image.fromarray(show(TRUE, pose, rng, board_picture(board))).save(folder / f"{number:02d}.png")
        if number < 2:
            in_capture = np.linalg.inv(TRUE.extrinsics) @ pose
            reference[f"{number:02d}.png"] = [*in_capture[:3, 3], *quaternion_from_matrix(in_capture[:3, :3])]
    return {name: [float(value) for value in pose] for name, pose in reference.items()}


def _direction(number: int, count: int) -> np.ndarray:
    angle = 2 * np.pi * number / count
    return np.array([np.cos(angle), np.sin(angle)])


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, list[float]]]:
    folder = tmp_path_factory.mktemp("board") / "top"
    return folder, make_pictures(folder, 35.0)


def test_the_camera_comes_back(
    pictures: tuple[Path, dict[str, list[float]]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, reference = pictures
    arguments = [f"--reference={reference}", f"--pictures.top={folder}", f"--output={tmp_path / 'c.json'}"]
    assert main(["calibrate", *arguments]) == 0
    said = capsys.readouterr().out
    assert "reprojection error" in said
    assert re.search(r"top: 0\.\d+ m from the board in 01\.png, reference 0\.\d mm \(0\.\d+ px\) off\n", said)
    assert "top: the places are turned about one axis only, so an error of the board's origin along" in said
    rig, by_name = load_calibration(tmp_path / "c.json")
    (found,), errors = rig.cameras, by_name["top"]
    assert errors.rms is not None
    assert errors.rms < 0.3
    assert errors.reference_rms_mm is not None
    assert errors.reference_rms_mm < 1
    assert found.intrinsics[0, 0] == pytest.approx(TRUE.intrinsics[0, 0], rel=0.01)
    assert found.intrinsics[1, 1] == pytest.approx(TRUE.intrinsics[1, 1], rel=0.01)
    # What a pose estimate feels: where points in the workspace project to.
    rng = np.random.default_rng(1)
    points = (np.linalg.inv(TRUE.extrinsics) @ [0, 0, 0.6, 1])[:3] + rng.uniform(-0.06, 0.06, (100, 3))
    there, here = (
        cv2.projectPoints(points, cv2.Rodrigues(c.extrinsics[:3, :3])[0], c.extrinsics[:3, 3], *opencvs(c))[0]
        for c in (TRUE, found)
    )
    assert np.linalg.norm(there - here, axis=-1).max() < 1.5, "pixels of 640"


def test_degenerate_calibrations_are_refused(pictures: tuple[Path, dict[str, list[float]]], tmp_path: Path) -> None:
    folder, reference = pictures
    good = CalibrateConfig({"top": folder}, tmp_path / "c.json", reference, BOARD)

    def complaint(config: CalibrateConfig) -> str:
        with pytest.raises(DactylError) as caught:
            calibrate(config)
        assert not config.output.exists()
        return str(caught.value)

    flat = make_pictures(tmp_path / "flat", 0.0, 8)
    assert "degenerate" in complaint(replace(good, pictures={"top": tmp_path / "flat"}, reference=flat))
    few = make_pictures(tmp_path / "few", 35.0, 3)
    assert "3 of 3 pictures show the board" in complaint(
        replace(good, pictures={"top": tmp_path / "few"}, reference=few)
    )
    assert "expected a folder of pictures" in complaint(replace(good, pictures={"top": tmp_path / "nowhere"}))
    assert "no such reference picture" in complaint(replace(good, reference={"99.png": reference["00.png"]}))
    cv2.imwrite(str(good.pictures["top"] / "grey.png"), np.full((480, 640, 3), 128, np.uint8))
    assert "does not show the board" in complaint(replace(good, reference={"grey.png": reference["00.png"]}))
    (good.pictures["top"] / "grey.png").unlink()
    assert "above max_rms" in complaint(replace(good, max_rms=0.001))
    assert "above max_reference_mm 0.001" in complaint(replace(good, max_reference_mm=0.001))
    assert "from the board in 01.png, expected at most max_distance_m 0.1" in complaint(
        replace(good, max_distance_m=0.1)
    )
    for board, text in (
        (replace(BOARD, columns=5, rows=7), "they show it with board.columns 7 and board.rows 5"),
        (
            replace(BOARD, columns=6),
            "markers were found, but their pattern differs: check board.columns, rows and legacy",
        ),
        (replace(BOARD, dictionary="DICT_4X4_100"), "they show it with board.dictionary DICT_5X5_100"),
    ):
        assert f"camera 'top': 0 of 14 pictures show the board, expected 5 or more; {text}" in complaint(
            replace(good, board=board)
        )


def test_the_legacy_pattern_is_read_and_named(tmp_path: Path) -> None:
    """OpenCV changed where the first marker is on boards with an even number of rows."""
    legacy = replace(BOARD, rows=6, legacy=True)
    reference = make_pictures(tmp_path / "top", 35.0, 7, legacy)
    good = CalibrateConfig({"top": tmp_path / "top"}, tmp_path / "c.json", reference, legacy)
    with pytest.raises(
        DactylError, match=r"0 of 7 pictures show the board, expected 5 or more; they show it with board\.legacy true"
    ):
        calibrate(replace(good, board=replace(legacy, legacy=False)))
    assert len(calibrate(good)["top"].pictures.found) == 7


def test_what_is_left_out_and_ignored_is_said(
    pictures: tuple[Path, dict[str, list[float]]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A picture that shows one row of corners, one that shows none, other formats, and what a Mac leaves behind."""
    original, reference = pictures
    folder = Path(shutil.copytree(original, tmp_path / "top"))
    printed = board_picture()
    row = np.full_like(printed, 255)
    row[: 2 * _PIXELS_A_SQUARE] = printed[: 2 * _PIXELS_A_SQUARE]
    facing = rigid_transform(np.eye(3), [-0.1, -0.05, 0.45])
    Image.fromarray(show(TRUE, facing, np.random.default_rng(0), row)).save(folder / "20.png")
    Image.new("RGB", (640, 480)).save(folder / "21.png")
    Image.new("RGB", (640, 480)).save(folder / "22.bmp")
    (folder / "._03.png").write_bytes(b"Mac OS X")
    only = next(iter(reference.items()))
    arguments = [f"--reference={dict([only])}", f"--pictures.top={folder}", f"--output={tmp_path / 'c.json'}"]
    assert main(["calibrate", *arguments]) == 0
    said = capsys.readouterr().out
    assert "top: ignored, for they are no PNG or JPEG: 22.bmp\n" in said
    assert "20.png (its 6 corners lie on a line), 21.png (0 corners and 0 markers)" in said
    assert "top: one reference cannot be checked: lay the board at a second place" in said
    assert load_calibration(tmp_path / "c.json")[1]["top"].reference_rms_mm is None
    only = {"20.png": only[1]}
    arguments[0] = f"--reference={only}"
    assert main(["calibrate", *arguments]) == 1
    assert (
        "20.png: camera 'top': reference picture that does not show the board (its 6 corners" in capsys.readouterr().err
    )
    for path in folder.glob("*.png"):
        path.rename(path.with_suffix(".tif"))
    assert main(["calibrate", *arguments]) == 1
    assert "no PNG or JPEG pictures; there are 00.tif, 01.tif, 02.tif and 14 more" in capsys.readouterr().err


def test_impossible_configurations_are_usage_errors(tmp_path: Path) -> None:
    good = CalibrateConfig({"top": tmp_path}, tmp_path / "c.json", {"a.png": [0, 0, 0, 1, 0, 0, 0]}, BOARD)
    for changes, text in (
        ({"pictures": {}}, "name at least one"),
        ({"reference": {"a.png": [0, 0, 0, 2, 0, 0, 0]}}, "unit quaternion"),
        (
            {"reference": {"a.png": [112, 53, 201, 1, 0, 0, 0]}},
            "reference a.png: position 201 m, expected at most 20; are",
        ),
        ({"board": replace(BOARD, columns=1)}, "board.columns: expected 3 to 50 squares, got 1"),
        ({"board": replace(BOARD, rows=-3)}, "board.rows: expected 3 to 50 squares, got -3"),
        ({"board": replace(BOARD, columns=30, rows=30)}, "30x30 squares need 450 markers, DICT_5X5_100 has 100"),
        (
            {"board": replace(BOARD, square=30.0, marker=22.0)},
            "board.square: expected 0.002 to 0.5 metres, got 30; is it",
        ),
        ({"board": replace(BOARD, dictionary="Dictionary")}, "OpenCV has no Dictionary; for example DICT_"),
        ({"max_reference_mm": 0.0}, "max_reference_mm: must be positive, got 0"),
        ({"picture_bits": 11}, "picture_bits: expected one of"),
        ({"board": replace(BOARD, marker=0.05)}, "smaller than the square"),
        ({"board": replace(BOARD, dictionary="DICT_9X9")}, "OpenCV has no DICT_9X9"),
    ):
        with pytest.raises(ValueError, match=text):
            replace(good, **changes)


def test_two_cameras_are_not_calibrated_by_one_folder(tmp_path: Path) -> None:
    """A copied line gave two cameras one calibration."""
    with pytest.raises(ValueError, match=r"pictures: .* is camera 'left' and camera 'top'"):
        CalibrateConfig({"left": tmp_path, "top": tmp_path}, tmp_path / "c.json", {"a.png": [0, 0, 0, 1, 0, 0, 0]})


def test_a_boards_picture_is_not_written_over(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"output: expected a name that ends in \.json, got .*01\.png"):
        CalibrateConfig({"top": tmp_path}, tmp_path / "01.png", {"a.png": [0, 0, 0, 1, 0, 0, 0]}, BOARD)


def test_a_camera_is_named_so_that_others_can_read_its_calibration(tmp_path: Path) -> None:
    """Before an hour of pictures is searched for boards, and not when the file is read."""
    with pytest.raises(ValueError, match=r"camera my camera: a name has only letters, digits, - and _"):
        CalibrateConfig({"my camera": tmp_path}, tmp_path / "c.json", {"a.png": [0, 0, 0, 1, 0, 0, 0]}, BOARD)
    with pytest.raises(ValueError, match="camera names must differ in more than case, got top, Top"):
        CalibrateConfig(
            {"top": tmp_path, "Top": tmp_path / "2"}, tmp_path / "c.json", {"a.png": [0, 0, 0, 1, 0, 0, 0]}, BOARD
        )


def test_a_file_of_another_kind_is_not_written_over(tmp_path: Path) -> None:
    """Before anything is searched for boards, or seen by a network."""
    output = tmp_path / "notes.json"
    output.write_text(before := '{"lab": "notes"}')
    reference = {"a.png": [0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0]}
    refused = pytest.raises(DactylError, match=r"notes\.json exists and holds no calibration of dactyl")
    with refused:
        calibrate(CalibrateConfig({"top": tmp_path}, output, reference, BOARD))
    with refused:
        calibrate_from(SelfCalibrateConfig(tmp_path, output))
    assert output.read_text() == before
    with pytest.raises(DactylError, match=r"cannot write: .*notes\.json is not a folder"):
        calibrate_from(SelfCalibrateConfig(tmp_path, output / "c.json"))
    output.write_text('{"cameras": {}, "format": "dactyl-calibration-1"}')
    with pytest.raises(DactylError, match="no PNG or JPEG pictures"):
        calibrate(CalibrateConfig({"top": tmp_path}, output, reference, BOARD))
