"""Pictures of one moment, and how a calibrated camera's become a dataset's: undistorted, turned or cropped, reduced."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from eval.laboratory.opencv import opencv
from vision.errors import DactylError
from vision.geometry.cameras import project
from vision.geometry.rotations import FloatArray, rigid_transform
from vision.scene.calibration import CalibratedCamera
from vision.scene.rig import Camera

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
        height, width = (side // _SUPERSAMPLING for side in self.maps[0].shape)
        made = project(points, self.matrix, self.transform)
        captured = points @ self.capture_from_world[:3, :3].T + self.capture_from_world[:3, 3]
        recorded = self.camera.project(captured) + 0.5  # OpenCV's pixel centres are whole numbers
        return bool(
            ((made >= 0) & (made <= (width, height))).all() and ((recorded >= 0) & (recorded <= self.source)).all()
        )

    def __call__(self, picture: np.ndarray, where: Path) -> np.ndarray:
        """(h, w, 3) uint8 from a recorded picture (H, W, 3)."""
        cv2 = opencv()
        if (picture.shape[1], picture.shape[0]) != self.source:
            raise DactylError(
                f"{where}: {picture.shape[1]}x{picture.shape[0]} pixels, the calibration is of "
                f"{self.source[0]}x{self.source[1]}; calibrate at the recording's resolution"
            )
        large = cv2.remap(picture, *self.maps, cv2.INTER_LINEAR)
        height, width = large.shape[0] // _SUPERSAMPLING, large.shape[1] // _SUPERSAMPLING
        small: np.ndarray = cv2.resize(large, (width, height), interpolation=cv2.INTER_AREA)
        return small


def make_view(
    camera: CalibratedCamera,
    capture_from_world: FloatArray,
    nominal: Camera,
    warp: bool,
) -> View:
    """How pictures of a calibrated camera are seen by the dataset's.

    Args:
        capture_from_world: (4, 4).
        nominal: the trained camera.
        warp: take the trained camera's direction and K; else the largest cut of its shape around the image's middle.
    """
    true = camera.transform @ capture_from_world
    if warp:
        turn, matrix = nominal.extrinsics[:3, :3] @ true[:3, :3].T, nominal.intrinsics
    else:
        scale = max(nominal.width / camera.width, nominal.height / camera.height)
        middle = np.array([camera.width - nominal.width / scale, camera.height - nominal.height / scale]) / 2
        matrix = camera.matrix.copy()
        matrix[:2, 2] += 0.5 - middle  # OpenCV's pixel centres are whole numbers, ours end in a half
        matrix, turn = np.diag([scale, scale, 1.0]) @ matrix, np.eye(3)
    return View(
        matrix,
        rigid_transform(turn, [0, 0, 0]) @ true,
        _source_pixels(camera, turn, matrix, nominal),
        camera,
        capture_from_world,
    )


def _source_pixels(
    camera: CalibratedCamera, turn: FloatArray, matrix: FloatArray, nominal: Camera
) -> tuple[np.ndarray, np.ndarray]:
    """Where in the recorded picture, OpenCV's pixels x and y (h, w), each pixel of a larger result comes from.

    Args:
        turn: (3, 3) recorded to resulting camera.
        matrix: K (3, 3) of the result.
        nominal: whose image size, times ``_SUPERSAMPLING``, is filled.
    """
    columns, rows = (
        (np.arange(side * _SUPERSAMPLING) + 0.5) / _SUPERSAMPLING for side in (nominal.width, nominal.height)
    )
    x, y = np.meshgrid(columns, rows)
    rays = np.stack([x, y, np.ones_like(x)], axis=-1) @ np.linalg.inv(matrix).T @ turn  # turn.T @ ray
    ahead = np.where(rays[..., 2:] > 0, rays[..., 2:], np.nan)
    pixels = camera.lens.distort(rays[..., :2] / ahead) @ camera.matrix[:2, :2].T + camera.matrix[:2, 2]
    # What the lens does not image, or not twice the same, is taken from outside of the picture: black.
    found = np.nan_to_num(pixels, nan=-1e4).astype(np.float32)
    return found[..., 0], found[..., 1]
