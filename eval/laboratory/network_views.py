"""Conversion of images of any size and lens to a network's images, and of its cameras back to the laboratory's."""

from __future__ import annotations

import itertools
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from msgspec.structs import replace

from eval.laboratory.calibration_files import find_capture_frame, read_calibration, read_lenses
from eval.laboratory.opencv import opencv
from eval.laboratory.placement import in_world
from eval.laboratory.poses import inverse
from eval.laboratory.undistortion import View, make_view
from vision.errors import DactylError
from vision.geometry.cameras import Cameras
from vision.geometry.distortion import Lens
from vision.geometry.rotations import FloatArray
from vision.rigs.rig import Camera, Rig

_COVERED = 0.95  # share of a network's image that a laboratory's should fill: lenses leave corners empty


class NetworkViews(ABC):
    """Converts the images of each camera to those that a network expects.

    Attributes:
        rig: rig of the network.
        cameras: K (C, 3, 3) and T (C, 4, 4) of the images, in the world.
        world_from_capture: (4, 4) from the frame of the laboratory's cameras to the world.
    """

    def __init__(self, rig: Rig, cameras: Cameras, world_from_capture: FloatArray) -> None:
        self.rig, self.cameras, self.world_from_capture = rig, cameras, world_from_capture

    def __call__(self, pictures: Sequence[np.ndarray], where: Sequence[Path | str]) -> np.ndarray:
        """Convert images of any size, (h, w, 3) uint8, one for each camera in rig order, to (C, H, W, 3) uint8."""
        if len(pictures) != len(self.rig):
            raise DactylError(f"{len(pictures)} pictures for the {len(self.rig)} cameras {', '.join(self.rig.names)}")
        taken = zip(self.rig.cameras, pictures, where, strict=True)
        return self.rig.padded([self._converted(camera, picture, Path(place)) for camera, picture, place in taken])

    @property
    def frame_known(self) -> bool:
        """Whether the frame of the laboratory's cameras is the world."""
        return np.array_equal(self.world_from_capture, np.eye(4))

    def move_world(self, motion: FloatArray, cameras: Cameras | None = None) -> None:
        """Correct the world, in which ``cameras`` are, by a rigid motion (4, 4) from the corrected to the former one;
        the images remain the same. Better ``cameras`` in the corrected world may take the place of the moved ones."""
        self.world_from_capture = inverse(motion) @ self.world_from_capture
        self.cameras = self.cameras.in_frame(motion) if cameras is None else cameras

    def calibrated(self, found: Cameras, sizes: Sequence[tuple[int, int]], distortion: FloatArray) -> Rig:
        """Convert cameras that were found for the network's images to the laboratory's cameras, in their own frame.

        Args:
            found: the cameras found, (C, 3, 3) and (C, 4, 4).
            sizes: (width, height) of the laboratory's images.
            distortion: (C,) radial coefficient k1 of the network's images.

        Raises:
            DactylError: what was found is no camera.
        """
        cameras = []
        for number, (camera, size) in enumerate(zip(self.rig.cameras, sizes, strict=True)):
            before, given = self._taken_by(camera, *size), self.cameras.at(number)
            matrix = before.intrinsics.copy()
            matrix[:2, :2] *= found.intrinsics[number, 0, 0] / given.intrinsics[0, 0]
            # From the axes of the network's image, to which the camera's was rotated, back to the camera's.
            moved = inverse(given.extrinsics) @ found.extrinsics[number]  # of the world
            transform = before.extrinsics @ inverse(self.world_from_capture) @ moved @ self.world_from_capture
            lens = before.distortion
            if lens is None or lens.is_pinhole:
                lens = Lens(coefficients=(float(distortion[number]), 0.0, 0.0, 0.0))
            try:
                cameras.append(replace(before, intrinsics=matrix, extrinsics=transform, distortion=lens))
            except ValueError as error:
                raise DactylError(f"calibrated {error}") from None
        return Rig(cameras=tuple(cameras))

    @abstractmethod
    def remarks(self, pictures: Sequence[np.ndarray]) -> list[str]:
        """Return what happens to such images where their user may not expect it; DactylError if they are exchanged."""

    @abstractmethod
    def _converted(self, camera: Camera, picture: np.ndarray, where: Path) -> np.ndarray:
        """Return the image of the rig's ``camera`` that an image of the laboratory's becomes."""

    @abstractmethod
    def _taken_by(self, camera: Camera, width: int, height: int) -> Camera:
        """Return the laboratory's camera in the place of the rig's ``camera`` that takes images of that size."""


class CalibratedViews(NetworkViews):
    """Views of cameras that are calibrated, or whose lenses are: undistorted and rotated to the rig's cameras.

    Args:
        rig: rig of the network.
        calibration: the laboratory's cameras, with the rig's names in its order.
        world_from_capture: (4, 4) from the calibration's frame to the world; None if it is in the world.
        rectified: whether the images are undistorted already, as those of a dataset are.
    """

    def __init__(
        self, rig: Rig, calibration: Rig, world_from_capture: FloatArray | None = None, rectified: bool = False
    ) -> None:
        world = np.eye(4) if world_from_capture is None else world_from_capture
        pairs = zip(rig.cameras, in_world(calibration, world).cameras, strict=True)
        self._calibration, self._rectified = calibration, rectified
        self._views = {camera.name: make_view(source, camera, warp=True) for camera, source in pairs}
        super().__init__(rig, Cameras.stacked([view.result for view in self._views.values()]), world)

    def remarks(self, pictures: Sequence[np.ndarray]) -> list[str]:
        found = []
        lenses = [each.name for each in self._calibration.cameras if each.distortion and not each.distortion.is_pinhole]
        if self._rectified and lenses:
            found.append(
                f"{', '.join(lenses)}: undistorted, though the pictures of a dataset are already; right only if the "
                "calibration was found from such pictures"
            )
        for name, view in self._views.items():
            if (seen := view.covered) < _COVERED:
                found.append(
                    f"{name}: does not see {1 - seen:.0%} of what the network's camera sees, which becomes black as in "
                    "no training image; turn it to where the network's looks, or take a wider lens"
                )
        return found

    def _converted(self, camera: Camera, picture: np.ndarray, where: Path) -> np.ndarray:
        return self._views[camera.name](picture, where)

    def _taken_by(self, camera: Camera, width: int, height: int) -> Camera:
        return self._calibration.chosen([camera.name]).cameras[0]


