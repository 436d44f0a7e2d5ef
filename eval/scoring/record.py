"""The folder of an evaluation, which ``dactyl evaluate`` writes and ``dactyl report`` reads.

::

    evaluation.json                      what was evaluated, and how; written last: a folder without it is unfinished
    predictions/<set>-<condition>.parquet  ``PREDICTIONS``; conditions: ``eval.scoring.conditions``
    samples/<set>.parquet                ``eval.scoring.samples.sample_table``
    predictions-<set>-<protocol>.png     test triplets with the true and the estimated object

A report needs only this folder: no dataset, no checkpoint, no network.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np

from eval.scoring.conditions import Condition
from eval.scoring.metrics import PoseErrors, pose_errors
from eval.scoring.record_types import EvaluationRecord, MadeOn, PredictionsRecord, TestSetRecord
from eval.scoring.samples import sample_table
from vision.errors import DactylError
from vision.geometry.cameras import Cameras
from vision.geometry.poses import Pose
from vision.io.files import sha256
from vision.objects.pose_object import PoseObject
from vision.scene.scene import Scene
from vision.storage.recordings import recordings_of
from vision.storage.records import read_record
from vision.storage.schema import PREDICTIONS
from vision.storage.tables import read_table, write_table

RECORD = "evaluation.json"


@dataclass(frozen=True)
class Scored:
    """One test set under one condition: errors, confidence, clusters and places among the set's samples, (N,) each."""

    condition: Condition
    errors: PoseErrors
    confidence: np.ndarray
    clusters: np.ndarray
    places: np.ndarray


@dataclass(frozen=True)
class EvaluatedSet:
    """A test set of an evaluation.

    Attributes:
        name: its name in the configuration.
        renderer: name of the renderer of its images.
        columns: of its samples file, (N, ...).
        resampled: what confidence intervals resample: episodes, or recordings where there are several, because what the
            displaced cameras add to the errors is common to all of a recording.
        clusters: the episode or recording of each sample, (N,).
        scored: results by condition name.
        constant: errors of the best constant pose; None without a training set.
        pictures: paths of drawn predictions by condition name, for conditions that have one.
    """

    name: str
    renderer: str
    columns: dict[str, np.ndarray]
    resampled: Literal["episodes", "recordings"]
    clusters: np.ndarray
    scored: dict[str, Scored]
    constant: PoseErrors | None
    pictures: dict[str, Path]

    def study(self, study: str) -> list[Scored]:
        """Return the results of one study, in order."""
        return [scored for scored in self.scored.values() if scored.condition.study == study]


def windows_note(count: int | None) -> str:
    """Return how many windows of each image a network saw, to stand after something else; nothing of one."""
    return f", {count} windows" if count is not None and count > 1 else ""


