"""Calibrated cameras of a laboratory: the file that describes them, and making it from pictures of a ChArUco board.

Everything in the file is OpenCV's: the camera matrix with pixel centres at whole numbers, distortion coefficients in
its order, transforms that map capture coordinates (the motion capture's world, metres) to the camera's (x right, y
down, z forward). :func:`vision.geometry.cameras` puts the centre of the first pixel at (0.5, 0.5); only
``eval.laboratory.recordings`` converts.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from PIL import Image

from vision.errors import DactylError
from vision.geometry.rotations import FloatArray, matrix_from_quaternion, rigid_transform
from vision.storage.decode import parse_json
from vision.storage.files import MAX_TABLE_BYTES, atomic_write, canonical_json, read_file

FORMAT = "dactyl-calibration-1"
_MIN_CORNERS = 6  # of one picture that counts
_MIN_PICTURES = 5  # that count, for intrinsics
_MIN_SPREAD_DEG = 15.0  # between the two boards that face the most different ways
_MAX_PIXELS = 50_000_000  # of a picture: more is no camera's, and 150 MB


@dataclass(frozen=True)
class CalibratedCamera:
    """A camera of the laboratory.

    Attributes:
        matrix: (3, 3) pixels, OpenCV's convention.
        distortion: (4), (5), (8), (12) or (14) coefficients, OpenCV's order.
        width, height: pixels of its pictures.
        transform: (4, 4) capture to camera, metres.
        rms: reprojection error in pixels of the calibration, None when it came from elsewhere.
    """

    matrix: FloatArray
    distortion: FloatArray
    width: int
    height: int
    transform: FloatArray
    rms: float | None = None


@dataclass(frozen=True)
class Board:
    """A ChArUco board as it was printed.

    Attributes:
        columns, rows: squares.
        square: side of a square, metres: measure it on the print.
        marker: side of a marker, metres.
        dictionary: OpenCV's name of the markers.
    """

    columns: int = 7
    rows: int = 5
    square: float = 0.03
    marker: float = 0.022
    dictionary: str = "DICT_5X5_100"


@dataclass(frozen=True)
class CalibrateConfig:
    """Calibration of a laboratory's cameras.

    Attributes:
        pictures: folder of each camera's pictures of the board, by camera name.
        output: file to write, for example calibration.json.
        reference: pictures in which the board lies at a known place: file name (the same in every camera's folder) to
            the board's position (x y z, metres) and orientation (quaternion w x y z) in capture coordinates, 7 numbers.
            The board's frame is OpenCV's: origin in a corner, x along the columns, y along the rows.
        board: as printed.
        max_rms: refuse a camera whose reprojection error is larger, pixels.
    """

    pictures: dict[str, Path]
    output: Path
    reference: dict[str, list[float]]
    board: Board = field(default_factory=Board)
    max_rms: float = 1.0

    def __post_init__(self) -> None:
        if not self.pictures or not self.reference:
            raise ValueError("pictures and reference: name at least one camera and one reference picture")
        for name, pose in self.reference.items():
            if len(pose) != 7 or not np.isfinite(pose).all() or not np.isclose(np.linalg.norm(pose[3:]), 1, atol=1e-3):
                raise ValueError(f"reference {name}: expected x y z and a unit quaternion w x y z, got {pose}")
        if not 0 < self.board.marker < self.board.square:
            raise ValueError("board: the marker must be smaller than the square, and both larger than 0")
        if not hasattr(opencv().aruco, self.board.dictionary):
            raise ValueError(f"board.dictionary: OpenCV has no {self.board.dictionary}; for example DICT_5X5_100")


def opencv() -> ModuleType:
    """OpenCV, imported when it is needed: nothing but recordings needs it."""
    try:
        import cv2
    except ImportError as error:
        raise DactylError("OpenCV is missing; install opencv-python-headless") from error
    return cv2


def calibrate(config: CalibrateConfig) -> dict[str, CalibratedCamera]:
    """Calibrate every camera and write the file.

    Raises:
        DactylError: too few pictures show the board, they are too much alike to tell the focal length, the reprojection
            error is too large, or no reference picture shows the board.
    """
    cameras = {name: _calibrate_camera(name, folder, config) for name, folder in config.pictures.items()}
    save_calibration(config.output, cameras)
    return cameras


def save_calibration(path: Path, cameras: Mapping[str, CalibratedCamera]) -> None:
    """Write a calibration file, whole or not at all."""
    plain = {
        name: {key: value.tolist() if isinstance(value, np.ndarray) else value for key, value in vars(camera).items()}
        for name, camera in cameras.items()
    }
    atomic_write(path, canonical_json({"format": FORMAT, "cameras": plain}))


def load_calibration(path: Path) -> dict[str, CalibratedCamera]:
    """Cameras by name; :class:`DactylError` names what is wrong in the file."""
    content = parse_json(read_file(path, MAX_TABLE_BYTES, "calibration"), path)
    if not isinstance(content, dict) or content.get("format") != FORMAT or not isinstance(content.get("cameras"), dict):
        raise DactylError(f"{path}: not a calibration file ({FORMAT}); dactyl calibrate writes one")
    return {name: _camera(about, f"{path}: camera '{name}'") for name, about in content["cameras"].items()}


def _camera(about: Any, where: str) -> CalibratedCamera:
    try:
        arrays = [np.asarray(about[key], np.float64) for key in ("matrix", "distortion", "transform")]
        rms = about.get("rms")
        size = int(about["width"]), int(about["height"])
        camera = CalibratedCamera(arrays[0], arrays[1], *size, arrays[2], None if rms is None else float(rms))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise DactylError(f"{where}: {error!r}; expected matrix, distortion, width, height, transform") from None
    K, T = camera.matrix, camera.transform
    if K.shape != (3, 3) or T.shape != (4, 4) or camera.distortion.shape not in {(n,) for n in (4, 5, 8, 12, 14)}:
        raise DactylError(f"{where}: expected a 3x3 matrix, 4, 5, 8, 12 or 14 coefficients and a 4x4 transform")
    if not all(np.isfinite(array).all() for array in arrays) or K[0, 0] <= 0 or K[1, 1] <= 0 or K[2, 2] != 1:
        raise DactylError(f"{where}: degenerate camera matrix or numbers that are not finite; calibrate again")
    if not (0 < K[0, 2] < camera.width and 0 < K[1, 2] < camera.height):
        raise DactylError(f"{where}: principal point outside of the picture; calibrate again")
    turn = T[:3, :3]
    if not np.allclose(turn @ turn.T, np.eye(3), atol=1e-4) or np.linalg.det(turn) < 0 or (T[3] != [0, 0, 0, 1]).any():
        raise DactylError(f"{where}: transform is no rotation and translation; calibrate again")
    return camera


def _calibrate_camera(name: str, folder: Path, config: CalibrateConfig) -> CalibratedCamera:
    cv2 = opencv()
    board = config.board
    dictionary = cv2.aruco.getPredefinedDictionary(getattr(cv2.aruco, board.dictionary))
    charuco = cv2.aruco.CharucoBoard((board.columns, board.rows), board.square, board.marker, dictionary)
    detector = cv2.aruco.CharucoDetector(charuco)
    found: dict[str, tuple[np.ndarray, np.ndarray]] = {}
    size: tuple[int, int] | None = None
    for path in sorted(folder.iterdir()) if folder.is_dir() else []:
        if path.suffix.lower() not in (".png", ".jpg", ".jpeg"):
            continue
        picture = read_picture(path)
        size = size or (picture.shape[1], picture.shape[0])
        if size != (picture.shape[1], picture.shape[0]):
            raise DactylError(f"{path}: another size than the pictures before it; calibrate one resolution at a time")
        corners, ids, _, _ = detector.detectBoard(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY))
        if ids is not None and len(ids) >= _MIN_CORNERS:
            points, pixels = charuco.matchImagePoints(corners, ids)
            found[path.name] = points.reshape(-1, 3), pixels.reshape(-1, 2)
    if len(found) < _MIN_PICTURES or size is None:
        raise DactylError(
            f"{folder}: camera '{name}': {len(found)} pictures show the board, expected {_MIN_PICTURES} or more; "
            "take more, or check board"
        )
    views = [(points.astype(np.float32), pixels.astype(np.float32)) for points, pixels in found.values()]
    points, pixels = zip(*views, strict=True)
    rms, matrix, distortion, turns, _, deviations, _, _ = cv2.calibrateCameraExtended(points, pixels, size, None, None)
    # Boards that all face one way leave the focal length open: the fit looks good, and even its deviation may.
    normals = np.stack([cv2.Rodrigues(turn)[0][:, 2] for turn in turns])
    spread = np.rad2deg(np.arccos(np.clip((normals @ normals.T).min(), -1, 1)))
    if not np.isfinite(matrix).all() or not spread > _MIN_SPREAD_DEG or deviations[0, 0] > 0.02 * matrix[0, 0]:
        raise DactylError(
            f"{folder}: camera '{name}': degenerate, the pictures leave the focal length open; tilt the board by 20 to "
            "45 degrees in different directions and fill the picture's corners"
        )
    if rms > config.max_rms:
        raise DactylError(
            f"{folder}: camera '{name}': reprojection error {rms:.2f} px is above max_rms {config.max_rms:g}; "
            "check the board's measures, and that pictures are sharp"
        )
    transform = _place(name, folder, found, config.reference, matrix, distortion.reshape(-1))
    return CalibratedCamera(matrix, distortion.reshape(-1), *size, transform, float(rms))


def _place(
    name: str,
    folder: Path,
    found: Mapping[str, tuple[np.ndarray, np.ndarray]],
    reference: Mapping[str, list[float]],
    matrix: FloatArray,
    distortion: FloatArray,
) -> FloatArray:
    """Capture to camera, (4, 4), from all corners of all reference pictures at once."""
    cv2 = opencv()
    points, pixels = [], []
    for file, pose in reference.items():
        if file not in found:
            raise DactylError(f"{folder / file}: camera '{name}': reference picture that does not show the board")
        corners, seen = found[file]
        capture_from_board = rigid_transform(matrix_from_quaternion(pose[3:]), pose[:3])
        points.append(corners @ capture_from_board[:3, :3].T + capture_from_board[:3, 3])
        pixels.append(seen)
    solved, turn, shift = cv2.solvePnP(
        np.concatenate(points), np.concatenate(pixels).astype(np.float64), matrix, distortion
    )
    if not solved or not np.isfinite(shift).all():
        raise DactylError(f"{folder}: camera '{name}': no pose explains the reference pictures; check reference")
    return rigid_transform(cv2.Rodrigues(turn)[0], shift.reshape(3))


def read_picture(path: Path) -> np.ndarray:
    """(H, W, 3) uint8 RGB."""
    try:
        # By its content Pillow would take any of 40 formats, and hand PostScript to Ghostscript, which runs it.
        with Image.open(path, formats=["PNG", "JPEG"]) as picture:
            if picture.width * picture.height > _MAX_PIXELS:
                raise ValueError(f"{picture.width}x{picture.height} pixels")
            return np.asarray(picture.convert("RGB"))
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise DactylError(f"{path}: not a readable picture ({error}); delete or record it again") from error