class CentralViews(NetworkViews):
    """Views of the rig's own cameras, in any size: their middle, cropped to the shape of the rig's images and
    undistorted if the rig has lenses. ``rig.without_lenses()`` takes images that are undistorted already."""

    def __init__(self, rig: Rig) -> None:
        super().__init__(rig, rig.nominal, np.eye(4))
        self._views: dict[tuple[str, int, int], View] = {}

    def remarks(self, pictures: Sequence[np.ndarray]) -> list[str]:
        found = []
        if lenses := [camera.name for camera in self.rig.cameras if camera.distortion is not None]:
            found.append(
                f"{', '.join(lenses)}: undistorted with the lenses of the network's scene; if the pictures are "
                "already, add --rectified true"
            )
        shapes = [picture.shape[:2] for picture in pictures]
        for (one, here), (other, there) in itertools.combinations(zip(self.rig.cameras, shapes, strict=True), 2):
            if _fits(one, there) and _fits(other, here) and not _fits(one, here) and not _fits(other, there):
                raise DactylError(
                    f"pictures: {one.name}'s have the shape of {other.name}'s, and {other.name}'s of {one.name}'s; "
                    "exchange them"
                )
        for camera, (height, width) in zip(self.rig.cameras, shapes, strict=True):
            if not _fits(camera, (height, width)):
                _, _, wide, high = _cut(camera, width, height)
                seen = f"of {width}x{height} pixels the middle {wide}x{high} is seen, without calibration"
                lens = "; is the lens still that of the network's scene?" if camera.distortion is not None else ""
                found.append(f"{camera.name}: {seen}{lens}")
        return found

    def _converted(self, camera: Camera, picture: np.ndarray, where: Path) -> np.ndarray:
        if camera.distortion is None:
            return _middle(camera, picture)
        height, width = picture.shape[:2]
        if (key := (camera.name, width, height)) not in self._views:
            self._views[key] = make_view(self._taken_by(camera, width, height), camera, warp=True)
        return self._views[key](picture, where)

    def _taken_by(self, camera: Camera, width: int, height: int) -> Camera:
        left, top, wide, high = _cut(camera, width, height)
        matrix = np.diag([wide / camera.width, high / camera.height, 1.0]) @ camera.intrinsics
        matrix[:2, 2] += left, top
        try:
            return replace(camera, width=width, height=height, intrinsics=matrix)
        except ValueError as error:
            raise DactylError(f"pictures of {error}") from None


def network_views(rig: Rig, calibration: Path | None, lenses: Mapping[str, Path], rectified: bool) -> NetworkViews:
    """Return the views that a user's options describe.

    Args:
        rig: rig of the network.
        calibration: file with the laboratory's cameras; None if they are near the network's.
        lenses: without a calibration, each camera's lens by its name, a file of OpenCV or ROS; else those of ``rig``.
        rectified: whether the images are undistorted already.

    Raises:
        DactylError: a file is missing, damaged or of another kind.
    """
    if calibration is not None:
        cameras = read_calibration(calibration, rig)
        return CalibratedViews(rig, cameras, find_capture_frame(calibration, cameras, rig), rectified)
    if lenses:
        return CalibratedViews(rig, read_lenses(lenses, rig), rectified=rectified)
    return CentralViews(rig.without_lenses() if rectified else rig)


def _middle(camera: Camera, picture: np.ndarray) -> np.ndarray:
    """Crop the middle of an image to the largest area of the camera's aspect ratio, and resize it to its size."""
    left, top, width, height = _cut(camera, picture.shape[1], picture.shape[0])
    cut = np.ascontiguousarray(picture[top : top + height, left : left + width])
    if (width, height) == (camera.width, camera.height):
        return cut
    cv2 = opencv()
    # Where it enlarges, the mean over an area only repeats pixels.
    smooth = cv2.INTER_AREA if width >= camera.width else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(cut, (camera.width, camera.height), interpolation=smooth))


def _fits(camera: Camera, shape: tuple[int, ...]) -> bool:
    """Return whether images of ``shape`` (height, width) have the camera's aspect ratio, to a pixel."""
    height, width = shape
    _, _, wide, high = _cut(camera, width, height)
    return (width - wide) + (height - high) <= 1


def _cut(camera: Camera, width: int, height: int) -> tuple[int, int, int, int]:
    """Return left, top, width and height of the crop of :func:`_middle`."""
    scale = min(width / camera.width, height / camera.height)
    # The camera's own sides were rounded to whole pixels: less than one of them is no other shape, and nothing to crop.
    wide, high = (
        side if side - scale * across < scale else round(scale * across)
        for side, across in ((width, camera.width), (height, camera.height))
    )
    return (width - wide) // 2, (height - high) // 2, wide, high
