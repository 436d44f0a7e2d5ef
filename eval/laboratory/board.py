"""The ChArUco board: its detection in images, and advice if the configured board is not found."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from eval.laboratory.opencv import opencv, opencv_errors
from eval.laboratory.pictures import list_pictures, read_picture, shown
from vision.errors import DactylError
from vision.geometry.rotations import FloatArray, rigid_transform

_MIN_CORNERS = 6  # in an image that is used
_SQUARES = (3, 50)  # along a side: fewer have no six corners on two lines
_SQUARE_M = (0.002, 0.5)
_MIN_MARKERS = 4  # in an image that shows a board, whatever its pattern
_PICTURES_FOR_ADVICE = 3


@dataclass(frozen=True)
class Board:
    """A ChArUco board as printed.

    Attributes:
        columns, rows: squares.
        square: side of a square, metres: measure it on the print.
        marker: side of a marker, metres.
        dictionary: OpenCV's name of the markers.
        legacy: the pattern of OpenCV before 4.6, which differs if the number of rows is even: a marker, and no black
            square, in the first corner.
    """

    columns: int = 7
    rows: int = 5
    square: float = 0.03
    marker: float = 0.022
    dictionary: str = "DICT_5X5_100"
    legacy: bool = False

    @property
    def size(self) -> FloatArray:
        """Lengths along the columns and the rows, (2,) metres."""
        return np.array([self.columns, self.rows]) * self.square

    @property
    def outline(self) -> FloatArray:
        """Its four corners in its own frame, (4, 3) metres."""
        return np.array([[x, y, 0.0] for x in (0, self.size[0]) for y in (0, self.size[1])])

    def check(self) -> None:
        """Raise ValueError naming the key if such a board cannot exist."""
        for key in ("columns", "rows"):
            if not _SQUARES[0] <= (count := getattr(self, key)) <= _SQUARES[1]:
                raise ValueError(f"board.{key}: expected {_SQUARES[0]} to {_SQUARES[1]} squares, got {count}")
        if not 0 < self.marker < self.square:
            raise ValueError(
                f"board: the marker must be smaller than the square, and both larger than 0, got {self.marker:g} and "
                f"{self.square:g}"
            )
        if not possible_square(self.square):
            raise ValueError(
                f"board.square: expected {_SQUARE_M[0]:g} to {_SQUARE_M[1]:g} metres, got {self.square:g}; "
                "is it in millimetres or centimetres?"
            )
        if self.dictionary not in (known := dictionaries()):
            near = difflib.get_close_matches(self.dictionary, known, n=1) or ["DICT_5X5_100"]
            raise ValueError(f"board.dictionary: OpenCV has no {self.dictionary}; for example {near[0]}")
        if (needed := (self.columns * self.rows + 1) // 2) > (there := len(_dictionary(self.dictionary).bytesList)):
            raise ValueError(
                f"board.dictionary: {self.columns}x{self.rows} squares need {needed} markers, {self.dictionary} has "
                f"{there}"
            )


class Corners(NamedTuple):
    """Corners of the board in an image: (N, 3) metres in the board's frame, and (N, 2) OpenCV pixels."""

    points: FloatArray
    pixels: FloatArray


@dataclass(frozen=True)
class BoardPictures:
    """Board detections in the images of a folder.

    Attributes:
        found: corners by file name.
        left_out: why an image is not used, by file name.
        ignored: names of files that are not PNG or JPEG.
        size: (width, height) of all images.
    """

    found: dict[str, Corners]
    left_out: dict[str, str]
    ignored: list[str]
    size: tuple[int, int]


def possible_square(side: float) -> bool:
    """Return whether a printed board's squares can have this side, metres."""
    return _SQUARE_M[0] <= side <= _SQUARE_M[1]


def dictionaries() -> list[str]:
    """Return OpenCV's names of marker dictionaries."""
    return [name for name in dir(opencv().aruco) if name.startswith("DICT_")]


def find_boards(folder: Path, board: Board, bits: int | None) -> BoardPictures:
    """Detect the board in every image of a folder.

    Raises:
        DactylError: there is no folder or no image, an image cannot be read, or images differ in size.
    """
    files, ignored = list_pictures(folder)
    if not files:
        seen = f"; there are {shown(ignored)}" if ignored else ""
        raise DactylError(f"{folder}: no PNG or JPEG pictures{seen}; convert them, or check the path")
    detector = _Detector(board)
    found, left_out = {}, {}
    size: tuple[int, int] | None = None
    for path in files:
        picture = read_picture(path, bits)
        size = size or (picture.shape[1], picture.shape[0])
        if size != (picture.shape[1], picture.shape[0]):
            raise DactylError(f"{path}: another size than the pictures before it; calibrate one resolution at a time")
        with opencv_errors(str(path)):
            corners, markers = detector(picture)
        if corners is None or len(corners.points) < _MIN_CORNERS:
            count = 0 if corners is None else len(corners.points)
            left_out[path.name] = f"{count} corners and {markers} markers"
        elif not _spans_a_plane(corners.points):
            left_out[path.name] = f"its {len(corners.points)} corners lie on a line"
        else:
            found[path.name] = corners
    assert size is not None
    return BoardPictures(found, left_out, ignored, size)


