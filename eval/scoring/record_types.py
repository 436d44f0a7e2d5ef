"""Record types of evaluations and trials, key by key."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import field

from eval.scoring.conditions import Condition
from vision.io.decode import Count, Name, Record, Sha256, Text
from vision.machine.hardware import NumberFormat

SetName = Annotated[str, msgspec.Meta(pattern=r"\A[0-9a-z_-]{1,100}\Z")]
"""Name of a test set; part of file names."""


class SoftwareRecord(Record, frozen=True, omit_defaults=False):
    """The software and the machine of a run (``eval.scoring.provenance``)."""

    versions: dict[Text, Text | None]
    python: Text
    commit: Text | None
    machine: Text


class CheckpointFile(Record, frozen=True, omit_defaults=False):
    """A checkpoint, and the configuration of the training that wrote it, if known."""

    path: str
    sha256: Sha256
    training: dict[str, Any] | None


class CheckpointRecord(CheckpointFile, frozen=True):
    """The checkpoint that was evaluated."""

    head: Name
    uses_cameras: bool
    scene: dict[str, Any]
    windows: Annotated[int, msgspec.Meta(ge=1)] = 1
    precision: NumberFormat = "float32"


class ConstantRecord(Record, frozen=True):
    """The best constant pose (metres, w x y z, world frame) and the number of labels it was fitted to."""

    position: tuple[float, float, float]
    quaternion: tuple[float, float, float, float]
    labels: Count


class MadeOn(Record, frozen=True):
    """What computed predictions."""

    device: Text
    machine: Text


class PredictionsRecord(Record, frozen=True):
    """A file of predictions, below the evaluation's folder, and what computed them; older records do not say it."""

    condition: Condition
    file: Annotated[str, msgspec.Meta(pattern=r"\Apredictions/[0-9A-Za-z._-]{1,250}\Z")]
    sha256: Sha256
    made_on: MadeOn | None = None


class DatasetRecord(Record, frozen=True):
    """The origin of a dataset (``eval.scoring.provenance``)."""

    folder: str
    fingerprint: Sha256
    samples: Count
    scene: Name
    object: Name
    images: tuple[Text, ...]
    renderers: tuple[dict[Text, Text], ...]
    seed: int | None = None
    versions: dict[Text, Text] = field(default_factory=dict)
    config: dict[str, Any] = field(default_factory=dict)
    recording: dict[str, Any] | None = None


class TestSetRecord(DatasetRecord, frozen=True, kw_only=True):
    """A test set with its predictions and its samples file."""

    renderer: Text
    predictions: tuple[PredictionsRecord, ...]
    cameras: Annotated[int, msgspec.Meta(ge=1, le=100)]
    facts: tuple[Literal["training_distance_mm", "visibility"], ...]
    samples_sha256: Sha256


class EvaluationRecord(Record, frozen=True, omit_defaults=False):
    """The content of ``evaluation.json``."""

    software: SoftwareRecord
    device: Text
    config: dict[str, Any]
    checkpoint: CheckpointRecord
    training_set: DatasetRecord | None
    constant: ConstantRecord | None
    test_sets: dict[SetName, TestSetRecord]
