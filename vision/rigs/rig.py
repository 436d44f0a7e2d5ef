"""The cameras of a laboratory, as plain data.

Conventions are those of ``vision.geometry.cameras``: OpenCV's axes, the first pixel's centre at (0.5, 0.5). Images in
datasets are undistorted: lens distortion belongs to the real cameras' own images and is removed when they are read.
"""

from __future__ import annotations

import functools
from collections.abc import Collection, Mapping, Sequence
from typing import Annotated, TypeVar

import numpy as np
from msgspec.structs import replace

from vision.errors import DactylError
from vision.geometry.cameras import Cameras, camera_centres
from vision.geometry.distortion import Lens
from vision.geometry.rotations import FloatArray, is_rotation
from vision.plain import ArrayOf, Plain, read_only

Given = TypeVar("Given")
_LONGEST_NAME = 60  # of a camera; with a sample's key it must fit into the name of a file in a shard
SIDES = (16, 20_000)
"""Smallest and largest side of a camera's images, pixels."""
FOCAL_LENGTHS = (0.1, 100.0)
"""Smallest focal length, as a fraction of the image's shorter side, and largest, of its longer one: from 157 degrees to
half a degree."""


def check_camera_names(names: Collection[str]) -> None:
    """Raise ValueError unless the cameras of a rig can have these names."""
    for name in names:
        _check_name(name)
    if len({name.casefold() for name in names}) != len(names):
        raise ValueError(f"camera names must differ in more than case, got {', '.join(names)}")


def _check_name(name: str) -> None:
    if not name or not all(letter.isalnum() or letter in "-_" for letter in name):
        raise ValueError(f"camera {name}: a name has only letters, digits, - and _: it becomes part of file names")
    if len(name) > _LONGEST_NAME:
        raise ValueError(f"camera {name[:20]}...: a name has at most {_LONGEST_NAME} letters")


class Camera(Plain, frozen=True):
    """One camera: a nominal one of a scene, or a real one as a laboratory's calibration has it.

    Attributes:
        name: its name in models, shards and reports.
        width: of its images, pixels.
        height: of its images, pixels.
        intrinsics: (3, 3) K, pixels, without skew.
        extrinsics: (4, 4) rigid transform, world to camera, metres. A calibration's world is its capture frame.
        distortion: of its real images, in any size; None for a pinhole.
    """

    name: str
    width: int
    height: int
    intrinsics: Annotated[np.ndarray, ArrayOf((3, 3))]
    extrinsics: Annotated[np.ndarray, ArrayOf((4, 4))]
    distortion: Lens | None = None

    @property
    def here(self) -> str:
        return f"camera {self.name}"

    @property
    def longer_side(self) -> int:
        """Width or height of its images, pixels."""
        return max(self.width, self.height)

    def check(self) -> None:
        here = self.here
        _check_name(self.name)
        if not all(SIDES[0] <= side <= SIDES[1] for side in (self.width, self.height)):
            limits = f"expected {SIDES[0]} to {SIDES[1]} pixels"
            raise ValueError(f"{here}: width and height: {limits}, got {self.width} x {self.height}")
        K, T = self.intrinsics, self.extrinsics
        if K[0, 0] <= 0 or K[1, 1] <= 0 or K[0, 1] or K[1, 0] or (K[2] != (0, 0, 1)).any():
            raise ValueError(f"{here}: intrinsics: expected [[fx, 0, cx], [0, fy, cy], [0, 0, 1]] with positive fx, fy")
        low, high = FOCAL_LENGTHS[0] * min(self.width, self.height), FOCAL_LENGTHS[1] * max(self.width, self.height)
        for focal in (K[0, 0], K[1, 1]):
            if not low <= focal <= high:
                raise ValueError(
                    f"{here}: focal length {focal:g}, expected {low:g} to {high:g} pixels for {self.width} x "
                    f"{self.height}; is it in millimetres, or in widths of the picture?"
                )
        if not (-self.width < K[0, 2] < 2 * self.width and -self.height < K[1, 2] < 2 * self.height):
            raise ValueError(f"{here}: the principal point {K[0, 2]:g}, {K[1, 2]:g} is far outside of the image")
        if not is_rotation(T[:3, :3]):
            raise ValueError(f"{here}: extrinsics: expected a rotation in the upper left 3 x 3")
        if (T[3] != (0, 0, 0, 1)).any():
            raise ValueError(f"{here}: extrinsics: expected the last row 0 0 0 1")

    @property
    def position(self) -> np.ndarray:
        """Its centre in the world, (3,) metres."""
        return camera_centres(self.extrinsics)

    def distorted_pixels(self, directions: FloatArray) -> FloatArray:
        """Return the pixels (..., 2) at which its real, distorted images show directions (..., 3) of the camera's
        frame; NaN for those that the lens cannot image."""
        depth = np.where(directions[..., 2:] > 0, directions[..., 2:], np.nan)
        seen = directions[..., :2] / depth
        distorted = seen if self.distortion is None else self.distortion.distort(seen)
        return np.asarray(distorted @ self.intrinsics[:2, :2].T + self.intrinsics[:2, 2])