def advise(folder: Path, board: Board, names: list[str], bits: int | None) -> str:
    """Return the likely mistake if images do not show ``board``: the board that they do show, or what to check."""
    pictures = [read_picture(folder / name, bits) for name in names[:_PICTURES_FOR_ADVICE]]
    with opencv_errors(str(folder)):
        markers = sum(_Detector(board)(picture)[1] >= _MIN_MARKERS for picture in pictures)
        for text, other in _other_boards(board) if markers else _other_dictionaries(board):
            detector = _Detector(other)
            if sum(_counts(detector(picture)) for picture in pictures) > len(pictures) / 2:
                return f"they show it with board.{text}"
    if markers:
        return "markers were found, but their pattern differs: check board.columns, rows and legacy"
    return f"no markers of {board.dictionary} were found: take more pictures, sharp and well lit, or check board"


def _counts(seen: tuple[Corners | None, int]) -> bool:
    return seen[0] is not None and len(seen[0].points) >= _MIN_CORNERS and seen[1] >= _MIN_MARKERS


def _other_boards(board: Board) -> Iterator[tuple[str, Board]]:
    turned = replace(board, columns=board.rows, rows=board.columns)
    if board.rows % 2 == 0:
        yield f"legacy {str(not board.legacy).lower()}", replace(board, legacy=not board.legacy)
    yield f"columns {turned.columns} and board.rows {turned.rows}", turned
    if turned.rows % 2 == 0:
        other = replace(turned, legacy=not board.legacy)
        yield f"columns {other.columns}, board.rows {other.rows} and board.legacy {str(other.legacy).lower()}", other


def _other_dictionaries(board: Board) -> Iterator[tuple[str, Board]]:
    needed = (board.columns * board.rows + 1) // 2
    for name in dictionaries():
        if name != board.dictionary and len(_dictionary(name).bytesList) >= needed:
            for legacy in (board.legacy, not board.legacy):
                text = f"dictionary {name}" + ("" if legacy == board.legacy else f" and legacy {str(legacy).lower()}")
                yield text, replace(board, dictionary=name, legacy=legacy)


class _Detector:
    """Finds a board in RGB images: its corners, if any, and the number of markers."""

    def __init__(self, board: Board) -> None:
        aruco = opencv().aruco
        size = board.columns, board.rows
        self.charuco = aruco.CharucoBoard(size, board.square, board.marker, _dictionary(board.dictionary))
        self.charuco.setLegacyPattern(board.legacy)
        self.detector = aruco.CharucoDetector(self.charuco)

    def __call__(self, picture: np.ndarray) -> tuple[Corners | None, int]:
        cv2 = opencv()
        pixels, ids, _, markers = self.detector.detectBoard(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY))
        count = 0 if markers is None else len(markers)
        if ids is None or len(ids) == 0:
            return None, count
        points, pixels = self.charuco.matchImagePoints(pixels, ids)
        return Corners(np.float64(points).reshape(-1, 3), np.float64(pixels).reshape(-1, 2)), count


def _dictionary(name: str):  # type: ignore[no-untyped-def]  # OpenCV has no types
    aruco = opencv().aruco
    return aruco.getPredefinedDictionary(getattr(aruco, name))


def _spans_a_plane(points: FloatArray) -> bool:
    """Return whether corners (N, 3) of a board determine a homography: not if all but one lie on a line."""
    flat = points[:, :2] - points[:, :2].mean(axis=0)
    x, y = (flat / np.abs(flat).max()).T
    one, nought = np.ones_like(x), np.zeros_like(x)
    # The linear equations of the homography that maps the corners onto themselves must have a unique solution.
    first = np.stack([x, y, one, nought, nought, nought, -x * x, -x * y, -x], axis=1)
    second = np.stack([nought, nought, nought, x, y, one, -y * x, -y * y, -y], axis=1)
    values = np.linalg.svd(np.concatenate([first, second]), compute_uv=False)
    return bool(values[-2] > 1e-6 * values[0])


def board_frames(board: Board) -> list[FloatArray]:
    """Return the frames (4, 4) that a user may have meant, in the board's own frame, which comes first.

    Each has a corner as origin and x and y along the sides; z then points into the board or out of it.
    """
    width, height = board.size
    frames = []
    for swapped in (False, True):
        for x in (0.0, width):
            for y in (0.0, height):
                along, across = np.array([1.0 - 2 * (x > 0), 0, 0]), np.array([0, 1.0 - 2 * (y > 0), 0])
                first, second = (across, along) if swapped else (along, across)
                rotation = np.stack([first, second, np.cross(first, second)], axis=1)
                frames.append(rigid_transform(rotation, [x, y, 0.0]))
    return frames
