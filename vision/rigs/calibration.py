"""The file of a laboratory's calibrated cameras, ``calibration.json``.

Everything in the file is in OpenCV's convention: the camera matrix with pixel centres at whole numbers, distortion
coefficients in its order, transforms that map capture coordinates (the motion capture's world, metres) to the camera's
(x right, y down, z forward). Only reading and writing know of it: in between a camera is a
:class:`vision.rigs.rig.Camera` whose world is the capture frame.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
import numpy as np

from vision.errors import DactylError
from vision.geometry.cameras import from_opencv, to_opencv
from vision.geometry.distortion import Lens, LensModel
from vision.geometry.rotations import FloatArray, is_rotation
from vision.io.decode import Record, convert, decode
from vision.io.files import MAX_TABLE_BYTES, atomic_write, read_file, refuse_other_content, refuse_unwritable
from vision.io.json_values import canonical_json
from vision.rigs.rig import SIDES, Camera, Rig

FORMAT = "dactyl-calibration-1"
MAX_POSITION_M = 20.0
"""Largest distance of anything in a laboratory from the origin of the capture coordinates."""


@dataclass(frozen=True)
class CalibrationErrors:
    """How well a calibration explains a camera's images of a board; None for what was not measured.

    Attributes:
        rms: reprojection error, pixels.
        reference_rms_px, reference_rms_mm: the largest disagreement of a reference pose with the camera's observations,
            root mean square; None if there was only one reference.
    """

    rms: float | None = None
    reference_rms_px: float | None = None
    reference_rms_mm: float | None = None


_Row3 = tuple[float, float, float]
_Row4 = tuple[float, float, float, float]
_Pixels = Annotated[int, msgspec.Meta(ge=SIDES[0], le=SIDES[1])]
_NO_LENS = Lens("radial-tangential", (0.0, 0.0, 0.0, 0.0))
_Error = Annotated[float, msgspec.Meta(ge=0, le=10_000)]


class _CameraRecord(Record, frozen=True):
    """A camera in the file."""

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


def refuse_lost_calibration(path: Path) -> None:
    """Raise :class:`DactylError` if a calibration cannot be written there, or would replace a file of another kind."""
    refuse_unwritable(path)
    refuse_other_content(path, FORMAT.encode(), "calibration of dactyl", MAX_TABLE_BYTES)


def save_calibration(path: Path, cameras: Rig, errors: Mapping[str, CalibrationErrors] | None = None) -> None:
    """Write a calibration file atomically; ``errors`` are the cameras', by name."""
    found = errors or {}
    plain = {camera.name: _entries(camera, found.get(camera.name, CalibrationErrors())) for camera in cameras.cameras}
    atomic_write(path, canonical_json({"format": FORMAT, "cameras": plain}))


def _entries(camera: Camera, errors: CalibrationErrors) -> dict[str, Any]:
    lens = camera.distortion or _NO_LENS
    return {
        "matrix": to_opencv(camera.intrinsics).tolist(),
        "model": lens.model,
        "distortion": list(lens.coefficients),
        "width": camera.width,
        "height": camera.height,
        "transform": camera.extrinsics.tolist(),
        **vars(errors),
    }


def load_calibration(path: Path) -> tuple[Rig, dict[str, CalibrationErrors]]:
    """Read cameras, in the file's order, and their errors by name; :class:`DactylError` names the fault in the file."""
    record = decode(read_file(path, MAX_TABLE_BYTES, "calibration"), _CalibrationRecord, path)
    cameras, errors = [], {}
    for name, about in record.cameras.items():
        where = f"{path}: camera '{name}'"
        one = convert(about, _CameraRecord, where)
        cameras.append(_camera(name, one, where))
        errors[name] = CalibrationErrors(one.rms, one.reference_rms_px, one.reference_rms_mm)
    try:
        return Rig(cameras=tuple(cameras)), errors
    except ValueError as error:
        raise DactylError(f"{path}: {error}") from None


def _camera(name: str, record: _CameraRecord, where: str) -> Camera:
    matrix, transform = np.array(record.matrix), np.array(record.transform)
    _check_matrix(matrix, record.width, record.height, f"{where}: matrix")
    _check_transform(transform, f"{where}: transform")
    try:
        lens = Lens(record.model, tuple(record.distortion))
    except ValueError as error:
        raise DactylError(f"{where}: distortion: {error}") from None
    try:
        return Camera(
            name=name,
            width=record.width,
            height=record.height,
            intrinsics=from_opencv(matrix),
            extrinsics=transform,
            distortion=None if lens.is_pinhole else lens,
        )
    except ValueError as error:
        raise DactylError(f"{where}: {error}") from None


def _check_matrix(matrix: FloatArray, width: int, height: int, where: str) -> None:
    if (matrix[2] != [0, 0, 1]).any() or matrix[1, 0] != 0:
        raise DactylError(f"{where}: expected the rows fx 0 cx, 0 fy cy and 0 0 1, got {matrix.tolist()}")
    if matrix[0, 1] != 0:
        raise DactylError(f"{where}: skew {matrix[0, 1]:g} is not supported; calibrate with a skew of 0")
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