class Rig(Plain, frozen=True):
    """Cameras in the order in which images and labels hold them: a scene's nominal ones, or a laboratory's."""

    cameras: tuple[Camera, ...]

    def check(self) -> None:
        if not self.cameras:
            raise ValueError("a rig needs at least one camera")
        check_camera_names(self.names)

    def __len__(self) -> int:
        return len(self.cameras)

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(camera.name for camera in self.cameras)

    def in_order(self, given: Mapping[str, Given], key: str, what: str) -> dict[str, Given]:
        """Return ``given`` with the cameras' names in the rig's order.

        Args:
            given: a value for each of the rig's cameras and no others.
            key: key of the configuration that gives it, for errors.
            what: description of the values: "its pictures".

        Raises:
            DactylError: a name is not in the rig, or a camera is missing.
        """
        cameras = f"the network's cameras are {', '.join(self.names)}"
        if wrong := sorted(given.keys() - set(self.names)):
            raise DactylError(f"{key}: there is no camera '{wrong[0]}'; {cameras}")
        if absent := [name for name in self.names if name not in given]:
            raise DactylError(f"{key}: camera '{absent[0]}' is missing, {what} expected; {cameras}")
        return {name: given[name] for name in self.names}

    def chosen(self, names: Sequence[str]) -> Rig:
        """Return the cameras of these names, in that order; KeyError for a name that is not there."""
        cameras = dict(zip(self.names, self.cameras, strict=True))
        return Rig(cameras=tuple(cameras[name] for name in names))

    def with_extrinsics(self, extrinsics: FloatArray) -> Rig:
        """Return the same cameras at other places, (C, 4, 4) world to camera."""
        pairs = zip(self.cameras, extrinsics, strict=True)
        return Rig(cameras=tuple(replace(camera, extrinsics=transform) for camera, transform in pairs))

    def without_lenses(self) -> Rig:
        """Return the same cameras without distortion: those of images that were undistorted."""
        return Rig(cameras=tuple(replace(camera, distortion=None) for camera in self.cameras))

    @functools.cached_property
    def nominal(self) -> Cameras:
        """All cameras as pinholes, (C, ...) read-only arrays: the nominal ones of a scene."""
        return Cameras(
            read_only(np.stack([camera.intrinsics for camera in self.cameras])),
            read_only(np.stack([camera.extrinsics for camera in self.cameras])),
            read_only(np.array([camera.width for camera in self.cameras])),
            read_only(np.array([camera.height for camera in self.cameras])),
        )

    @property
    def width(self) -> int:
        """Width of the array that holds the images of all cameras, pixels: that of the widest."""
        return max(camera.width for camera in self.cameras)

    @property
    def height(self) -> int:
        """Height of the array that holds the images of all cameras, pixels: that of the tallest."""
        return max(camera.height for camera in self.cameras)

    @property
    def mixed_sizes(self) -> bool:
        """Whether the longer sides of its cameras' images differ, so that an image can be told from its padding only if
        it is known which camera took it."""
        return len({camera.longer_side for camera in self.cameras}) > 1

    def without_padding(self, images: np.ndarray) -> list[np.ndarray]:
        """Return each camera's own image (h, w, ...) from an array (C, H, W, ...) that holds them all."""
        return [image[: camera.height, : camera.width] for image, camera in zip(images, self.cameras, strict=True)]

    def padded(self, images: Sequence[np.ndarray]) -> np.ndarray:
        """Return the array (C, H, W, ...) that holds each camera's own image (h, w, ...), zero right of and below it:
        the inverse of :meth:`without_padding`."""
        whole = np.zeros((len(self), self.height, self.width, *images[0].shape[2:]), images[0].dtype)
        for place, image in zip(self.without_padding(whole), images, strict=True):
            place[:] = image
        return whole

    def resized(self, longest: int) -> Rig:
        """Return the same cameras with images whose longest side, over all of them, has ``longest`` pixels."""
        scale = longest / max(self.width, self.height)
        cameras = []
        for camera in self.cameras:
            width, height = max(16, round(scale * camera.width)), max(16, round(scale * camera.height))
            factors = np.diag([width / camera.width, height / camera.height, 1.0])
            cameras.append(replace(camera, width=width, height=height, intrinsics=factors @ camera.intrinsics))
        return Rig(cameras=tuple(cameras))
