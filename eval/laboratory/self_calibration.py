"""``dactyl calibrate --from``: a laboratory's cameras from images of the hand at work, without a board."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from eval.laboratory.frame_refinement import self_calibrate_with_frame
from eval.laboratory.network_views import network_views
from eval.laboratory.pictures import check_bits
from eval.laboratory.recording_limits import LONGEST_STEP_S
from eval.laboratory.shots import open_folder
from vision.configuration.bounds import at_least_one, at_most_seconds, known_device, positive
from vision.errors import DactylError
from vision.geometry.rotations import geodesic_distance
from vision.machine.hardware import Precision, torch_device
from vision.machine.progress import progress
from vision.published import CAMERA_FOVY_DEG, CAMERA_ROTATION_DEG
from vision.rigs.calibration import check_calibration_name, refuse_lost_calibration, save_calibration
from vision.rigs.rig import Rig
from vision.storage.recordings import refuse_several_rigs

_BATCH = 16


@dataclass(frozen=True)
class SelfCalibrateConfig:
    """Calibration from the hand at work.

    Attributes:
        recording: folder given to --from: a dataset of one recording, a recording (<camera>.csv and images), or images
            in folders or files named after cameras, as dactyl estimate reads them.
        output: file to write, for example calibration.json.
        checkpoint: checkpoint file of a geometric network, or the name of shipped weights.
        calibration: an earlier calibration of the recording's cameras, calibration.json or Kalibr's camchain, whose
            lenses and directions are the starting point, and in whose frame the cameras are written; null if the
            cameras are near the network's.
        lenses: instead of an earlier calibration, each camera's lens without a pose, from OpenCV or ROS (camera_info),
            by its name: images are undistorted, and the search starts at the network's cameras.
        triplets: largest number of triplets to use, evenly spaced.
        tolerance_s: largest time between the images of a triplet of a recording.
        distortion: also find each lens's radial distortion (without an earlier calibration or lenses).
        rectified: whether the images are undistorted already, as those of a dataset are. Without an earlier calibration
            or lenses, others are undistorted with the lenses in the network's scene, if it has any.
        picture_bits: number of significant bits in 16-bit PNG images; null to tell them from the values.
        device: device on which the network runs: cpu, cuda or cuda:N; auto is a GPU if there is one.
        windows: number of windows around the object, rolled against each other, in which the network sees each image;
            what it finds is averaged (test-time augmentation): errors become smaller, and its time grows with it. Null
            takes the network's own number, model.window.count.
        precision: number format of the network: float32, the same cameras on every machine; bfloat16, up to twice as
            fast where the machine has instructions for it; or auto, bfloat16 there and float32 elsewhere.
    """

    recording: Path
    output: Path
    checkpoint: Path = Path("block")
    calibration: Path | None = None
    lenses: dict[str, Path] = field(default_factory=dict)
    triplets: int = 300
    tolerance_s: float = 0.01
    distortion: bool = False
    rectified: bool = False
    picture_bits: int | None = None
    device: str = "auto"
    windows: int | None = None
    precision: Precision = "float32"

    def __post_init__(self) -> None:
        check_calibration_name(self.output)
        check_bits("picture_bits", self.picture_bits)
        at_least_one(self, "triplets", "windows")
        known_device(self, "device")
        positive(self, "tolerance_s")
        at_most_seconds(self, LONGEST_STEP_S, "tolerance_s")
        if self.calibration is not None and self.lenses:
            raise ValueError("calibration and lenses: expected one of them; a calibration has the lenses, too")
        if self.calibration is not None or self.lenses:
            for key in (key for key in ("distortion", "rectified") if getattr(self, key)):
                raise ValueError(f"{key}: a calibration or lenses tell the distortion; leave one of them out")


@dataclass(frozen=True)
class FoundRig:
    """Cameras that were found, with their accuracy by name.

    Attributes:
        rig: the cameras, as in the calibration file.
        direction_deg: standard deviation of the direction, degrees.
        focal: standard deviation of the focal length, as a fraction of it.
        drift_deg: rotation of the camera during the recording, degrees; 0 if none was detected.
        turned_deg: rotation from where the search began, degrees.
        zoomed: change of the focal length from there, as a fraction of it.
        triplets: number of triplets that were used.
        remarks: what else the user should know.
    """

    rig: Rig
    direction_deg: dict[str, float]
    focal: dict[str, float]
    drift_deg: dict[str, float]
    turned_deg: dict[str, float]
    zoomed: dict[str, float]
    triplets: int
    remarks: list[str]

    @property
    def far(self) -> list[str]:
        """Names of the cameras that are farther from where the search began than any that the network was trained on:
        by half as much again as Table 9 displaces them."""
        names = []
        for camera in self.rig.cameras:
            focal, zoom = camera.intrinsics[1, 1], 1 + self.zoomed[camera.name]
            opened = np.rad2deg(
                2 * (np.arctan2(camera.height, 2 * focal) - np.arctan2(camera.height, 2 * focal / zoom))
            )
            if abs(opened) > 1.5 * CAMERA_FOVY_DEG or self.turned_deg[camera.name] > 1.5 * CAMERA_ROTATION_DEG:
                names.append(camera.name)
        return names


def calibrate_from(config: SelfCalibrateConfig) -> FoundRig:
    """Find the cameras and write the file.

    Raises:
        DactylError: the recording cannot be read, leaves a camera undetermined, or is of cameras that moved; the search
            did not converge; or the file cannot be written or would replace another kind of file.
    """
    refuse_lost_calibration(config.output)
    from vision.estimator import PoseEstimator

    estimator = PoseEstimator.load(
        str(config.checkpoint), device=torch_device(config.device), windows=config.windows, precision=config.precision
    )
    source = open_folder(config.recording, estimator.scene, config.tolerance_s, config.picture_bits)
    if source.dataset is not None:
        refuse_several_rigs(source.dataset)
    rectified = config.rectified or source.dataset is not None
    if config.distortion and not rectified and any(camera.distortion for camera in estimator.rig.cameras):
        raise DactylError("distortion: the network's scene has the lenses already; leave it out")
    views = network_views(estimator.rig, config.calibration, config.lenses, rectified)
    remarks = list(source.remarks)
    sizes: list[list[tuple[int, int]]] = []
    numbers, shots = source.shots(config.triplets)
    if not numbers:
        raise DactylError(f"{config.recording}: no triplets; record some hundred of the hand at work")

    def triplets() -> Iterator[np.ndarray]:
        for shot in shots:
            sizes.append([(picture.shape[1], picture.shape[0]) for picture in shot.pictures])
            if sizes[-1] != sizes[0]:
                raise DactylError(
                    f"{shot.where[0]}: another size than pictures before; calibrate one resolution at a time"
                )
            if len(sizes) == 1:
                remarks.extend(views.remarks(shot.pictures))
            yield views(shot.pictures, shot.where)
            advance(1)

    with progress(f"finding the cameras of {source.name}", len(numbers), "triplets") as advance:
        seen = estimator.observe(triplets(), _BATCH)
    try:
        solution, motion = self_calibrate_with_frame(
            estimator, seen, views.cameras, views.frame_known, config.distortion
        )
    except DactylError as error:
        raise DactylError(f"{config.recording}: {error}; nothing was written") from error
    began, found = views.cameras.in_frame(motion), solution.cameras.numpy()
    turned = np.rad2deg(geodesic_distance(began.extrinsics[:, :3, :3], found.extrinsics[:, :3, :3]))
    zoomed = found.intrinsics[:, 0, 0] / began.intrinsics[:, 0, 0] - 1
    views.move_world(motion)
    rig = views.calibrated(found, sizes[0], solution.distortion.numpy())
    save_calibration(config.output, rig)
    moved = np.linalg.norm(solution.drift_deg.numpy(), axis=1) * solution.drifted().numpy()

    def by_name(values: Any) -> dict[str, float]:
        return dict(zip(estimator.rig.names, values.tolist(), strict=True))

    return FoundRig(
        rig=rig,
        direction_deg=by_name(solution.direction_deviation_deg),
        focal=by_name(solution.deviation[:, 6]),
        drift_deg=by_name(moved),
        turned_deg=by_name(turned),
        zoomed=by_name(zoomed),
        triplets=len(seen.corners),
        remarks=remarks,
    )
