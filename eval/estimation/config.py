"""What ``dactyl estimate`` is asked for."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from eval.laboratory.pictures import check_bits
from vision.bounds import at_least_one, positive


@dataclass(frozen=True)
class EstimateConfig:
    """What is estimated, and what comes of it.

    Attributes:
        pictures: a folder of pictures: a recording (<camera>.csv, docs/recording.md), a folder for each camera with the
            same names in all, files that are called as cameras are (left.png, or left-0001.png), or a dataset.
        cameras: in its place, a file or folder of each camera by its name.
        checkpoint: of the network: a file, or the name of shipped weights.
        calibration: of the cameras: calibration.json (dactyl calibrate), or Kalibr's camchain; null where they stand
            about where the network's cameras do (the nominal protocol).
        lenses: in its place, each camera's own calibration without a place, of OpenCV or ROS (camera_info), by its
            name: pictures are undistorted, and the cameras stand about where the network's do.
        output: file for the poses, one JSON line for each triplet; null for standard output.
        overlays: folder for a picture of each triplet with the estimate drawn over it, or one sheet where it ends in
            .png; null for none.
        sheet: triplets on such a sheet at most, evenly spaced.
        limit: triplets that are estimated at most, evenly spaced; null for all.
        tolerance_s: largest time between pictures of a triplet of a recording.
        picture_bits: of 16-bit PNG pictures, how many count; null where the values themselves must tell.
        batch_size: triplets in one call of the network.
        device: where the network runs; auto takes a GPU if there is one.
    """

    pictures: Path | None = None
    cameras: dict[str, Path] = field(default_factory=dict)
    checkpoint: Path = Path("block")
    calibration: Path | None = None
    lenses: dict[str, Path] = field(default_factory=dict)
    output: Path | None = None
    overlays: Path | None = None
    sheet: int = 24
    limit: int | None = None
    tolerance_s: float = 0.01
    picture_bits: int | None = None
    batch_size: int = 16
    device: Literal["auto", "cpu", "cuda"] = "auto"

    def __post_init__(self) -> None:
        if (self.pictures is None) == (not self.cameras):
            raise ValueError("pictures or cameras: expected one of them, for example --pictures lab/recording")
        if self.calibration is not None and self.lenses:
            raise ValueError("calibration and lenses: expected one of them; a calibration has the lenses, too")
        check_bits("picture_bits", self.picture_bits)
        at_least_one(self, "sheet", "batch_size", *([] if self.limit is None else ["limit"]))
        positive(self, "tolerance_s")
