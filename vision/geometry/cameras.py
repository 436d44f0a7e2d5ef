"""Cameras in OpenCV's convention, the only one used between functions.

A camera looks along +z with x to the right and y down. The image spans ``[0, W] x [0, H]`` pixels with the origin in
the top left corner, so the centre of the first pixel is (0.5, 0.5) and the principal point of a centred camera is (W /
2, H / 2). Extrinsics are the rigid transform from world to camera.

OpenCV's own functions, and the files of OpenCV, ROS, Kalibr and BOP, put the first pixel's centre at (0, 0):
:func:`from_opencv` and :func:`to_opencv` convert K where such files are read and written. MuJoCo's convention is
confined to ``datagen.sim.cameras``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vision.geometry.rotations import FloatArray, rigid_transform

if TYPE_CHECKING:
    from torch import Tensor


class Pinhole(Protocol):
    """One camera or several that points can be projected by: :class:`Cameras`, or the camera of a rig."""

    @property
    def intrinsics(self) -> Any:
        """OpenCV K (..., 3, 3), pixels."""

    @property
    def extrinsics(self) -> Any:
        """World to camera (..., 4, 4), metres."""


class Cameras(NamedTuple):
    """Pinhole cameras, as NumPy arrays or as tensors; dimensions before C, if any, are those of a batch. A single one
    has no C.

    Attributes:
        intrinsics: (..., C, 3, 3) OpenCV K, pixels.
        extrinsics: (..., C, 4, 4) world to camera, metres.
        width: (C,) of the images, pixels; None where it is not needed.
        height: (C,) of the images, pixels; None where it is not needed.
    """

    intrinsics: Any
    extrinsics: Any
    width: Any = None
    height: Any = None

    def double(self) -> Cameras:
        """Return a copy with its tensors in float64."""
        return self._replace(intrinsics=self.intrinsics.double(), extrinsics=self.extrinsics.double())

    def numpy(self) -> Cameras:
        """Return a copy with its tensors as NumPy arrays."""
        return self._replace(intrinsics=self.intrinsics.numpy(), extrinsics=self.extrinsics.numpy())

    def at(self, rows: Any) -> Cameras:
        """Return the cameras in some rows of the first dimension, or in one: of a batch, whose sizes stay, or a single
        one of C, with its own size."""
        sizes = (self.width, self.height)
        if np.ndim(self.intrinsics) == 3:  # the first dimension is C, which sizes have, too
            sizes = tuple(size[rows] if np.ndim(size) else size for size in sizes)
        return Cameras(self.intrinsics[rows], self.extrinsics[rows], *sizes)

    def in_frame(self, motion: FloatArray) -> Cameras:
        """Return the same cameras in another frame, whose coordinates the rigid ``motion`` (4, 4) takes to those of the
        present world."""
        return self._replace(extrinsics=self.extrinsics @ motion)

    @classmethod
    def from_label(cls, label: Mapping[str, Any]) -> Cameras:
        """Return the cameras of a label, a sample or a batch of them (``vision.storage.schema``)."""
        return cls(label["camera_intrinsics"], label["camera_extrinsics"])

    @classmethod
    def stacked(cls, parts: Sequence[Cameras]) -> Cameras:
        """Stack cameras (C, ...) to a batch (N, C, ...) of arrays, without the sizes of their images."""
        return cls(np.stack([part.intrinsics for part in parts]), np.stack([part.extrinsics for part in parts]))

    def repeated(self, count: int) -> Cameras:
        """Return a batch of ``count`` times the same cameras, (count, C, ...), as read-only views of the arrays."""
        K, T = (np.broadcast_to(array, (count, *array.shape)) for array in (self.intrinsics, self.extrinsics))
        return self._replace(intrinsics=K, extrinsics=T)


OPENCV_OFFSET = 0.5
"""Pixels by which a point's coordinates here exceed OpenCV's, in x and in y."""


def from_opencv(matrix: ArrayLike) -> FloatArray:
    """Return K (..., 3, 3) of a camera matrix in OpenCV's convention, with the first pixel's centre at (0, 0)."""
    return _shifted(matrix, OPENCV_OFFSET)


def to_opencv(matrix: ArrayLike) -> FloatArray:
    """Return the camera matrix (..., 3, 3) in OpenCV's convention: the inverse of :func:`from_opencv`."""
    return _shifted(matrix, -OPENCV_OFFSET)


def _shifted(matrix: ArrayLike, pixels: float) -> FloatArray:
    moved = np.array(matrix, dtype=np.float64)
    moved[..., :2, 2] += pixels
    return moved


