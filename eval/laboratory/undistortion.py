"""Pictures of one moment, and how a calibrated camera's become a dataset's: undistorted, turned or cropped, reduced."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from eval.laboratory.calibration import CalibratedCamera
from eval.laboratory.opencv import opencv
from vision.errors import DactylError
from vision.geometry.cameras import project
from vision.geometry.rotations import FloatArray, rigid_transform

_SUPERSAMPLING = 3  # pictures are warped at three times their size and then averaged: no aliasing


@dataclass(frozen=True)
class Triplet:
    """Pictures of one moment, in rig order, with the object's pose in the world, (4, 4)."""

    files: tuple[Path, ...]
    time: float
    pose: FloatArray


@dataclass(frozen=True)
class View:
    """How a camera's pictures become a dataset's: K (3, 3) and T (4, 4) of the result, and where its pixels come from.

    Attributes:
        matrix, transform: of the result, world to camera.
        maps: of ``cv2.remap``, at ``_SUPERSAMPLING`` times the size.
        camera: that takes the pictures.
        capture_from_world: (4, 4).
    """

    matrix: FloatArray
    transform: FloatArray
    maps: tuple[np.ndarray, np.ndarray]
    camera: CalibratedCamera
    capture_from_world: FloatArray

    @property
    def source(self) -> tuple[int, int]:
        """(width, height) of the recorded pictures."""
        return self.camera.width, self.camera.height

    def holds(self, points: FloatArray) -> bool:
        """Whether all world points (N, 3) lie in the recorded picture and in the one that is made of it."""
        size = self.maps[0].shape[0] // _SUPERSAMPLING
        made = project(points, self.matrix, self.transform)
        captured = points @ self.capture_from_world[:3, :3].T + self.capture_from_world[:3, 3]
        recorded = self.camera.project(captured) + 0.5  # OpenCV's pixel centres are whole numbers
        return bool(((made >= 0) & (made <= size)).all() and ((recorded >= 0) & (recorded <= self.source)).all())

    def __call__(self, picture: np.ndarray, where: Path) -> np.ndarray:
        """(S, S, 3) uint8 from a recorded picture (H, W, 3)."""
        cv2 = opencv()
        if (picture.shape[1], picture.shape[0]) != self.source:
            raise DactylError(
                f"{where}: {picture.shape[1]}x{picture.shape[0]} pixels, the calibration is of "
                f"{self.source[0]}x{self.source[1]}; calibrate at the recording's resolution"
            )
        large = cv2.remap(picture, *self.maps, cv2.INTER_LINEAR)
        size = len(large) // _SUPERSAMPLING
        return cv2.resize(large, (size, size), interpolation=cv2.INTER_AREA)


def make_view(
    camera: CalibratedCamera,
    capture_from_world: FloatArray,
    nominal_matrix: FloatArray,
    nominal: FloatArray,
    warp: bool,
    size: int,
) -> View:
    """How pictures of a calibrated camera are seen by the dataset's.

    Args:
        capture_from_world: (4, 4).
        nominal_matrix, nominal: K (3, 3) at ``size`` pixels and T (4, 4) of the trained camera.
        warp: take the trained camera's direction and K; else the largest square around the picture's middle.
    """
    true = camera.transform @ capture_from_world
    if warp:
        turn, matrix = nominal[:3, :3] @ true[:3, :3].T, nominal_matrix
    else:
        scale = size / min(camera.width, camera.height)
        middle = np.array([camera.width, camera.height]) / 2 - size / scale / 2
        matrix = camera.matrix.copy()
        matrix[:2, 2] += 0.5 - middle  # OpenCV's pixel centres are whole numbers, ours end in a half
        matrix, turn = np.diag([scale, scale, 1.0]) @ matrix, np.eye(3)
    return View(
        matrix,
        rigid_transform(turn, [0, 0, 0]) @ true,
        _source_pixels(camera, turn, matrix, size * _SUPERSAMPLING),
        camera,
        capture_from_world,
    )


def _source_pixels(
    camera: CalibratedCamera, turn: FloatArray, matrix: FloatArray, size: int
) -> tuple[np.ndarray, np.ndarray]:
    """Where in the recorded picture, OpenCV's pixels x and y (size, size), each pixel of a larger result comes from.

    Args:
        turn: (3, 3) recorded to resulting camera.
        matrix: K (3, 3) of the result at ``size / _SUPERSAMPLING`` pixels.
    """
    centres = (np.arange(size) + 0.5) / _SUPERSAMPLING
    x, y = np.meshgrid(centres, centres)
    rays = np.stack([x, y, np.ones_like(x)], axis=-1) @ np.linalg.inv(matrix).T @ turn  # turn.T @ ray
    ahead = np.where(rays[..., 2:] > 0, rays[..., 2:], np.nan)
    pixels = camera.lens.distort(rays[..., :2] / ahead) @ camera.matrix[:2, :2].T + camera.matrix[:2, 2]
    # What the lens does not image, or not twice the same, is taken from outside of the picture: black.
    found = np.nan_to_num(pixels, nan=-size).astype(np.float32)
    return found[..., 0], found[..., 1]
