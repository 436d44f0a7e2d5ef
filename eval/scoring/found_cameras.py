"""The self-calibrated protocol: cameras that an estimator finds from a recording, and which samples make one."""

from __future__ import annotations

from typing import Any

import numpy as np

from vision.errors import DactylError
from vision.geometry.rotations import FloatArray
from vision.progress import progress
from vision.storage.datasets import TripletDataset


def recordings(dataset: TripletDataset) -> np.ndarray | None:
    """The recording of each sample, (N,): samples of one share their cameras. None where each has cameras of its own.

    Rendered sets say so in their configuration (``render.displacement: per-recording``); an imported recording is one.
    """
    if dataset.manifest.recording is not None:
        return np.zeros(len(dataset), np.int64)
    render = dataset.manifest.config.get("render", {})
    if not isinstance(render, dict) or render.get("displacement") != "per-recording":
        return None
    size = render.get("recording_size")
    if type(size) is not int or size < 1:
        raise DactylError(f"{dataset.folder}: render.recording_size is {size!r}, no number; make the dataset again")
    return dataset.indices // size


def can_self_calibrate(estimator: object) -> bool:
    """Whether an estimator finds cameras from what it sees (``vision.estimator.PoseEstimator``)."""
    return getattr(estimator, "finds_cameras", False) and hasattr(estimator, "self_calibrate")


def found_cameras(estimator: Any, dataset: TripletDataset, batch_size: int) -> tuple[FloatArray, FloatArray]:
    """K (N, C, 3, 3) and T (N, C, 4, 4) that the estimator finds for each sample, from all of its recording.

    Raises:
        DactylError: the set has no recordings, or one leaves a camera open.
    """
    groups = recordings(dataset)
    if groups is None:
        raise DactylError(
            f"{dataset.folder}: each of its samples has cameras of its own, and nothing to find them from; render one "
            "with --render.displacement per-recording"
        )
    nominal = dataset.rig.nominal.intrinsics, dataset.rig.nominal.extrinsics
    matrices, transforms = (np.broadcast_to(array, (len(dataset), *array.shape)).copy() for array in nominal)
    with progress(f"{dataset.folder.name}, finding its cameras", len(dataset), "triplets") as advance:
        for group in np.unique(groups):
            rows = np.flatnonzero(groups == group)
            solution = estimator.self_calibrate(observed(estimator, dataset, rows, batch_size), *nominal)
            matrices[rows] = solution.cameras.intrinsics.numpy()
            transforms[rows] = solution.cameras.extrinsics.numpy()
            advance(len(rows))
    return matrices, transforms


def observed(estimator: Any, dataset: TripletDataset, rows: np.ndarray, batch_size: int) -> Any:
    """What the estimator sees in samples ``rows`` of a dataset (``vision.estimator.Observations``)."""
    parts = []
    for first in range(0, len(rows), batch_size):
        images = np.stack([dataset[int(number)]["images"] for number in rows[first : first + batch_size]])
        parts.append(estimator.observe(images))
    return type(parts[0]).joined(parts)
