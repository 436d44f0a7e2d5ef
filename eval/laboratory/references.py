"""A camera's pose from measured poses of the board: how far they disagree, and the likely mistake.

Each image alone gives the board's pose in the camera's frame; the references give it in capture coordinates. One rigid
transform must map one to the other. A single reference fits any camera pose; two or more check each other. An error
that all share, such as the board's middle measured in place of its corner, shows only as far as the board was turned.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from eval.laboratory.board import Board, Corners, board_frames, possible_square
from eval.laboratory.opencv import opencv, opencv_errors
from eval.laboratory.orders import other_orders
from eval.laboratory.poses import inverse, reordered, transform_from_pose
from vision.errors import DactylError
from vision.geometry.rotations import FloatArray, geodesic_distance, rigid_transform

_APART_M, _APART_DEG = 0.03, 10.0  # references closer than both cannot check each other
_UNITS = {"millimetres": 1000.0, "centimetres": 100.0, "inches": 39.37, "feet": 3.281}


class OpenCVIntrinsics(NamedTuple):
    """A camera as OpenCV's functions take it: its matrix (3, 3) with the first pixel's centre at (0, 0), and the
    coefficients (K,) of its radial-tangential lens."""

    matrix: FloatArray
    distortion: FloatArray


@dataclass(frozen=True)
class References:
    """Known places of a board.

    Attributes:
        poses: pose of the board in capture coordinates, 7 numbers, by the file name of the image that shows it there.
        board: the board as printed.
        max_mm: largest accepted disagreement between a reference and what a camera sees, millimetres.
    """

    poses: Mapping[str, list[float]]
    board: Board
    max_mm: float


@dataclass(frozen=True)
class Placement:
    """A camera's pose from its references.

    Attributes:
        transform: (4, 4) capture to camera.
        distance: metres from the camera to the board's middle in each reference image, by file name.
        rms_px, rms_mm: disagreement of each reference with what the camera sees, root mean square over the board's
            corners, by file name; empty if the references cannot check each other.
        unchecked: why they cannot check each other, else None.
        unseen: (M, 3) unit vectors in the board's frame, along which an error of its origin that all references share
            would not show: all three of parallel places, one of places turned about one axis only, else none.
    """

    transform: FloatArray
    distance: dict[str, float]
    rms_px: dict[str, float]
    rms_mm: dict[str, float]
    unchecked: str | None
    unseen: FloatArray


def place_camera(
    where: str, found: Mapping[str, Corners], intrinsics: OpenCVIntrinsics, references: References
) -> Placement:
    """Find the camera from all corners of all reference images together, and check each reference against the others.

    Args:
        where: name of the camera for errors.
        found: corners in the reference images, by file name.
        intrinsics: of the camera.
        references: where the board lay.

    Raises:
        DactylError: no pose explains the images, or the references disagree; the message names the likely mistake.
    """
    cv2 = opencv()
    names, outline = list(references.poses), references.board.outline
    to_capture = np.stack([transform_from_pose(pose) for pose in references.poses.values()])
    captured = [_apply(pose, found[name].points) for pose, name in zip(to_capture, names, strict=True)]
    pixels = [found[name].pixels for name in names]
    with opencv_errors(where):
        to_camera = np.stack([_solve(*found[name], intrinsics) for name in names])
        if not np.isfinite(to_camera).all():
            raise DactylError(f"{where}: no pose of the board explains a reference picture; take it again")
        # Start where the boards agree best: OpenCV's own initial guess fails if references contradict each other.
        start = _align(to_capture, to_camera, outline)
        transform = _solve(np.concatenate(captured), np.concatenate(pixels), intrinsics, start)
        if not np.isfinite(transform).all():
            raise DactylError(f"{where}: no pose explains the reference pictures; check reference")
        rotation = cv2.Rodrigues(transform[:3, :3])[0]
        seen = [cv2.projectPoints(p, rotation, transform[:3, 3], *intrinsics)[0][:, 0] for p in captured]
    outlines = [_apply(each, outline) for each in to_camera]
    distance = {name: float(np.linalg.norm(each.mean(axis=0))) for name, each in zip(names, outlines, strict=True)}
    if unchecked := _unchecked(to_capture, to_camera):
        return Placement(transform, distance, {}, {}, unchecked, np.eye(3))
    expected = [_apply(transform @ each, outline) for each in to_capture]
    rms_mm = {name: 1000 * _rms(a - b) for name, a, b in zip(names, expected, outlines, strict=True)}
    rms_px = {name: _rms(a - b) for name, a, b in zip(names, seen, pixels, strict=True)}
    worst = max(names, key=lambda name: rms_mm[name])
    if rms_mm[worst] > references.max_mm:
        likely = _likely_mistake(references, to_capture, to_camera)
        raise DactylError(
            f"{where}: reference {worst}: {rms_mm[worst]:.1f} mm ({rms_px[worst]:.1f} px) from where the camera sees "
            f"the board, above max_reference_mm {references.max_mm:g}; {likely}"
        )
    return Placement(transform, distance, rms_px, rms_mm, None, _unseen(to_camera[:, :3, :3]))


def _unchecked(to_capture: FloatArray, to_camera: FloatArray) -> str | None:
    """Return why the board's poses cannot check each other, or None."""
    if len(to_capture) == 1:
        return "one reference cannot be checked"
    both = np.stack([to_capture, to_camera])  # poses that are equal in the references alone are a mistake
    shift = np.linalg.norm(both[:, 1:, :3, 3] - both[:, :1, :3, 3], axis=-1).max()
    turn = np.rad2deg(geodesic_distance(both[:, 1:, :3, :3], both[:, :1, :3, :3])).max()
    if shift < _APART_M and turn < _APART_DEG:
        return f"references {1000 * shift:.0f} mm and {turn:.0f} degrees apart cannot check each other"
    return None


