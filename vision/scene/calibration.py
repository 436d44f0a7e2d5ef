"""Calibrated cameras of a laboratory, and the file that describes them.

Everything in the file is in OpenCV's convention: the camera matrix with pixel centres at whole numbers, distortion
coefficients in its order, transforms that map capture coordinates (the motion capture's world, metres) to the camera's
(x right, y down, z forward). ``vision.geometry.cameras`` puts the centre of the first pixel at (0.5, 0.5);
``eval.laboratory.undistortion`` converts images, ``vision.scene.rig_readers`` cameras of a scene.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
import numpy as np

from vision.errors import DactylError
from vision.geometry.distortion import Lens, LensModel
from vision.geometry.rotations import FloatArray, is_rotation
from vision.io.decode import Record, convert, decode
from vision.io.files import MAX_TABLE_BYTES, atomic_write, read_file
from vision.io.json_values import canonical_json

FORMAT = "dactyl-calibration-1"
MAX_POSITION_M = 20.0
"""Largest distance of anything in a laboratory from the origin of the capture coordinates."""
FOCAL_LENGTHS = (0.1, 100.0)
"""Smallest and largest focal length, as a fraction of the image's width: from 157 degrees to half a degree."""


@dataclass(frozen=True)
class CalibratedCamera:
    """A real camera as a calibration file states it: its own distorted images, OpenCV's pixels, the capture's frame.
    A scene's nominal camera is a :class:`vision.scene.rig.Camera`; ``vision.scene.rig_readers`` makes one of this.

    Attributes:
        matrix: (3, 3) pixels, OpenCV's convention, without skew.
        lens: distortion.
        width, height: pixels of its images.
        transform: (4, 4) capture to camera, metres.
        rms: reprojection error in pixels of the calibration, None if it came from elsewhere.
        reference_rms_px, reference_rms_mm: the largest disagreement of a reference pose with the camera's observations,
            root mean square; None if there was only one reference, or the calibration came from elsewhere.
    """

    matrix: FloatArray
    lens: Lens
    width: int
    height: int
    transform: FloatArray
    rms: float | None = None
    reference_rms_px: float | None = None
    reference_rms_mm: float | None = None

    def project(self, points: FloatArray) -> FloatArray:
        """Return OpenCV's pixels (..., 2) of points (..., 3) in capture coordinates; NaN for points that the lens
        cannot image."""
        in_camera = points @ self.transform[:3, :3].T + self.transform[:3, 3]
        depth = np.where(in_camera[..., 2:] > 0, in_camera[..., 2:], np.nan)
        distorted = self.lens.distort(in_camera[..., :2] / depth)
        return np.asarray(distorted @ self.matrix[:2, :2].T + self.matrix[:2, 2])


_Row3 = tuple[float, float, float]
_Row4 = tuple[float, float, float, float]
_Pixels = Annotated[int, msgspec.Meta(ge=16, le=20_000)]
_Error = Annotated[float, msgspec.Meta(ge=0, le=10_000)]


class _CameraRecord(Record, frozen=True):
    """A camera in the file, with the attributes of :class:`CalibratedCamera`."""

    matrix: tuple[_Row3, _Row3, _Row3]
    distortion: list[float]
    width: _Pixels
    height: _Pixels
    transform: tuple[_Row4, _Row4, _Row4, _Row4]
    model: LensModel = "radial-tangential"
    rms: _Error | None = None
    reference_rms_px: _Error | None = None
    reference_rms_mm: _Error | None = None


class _CalibrationRecord(Record, frozen=True):
    format: Literal["dactyl-calibration-1"]
    cameras: dict[str, dict[str, Any]]


def check_calibration_name(path: Path) -> None:
    """Raise a ValueError unless the name ends in .json, so that a slip does not overwrite an image of a board."""
    if path.suffix.lower() != ".json":
        raise ValueError(f"output: expected a name that ends in .json, got {path}")


def save_calibration(path: Path, cameras: Mapping[str, CalibratedCamera]) -> None:
    """Write a calibration file atomically."""
    plain = {
        name: {
            "matrix": camera.matrix.tolist(),
            "model": camera.lens.model,
            "distortion": list(camera.lens.coefficients),
            "width": camera.width,
            "height": camera.height,
            "transform": camera.transform.tolist(),
            "rms": camera.rms,
            "reference_rms_px": camera.reference_rms_px,
            "reference_rms_mm": camera.reference_rms_mm,
        }
        for name, camera in cameras.items()
    }
    atomic_write(path, canonical_json({"format": FORMAT, "cameras": plain}))


def load_calibration(path: Path) -> dict[str, CalibratedCamera]:
    """Read cameras by name; :class:`DactylError` names the fault in the file."""
    record = decode(read_file(path, MAX_TABLE_BYTES, "calibration"), _CalibrationRecord, path)
    return {name: _camera(camera, f"{path}: camera '{name}'") for name, camera in record.cameras.items()}


def _camera(about: dict[str, Any], where: str) -> CalibratedCamera:
    record = convert(about, _CameraRecord, where)
    matrix, transform = np.array(record.matrix), np.array(record.transform)
    _check_matrix(matrix, record.width, record.height, f"{where}: matrix")
    _check_transform(transform, f"{where}: transform")
    try:
        lens = Lens(record.model, tuple(record.distortion))
    except ValueError as error:
        raise DactylError(f"{where}: distortion: {error}") from None
    errors = record.rms, record.reference_rms_px, record.reference_rms_mm
    return CalibratedCamera(matrix, lens, record.width, record.height, transform, *errors)


def _check_matrix(matrix: FloatArray, width: int, height: int, where: str) -> None:
    if (matrix[2] != [0, 0, 1]).any() or matrix[1, 0] != 0:
        raise DactylError(f"{where}: expected the rows fx 0 cx, 0 fy cy and 0 0 1, got {matrix.tolist()}")
    if matrix[0, 1] != 0:
        raise DactylError(f"{where}: skew {matrix[0, 1]:g} is not supported; calibrate with a skew of 0")
    low, high = (factor * width for factor in FOCAL_LENGTHS)
    for focal in (matrix[0, 0], matrix[1, 1]):
        if not low <= focal <= high:
            raise DactylError(
                f"{where}: focal length {focal:g}, expected {low:g} to {high:g} pixels for {width}x{height}; "
                "is it in millimetres, or in widths of the picture?"
            )
    if not (0 < matrix[0, 2] < width and 0 < matrix[1, 2] < height):
        raise DactylError(
            f"{where}: principal point {matrix[0, 2]:g}, {matrix[1, 2]:g} lies outside of {width}x{height} pixels; "
            "is the calibration of another resolution?"
        )


def _check_transform(transform: FloatArray, where: str) -> None:
    place = transform[:3, 3]
    if not is_rotation(transform[:3, :3]):
        raise DactylError(f"{where}: its first three rows and columns are no rotation; expected capture to camera")
    if (transform[3] != [0, 0, 0, 1]).any():
        raise DactylError(f"{where}: expected the last row 0 0 0 1; is it transposed?")
    if np.linalg.norm(place) > MAX_POSITION_M:
        raise DactylError(
            f"{where}: translation of {np.linalg.norm(place):g} m, expected at most {MAX_POSITION_M:g}; "
            "are these millimetres?"
        )
