"""Pictures of one moment, and how a calibrated camera's become a dataset's: undistorted, turned or cropped, reduced."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from eval.laboratory.calibration import CalibratedCamera, opencv
from vision.errors import DactylError
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
        maps: of ``cv2.remap``, at ``_SUPERSAMPLING`` times the size.
        source: (width, height) of the pictures.
    """

    matrix: FloatArray
    transform: FloatArray
    maps: tuple[np.ndarray, np.ndarray]
    source: tuple[int, int]

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
    cv2 = opencv()
    true = camera.transform @ capture_from_world
    if warp:
        turn, matrix = nominal[:3, :3] @ true[:3, :3].T, nominal_matrix
    else:
        scale = size / min(camera.width, camera.height)
        middle = np.array([camera.width, camera.height]) / 2 - size / scale / 2
        matrix = camera.matrix.copy()
        matrix[:2, 2] += 0.5 - middle  # OpenCV's pixel centres are whole numbers, ours end in a half
        matrix, turn = np.diag([scale, scale, 1.0]) @ matrix, np.eye(3)
    large = np.diag([_SUPERSAMPLING, _SUPERSAMPLING, 1.0]) @ matrix
    large[:2, 2] -= 0.5
    side = (size * _SUPERSAMPLING, size * _SUPERSAMPLING)
    maps = cv2.initUndistortRectifyMap(camera.matrix, camera.distortion, turn, large, side, cv2.CV_32FC1)
    return View(matrix, rigid_transform(turn, [0, 0, 0]) @ true, maps, (camera.width, camera.height))