def _unseen(rotations: FloatArray) -> FloatArray:
    """Return the unit vectors (M, 3) whose directions hardly differ between rotations (N, 3, 3) of the board.

    An error e of the board's origin moves it by R e at each place. The camera's position takes up the mean of these, so
    only their differences show. Two places that are turned by an angle show the sine of its half.
    """
    _, shown, directions = np.linalg.svd((rotations - rotations.mean(axis=0)).reshape(-1, 3))
    limit = math.sin(math.radians(_APART_DEG) / 2)
    return np.asarray(directions[shown / math.sqrt(len(rotations)) < limit])


def _likely_mistake(references: References, to_capture: FloatArray, to_camera: FloatArray) -> str:
    """Return the first change to the references that makes them agree."""
    board = references.board
    for text, poses, seen in _changes(list(references.poses), to_capture, to_camera, board):
        if 1000 * _disagreement(poses, seen, board.outline) <= references.max_mm:
            return text
    return "measure the places again, and check board.square and that the board is flat"


def _changes(
    names: list[str], to_capture: FloatArray, to_camera: FloatArray, board: Board
) -> Iterator[tuple[str, FloatArray, FloatArray]]:
    """Yield what the user may have meant: a description, references and the boards seen by the camera, (N, 4, 4)."""
    yield "the quaternions seem to be x y z w, expected w x y z", reordered(to_capture), to_camera
    yield (
        "the poses seem to be of the capture frame in the board's, expected the inverse",
        inverse(to_capture),
        to_camera,
    )
    turned_back = rigid_transform(np.swapaxes(to_capture[:, :3, :3], 1, 2), to_capture[:, :3, 3])
    yield "the rotations seem to be capture to board, expected board to capture", turned_back, to_camera
    for unit, factor in _UNITS.items():
        scaled = rigid_transform(to_capture[:, :3, :3], to_capture[:, :3, 3] / factor)
        yield f"the positions seem to be in {unit}, expected metres", scaled, to_camera
    for frame in board_frames(board)[1:]:
        yield (
            "the board's frame seems to be another: its origin is the corner of the first square in OpenCV's picture "
            "of it, x along the columns, y along the rows",
            to_capture @ inverse(frame),
            to_camera,
        )
    for order in other_orders(len(names)):
        exchanged = [f"{names[i]} has the pose of {names[j]}" for i, j in enumerate(order) if i != j]
        yield f"they seem to be exchanged: {', '.join(exchanged)}", to_capture[order], to_camera
    ratio = _scale(to_capture, to_camera)
    # Two poses, one of them wrong, look like a board that is somewhat larger or smaller.
    if ratio and possible_square(board.square * ratio) and (len(names) > 2 or abs(math.log10(ratio)) > 0.5):
        scaled = rigid_transform(to_capture[:, :3, :3], to_capture[:, :3, 3] / ratio)
        square = f"{board.square * ratio:.3g} m and not {board.square:g}"
        yield f"board.square seems to be {square}: measure it on the print", scaled, to_camera
    if len(names) > 2:
        for number, name in enumerate(names):
            others = np.arange(len(names)) != number
            yield f"the others agree without {name}: measure that place again", to_capture[others], to_camera[others]


