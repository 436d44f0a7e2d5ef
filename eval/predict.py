"""Estimates of a checkpoint on test sets, saved before anything is scored.

A predictions file holds the estimate of every sample next to its truth, and says what made it: checkpoint, test set,
protocol, versions. Scoring needs nothing else, so it can be redone or extended without the network.

Two protocols, for the cameras of every test sample are displaced at random from the nominal rig (Table 9):

nominal
    The estimator is told the nominal cameras. This is what the paper's figures mean.
calibrated
    The estimator is told the true cameras, as a laboratory that calibrates often would. Only for estimators that use
    cameras at all.
"""

from __future__ import annotations

import importlib.metadata
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np

from eval.metrics import PoseErrors, pose_errors
from vision.cameras import Rig
from vision.config import differences
from vision.errors import DactylError
from vision.geometry import canonical_quaternion
from vision.objects import PoseObject
from vision.progress import progress
from vision.schema import PREDICTIONS
from vision.shards import TripletDataset
from vision.tables import read_table, write_table

ProtocolName = Literal["nominal", "calibrated"]
PROTOCOLS: tuple[ProtocolName, ...] = ("nominal", "calibrated")


@dataclass(frozen=True)
class EvaluateConfig:
    """What is evaluated on what.

    Attributes:
        checkpoint: file that training wrote.
        test_sets: datasets by name, for example {filament: data/test-filament, classic: data/test-classic}.
        output: folder for predictions, table and pictures.
        training_set: dataset whose labels give the best constant pose, the baseline; null leaves that row out.
        protocols: nominal (told the nominal cameras, as in the paper), calibrated (told each sample's true cameras).
        batch_size: triplets in one call of the estimator.
        device: where the network runs; auto takes a GPU if there is one.
        overwrite: replace predictions of another checkpoint, test set or version instead of refusing them.
    """

    checkpoint: Path
    test_sets: dict[str, Path]
    output: Path
    training_set: Path | None = None
    protocols: tuple[ProtocolName, ...] = PROTOCOLS
    batch_size: int = 32
    device: Literal["auto", "cpu", "cuda"] = "auto"
    overwrite: bool = False

    def __post_init__(self) -> None:
        if not self.test_sets:
            raise ValueError("test_sets: name at least one, for example --test_sets.filament data/test-filament")
        for name in self.test_sets:
            if not re.fullmatch(r"[0-9a-z_-]+", name):
                raise ValueError(f"test_sets: a name has small letters, digits, - and _ only, got '{name}'")
        if not self.protocols or len(set(self.protocols)) < len(self.protocols):
            raise ValueError(f"protocols: expected {' or '.join(PROTOCOLS)} or both, got {list(self.protocols)}")
        if self.batch_size < 1:
            raise ValueError(f"batch_size: must be at least 1, got {self.batch_size}")


class Estimator(Protocol):
    """What is evaluated: ``vision.estimator.PoseEstimator``, or anything with its face.

    ``predict`` takes images (B, C, H, W, 3) uint8, K (B, C, 3, 3) and T (B, C, 4, 4), and returns position (B, 3) in
    metres, quaternion (B, 4), w x y z, object to world, and confidence (B,).
    """

    @property
    def object(self) -> PoseObject: ...
    @property
    def rig(self) -> Rig: ...
    @property
    def image_size(self) -> int: ...
    @property
    def head(self) -> str: ...
    @property
    def uses_cameras(self) -> bool: ...

    def predict(
        self, images: np.ndarray, intrinsics: np.ndarray, extrinsics: np.ndarray
    ) -> Mapping[str, np.ndarray]: ...


@dataclass(frozen=True)
class Predictions:
    """Estimates on one test set under one protocol.

    Attributes:
        columns: ``PREDICTIONS`` of the schema, (N, ...) each, in the order of the test set.
        origin: what made them: checkpoint_sha256, dataset_fingerprint, protocol, head, object, renderer, versions.
    """

    columns: dict[str, np.ndarray]
    origin: dict[str, Any]


