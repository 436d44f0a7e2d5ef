"""Conversion of images of any size and lens to a network's images, and of its cameras back to the laboratory's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from eval.laboratory.opencv import opencv
from eval.laboratory.poses import inverse
from eval.laboratory.undistortion import make_view
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
            middle is then cropped to the shape of the rig's images.
        world_from_capture: (4, 4) capture to world; None if the calibration is in the world frame.

    Raises:
        DactylError: the calibration lacks a camera of the rig.
    """

    def __init__(
        self,
        rig: Rig,
        calibration: Mapping[str, CalibratedCamera] | None = None,
        world_from_capture: FloatArray | None = None,
    ) -> None:
        self.rig, self.calibration = rig, calibration
        self._world_from_capture = np.eye(4) if world_from_capture is None else world_from_capture
        self.cameras: tuple[FloatArray, FloatArray] = rig.nominal.intrinsics, rig.nominal.extrinsics
        """K (C, 3, 3) and T (C, 4, 4) of the images: calibrated cameras, or without calibration the nominal ones."""
        self._views = None
        if calibration is not None:
            if absent := [name for name in rig.names if name not in calibration]:
                raise DactylError(
                    f"calibration: camera '{absent[0]}' is missing (it has {', '.join(calibration) or 'none'}); the "
                    f"network sees through {', '.join(rig.names)}"
                )
            capture_from_world = inverse(self._world_from_capture)
            self._views = [make_view(calibration[each.name], capture_from_world, each, True) for each in rig.cameras]
            self.cameras = (
                np.stack([view.matrix for view in self._views]),
                np.stack([view.transform for view in self._views]),
            )

    def __call__(self, pictures: Sequence[np.ndarray], where: Sequence[Path | str]) -> np.ndarray:
        """Convert images of any size, (h, w, 3) uint8, one for each camera in rig order, to (C, H, W, 3) uint8."""
        if len(pictures) != len(self.rig):
            raise DactylError(f"{len(pictures)} pictures for the {len(self.rig)} cameras {', '.join(self.rig.names)}")
        images = np.zeros((len(self.rig), self.rig.height, self.rig.width, 3), np.uint8)
        for number, (camera, picture, place) in enumerate(zip(self.rig.cameras, pictures, where, strict=True)):
            seen = _middle(camera, picture) if self._views is None else self._views[number](picture, Path(place))
            images[number, : camera.height, : camera.width] = seen
        return images

    def cropped(self, pictures: Sequence[np.ndarray]) -> str | None:
        """Return a remark if images are cropped because their aspect ratio differs from the network's images."""
        if self._views is not None:
            return None
        for camera, picture in zip(self.rig.cameras, pictures, strict=True):
            height, width, _ = picture.shape
            _, _, wide, high = _cut(camera, width, height)
            if (width - wide) + (height - high) > 1:
                return (
                    f"{camera.name}: of {width}x{height} pixels the middle {wide}x{high} is seen, without calibration"
                )
        return None

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
        for number, name in enumerate(self.rig.names):
            width, height = sizes[number]
            if self.calibration is None:
                camera = self.rig.cameras[number]
                left, top, cut, _ = _cut(camera, width, height)
                scale = cut / camera.width
                matrix = np.diag([scale, scale, 1.0]) @ matrices[number]
                matrix[:2, 2] += np.array([left, top]) - 0.5  # OpenCV's pixel centres are whole numbers
                lens = Lens(coefficients=(float(distortion[number]), 0.0, 0.0, 0.0))
                transform = transforms[number]
            else:
                before = self.calibration[name]
                matrix, lens = before.matrix.copy(), before.lens
                matrix[:2, :2] *= matrices[number, 0, 0] / self.cameras[0][number, 0, 0]
                # From the axes of the network's image, to which the camera's was rotated, back to the camera's.
                moved = inverse(self.cameras[1][number]) @ transforms[number]  # of the world
                transform = before.transform @ inverse(self._world_from_capture) @ moved @ self._world_from_capture
            found[name] = CalibratedCamera(matrix, lens, width, height, transform)
        return found


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
    wide, high = round(scale * camera.width), round(scale * camera.height)
    return (width - wide) // 2, (height - high) // 2, wide, high
