"""Estimates of a checkpoint on test sets, saved before they are scored.

A predictions file holds the estimate of every sample next to its truth, and records its origin: checkpoint, test set,
protocol, versions, code. Scoring needs nothing else, so it can be repeated or extended without the network.

Predictions are a cache: those of another checkpoint, test set, version or code are made again, and the reason is
printed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from eval.scoring.conditions import Condition, estimator_inputs
from eval.scoring.estimator import Estimator
from eval.scoring.found_cameras import calibrated_cameras, found_cameras
from vision.errors import DactylError
from vision.geometry.rotations import canonical_quaternion
from vision.io.files import sha256
from vision.io.json_values import differences
from vision.machine.hardware import machine_name
from vision.machine.progress import progress
from vision.machine.versions import code_fingerprint, package_versions
from vision.scene.scene import require_same
from vision.storage.datasets import TripletDataset
from vision.storage.schema import PREDICTIONS
from vision.storage.tables import read_table, write_table

_MADE_ON = "made_on"


@dataclass(frozen=True)
class Predictions:
    """Estimates on one test set under one protocol.

    Attributes:
        columns: ``PREDICTIONS`` of the schema, (N, ...) each, in the order of the test set.
        origin: what made them: checkpoint_sha256, dataset_fingerprint, protocol, head, windows, scene, renderer,
            versions, code; precision if it is not float32; made_on, the device and the machine that computed them.
    """

    columns: dict[str, np.ndarray]
    origin: dict[str, Any]


@dataclass(frozen=True)
class PredictionJob:
    """Estimates of a checkpoint on a test set under one condition.

    Attributes:
        estimator: the checkpoint's network.
        checkpoint_sha256: hash of the checkpoint.
        dataset: the test set.
        condition: what the estimator is given.
        batch_size: number of samples estimated at once.
        numbers: samples to estimate; None for all.
        calibration: file with the cameras of the self-calibrated protocol; None to find them.
    """

    estimator: Estimator
    checkpoint_sha256: str
    dataset: TripletDataset
    condition: Condition
    batch_size: int
    numbers: Sequence[int] | None = None
    calibration: Path | None = None

    def origin(self) -> dict[str, Any]:
        """Return what the predictions depend on, as their file records it."""
        origin = {
            "checkpoint_sha256": self.checkpoint_sha256,
            "dataset_fingerprint": self.dataset.fingerprint,
            "protocol": self.condition.camera_knowledge,
            "condition": self.condition.name,
            "head": self.estimator.head,
            "windows": self.estimator.windows,
            "scene": self.dataset.scene.identity(),
            "renderer": renderer_of(self.dataset),
            "versions": package_versions(("dactyl-vision", "torch", "numpy")),
            "code": code_fingerprint(),
        }
        if self.estimator.precision != "float32":  # which earlier files do not name
            origin["precision"] = self.estimator.precision
        if self.calibration is not None and self.condition.camera_knowledge == "self-calibrated":
            origin["calibration_sha256"] = sha256(self.calibration)
        return origin

    def compute(self) -> dict[str, np.ndarray]:
        """Call :func:`predict`."""
        return predict(
            self.estimator, self.dataset, self.condition, self.batch_size, self.numbers, calibration=self.calibration
        )

    def obtain(self, path: Path) -> tuple[Predictions, str | None]:
        """Read the predictions in ``path``, and make them first unless the file already holds exactly these.

        Returns:
            The predictions as read from the file, and why they were made, or None if they were already there.

        Raises:
            DactylError: as :func:`predict`.
        """
        indices, origin = self.dataset.indices, self.origin()
        why = _why_make(path, origin, indices if self.numbers is None else indices[list(self.numbers)])
        if why:
            # Not compared: the same network gives the same poses, to rounding, wherever it runs.
            made_on = {"device": str(self.estimator.device), "machine": machine_name()}
            write_table(path, self.compute(), PREDICTIONS, origin | {_MADE_ON: made_on})
        columns, there = read_table(path, PREDICTIONS)
        return Predictions(columns, there), why


def _why_make(path: Path, origin: dict[str, Any], indices: np.ndarray) -> str | None:
    """Return why the predictions in a file cannot be reused; None if they can."""
    if not path.exists():
        return "new"
    try:
        columns, there = read_table(path, PREDICTIONS)
    except DactylError:
        return "the file was damaged"
    there.pop(_MADE_ON, None)
    if changed := differences(there, origin):
        return "changed: " + ", ".join(line.partition(":")[0] for line in changed)
    return None if np.array_equal(columns["index"], indices) else "changed: the samples"


def predict(
    estimator: Estimator,
    dataset: TripletDataset,
    condition: Condition,
    batch_size: int,
    numbers: Sequence[int] | None = None,
    calibration: Path | None = None,
) -> dict[str, np.ndarray]:
    """Compute the columns of ``PREDICTIONS``, (N, ...), for samples ``numbers`` of a dataset, or for all in its order.
    Arguments are those of a :class:`PredictionJob`.

    Raises:
        DactylError: the dataset is empty or of another object, rig or image size, or a sample cannot be read.
    """
    refuse_mismatch(estimator, dataset)
    numbers = range(len(dataset)) if numbers is None else numbers
    if not len(numbers):
        raise DactylError(f"{dataset.folder}: no samples; make the dataset again")
    parts: dict[str, list[np.ndarray]] = {key: [] for key in PREDICTIONS}
    cameras = None
    if condition.camera_knowledge == "self-calibrated":
        cameras = (
            found_cameras(estimator, dataset, batch_size)
            if calibration is None
            else calibrated_cameras(calibration, dataset)
        )
    with progress(f"{dataset.folder.name}, {condition.name}", len(numbers), "triplets") as advance:
        for first in range(0, len(numbers), batch_size):
            samples = [dataset[number] for number in numbers[first : first + batch_size]]
            batch = {key: np.stack([sample[key] for sample in samples]) for key in samples[0] if key != "augmentation"}
            found = cameras and cameras.at(list(numbers[first : first + batch_size]))
            images, given = estimator_inputs(condition, batch, dataset.rig, found)
            nominal = condition.camera_knowledge == "nominal"
            estimates = estimator.predict(images, given, batch_size=batch_size, nominal=nominal)
            parts["index"].append(batch["index"])
            parts["episode"].append(batch["episode"])
            parts["true_position"].append(batch["object_position"])
            parts["true_quaternion"].append(batch["object_quaternion"])
            parts["predicted_position"].append(estimates["position"])
            parts["predicted_quaternion"].append(unit_quaternion(estimates["quaternion"]))
            parts["confidence"].append(estimates["confidence"])
            advance(len(samples))
    return {key: np.concatenate(arrays) for key, arrays in parts.items()}


def refuse_mismatch(estimator: Estimator, dataset: TripletDataset) -> None:
    """Raise :class:`DactylError` unless the dataset shows what the estimator was trained on."""
    require_same(
        estimator.scene, dataset.scene, f"{dataset.folder}: not what the checkpoint was trained on", to_a_network=True
    )


def renderer_of(dataset: TripletDataset) -> str:
    """Return the names of the renderers of the images, joined by commas."""
    return ", ".join(dict.fromkeys(shard.renderer.get("name", "unknown") for shard in dataset.shards))


def unit_quaternion(quaternion: np.ndarray) -> np.ndarray:
    """Return quaternions (N, 4) of length one to the last bit, with w >= 0, as files hold them."""
    return canonical_quaternion(quaternion / np.linalg.norm(quaternion, axis=-1, keepdims=True))
