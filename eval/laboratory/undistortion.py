"""Conversion of a calibrated camera's images to a dataset's: undistorted, rotated or cropped, and reduced."""

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

_SUPERSAMPLING = 3  # images are warped at three times their size and then averaged, to avoid aliasing


@dataclass(frozen=True)
class View:
    """Mapping of a camera's images to a dataset's.

    Attributes:
        matrix, transform: K (3, 3) and T (4, 4), world to camera, of the result.
        maps: maps of ``cv2.remap``, at ``_SUPERSAMPLING`` times the size.
        camera: camera that takes the images.
        capture_from_world: (4, 4) world to capture.
    """

    matrix: FloatArray
    transform: FloatArray
    maps: tuple[np.ndarray, np.ndarray]
    camera: CalibratedCamera
    capture_from_world: FloatArray

    @property
    def source(self) -> tuple[int, int]:
        """(width, height) of the recorded images."""
        return self.camera.width, self.camera.height

    def holds(self, points: FloatArray) -> bool:
        """Return whether all world points (N, 3) lie in the recorded image and in the resulting one."""
        height, width = (side // _SUPERSAMPLING for side in self.maps[0].shape)
        made = project(points, self.matrix, self.transform)
        captured = points @ self.capture_from_world[:3, :3].T + self.capture_from_world[:3, 3]
        recorded = self.camera.project(captured) + 0.5  # OpenCV's pixel centres are whole numbers
        return bool(
            ((made >= 0) & (made <= (width, height))).all() and ((recorded >= 0) & (recorded <= self.source)).all()
        )

    def __call__(self, picture: np.ndarray, where: Path) -> np.ndarray:
        """Convert a recorded image (H, W, 3) to (h, w, 3) uint8."""
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
    """Create the mapping from a calibrated camera's images to the dataset's.

    Args:
        camera: the calibrated camera.
        capture_from_world: (4, 4) world to capture.
        nominal: the trained camera.
        warp: use the trained camera's direction and K; otherwise the largest central crop of its aspect ratio.
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
    """Return the recorded image's pixel, OpenCV's x and y (h, w), for each pixel of the supersampled result.

    Args:
        turn: (3, 3) rotation from the recorded to the resulting camera.
        matrix: K (3, 3) of the result.
        nominal: camera whose image size, times ``_SUPERSAMPLING``, the result has.
    """
    columns, rows = (
        (np.arange(side * _SUPERSAMPLING) + 0.5) / _SUPERSAMPLING for side in (nominal.width, nominal.height)
    )
    x, y = np.meshgrid(columns, rows)
    rays = np.stack([x, y, np.ones_like(x)], axis=-1) @ np.linalg.inv(matrix).T @ turn  # turn.T @ ray
    ahead = np.where(rays[..., 2:] > 0, rays[..., 2:], np.nan)
    pixels = camera.lens.distort(rays[..., :2] / ahead) @ camera.matrix[:2, :2].T + camera.matrix[:2, 2]
    # Rays that the lens does not image, or not uniquely, are mapped outside of the image and become black.
    found = np.nan_to_num(pixels, nan=-1e4).astype(np.float32)
    return found[..., 0], found[..., 1]
