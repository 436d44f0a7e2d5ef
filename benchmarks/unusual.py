"""Fraction of triplets reported as unusual (``eval.estimation.unusual``): on unchanged and on degraded test sets.

    python -m benchmarks.unusual --datasets data/test-filament data/test-classic data/test-far --checkpoint block

Sets need the labels of their views (``view_labels``), whose masks show where to paint over the object.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

from benchmarks.machine import describe
from eval.estimation.unusual import contrast, reasons
from vision.errors import DactylError
from vision.estimator import PoseEstimator
from vision.storage.datasets import TripletDataset

_BATCH = 32


def painted_over(image: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Return an image (H, W, 3) without the object."""
    around = cv2.dilate(mask.astype(np.uint8), np.ones((7, 7)))
    return np.asarray(cv2.inpaint(image, around, 3, cv2.INPAINT_TELEA))


SPOILT: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    "as they are": lambda images, masks: images,
    "grey": lambda images, masks: np.full_like(images, 128),
    "one camera grey": lambda images, masks: np.concatenate([np.full_like(images[:1], 128), images[1:]]),
    "inverted": lambda images, masks: 255 - images,
    "without the object": lambda images, masks: np.stack(list(map(painted_over, images, masks))),
    "red and blue exchanged": lambda images, masks: images[..., ::-1],
    "without colour": lambda images, masks: np.repeat(images.mean(axis=-1, keepdims=True).astype(np.uint8), 3, -1),
    "upside down": lambda images, masks: images[:, ::-1],
    "cameras exchanged": lambda images, masks: np.roll(images, 1, axis=0),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--datasets", type=Path, nargs="+", required=True)
    parser.add_argument("--checkpoint", default="block", help="name of shipped weights, or a file")
    arguments = parser.parse_args()
    estimator = PoseEstimator.load(arguments.checkpoint)
    print(f"{describe()}\n{arguments.checkpoint}, nominal cameras: percent of triplets called unusual\n")
    datasets = [TripletDataset(folder) for folder in arguments.datasets]
    print(f"{'':24}" + "".join(f"{f'{dataset.folder.name} ({len(dataset)})':>18}" for dataset in datasets))
    for name, spoil in SPOILT.items():
        print(f"{name:24}" + "".join(f"{100 * _share(estimator, each, spoil):18.1f}" for each in datasets), flush=True)


def _share(
    estimator: PoseEstimator, dataset: TripletDataset, spoil: Callable[[np.ndarray, np.ndarray], np.ndarray]
) -> float:
    unusual, usual = 0, estimator.usual_spread
    for first in range(0, len(dataset), _BATCH):
        numbers = range(first, min(first + _BATCH, len(dataset)))
        images = np.stack([spoil(dataset[number]["images"], _masks(dataset, number)) for number in numbers])
        cameras = estimator.rig.nominal
        found = estimator.predict(images, cameras, nominal=True)
        rows = zip(contrast(images), found["spread"].tolist(), strict=True)
        unusual += sum(bool(reasons(each, estimator.rig.names, spread, usual)) for each, spread in rows)
    return unusual / len(dataset)


def _masks(dataset: TripletDataset, number: int) -> np.ndarray:
    if (masks := dataset.masks(number)) is None:
        raise DactylError(f"{dataset.folder}: has no masks; render it with --view_labels true")
    return masks


if __name__ == "__main__":
    main()