@dataclass(frozen=True)
class Evaluation:
    """A checkpoint, scored on its test sets."""

    name: str
    folder: Path
    record: EvaluationRecord

    @property
    def head(self) -> str:
        return self.record.checkpoint.head

    @property
    def how(self) -> str:
        """The network's head, in how many windows it saw each image if there were several, and its number format if it
        is not float32."""
        checkpoint = self.record.checkpoint
        reduced = "" if checkpoint.precision == "float32" else f", {checkpoint.precision}"
        return checkpoint.head + windows_note(checkpoint.windows) + reduced

    @property
    def uses_cameras(self) -> bool:
        return self.record.checkpoint.uses_cameras

    @cached_property
    def scene(self) -> Scene:
        """The scene that the checkpoint was trained on."""
        return Scene.from_json(self.record.checkpoint.scene, f"{self.folder / RECORD}: checkpoint.scene")

    @property
    def object(self) -> PoseObject:
        return self.scene.object

    @property
    def training_renderer(self) -> str:
        """Names of the renderers of the training images, joined by commas."""
        training = self.record.training_set
        names = [renderer.get("name", "unknown") for renderer in training.renderers] if training else ["unknown"]
        return ", ".join(dict.fromkeys(names))

    @cached_property
    def sets(self) -> list[EvaluatedSet]:
        return [self._set(name, about) for name, about in self.record.test_sets.items()]

    def _set(self, name: str, about: TestSetRecord) -> EvaluatedSet:
        table = sample_table(about.cameras, about.facts)
        columns, _ = read_table(self._whole(f"samples/{name}.parquet", about.samples_sha256), table, about.samples)
        groups = recordings_of(columns["index"], about.config, about.recording, about.folder)
        resampled: Literal["episodes", "recordings"] = "episodes"
        clusters = columns["episode"]
        if groups is not None and len(np.unique(groups)) > 1:
            resampled, clusters = "recordings", groups
        scored: dict[str, Scored] = {}
        constant = None
        for entry in about.predictions:
            condition = entry.condition
            one = self._score(entry, condition, columns, clusters)
            scored[condition.name] = one
            if self.record.constant and constant is None and len(one.errors) == len(columns["index"]):
                constant = self._constant(entry, columns)
        names = {condition: self.folder / f"predictions-{name}-{condition}.png" for condition in scored}
        pictures = {condition: path for condition, path in names.items() if path.exists()}
        return EvaluatedSet(name, about.renderer, columns, resampled, clusters, scored, constant, pictures)

    def _score(
        self, entry: PredictionsRecord, condition: Condition, columns: dict[str, np.ndarray], clusters: np.ndarray
    ) -> Scored:
        found, _ = read_table(self._whole(entry.file, entry.sha256), PREDICTIONS)
        some = condition.study == "miscalibration"  # the only study that may omit samples
        places = _places(columns["index"], found["index"], some, self.folder / entry.file)
        true, predicted = (Pose.from_columns(found, whose) for whose in ("true", "predicted"))
        errors = pose_errors(self.object, true, predicted, Cameras.from_label(columns).at(places))
        return Scored(condition, errors, found["confidence"], clusters[places], places)

    def _constant(self, entry: PredictionsRecord, columns: dict[str, np.ndarray]) -> PoseErrors:
        found, _ = read_table(self.folder / entry.file, PREDICTIONS)
        guess = self.record.constant
        assert guess is not None
        constant = Pose.from_quaternion(guess.position, guess.quaternion).repeated(len(found["index"]))
        return pose_errors(self.object, Pose.from_columns(found, "true"), constant, Cameras.from_label(columns))

    def _whole(self, file: str, expected: str) -> Path:
        """Return the path of one of the evaluation's files, after comparing its hash with the record."""
        path = self.folder / file
        if not path.is_file():
            raise DactylError(f"{path}: is missing; run dactyl evaluate again")
        if sha256(path) != expected:
            raise DactylError(f"{path}: content differs from {RECORD}; run dactyl evaluate again")
        return path


def load_evaluation(name: str, folder: Path) -> Evaluation:
    """Load and check the evaluation in a folder; its tables are read when they are needed.

    Raises:
        DactylError: it is missing, unfinished, damaged or of another version.
    """
    path = folder / RECORD
    if folder.is_dir() and not path.exists():
        raise DactylError(f"{folder}: no finished evaluation (no {RECORD}); run dactyl evaluate --output {folder}")
    return Evaluation(name, folder, read_record(path, EvaluationRecord, "evaluation", "evaluate again"))


def write_samples(folder: Path, name: str, columns: dict[str, np.ndarray]) -> dict[str, Any]:
    """Write a samples file, and return its entries for the record."""
    cameras = columns["camera_intrinsics"].shape[1]
    facts = tuple(key for key in columns if key not in sample_table(cameras, ()))
    path = folder / "samples" / f"{name}.parquet"
    write_table(path, columns, sample_table(cameras, facts), {"test_set": name})
    return {"cameras": cameras, "facts": facts, "samples_sha256": sha256(path)}


def prediction_entry(folder: Path, file: Path, condition: Condition, made_on: dict[str, str]) -> PredictionsRecord:
    """Return the record's entry for a predictions file, made on this device and machine."""
    return PredictionsRecord(condition, str(file.relative_to(folder)), sha256(file), MadeOn(**made_on))


def _places(all_indices: np.ndarray, indices: np.ndarray, some: bool, path: Path) -> np.ndarray:
    """Return the row of each of ``indices`` (n,) among all (N,); with ``some``, n may be less than N."""
    order = np.argsort(all_indices)
    found = order[np.clip(np.searchsorted(all_indices, indices, sorter=order), 0, len(order) - 1)]
    if len(indices) != len(all_indices) and not some:
        raise DactylError(
            f"{path}: {len(indices)} predictions for the test set's {len(all_indices)} samples; evaluate again"
        )
    if len(np.unique(indices)) != len(indices) or not np.array_equal(all_indices[found], indices):
        raise DactylError(
            f"{path}: {len(indices)} predictions that are not those of the test set's {len(all_indices)} samples; "
            "run dactyl evaluate again"
        )
    return found