def obtain_predictions(
    estimator: Estimator,
    checkpoint_sha256: str,
    dataset: TripletDataset,
    protocol: ProtocolName,
    path: Path,
    batch_size: int,
    overwrite: bool = False,
) -> tuple[Predictions, bool]:
    """The predictions in ``path``, made there first if need be.

    Returns:
        The predictions as read from the file, and whether they were there already.

    Raises:
        DactylError: the file holds predictions of something else (the differing keys are named) or is damaged; or as
            :func:`predict`.
    """
    origin = {
        "checkpoint_sha256": checkpoint_sha256,
        "dataset_fingerprint": dataset.fingerprint,
        "protocol": protocol,
        "head": estimator.head,
        "object": dataset.object.name,
        "renderer": renderer_of(dataset),
        "versions": {name: importlib.metadata.version(name) for name in ("dactyl-vision", "torch", "numpy")},
    }
    reused = path.exists() and _is_of(path, origin, overwrite)
    if not reused:
        write_table(path, predict(estimator, dataset, protocol, batch_size), PREDICTIONS, origin)
    columns, there = read_table(path, PREDICTIONS)
    if not np.array_equal(columns["index"], dataset.indices):
        raise DactylError(
            f"{path}: {len(columns['index'])} predictions that are not those of the {len(dataset)} samples in "
            f"{dataset.folder}; delete it and evaluate again"
        )
    return Predictions(columns, there), reused


def _is_of(path: Path, origin: dict[str, Any], overwrite: bool) -> bool:
    """Whether the file holds predictions of that origin; raises if not, unless it may be overwritten."""
    try:
        _, there = read_table(path, PREDICTIONS)
        if changed := differences(there, origin):
            raise DactylError(
                f"{path}: predictions of something else ({'; '.join(changed)}); "
                "choose another output, or replace them by --overwrite true"
            )
    except DactylError:
        if overwrite:
            return False
        raise
    return True


def predict(
    estimator: Estimator, dataset: TripletDataset, protocol: ProtocolName, batch_size: int
) -> dict[str, np.ndarray]:
    """Columns of ``PREDICTIONS``, (N, ...), in the order of the dataset.

    Raises:
        DactylError: the dataset is of another object, rig or image size, or a sample cannot be read.
    """
    refuse_mismatch(estimator, dataset)
    if not len(dataset):
        raise DactylError(f"{dataset.folder}: no samples; make the dataset again")
    size = dataset.image_size
    nominal = dataset.rig.intrinsics(size, size), dataset.rig.extrinsics()
    parts: dict[str, list[np.ndarray]] = {key: [] for key in PREDICTIONS}
    with progress(f"{dataset.folder.name}, {protocol} cameras", len(dataset), "triplets") as advance:
        for first in range(0, len(dataset), batch_size):
            samples = [dataset[number] for number in range(first, min(first + batch_size, len(dataset)))]
            batch = {key: np.stack([sample[key] for sample in samples]) for key in samples[0] if key != "augmentation"}
            if protocol == "nominal":
                cameras = tuple(np.broadcast_to(array, (len(samples), *array.shape)) for array in nominal)
            else:
                cameras = batch["camera_intrinsics"], batch["camera_extrinsics"]
            answer = estimator.predict(batch["images"], *cameras)
            parts["index"].append(batch["index"])
            parts["episode"].append(batch["episode"])
            parts["true_position"].append(batch["object_position"])
            parts["true_quaternion"].append(batch["object_quaternion"])
            parts["predicted_position"].append(np.asarray(answer["position"], np.float64))
            parts["predicted_quaternion"].append(_unit(np.asarray(answer["quaternion"], np.float64)))
            parts["confidence"].append(np.asarray(answer["confidence"], np.float64))
            advance(len(samples))
    return {key: np.concatenate(arrays) for key, arrays in parts.items()}


def refuse_mismatch(estimator: Estimator, dataset: TripletDataset) -> None:
    """A :class:`DactylError` unless the dataset shows what the estimator was trained on."""
    for what, there, here in (
        ("object", dataset.object.name, estimator.object.name),
        ("image size", dataset.image_size, estimator.image_size),
        ("set of cameras", dataset.rig.names, estimator.rig.names),
        ("nominal camera rig", dataset.rig, estimator.rig),
    ):
        if there != here:
            values = "" if isinstance(there, Rig) else f" ({_plain(there)}, trained on {_plain(here)})"
            raise DactylError(
                f"{dataset.folder}: another {what} than the checkpoint's{values}; choose another test set"
            )


def score(target: PoseObject, predictions: Predictions) -> PoseErrors:
    """Errors (N,) of saved predictions."""
    columns = predictions.columns
    return pose_errors(
        target,
        columns["true_position"],
        columns["true_quaternion"],
        columns["predicted_position"],
        columns["predicted_quaternion"],
    )


def renderer_of(dataset: TripletDataset) -> str:
    """Name of what made the pictures."""
    return ", ".join(dict.fromkeys(shard.renderer.get("name", "unknown") for shard in dataset.shards))


def _unit(quaternion: np.ndarray) -> np.ndarray:
    """Estimators answer in float32; files hold unit quaternions to float64's precision."""
    return canonical_quaternion(quaternion / np.linalg.norm(quaternion, axis=-1, keepdims=True))


def _plain(value: object) -> str:
    return ", ".join(value) if isinstance(value, tuple) else str(value)
