"""Estimate the object's pose from three pictures, or live from three webcams. No simulator, no ROS.

    python examples/estimate.py runs/best/best.ckpt left.png top.png right.png
    python examples/estimate.py runs/best/best.ckpt 0 1 2 --calibration lab/recording/calibration.json

Pictures come in the order of the checkpoint's cameras: left, top, right. Without a calibration they must be square and
taken by the nominal cameras; with one (``dactyl calibrate``), pictures of the calibrated cameras are undistorted and
turned to the nominal ones.
Prints one JSON line for each triplet: position in metres, quaternion w x y z, both of the object in the world frame of
the simulation (with a calibration: of the capture frame), and the estimator's confidence.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from eval.laboratory.calibration import load_calibration
from eval.laboratory.pictures import BIT_DEPTHS, read_picture
from eval.laboratory.undistortion import make_view
from vision.errors import DactylError
from vision.estimator import PoseEstimator


def triplets(sources: list[str], bits: int | None) -> Iterator[list[np.ndarray]]:
    """Pictures (H, W, 3) uint8 RGB: once from files, for ever from webcams (their numbers)."""
    if not all(source.isdecimal() for source in sources):
        yield [read_picture(Path(source), bits) for source in sources]
        return
    cameras = [cv2.VideoCapture(int(source)) for source in sources]
    while sum(camera.grab() for camera in cameras) == len(cameras):  # all first: decoding takes time
        yield [cv2.cvtColor(camera.retrieve()[1], cv2.COLOR_BGR2RGB) for camera in cameras]
    raise DactylError(f"webcams {', '.join(sources)}: one gives no picture; check numbers and cables")


def square(picture: np.ndarray, source: str, size: int) -> np.ndarray:
    """(size, size, 3) of a square picture."""
    height, width, _ = picture.shape
    if width != height:
        raise DactylError(
            f"{source}: {width}x{height} pixels; without --calibration pictures must be square, as the trained "
            "cameras' are"
        )
    return np.asarray(cv2.resize(picture, (size, size), interpolation=cv2.INTER_AREA))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("sources", nargs=3, metavar="source", help="picture files, or numbers of webcams")
    parser.add_argument("--calibration", type=Path, help="calibration.json of the three cameras")
    parser.add_argument("--picture_bits", type=int, choices=BIT_DEPTHS, help="of 16-bit PNG pictures, how many count")
    arguments = parser.parse_args()
    estimator = PoseEstimator.from_checkpoint(arguments.checkpoint)
    rig, size = estimator.rig, estimator.image_size
    matrices, transforms = rig.intrinsics(size, size), rig.extrinsics()
    views = None
    if arguments.calibration:
        calibration = load_calibration(arguments.calibration)
        if missing := [name for name in rig.names if name not in calibration]:
            raise DactylError(f"{arguments.calibration}: camera '{missing[0]}' is missing; calibrate it too")
        nominal = zip(rig.names, matrices, transforms, strict=True)
        views = [make_view(calibration[name], np.eye(4), K, T, True, size) for name, K, T in nominal]
        matrices, transforms = np.stack([v.matrix for v in views]), np.stack([v.transform for v in views])
    for pictures in triplets(arguments.sources, arguments.picture_bits):
        if views:
            seen = zip(views, pictures, arguments.sources, strict=True)
            images = [view(picture, Path(source)) for view, picture, source in seen]
        else:
            images = [square(picture, name, size) for picture, name in zip(pictures, arguments.sources, strict=True)]
        found = estimator.predict(np.stack(images)[None], matrices, transforms, nominal=views is None)
        print(json.dumps({key: np.round(values[0], 5).tolist() for key, values in found.items()}), flush=True)  # noqa: T201


if __name__ == "__main__":
    try:
        main()
    except DactylError as error:
        sys.exit(str(error))
