"""``dactyl calibrate`` and ``dactyl import-recording``."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console

from eval.laboratory.calibration import CalibrateConfig, calibrate
from eval.laboratory.recordings import ImportConfig, import_recording
from vision.config import parse


def main_calibrate(argv: Sequence[str]) -> None:
    """Calibrate a laboratory's cameras from pictures of a ChArUco board.

    Writes intrinsics, distortion and extrinsics in OpenCV's form. docs/recording.md says which pictures to take.

    examples:
      dactyl calibrate --config lab/calibrate.yaml --output lab/recording/calibration.json
    """
    config = parse(CalibrateConfig, argv, "dactyl calibrate", main_calibrate.__doc__ or "")
    console = Console()
    for name, camera in calibrate(config).items():
        console.print(
            f"{name}: focal length {camera.matrix[0, 0]:.1f} px, reprojection error {camera.rms:.3f} px",
            highlight=False,
        )
    console.print(f"{config.output}: {len(config.pictures)} cameras", soft_wrap=True, highlight=False)


def main_import_recording(argv: Sequence[str]) -> None:
    """Turn a laboratory's recording into a test set: synchronised, undistorted, with poses from motion capture.

    docs/recording.md says what a recording holds and how to make one of 992 samples.

    examples:
      dactyl import-recording --config lab/import.yaml
      dactyl import-recording --recording lab/recording --output data/test-real --warp false
    """
    config = parse(ImportConfig, argv, "dactyl import-recording", main_import_recording.__doc__ or "")
    dataset, dropped = import_recording(config)
    console = Console()
    for reason, count in dropped.most_common():
        console.print(f"dropped {count:,}: {reason}", highlight=False)
    console.print(f"{config.output}: {len(dataset):,} triplets", soft_wrap=True, highlight=False)
