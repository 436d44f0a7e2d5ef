"""Estimates of a checkpoint on test sets, saved before they are scored.

A predictions file holds the estimate of every sample next to its truth, and records its origin: checkpoint, test set,
protocol, versions. Scoring needs nothing else, so it can be repeated or extended without the network.

Predictions are a cache: those of another checkpoint, test set or version are made again, and the reason is printed.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from eval.scoring.conditions import PROTOCOLS, Condition, ProtocolName, estimator_inputs
from eval.scoring.found_cameras import calibrated_cameras, found_cameras
from vision.bounds import at_least_one, known_device, not_negative
from vision.errors import DactylError
from vision.geometry.rotations import canonical_quaternion
from vision.hardware import torch_device
from vision.io.files import sha256
from vision.io.json_values import differences
from vision.io.store import Location
from vision.progress import progress
from vision.scene.scene import Scene, require_same
from vision.storage.datasets import TripletDataset
from vision.storage.schema import PREDICTIONS
from vision.storage.tables import read_table, write_table
from vision.versions import package_versions


@dataclass(frozen=True)
class EvaluateConfig:
    """Which checkpoint to evaluate, and on what.

    Attributes:
        checkpoint: checkpoint file that dactyl train wrote, or the name of shipped weights.
        test_sets: datasets (folders or URLs) by name, for example {filament: data/test-filament, real: null}; null for
            one that does not exist yet.
        output: folder for predictions, table and images.
        training_set: dataset whose labels give the best constant pose, the baseline; null omits that row.
        protocols: what the estimator knows of the cameras: nominal (the rig's, as in the paper), self-calibrated (those
            that it found from all triplets of a recording; only on sets of recordings), calibrated (each sample's true
            ones).
        calibrations: files of dactyl calibrate --from by the test set's name, each with the cameras of all of the set's
            images: the self-calibrated protocol then uses those and finds none itself.
        batch_size: number of triplets in one call of the estimator.
        device: device on which the network runs: cpu, cuda or cuda:N; auto is a GPU if there is one.
        camera_subsets: also remove each camera in turn (calibrated; only if the estimator uses cameras).
        miscalibration_samples: number of samples, evenly spaced, on which the estimator is also given cameras that are
            wrong by set amounts (calibrated; as above); 0 for none.
    """

    checkpoint: Path
    test_sets: dict[str, Location | None]
    output: Path
    training_set: Location | None = None
    protocols: tuple[ProtocolName, ...] = PROTOCOLS
    batch_size: int = 32
    device: str = "auto"
    camera_subsets: bool = False
    miscalibration_samples: int = 0
    calibrations: dict[str, Path] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if unknown := [name for name in self.calibrations if not self.test_sets.get(name)]:
            raise ValueError(f"calibrations: there is no test set '{unknown[0]}'")
        if not any(self.test_sets.values()):
            raise ValueError("test_sets: name at least one, for example --test_sets.filament data/test-filament")
        for name in self.test_sets:
            if not re.fullmatch(r"[0-9a-z_-]+", name):
                raise ValueError(f"test_sets: a name has small letters, digits, - and _ only, got '{name}'")
        if clash := [name for name in self.test_sets if f"{name}-self" in self.test_sets]:
            # X under self-calibrated and X-self under calibrated would be one file.
            raise ValueError(f"test_sets: '{clash[0]}' and '{clash[0]}-self' cannot be together; rename one")
        if not self.protocols or len(set(self.protocols)) < len(self.protocols):
            raise ValueError(f"protocols: expected some of {', '.join(PROTOCOLS)}, got {list(self.protocols)}")
        at_least_one(self, "batch_size")
        known_device(self, "device")
        not_negative(self, "miscalibration_samples")


class Estimator(Protocol):
    """Interface of what is evaluated, such as ``vision.estimator.PoseEstimator``.

    ``predict`` takes images (B, C, H, W, 3) uint8, K (B, C, 3, 3) and T (B, C, 4, 4), and whether these are only the
    nominal cameras. It returns position (B, 3) in metres, quaternion (B, 4), w x y z, object to world, and confidence
    (B,).
    """

    @property
    def scene(self) -> Scene: ...
    @property
    def head(self) -> str: ...
    @property
    def uses_cameras(self) -> bool: ...
    @property
    def finds_cameras(self) -> bool: ...
    @property
    def any_number_of_cameras(self) -> bool: ...
    @property
    def nominal_fault(self) -> str | None: ...

    def predict(
        self, images: np.ndarray, intrinsics: np.ndarray, extrinsics: np.ndarray, *, nominal: bool = False
    ) -> Mapping[str, np.ndarray]: ...


def load_estimator(checkpoint: Path, device: str) -> Estimator:
    """Load the checkpoint's network onto a device, auto for a GPU if there is one."""
    from vision.estimator import PoseEstimator  # slow: mistakes in the command line are reported before this import

    return PoseEstimator.from_checkpoint(checkpoint, torch_device(device))