def look_at(position: ArrayLike, target: ArrayLike) -> FloatArray:
    """Return the world-to-camera transform (4, 4) of a camera at ``position`` (3,) with ``target`` (3,) in the middle
    of its image, the world's z upwards.

    Raises:
        ValueError: both are the same point.
    """
    eye = np.asarray(position, dtype=np.float64)
    forward = np.asarray(target, dtype=np.float64) - eye
    if not (distance := np.linalg.norm(forward)) > 0:
        raise ValueError("a camera looks at its own position; give it another point to look at")
    forward /= distance
    up = np.array([0.0, 0.0, 1.0]) if abs(forward[2]) < 0.999 else np.array([0.0, 1.0, 0.0])
    right = np.cross(forward, up)
    right /= np.linalg.norm(right)
    rotation = np.stack([right, np.cross(forward, right), forward])
    return rigid_transform(rotation, -rotation @ eye)


def camera_matrix(fovy_deg: float, width: int, height: int) -> FloatArray:
    """Return K (3, 3) in pixels of a centred camera with square pixels and that vertical field of view in degrees."""
    focal = height / (2.0 * np.tan(np.deg2rad(fovy_deg) / 2.0))
    return np.array([[focal, 0.0, width / 2.0], [0.0, focal, height / 2.0], [0.0, 0.0, 1.0]])


def change_field_of_view(matrix: ArrayLike, height: ArrayLike, degrees: ArrayLike) -> FloatArray:
    """Return camera matrices (..., 3, 3) with their vertical fields of view (...) enlarged by ``degrees``.

    The field of view is that of a centred image of ``height`` pixels (...).
    """
    matrix = np.array(matrix, dtype=np.float64)
    half = np.arctan(np.asarray(height) / (2.0 * matrix[..., 1, 1]))
    factor = np.tan(half) / np.tan(half + np.deg2rad(np.asarray(degrees, dtype=np.float64)) / 2.0)
    matrix[..., :2, :2] *= factor[..., None, None]
    return matrix


def camera_centres(extrinsics: ArrayLike) -> FloatArray:
    """Return the centres (..., 3) of cameras in the world, metres, from their transforms T (..., 4, 4)."""
    T = np.asarray(extrinsics, dtype=np.float64)
    centres: FloatArray = -np.einsum("...ji,...j->...i", T[..., :3, :3], T[..., :3, 3])
    return centres


def camera_centres_torch(extrinsics: Tensor) -> Tensor:
    """Return the centres (..., 3) of cameras as :func:`camera_centres` does, of tensors."""
    return -(extrinsics[..., :3, :3].mT @ extrinsics[..., :3, 3:]).squeeze(-1)


def displace(extrinsics: ArrayLike, rotation: ArrayLike, shift: ArrayLike) -> FloatArray:
    """Return world-to-camera transforms (..., 4, 4) of cameras that are rotated about their centres and then
    translated.

    Args:
        extrinsics: (..., 4, 4) before.
        rotation: (..., 3, 3), in the world's axes.
        shift: (..., 3) metres, in the world's axes.
    """
    before = np.asarray(extrinsics, dtype=np.float64)
    camera_from_world = before[..., :3, :3] @ np.swapaxes(np.asarray(rotation, dtype=np.float64), -1, -2)
    centre = camera_centres(before) + np.asarray(shift)
    return rigid_transform(camera_from_world, -np.einsum("...ij,...j->...i", camera_from_world, centre))


def project(points: ArrayLike, cameras: Pinhole) -> FloatArray:
    """Project world points (..., N, 3) by cameras (...) to pixels (..., N, 2).

    Leading dimensions broadcast. A point in the camera's plane or behind it projects to NaN.
    """
    points = np.asarray(points, dtype=np.float64)
    matrix = np.asarray(cameras.intrinsics, dtype=np.float64)
    transform = np.asarray(cameras.extrinsics, dtype=np.float64)
    in_camera = points @ np.swapaxes(transform[..., :3, :3], -1, -2) + transform[..., None, :3, 3]
    homogeneous = in_camera @ np.swapaxes(matrix, -1, -2)
    depth = np.where(in_camera[..., 2:] > 0, homogeneous[..., 2:], math.nan)
    pixels: FloatArray = homogeneous[..., :2] / depth
    return pixels


def in_image(pixels: ArrayLike, width: ArrayLike, height: ArrayLike) -> NDArray[np.bool_]:
    """Return which of the pixels (..., N, 2) lie within their cameras' images, borders included, (..., N). NaN, for a
    point behind a camera, does not.

    Args:
        pixels: (..., N, 2), as :func:`project` returns them.
        width: (...) of the images, pixels.
        height: (...) of the images, pixels.
    """
    pixels, sizes = np.asarray(pixels), np.stack([width, height], axis=-1)[..., None, :]
    return np.asarray(((pixels >= 0) & (pixels <= sizes)).all(axis=-1))


def project_torch(points: Tensor, cameras: Cameras, min_depth: float = 1e-3) -> Tensor:
    """Project tensors as :func:`project` does, differentiably; depth is clamped to ``min_depth`` metres instead of
    NaN."""
    transform = cameras.extrinsics
    in_camera = points @ transform[..., :3, :3].mT + transform[..., None, :3, 3]
    homogeneous: Tensor = in_camera @ cameras.intrinsics.mT
    return homogeneous[..., :2] / homogeneous[..., 2:].clamp_min(min_depth)
