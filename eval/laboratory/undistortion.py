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

_SUPERSAMPLING = 3  # images are warped at three times their size and then averaged, to avoid aliasing


@dataclass(frozen=True)
class View:
    """Mapping of a camera's images to a dataset's.

    Attributes:
        source: the camera that takes the images, in the world.
        result: K (3, 3) and T (4, 4) of the resulting images, in the world, and their size.
        reduced: width and height to which recorded images are reduced before: so far that warping skips no pixel.
        maps: maps of ``cv2.remap`` from these, at ``_SUPERSAMPLING`` times the result's size.
    """

    source: Camera
    result: Cameras
    reduced: tuple[int, int]
    maps: tuple[np.ndarray, np.ndarray]

    def holds(self, points: FloatArray) -> bool:
        """Return whether all world points (N, 3) lie in the recorded image and in the resulting one."""
        source, result = self.source, self.result
        made = project(points, result)
        recorded = source.distorted_pixels(points @ source.extrinsics[:3, :3].T + source.extrinsics[:3, 3])
        sides = (made, (result.width, result.height)), (recorded, (source.width, source.height))
        return all(bool(((pixels >= 0) & (pixels <= size)).all()) for pixels, size in sides)

    @property
    def covered(self) -> float:
        """Share of the resulting image that the recorded one shows; the rest is black."""
        x, y = ((at >= -0.5) & (at <= side - 0.5) for at, side in zip(self.maps, self.reduced, strict=True))
        return float((x & y).mean())

    def __call__(self, picture: np.ndarray, where: Path) -> np.ndarray:
        """Convert a recorded image (H, W, 3) to (h, w, 3) uint8."""
        cv2 = opencv()
        height, width = picture.shape[:2]
        if (width, height) != (self.source.width, self.source.height):
            raise DactylError(
                f"{where}: {width}x{height} pixels, the calibration is of "
                f"{self.source.width}x{self.source.height}; calibrate (or give lenses) at the recording's resolution"
            )
        if self.reduced != (width, height):
            picture = cv2.resize(picture, self.reduced, interpolation=cv2.INTER_AREA)
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
    finer = max(source.intrinsics[axis, axis] / result.intrinsics[axis, axis] for axis in (0, 1))
    times = max(1, int(np.ceil(finer / _SUPERSAMPLING)))
    reduced = max(1, source.width // times), max(1, source.height // times)
    return View(source, result, reduced, _source_pixels(source, turn, result, reduced))


def _source_pixels(
    source: Camera, turn: FloatArray, result: Cameras, reduced: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray]:
    """Return the reduced image's pixel, OpenCV's x and y (h, w), for each pixel of the supersampled result.

    Args:
        source: the recording camera.
        turn: (3, 3) rotation from the recording camera's frame to the resulting one's.
        result: the resulting camera; each side of the result has ``_SUPERSAMPLING`` times its pixels.
        reduced: width and height of the recorded image once it is reduced.
    """
    columns, rows = (
        (np.arange(side * _SUPERSAMPLING) + 0.5) / _SUPERSAMPLING for side in (result.width, result.height)
    )
    x, y = np.meshgrid(columns, rows)
    rays = np.stack([x, y, np.ones_like(x)], axis=-1) @ np.linalg.inv(result.intrinsics).T @ turn  # turn.T @ ray
    pixels = source.distorted_pixels(rays) * np.divide(reduced, (source.width, source.height)) - OPENCV_OFFSET
    # Rays that the lens does not image, or not uniquely, are mapped outside of the image and become black.
    found = np.nan_to_num(pixels, nan=-1e4).astype(np.float32)
    return found[..., 0], found[..., 1]
