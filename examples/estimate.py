"""Estimate the object's pose from three images, or live from three webcams. No simulator, no ROS.

    python examples/estimate.py runs/best/best.ckpt left.png top.png right.png
    python examples/estimate.py runs/best/best.ckpt 0 1 2 --calibration lab/recording/calibration.json

Give the images in the order of the checkpoint's cameras: left, top, right for the reference rig. Without a calibration
they must have the aspect ratio of the trained images and be taken by the nominal cameras. With one, which ``dactyl
calibrate`` makes, images of the calibrated cameras are undistorted and rotated to the nominal ones.

Prints one JSON line for each triplet: position in metres and quaternion w x y z of the object in the world frame of the
simulation (with a calibration: in the calibration's frame), the estimator's confidence, and why the images look unlike
those that it was trained on, if they do.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from eval.estimation.config import EstimateConfig
from eval.estimation.estimates import Observer
from eval.estimation.streams import CameraStream, silence_opencv
from eval.laboratory.pictures import BIT_DEPTHS, read_picture
from eval.laboratory.shots import Shot
from vision.errors import DactylError
from vision.rigs.rig import Camera

_STALL_S = 2.0  # without a picture from a webcam


def shots(sources: Sequence[str], names: Sequence[str], bits: int | None) -> Iterator[Shot]:
    """Yield images (H, W, 3) uint8 RGB: once from files, the newest ones endlessly from webcams (their numbers)."""
    if not all(source.isdecimal() for source in sources):
        yield Shot("now", [read_picture(Path(source), bits) for source in sources], list(sources))
        return
    silence_opencv()
    stream = CameraStream(dict(zip(names, sources, strict=True)))
    while True:
        yield stream.take(_STALL_S).shot


def refuse_another_shape(picture: np.ndarray, source: str, camera: Camera) -> None:
    """Raise DactylError unless an image has the aspect ratio of the nominal camera's images, at any size."""
    height, width, _ = picture.shape
    if abs(width * camera.height - height * camera.width) > max(width, height):
        raise DactylError(
            f"{source}: {width}x{height} pixels; without --calibration pictures must have the shape of the trained "
            f"cameras' images, {camera.width}x{camera.height}"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument(
        "sources", nargs="+", metavar="source", help="picture files, or numbers of webcams, one for each camera"
    )
    parser.add_argument("--calibration", type=Path, help="calibration.json of the three cameras")
    parser.add_argument("--picture_bits", type=int, choices=BIT_DEPTHS, help="of 16-bit PNG pictures, how many count")
    arguments = parser.parse_args()
    cameras = {str(number): source for number, source in enumerate(arguments.sources)}
    try:
        config = EstimateConfig(None, cameras, arguments.checkpoint, arguments.calibration)
    except ValueError as error:
        parser.error(str(error))
    observer = Observer(config)
    rig = observer.estimator.rig
    if len(arguments.sources) != len(rig):
        parser.error(f"expected {len(rig)} sources, for {', '.join(rig.names)}, got {len(arguments.sources)}")
    for shot in shots(arguments.sources, rig.names, arguments.picture_bits):
        if observer.nominal:
            for picture, source, camera in zip(shot.pictures, shot.where, rig.cameras, strict=True):
                refuse_another_shape(picture, source, camera)
        (found,) = observer([shot])
        line = found.to_json()
        print(json.dumps({key: line[key] for key in ("position", "quaternion", "confidence", "unusual")}), flush=True)  # noqa: T201


if __name__ == "__main__":
    try:
        main()
    except DactylError as error:
        sys.exit(str(error))
