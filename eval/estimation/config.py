"""Configuration of ``dactyl estimate``."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from eval.laboratory.pictures import check_bits, refuse_shared
from eval.laboratory.recording_limits import LONGEST_STEP_S
from vision.configuration.bounds import at_least_one, at_most_seconds, known_device, positive
from vision.machine.hardware import Precision
from vision.tracking import TrackingConfig

_NO_SHEETS = (".jpg", ".jpeg", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".pdf", ".svg", ".html", ".txt", ".csv")


@dataclass(frozen=True)
class EstimateConfig:
    """What to estimate, and where the results go.

    Attributes:
        pictures: a folder of images: a recording (<camera>.csv, docs/recording.md), a folder for each camera with the
            same file names in all, files named after cameras (left.png, or left-0001.png), or a dataset.
        cameras: instead of pictures, a file or folder for each camera by its name; with live, a camera's number or URL.
        checkpoint: checkpoint file of the network, or the name of shipped weights.
        calibration: file with the cameras, calibration.json (dactyl calibrate) or Kalibr's camchain; null if they are
            near the network's cameras (the nominal protocol).
        lenses: instead of a calibration, each camera's lens without a pose, from OpenCV or ROS (camera_info), by its
            name: images are undistorted, and the cameras are assumed near the network's.
        rectified: whether the images are undistorted already, as those of a dataset are. Without calibration or lenses,
            others are undistorted with the lenses in the network's scene, if it has any.
        self_calibrate: largest number of triplets from which the cameras, which must not move, are found; a hundred are
            plenty. The search starts at the calibration, or at the network's cameras. With live, it is repeated as
            triplets arrive. Null estimates each triplet separately.
        output: file for the poses, one JSON line for each triplet; null for standard output.
        overlays: folder for an image of each triplet with the estimate drawn over it, or one sheet if it ends in .png;
            null for none.
        sheet: largest number of triplets on such a sheet, evenly spaced.
        limit: largest number of triplets to estimate, evenly spaced; null for all.
        tolerance_s: largest time between the images of a triplet of a recording; live, a larger one is reported.
        picture_bits: number of significant bits in 16-bit PNG images; null to tell them from the values.
        track: follow the object from triplet to triplet: smoother poses, velocities, and when it was lost; lines then
            also hold track.
        interval_s: seconds from triplet to triplet if the images do not tell; with track, and live from a folder.
        tracking: model of the object's motion and of which estimates to trust.
        live: estimate images as they arrive, from cameras, or from pictures at the pace at which they were recorded;
            tracks.
        port: port of the page on 127.0.0.1 that shows live estimates; 0 for a free one, null for no page.
        record: folder to keep the images in as a recording, with live; null for none.
        stall_s: number of seconds without an image after which a camera is reported to have stopped.
        batch_size: number of triplets in one call of the network; fewer with several windows.
        device: device on which the network runs: cpu, cuda or cuda:N; auto is a GPU if there is one.
        windows: number of windows around the object, rolled against each other, in which the network sees each image;
            what it finds is averaged (test-time augmentation): errors become smaller, and its time grows with it. Null
            takes the network's own number, model.window.count; with live, one if so many take too long here.
        precision: number format of the network: bfloat16, up to twice as fast where the machine has instructions for
            it; auto, bfloat16 there and float32 elsewhere; or float32, the same poses on every machine.
    """

    pictures: Path | None = None
    cameras: dict[str, str] = field(default_factory=dict)
    checkpoint: Path = Path("block")
    calibration: Path | None = None
    lenses: dict[str, Path] = field(default_factory=dict)
    rectified: bool = False
    self_calibrate: int | None = None
    output: Path | None = None
    overlays: Path | None = None
    sheet: int = 24
    limit: int | None = None
    tolerance_s: float = 0.01
    picture_bits: int | None = None
    track: bool = False
    interval_s: float | None = None
    tracking: TrackingConfig = field(default_factory=TrackingConfig)
    live: bool = False
    port: int | None = 8765
    record: Path | None = None
    stall_s: float = 2.0
    batch_size: int = 16
    device: str = "auto"
    windows: int | None = None
    precision: Precision = "auto"

    def __post_init__(self) -> None:
        if (self.pictures is None) == (not self.cameras):
            raise ValueError("pictures or cameras: expected one of them, for example --pictures lab/recording")
        if self.calibration is not None and self.lenses:
            raise ValueError("calibration and lenses: expected one of them; a calibration has the lenses, too")
        if self.rectified and (self.calibration is not None or self.lenses):
            raise ValueError("rectified: a calibration or lenses tell the distortion; leave one of them out")
        refuse_shared("cameras", self.cameras)
        check_bits("picture_bits", self.picture_bits)
        given = [key for key in ("limit", "self_calibrate") if getattr(self, key) is not None]
        at_least_one(self, "sheet", "batch_size", "windows", *given)
        known_device(self, "device")
        positive(self, "tolerance_s", "stall_s", *([] if self.interval_s is None else ["interval_s"]))
        at_most_seconds(self, LONGEST_STEP_S, "tolerance_s", "interval_s")
        if self.port is not None and not 0 <= self.port < 1 << 16:
            raise ValueError(f"port: expected 0 to 65535, got {self.port}")
        if self.record is not None and not self.live:
            raise ValueError("record: keeps pictures as they come; add --live true")
        if self.live and (self.overlays is not None or self.limit is not None):
            raise ValueError("live: overlays and limit are for pictures at rest; the page shows what is seen")
        if self.overlays is not None and self.overlays.suffix.lower() in _NO_SHEETS:
            raise ValueError(f"overlays: expected a folder, or a sheet that ends in .png, got {self.overlays}")
        if self.track and self.limit is not None:
            raise ValueError(
                "limit: leaves triplets out, from which an object cannot be tracked; leave one of them out"
            )
