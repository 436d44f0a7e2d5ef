"""Calibration of a laboratory's cameras from images of a ChArUco board."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from eval.laboratory.board import Board, BoardPictures, advise, find_boards
from eval.laboratory.opencv import opencv, opencv_errors
from eval.laboratory.pictures import check_bits, refuse_shared
from eval.laboratory.poses import check_pose
from eval.laboratory.references import OpenCVIntrinsics, Placement, References, place_camera
from vision.configuration.bounds import positive
from vision.errors import DactylError
from vision.geometry.cameras import from_opencv
from vision.geometry.distortion import Lens
from vision.rigs.calibration import CalibrationErrors, check_calibration_name, refuse_lost_calibration, save_calibration
from vision.rigs.rig import Camera, Rig, check_camera_names

_MIN_PICTURES = 5  # images that show the board, for intrinsics
_MIN_SPREAD_DEG = 15.0  # required angle between the two boards' normals that differ most


@dataclass(frozen=True)
class CalibrateConfig:
    """Calibration of a laboratory's cameras.

    Attributes:
        pictures: folder of each camera's images of the board, by camera name.
        output: file to write, for example calibration.json.
        reference: images in which the board lies at a known pose: file name (the same in every camera's folder) to the
            board's position (x y z, metres) and orientation (quaternion w x y z) in capture coordinates, 7 numbers. The
            board's frame is OpenCV's: origin in a corner, x along the columns, y along the rows. Three places that are
            turned about different axes check each other.
        board: the ChArUco board as printed.
        picture_bits: number of significant bits in 16-bit PNG images; null to tell them from the values.
        max_rms: largest accepted reprojection error of a camera, pixels.
        max_reference_mm: largest accepted disagreement between a reference and what a camera sees, millimetres, root
            mean square over the board's corners.
        max_distance_m: largest accepted distance of a camera from a reference board, metres.
    """

    pictures: dict[str, Path]
    output: Path
    reference: dict[str, list[float]]
    board: Board = field(default_factory=Board)
    picture_bits: int | None = None
    max_rms: float = 1.0
    max_reference_mm: float = 5.0
    max_distance_m: float = 5.0

    def __post_init__(self) -> None:
        check_calibration_name(self.output)
        if not self.pictures or not self.reference:
            raise ValueError("pictures and reference: name at least one camera and one reference picture")
        check_camera_names(self.pictures)
        refuse_shared("pictures", self.pictures)
        for name, pose in self.reference.items():
            check_pose(f"reference {name}", pose)
        self.board.check()
        check_bits("picture_bits", self.picture_bits)
        positive(self, "max_rms", "max_reference_mm", "max_distance_m")


@dataclass(frozen=True)
class CalibrationResult:
    """A calibrated camera, how well it explains its images, and the images and the placement that it is based on."""

    camera: Camera
    errors: CalibrationErrors
    pictures: BoardPictures
    placement: Placement


def calibrate(config: CalibrateConfig) -> dict[str, CalibrationResult]:
    """Calibrate every camera and write the file.

    Raises:
        DactylError: too few images show the board, they are too similar to determine the focal length, the reprojection
            error is too large, a reference image does not show the board, the references disagree, or a camera is
            implausibly far away; or the file cannot be written or would replace another kind of file.
    """
    refuse_lost_calibration(config.output)
    results = {name: _calibrate_camera(name, folder, config) for name, folder in config.pictures.items()}
    rig = Rig(cameras=tuple(result.camera for result in results.values()))
    save_calibration(config.output, rig, {name: result.errors for name, result in results.items()})
    return results


def _calibrate_camera(name: str, folder: Path, config: CalibrateConfig) -> CalibrationResult:
    where = f"{folder}: camera '{name}'"
    pictures = find_boards(folder, config.board, config.picture_bits)
    if len(pictures.found) < _MIN_PICTURES:
        total = len(pictures.found) + len(pictures.left_out)
        advice = advise(folder, config.board, list(pictures.left_out), config.picture_bits) if pictures.left_out else ""
        raise DactylError(
            f"{where}: {len(pictures.found)} of {total} pictures show the board, expected {_MIN_PICTURES} or more; "
            f"{advice or 'take more'}"
        )
    for file in config.reference:
        if not (folder / file).exists():
            raise DactylError(f"{folder / file}: camera '{name}': no such reference picture; check reference")
        if file not in pictures.found:
            reason = f" ({pictures.left_out[file]})" if file in pictures.left_out else ""
            raise DactylError(
                f"{folder / file}: camera '{name}': reference picture that does not show the board{reason}"
            )
    intrinsics, rms = _intrinsics(where, pictures, config.max_rms)
    references = References(config.reference, config.board, config.max_reference_mm)
    placement = place_camera(where, pictures.found, intrinsics, references)
    furthest = max(placement.distance, key=lambda file: placement.distance[file])
    if placement.distance[furthest] > config.max_distance_m:
        raise DactylError(
            f"{where}: {placement.distance[furthest]:.3g} m from the board in {furthest}, expected at most "
            f"max_distance_m {config.max_distance_m:g}; is board.square {config.board.square:g} m?"
        )
    lens = Lens("radial-tangential", tuple(intrinsics.distortion.tolist()))
    try:
        camera = Camera(name, *pictures.size, from_opencv(intrinsics.matrix), placement.transform, lens)
    except ValueError as error:
        raise DactylError(f"{where}: {error}") from None
    worst = (max(each.values(), default=None) for each in (placement.rms_px, placement.rms_mm))
    return CalibrationResult(camera, CalibrationErrors(rms, *worst), pictures, placement)


def _intrinsics(where: str, pictures: BoardPictures, max_rms: float) -> tuple[OpenCVIntrinsics, float]:
    """Return the camera's intrinsics and the reprojection error in pixels."""
    cv2 = opencv()
    points = [corners.points.astype(np.float32) for corners in pictures.found.values()]
    pixels = [corners.pixels.astype(np.float32) for corners in pictures.found.values()]
    with opencv_errors(where):
        found = cv2.calibrateCameraExtended(points, pixels, pictures.size, None, None)
        rms, matrix, distortion, turns, _, deviations, _, _ = found
        normals = np.stack([cv2.Rodrigues(turn)[0][:, 2] for turn in turns])
    # Boards that all face one way leave the focal length undetermined, although the fit, and even the focal length's
    # standard deviation, may look good.
    spread = np.rad2deg(np.arccos(np.clip((normals @ normals.T).min(), -1, 1)))
    if not np.isfinite(matrix).all() or not spread > _MIN_SPREAD_DEG or deviations[0, 0] > 0.02 * matrix[0, 0]:
        raise DactylError(
            f"{where}: degenerate, the pictures leave the focal length open; tilt the board by 20 to 45 degrees in "
            "different directions and fill the picture's corners"
        )
    if rms > max_rms:
        raise DactylError(
            f"{where}: reprojection error {rms:.2f} px is above max_rms {max_rms:g}; check the board's measures, and "
            "that pictures are sharp"
        )
    return OpenCVIntrinsics(matrix, distortion.reshape(-1)), float(rms)