def _scale(to_capture: FloatArray, to_camera: FloatArray) -> float | None:
    """Return the ratio of distances between references to those between the boards that the camera sees."""
    measured, seen = (np.linalg.norm(t[:, :3, 3] - t[:, :3, 3].mean(axis=0)) for t in (to_capture, to_camera))
    return float(measured / seen) if seen > _APART_M else None


def _disagreement(to_capture: FloatArray, to_camera: FloatArray, outline: FloatArray) -> float:
    """Compute the root mean square distance, metres, of the outlines by both (N, 4, 4) under the best transform."""
    transform = _align(to_capture, to_camera, outline)
    apart = [_apply(transform @ a, outline) - _apply(b, outline) for a, b in zip(to_capture, to_camera, strict=True)]
    return _rms(np.concatenate(apart))


def _align(to_capture: FloatArray, to_camera: FloatArray, outline: FloatArray) -> FloatArray:
    """Find capture to camera (4, 4) that best maps the board's outline by the one (N, 4, 4) to that by the other."""
    here = np.concatenate([_apply(pose, outline) for pose in to_capture])
    there = np.concatenate([_apply(pose, outline) for pose in to_camera])
    a, b = here - here.mean(axis=0), there - there.mean(axis=0)
    u, _, v = np.linalg.svd(b.T @ a)
    rotation = u @ np.diag([1.0, 1.0, np.linalg.det(u @ v)]) @ v
    return rigid_transform(rotation, there.mean(axis=0) - rotation @ here.mean(axis=0))


def _solve(
    points: FloatArray, pixels: FloatArray, intrinsics: OpenCVIntrinsics, start: FloatArray | None = None
) -> FloatArray:
    """Find the transform (4, 4) from the frame of points (N, 3) to the camera that sees them at pixels (N, 2)."""
    cv2 = opencv()
    if start is None:
        solved, turn, shift = cv2.solvePnP(points, pixels, *intrinsics)
    else:
        guess = cv2.Rodrigues(start[:3, :3])[0], start[:3, 3].reshape(3, 1).copy()
        solved, turn, shift = cv2.solvePnP(points, pixels, *intrinsics, *guess, useExtrinsicGuess=True)
    if not solved:
        return np.full((4, 4), np.nan)
    return rigid_transform(cv2.Rodrigues(turn)[0], shift.reshape(3))


def _apply(transform: FloatArray, points: FloatArray) -> FloatArray:
    return np.asarray(points @ transform[:3, :3].T + transform[:3, 3])


def _rms(differences: FloatArray) -> float:
    """Compute the root mean square length of vectors (N, D)."""
    return float(np.sqrt((differences**2).sum(axis=-1).mean()))
