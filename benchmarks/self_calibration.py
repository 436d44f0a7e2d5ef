"""Errors against the number of triplets from which the cameras were found (the protocol self-calibrated).

For each recording of a dataset, cameras are found from its first triplets, and with these cameras poses are estimated
in its last hundred. Such a set is made by

    dactyl render --config configs/render/classic.yaml --states data/states-test --output data/test-recordings \\
      --render.displacement per-recording --render.recording_size 400 --count 1200

    python -m benchmarks.self_calibration --dataset data/test-recordings --checkpoint block
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from benchmarks.machine import describe
from vision.errors import DactylError
from vision.estimator import Observations, PoseEstimator
from vision.geometry.rotations import geodesic_distance, matrix_from_quaternion
from vision.storage.datasets import TripletDataset
from vision.storage.recordings import recordings

_HELD_OUT = 100


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dataset", type=Path, required=True)
    parser.add_argument("--checkpoint", default="block", help="name of shipped weights, or a file")
    parser.add_argument("--triplets", type=int, nargs="+", default=[1, 3, 10, 30, 100, 300])
    arguments = parser.parse_args()
    dataset, estimator = TripletDataset(arguments.dataset), PoseEstimator.load(arguments.checkpoint)
    groups = recordings(dataset)
    if groups is None:
        raise DactylError(f"{dataset.folder}: no recordings; render it with --render.displacement per-recording")
    print(f"{describe()}\n{'triplets':>8}{'rotation, degrees':>20}{'position, mm':>15}")
    seen = {
        group: estimator.observe((dataset[int(number)]["images"] for number in np.flatnonzero(groups == group)), 32)
        for group in np.unique(groups)
    }
    for count in arguments.triplets:
        errors = np.concatenate([_errors(estimator, dataset, groups == group, seen[group], count) for group in seen])
        print(f"{count:8}{errors[:, 0].mean():20.2f}{errors[:, 1].mean():15.2f}", flush=True)


def _errors(
    estimator: PoseEstimator, dataset: TripletDataset, chosen: np.ndarray, seen: Observations, count: int
) -> np.ndarray:
    """Return errors (N, 2), degrees and millimetres, in a recording's last triplets with cameras from its first."""
    first = Observations(*(array[:count] for array in seen))
    cameras = estimator.self_calibrate(first, dataset.rig.nominal).cameras.numpy()
    rows = np.flatnonzero(chosen)[-_HELD_OUT:]
    samples = [dataset[int(row)] for row in rows]
    images = np.stack([sample["images"] for sample in samples])
    found = estimator.predict(images, cameras, 32)
    true = matrix_from_quaternion(np.stack([sample["object_quaternion"] for sample in samples]))
    turned = np.rad2deg(geodesic_distance(matrix_from_quaternion(found["quaternion"]), true))
    moved = 1000 * np.linalg.norm(found["position"] - [sample["object_position"] for sample in samples], axis=1)
    return np.stack([turned, moved], axis=1)


if __name__ == "__main__":
    main()
