"""``dactyl estimate``."""

from __future__ import annotations

from collections.abc import Sequence

from eval.estimation.config import EstimateConfig
from eval.laboratory.pictures import shown
from vision.configuration.command_line import parse
from vision.errors import printable
from vision.machine.console import Console
from vision.machine.extras import require


def main_estimate(argv: Sequence[str]) -> None:
    """Estimate the object's pose in images: of a recording, of folders or files named by camera, or of a dataset.

    Images may have any size and lens. With a calibration they are undistorted, rotated and scaled to what the network's
    own cameras see, and poses come in the calibration's frame. Without one, the middle of each image is used, and the
    cameras are found with the pose, provided they are near the network's cameras (nominal).

    --self_calibrate 100 first finds the cameras from that many of the triplets, as dactyl calibrate --from does, and
    uses them for all: worth most of a calibration if the cameras do not move.

    Each triplet gives a JSON line: key, time_s (if known), frame (world: the scene's; capture: the calibration's),
    position (m) and quaternion (w x y z, object to frame), position_std (m) and rotation_std (rad, about the frame's
    axes), confidence (the probability that the rotation is right to 2 degrees), unusual (why the images look unlike the
    training images, or an empty list), and for each camera recognised (the fraction of the object's keypoints that are
    found as well as usual), expected_px and residual_px (pixels of the network's image).

    --track true follows the object over time: track then holds its status (found, tracked, predicted without the
    triplet's own estimate, lost), position, quaternion, velocity (m/s), angular_velocity (rad/s) and standard
    deviations.

    --live true tracks images as they arrive, and serves a page on this machine that shows them with the tracked object.
    Triplets that arrive while another is being estimated are skipped. Lines are printed at once, each with latency_s.
    --record keeps the images as a recording, for dactyl calibrate --from.

    examples:
      dactyl estimate --pictures lab/recording --calibration lab/calibration.json --output poses.jsonl
      dactyl estimate --pictures lab/snapshots --overlays lab/overlays            left.png top.png right.png, or folders
      dactyl estimate --cameras.left a.png --cameras.top b.png --cameras.right c.png --overlays sheet.png
      dactyl estimate --pictures data/test-filament --checkpoint runs/best/best.ckpt --limit 100 | head
      dactyl estimate --pictures lab/recording --calibration lab/calibration.json --track true > tracked.jsonl
      dactyl estimate --live true --cameras.left 0 --cameras.top 1 --cameras.right rtsp://10.0.0.7/stream | consumer
      dactyl estimate --live true --pictures lab/recording --self_calibrate 100 > poses.jsonl
      dactyl estimate --pictures lab/recording --lenses.left l.yaml --lenses.top t.yaml --lenses.right r.yaml
    """
    config = parse(EstimateConfig, argv, "dactyl estimate", main_estimate.__doc__ or "")
    if config.live:
        from eval.estimation.live import run_live  # imports torch: mistakes in the command line are reported first

        _say(str(run_live(config, _say)))
        return
    if config.overlays is not None:
        require(("lab",))  # fail before hours of estimates
    from eval.estimation.run import estimate_all

    summary = estimate_all(config)
    for remark in summary.remarks:
        _say(remark)
    unusual = (
        f"; {len(summary.unusual)} look unlike the training's: {shown(summary.unusual)}" if summary.unusual else ""
    )
    lost = f", {summary.tracking}" if summary.tracking else ""
    _say(f"{summary.source}: {summary.triplets} triplets{lost}{unusual}")
    for path in (config.output, config.overlays):
        if path is not None:
            _say(f"{path}: written")


def _say(line: str) -> None:
    """Print a line to standard error, since poses may go to standard output; escape file names' control characters."""
    Console(stderr=True).print(printable(line), highlight=False)
