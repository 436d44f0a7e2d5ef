"""Conversion of a calibrated camera's images to a dataset's: undistorted, rotated or cropped, and reduced."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from eval.laboratory.opencv import opencv
from vision.errors import DactylError
from vision.geometry.cameras import OPENCV_OFFSET, Cameras, project
from vision.geometry.rotations import FloatArray, rigid_transform
from vision.rigs.rig import Camera

_LEAST_SUPERSAMPLING = 3  # images are warped at several times their size and then averaged, to avoid aliasing


@dataclass(frozen=True)
class View:
    """Mapping of a camera's images to a dataset's.

    Attributes:
        source: the camera that takes the images, in the world.
        result: K (3, 3) and T (4, 4) of the resulting images, in the world, and their size.
        maps: maps of ``cv2.remap``, at a whole number of times the size.
    """

    source: Camera
    result: Cameras
    maps: tuple[np.ndarray, np.ndarray]

    def holds(self, points: FloatArray) -> bool:
        """Return whether all world points (N, 3) lie in the recorded image and in the resulting one."""
        source, result = self.source, self.result
        made = project(points, result)
        recorded = source.distorted_pixels(points @ source.extrinsics[:3, :3].T + source.extrinsics[:3, 3])
        sides = (made, (result.width, result.height)), (recorded, (source.width, source.height))
        return all(bool(((pixels >= 0) & (pixels <= size)).all()) for pixels, size in sides)

    def __call__(self, picture: np.ndarray, where: Path) -> np.ndarray:
        """Convert a recorded image (H, W, 3) to (h, w, 3) uint8."""
        cv2 = opencv()
        height, width = picture.shape[:2]
        if (width, height) != (self.source.width, self.source.height):
            raise DactylError(
                f"{where}: {width}x{height} pixels, the calibration is of "
                f"{self.source.width}x{self.source.height}; calibrate at the recording's resolution"
            )
        large = cv2.remap(picture, *self.maps, cv2.INTER_LINEAR)
        size = self.result.width, self.result.height
        small: np.ndarray = cv2.resize(large, size, interpolation=cv2.INTER_AREA)
        return small


def make_view(source: Camera, nominal: Camera, warp: bool) -> View:
    """Create the mapping from a calibrated camera's images to the dataset's.

    Args:
        source: the calibrated camera, in the world.
        nominal: the trained camera.
        warp: use the trained camera's direction and K; otherwise the largest central crop of its aspect ratio.
    """
    if warp:
        turn, matrix = nominal.extrinsics[:3, :3] @ source.extrinsics[:3, :3].T, nominal.intrinsics
    else:
        scale = max(nominal.width / source.width, nominal.height / source.height)
        matrix, turn = source.intrinsics.copy(), np.eye(3)
        matrix[:2, 2] -= np.array([source.width - nominal.width / scale, source.height - nominal.height / scale]) / 2
        matrix = np.diag([scale, scale, 1.0]) @ matrix
    extrinsics = rigid_transform(turn, [0, 0, 0]) @ source.extrinsics
    result = Cameras(matrix, extrinsics, nominal.width, nominal.height)
    reduced = max(source.intrinsics[0, 0] / result.intrinsics[0, 0], source.intrinsics[1, 1] / result.intrinsics[1, 1])
    times = max(_LEAST_SUPERSAMPLING, int(np.ceil(reduced)))  # every recorded pixel counts
    return View(source, result, _source_pixels(source, turn, result, times))


def _source_pixels(source: Camera, turn: FloatArray, result: Cameras, times: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the recorded image's pixel, OpenCV's x and y (h, w), for each pixel of the supersampled result.

    Args:
        source: the recording camera.
        turn: (3, 3) rotation from the recording camera's frame to the resulting one's.
        result: the resulting camera.
        times: number of the supersampled result's pixels along each of the resulting camera's.
    """
    columns, rows = ((np.arange(side * times) + 0.5) / times for side in (result.width, result.height))
    x, y = np.meshgrid(columns, rows)
    rays = np.stack([x, y, np.ones_like(x)], axis=-1) @ np.linalg.inv(result.intrinsics).T @ turn  # turn.T @ ray
    pixels = source.distorted_pixels(rays) - OPENCV_OFFSET
    # Rays that the lens does not image, or not uniquely, are mapped outside of the image and become black.
    found = np.nan_to_num(pixels, nan=-1e4).astype(np.float32)
    return found[..., 0], found[..., 1]
