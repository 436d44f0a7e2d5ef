"""Conversion of images of any size and lens to a network's images, and of its cameras back to the laboratory's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from eval.laboratory.opencv import opencv
from eval.laboratory.poses import inverse
from eval.laboratory.undistortion import View, make_view
from vision.errors import DactylError
from vision.geometry.distortion import Lens
from vision.geometry.rotations import FloatArray
from vision.scene.calibration import CalibratedCamera
from vision.scene.rig import Camera, Rig


class NetworkViews:
    """Converts the images of each camera to those that a network expects.

    Args:
        rig: rig of the network.
        calibration: the laboratory's cameras; None if the images are of the rig's own cameras, in any size: their
            middle is then cropped to the shape of the rig's images, and undistorted if the rig has lenses.
        world_from_capture: (4, 4) capture to world; None if the calibration is in the world frame.
        rectified: whether images without a calibration are undistorted already, whatever lenses the rig has.

    Raises:
        DactylError: the calibration lacks a camera of the rig.
    """

    def __init__(
        self,
        rig: Rig,
        calibration: Mapping[str, CalibratedCamera] | None = None,
        world_from_capture: FloatArray | None = None,
        rectified: bool = False,
    ) -> None:
        self.rig, self.calibration = rig, calibration
        self.world_from_capture = np.eye(4) if world_from_capture is None else world_from_capture
        """(4, 4) from the calibration's frame to the world; the identity without one."""
        self._rectified = rectified
        self._views: dict[tuple[str, int, int], View] = {}
        self.cameras: tuple[FloatArray, FloatArray] = rig.nominal.intrinsics, rig.nominal.extrinsics
        """K (C, 3, 3) and T (C, 4, 4) of the images: calibrated cameras, or without calibration the nominal ones."""
        if calibration is not None:
            if absent := [name for name in rig.names if name not in calibration]:
                raise DactylError(
                    f"calibration: camera '{absent[0]}' is missing (it has {', '.join(calibration) or 'none'}); the "
                    f"network sees through {', '.join(rig.names)}"
                )
            taken = ((camera, calibration[camera.name]) for camera in rig.cameras)
            views = [self._view(camera, by.width, by.height) for camera, by in taken]
            self.cameras = np.stack([view.matrix for view in views]), np.stack([view.transform for view in views])

    def __call__(self, pictures: Sequence[np.ndarray], where: Sequence[Path | str]) -> np.ndarray:
        """Convert images of any size, (h, w, 3) uint8, one for each camera in rig order, to (C, H, W, 3) uint8."""
        if len(pictures) != len(self.rig):
            raise DactylError(f"{len(pictures)} pictures for the {len(self.rig)} cameras {', '.join(self.rig.names)}")
        images = np.zeros((len(self.rig), self.rig.height, self.rig.width, 3), np.uint8)
        for image, camera, picture, place in zip(images, self.rig.cameras, pictures, where, strict=True):
            if self.calibration is None and self._lens(camera) is None:
                seen = _middle(camera, picture)
            else:
                seen = self._view(camera, picture.shape[1], picture.shape[0])(picture, Path(place))
            image[: camera.height, : camera.width] = seen
        return images

    @property
    def frame_known(self) -> bool:
        """Whether the calibration is in the world frame, or there is none."""
        return np.array_equal(self.world_from_capture, np.eye(4))

    def move_world(self, motion: FloatArray) -> None:
        """Correct the world, in which ``cameras`` are, by a rigid motion (4, 4) from the corrected to the former one;
        the images remain the same."""
        self.world_from_capture = inverse(motion) @ self.world_from_capture
        self.cameras = self.cameras[0], self.cameras[1] @ motion

    def remarks(self, pictures: Sequence[np.ndarray]) -> list[str]:
        """Return what happens to such images without a calibration, where their user may not expect it."""
        if self.calibration is not None:
            return []
        found = []
        if lenses := [camera.name for camera in self.rig.cameras if self._lens(camera) is not None]:
            found.append(
                f"{', '.join(lenses)}: undistorted with the lenses of the network's scene; if the pictures are "
                "already, add --rectified true"
            )
        for camera, picture in zip(self.rig.cameras, pictures, strict=True):
            height, width, _ = picture.shape
            _, _, wide, high = _cut(camera, width, height)
            if (width - wide) + (height - high) > 1:
                seen = f"of {width}x{height} pixels the middle {wide}x{high} is seen, without calibration"
                return [*found, f"{camera.name}: {seen}"]
        return found

    def calibrated(
        self, matrices: FloatArray, transforms: FloatArray, sizes: Sequence[tuple[int, int]], distortion: FloatArray
    ) -> dict[str, CalibratedCamera]:
        """Convert cameras that were found for the network's images to the laboratory's cameras, in the frame of its
        calibration, or without one in the world's.

        Args:
            matrices, transforms: the cameras found, (C, 3, 3) and (C, 4, 4).
            sizes: (width, height) of the laboratory's images.
            distortion: (C,) radial coefficient k1 of the network's images.
        """
        found = {}
        for number, (camera, size) in enumerate(zip(self.rig.cameras, sizes, strict=True)):
            before = self._taken_by(camera, *size)
            matrix = before.matrix.copy()
            matrix[:2, :2] *= matrices[number, 0, 0] / self.cameras[0][number, 0, 0]
            # From the axes of the network's image, to which the camera's was rotated, back to the camera's.
            moved = inverse(self.cameras[1][number]) @ transforms[number]  # of the world
            transform = before.transform @ inverse(self.world_from_capture) @ moved @ self.world_from_capture
            radial = Lens(coefficients=(float(distortion[number]), 0.0, 0.0, 0.0))
            lens = radial if before.lens.is_pinhole else before.lens
            found[camera.name] = CalibratedCamera(matrix, lens, *size, transform)
        return found

    def _lens(self, camera: Camera) -> Lens | None:
        """Return the lens of images without a calibration; None if they are taken for undistorted."""
        return None if self._rectified else camera.distortion

    def _taken_by(self, camera: Camera, width: int, height: int) -> CalibratedCamera:
        """Return the camera that takes images of that size: the calibrated one, or the rig's, which sees their
        middle."""
        if self.calibration is not None:
            return self.calibration[camera.name]
        left, top, wide, high = _cut(camera, width, height)
        matrix = np.diag([wide / camera.width, high / camera.height, 1.0]) @ camera.intrinsics
        matrix[:2, 2] += np.array([left, top]) - 0.5  # OpenCV's pixel centres are whole numbers
        return CalibratedCamera(matrix, self._lens(camera) or Lens(), width, height, camera.extrinsics)

    def _view(self, camera: Camera, width: int, height: int) -> View:
        """Return the mapping of a camera's images of that size, made once."""
        key = camera.name, width, height
        if key not in self._views:
            taken_by = self._taken_by(camera, width, height)
            self._views[key] = make_view(taken_by, inverse(self.world_from_capture), camera, True)
        return self._views[key]


def _middle(camera: Camera, picture: np.ndarray) -> np.ndarray:
    """Crop the middle of an image to the largest area of the camera's aspect ratio, and resize it to its size."""
    left, top, width, height = _cut(camera, picture.shape[1], picture.shape[0])
    cut = np.ascontiguousarray(picture[top : top + height, left : left + width])
    if (width, height) == (camera.width, camera.height):
        return cut
    cv2 = opencv()
    return np.asarray(cv2.resize(cut, (camera.width, camera.height), interpolation=cv2.INTER_AREA))


def _cut(camera: Camera, width: int, height: int) -> tuple[int, int, int, int]:
    """Return left, top, width and height of the crop of :func:`_middle`."""
    scale = min(width / camera.width, height / camera.height)
    # The camera's own sides were rounded to whole pixels: less than one of them is no other shape, and nothing to crop.
    wide, high = (
        side if side - scale * across < scale else round(scale * across)
        for side, across in ((width, camera.width), (height, camera.height))
    )
    return (width - wide) // 2, (height - high) // 2, wide, high