@dataclass(frozen=True)
class Predictions:
    """Estimates on one test set under one protocol.

    Attributes:
        columns: ``PREDICTIONS`` of the schema, (N, ...) each, in the order of the test set.
        origin: what made them: checkpoint_sha256, dataset_fingerprint, protocol, head, scene, renderer, versions.
    """

    columns: dict[str, np.ndarray]
    origin: dict[str, Any]


def obtain_predictions(
    estimator: Estimator,
    checkpoint_sha256: str,
    dataset: TripletDataset,
    condition: Condition,
    path: Path,
    batch_size: int,
    numbers: Sequence[int] | None = None,
    calibration: Path | None = None,
) -> tuple[Predictions, str | None]:
    """Read the predictions in ``path``, and make them first unless the file already holds exactly these.

    Args:
        numbers: samples to estimate; None for all.
        calibration: file with the cameras of the self-calibrated protocol; None to find them.

    Returns:
        The predictions as read from the file, and why they were made, or None if they were already there.

    Raises:
        DactylError: as :func:`predict`.
    """
    numbers = range(len(dataset)) if numbers is None else numbers
    origin = {
        "checkpoint_sha256": checkpoint_sha256,
        "dataset_fingerprint": dataset.fingerprint,
        "protocol": condition.camera_knowledge,
        "condition": condition.name,
        "head": estimator.head,
        "scene": dataset.scene.identity(),
        "renderer": renderer_of(dataset),
        "versions": package_versions(("dactyl-vision", "torch", "numpy")),
    }
    if calibration is not None and condition.camera_knowledge == "self-calibrated":
        origin["calibration_sha256"] = sha256(calibration)
    indices = dataset.indices[list(numbers)]
    why = _why_make(path, origin, indices)
    if why:
        write_table(path, predict(estimator, dataset, condition, batch_size, numbers, calibration), PREDICTIONS, origin)
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
            some = list(numbers[first : first + batch_size])
            found = cameras and (cameras[0][some], cameras[1][some])
            told = estimator_inputs(condition, batch, dataset.rig, found)
            answer = estimator.predict(*told, nominal=condition.camera_knowledge == "nominal")
            parts["index"].append(batch["index"])
            parts["episode"].append(batch["episode"])
            parts["true_position"].append(batch["object_position"])
            parts["true_quaternion"].append(batch["object_quaternion"])
            parts["predicted_position"].append(np.asarray(answer["position"], np.float64))
            parts["predicted_quaternion"].append(unit_quaternion(answer["quaternion"]))
            parts["confidence"].append(np.asarray(answer["confidence"], np.float64))
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
    """Normalise quaternions in float64, the precision of files, because estimators may return float32."""
    quaternion = np.asarray(quaternion, np.float64)
    return canonical_quaternion(quaternion / np.linalg.norm(quaternion, axis=-1, keepdims=True))
