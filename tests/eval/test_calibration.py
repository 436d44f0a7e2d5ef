"""Calibration from made pictures of a board: the cameras that took them come back."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image
from scipy.spatial.transform import Rotation

from dactyl.cli import main
from eval.laboratory.calibration import Board, CalibrateConfig, CalibratedCamera, calibrate, load_calibration
from tests.eval.lab import add_noise, cameras, distort
from vision.errors import DactylError
from vision.geometry.rotations import quaternion_from_matrix, rigid_transform

BOARD = Board(7, 5, 0.03, 0.022)
_PIXELS_A_SQUARE = 80
TRUE: CalibratedCamera = replace(cameras()["top"], distortion=np.array([-0.18, 0.06, 0.0, 0.0, 0.0]))


def board_picture() -> np.ndarray:
    dictionary = cv2.aruco.getPredefinedDictionary(getattr(cv2.aruco, BOARD.dictionary))
    charuco = cv2.aruco.CharucoBoard((BOARD.columns, BOARD.rows), BOARD.square, BOARD.marker, dictionary)
    size = (BOARD.columns * _PIXELS_A_SQUARE, BOARD.rows * _PIXELS_A_SQUARE)
    return np.asarray(charuco.generateImage(size, marginSize=0))


def show(camera: CalibratedCamera, camera_from_board: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """(480, 640, 3): the board before grey, through lens and noise."""
    per_pixel = BOARD.square / _PIXELS_A_SQUARE  # metres; the board's picture has its corner at (-0.5, -0.5)
    onto_board = np.array([[per_pixel, 0, per_pixel / 2], [0, per_pixel, per_pixel / 2], [0, 0, 1]])
    homography = camera.matrix @ camera_from_board[:3, [0, 1, 3]] @ onto_board
    size = (2 * camera.width, 2 * camera.height)
    twice = np.array([[2, 0, 0.5], [0, 2, 0.5], [0, 0, 1.0]])
    large = cv2.warpPerspective(board_picture(), twice @ homography, size, borderValue=150)
    ideal = cv2.resize(large, (camera.width, camera.height), interpolation=cv2.INTER_AREA)
    return add_noise(distort(np.repeat(ideal[..., None], 3, axis=2), camera), rng, 2.0)


def make_pictures(folder: Path, tilt_deg: float, count: int = 14) -> dict[str, list[float]]:
    """Pictures of the board in ``folder``; the board's known place in the first."""
    rng = np.random.default_rng(0)
    folder.mkdir(parents=True)
    reference = {}
    for number in range(count):
        tilt = Rotation.from_rotvec(np.deg2rad(tilt_deg) * np.append(_direction(number, count), 0))
        turn = tilt * Rotation.from_euler("z", rng.uniform(-10, 10), degrees=True)
        middle = np.array([*rng.uniform(-0.05, 0.05, 2), rng.uniform(0.42, 0.6)])
        board_middle = np.array([BOARD.columns, BOARD.rows, 0]) * BOARD.square / 2
        pose = rigid_transform(turn.as_matrix(), middle - turn.apply(board_middle))
        Image.fromarray(show(TRUE, pose, rng)).save(folder / f"{number:02d}.png")
        if number < 2:
            in_capture = np.linalg.inv(TRUE.transform) @ pose
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
    assert "reprojection error" in capsys.readouterr().out
    found = load_calibration(tmp_path / "c.json")["top"]
    assert found.rms is not None
    assert found.rms < 0.3
    assert found.matrix[0, 0] == pytest.approx(TRUE.matrix[0, 0], rel=0.01)
    assert found.matrix[1, 1] == pytest.approx(TRUE.matrix[1, 1], rel=0.01)
    # What a pose estimate feels: where points in the workspace project to.
    rng = np.random.default_rng(1)
    points = (np.linalg.inv(TRUE.transform) @ [0, 0, 0.6, 1])[:3] + rng.uniform(-0.06, 0.06, (100, 3))
    there, here = (
        cv2.projectPoints(points, cv2.Rodrigues(c.transform[:3, :3])[0], c.transform[:3, 3], c.matrix, c.distortion)[0]
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
        assert "camera 'top'" in str(caught.value)
        return str(caught.value)

    flat = make_pictures(tmp_path / "flat", 0.0, 8)
    assert "degenerate" in complaint(replace(good, pictures={"top": tmp_path / "flat"}, reference=flat))
    few = make_pictures(tmp_path / "few", 35.0, 3)
    assert "3 pictures show the board" in complaint(replace(good, pictures={"top": tmp_path / "few"}, reference=few))
    assert "0 pictures show the board" in complaint(replace(good, pictures={"top": tmp_path / "nowhere"}))
    assert "does not show the board" in complaint(replace(good, reference={"99.png": reference["00.png"]}))
    assert "above max_rms" in complaint(replace(good, max_rms=0.001))


def test_impossible_configurations_are_usage_errors(tmp_path: Path) -> None:
    good = CalibrateConfig({"top": tmp_path}, tmp_path / "c.json", {"a.png": [0, 0, 0, 1, 0, 0, 0]}, BOARD)
    for changes, text in (
        ({"pictures": {}}, "name at least one"),
        ({"reference": {"a.png": [0, 0, 0, 2, 0, 0, 0]}}, "unit quaternion"),
        ({"board": replace(BOARD, marker=0.05)}, "smaller than the square"),
        ({"board": replace(BOARD, dictionary="DICT_9X9")}, "OpenCV has no DICT_9X9"),
    ):
        with pytest.raises(ValueError, match=text):
            replace(good, **changes)
