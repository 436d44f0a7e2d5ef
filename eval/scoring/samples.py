"""Facts about each sample of a test set besides its pose: its cameras, and what makes it hard.

``training distance``
    Distance of the pose from the training set: the root mean square distance, over points of the object, to the
    nearest training pose, in millimetres. It combines rotation and position as ADD does.
``visibility``
    The object's visible fraction in each camera's image, for datasets whose labels have it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.spatial import cKDTree

from eval.spacing import evenly_spaced
from vision.geometry.rotations import FloatArray, matrix_from_quaternion
from vision.scene.objects import PoseObject
from vision.storage.datasets import TripletDataset
from vision.storage.schema import LABEL, UNBOUNDED, Field

TRAINING_DISTANCE, VISIBILITY = "training_distance_mm", "visibility"
_MAX_LABELS = 100_000


@dataclass(frozen=True)
class Stratum:
    """Samples that are alike in one respect: a mask (N,) bool, and its label in tables."""

    label: str
    samples: np.ndarray


def sample_table(cameras: int, facts: tuple[str, ...]) -> dict[str, Field]:
    """Return the schema of a samples file; ``facts`` are any of TRAINING_DISTANCE and VISIBILITY."""
    known = {
        TRAINING_DISTANCE: Field("float64", (), "mm", "", (0, np.inf), "to the nearest training pose, rms of corners"),
        VISIBILITY: Field("float64", (cameras,), "1", "", (0, 1), "visible share of the object"),
    }
    return {
        "index": LABEL["index"],
        "episode": LABEL["episode"],
        "camera_intrinsics": Field("float64", (cameras, 3, 3), "px", "image", UNBOUNDED, "true cameras"),
        "camera_extrinsics": Field("float64", (cameras, 4, 4), "m", "world to camera", UNBOUNDED, "true cameras"),
        **{fact: known[fact] for fact in facts},
    }


def describe_samples(test_set: TripletDataset, training_set: TripletDataset | None) -> dict[str, np.ndarray]:
    """Return the columns (N, ...) of :func:`sample_table`, with the facts that are available."""
    labels = [test_set.label(number) for number in range(len(test_set))]
    keys = ("index", "episode", "camera_intrinsics", "camera_extrinsics")
    columns = {key: np.stack([label[key] for label in labels]) for key in keys}
    if training_set is not None:
        seen = [training_set.label(number) for number in evenly_spaced(len(training_set), _MAX_LABELS)]
        poses = [
            [[label[f"object_{part}"] for label in some] for part in ("position", "quaternion")]
            for some in (labels, seen)
        ]
        columns[TRAINING_DISTANCE] = nearest_pose_mm(test_set.object, *poses[0], *poses[1])
    if all(VISIBILITY in label for label in labels):
        columns[VISIBILITY] = np.stack([label[VISIBILITY] for label in labels])
    return columns


def nearest_pose_mm(
    target: PoseObject,
    position: ArrayLike,
    quaternion: ArrayLike,
    training_position: ArrayLike,
    training_quaternion: ArrayLike,
) -> FloatArray:
    """Compute distances (N,) in millimetres of poses (N, 3), (N, 4) to the nearest of training poses (M, 3), (M, 4)."""
    tree = cKDTree(_flat_corners(target, training_position, training_quaternion))
    return 1000.0 * np.asarray(tree.query(_flat_corners(target, position, quaternion))[0])


def quartiles(values: ArrayLike, unit: str) -> list[Stratum]:
    """Split values (N,) into up to four groups of about equal size, from the smallest to the largest."""
    values = np.asarray(values, dtype=np.float64)
    edges = np.unique(np.percentile(values, [0, 25, 50, 75, 100]))
    groups = np.clip(np.searchsorted(edges, values, side="right") - 1, 0, max(len(edges) - 2, 0))
    return [
        Stratum(f"{values[groups == group].min():.3g} to {values[groups == group].max():.3g}{unit}", groups == group)
        for group in np.unique(groups)
    ]


def _flat_corners(target: PoseObject, position: ArrayLike, quaternion: ArrayLike) -> FloatArray:
    """Return corners (N, 3 K), scaled so that Euclidean distances are root mean square distances of corners."""
    corners = target.points @ np.swapaxes(matrix_from_quaternion(quaternion), -1, -2)
    corners = corners + np.asarray(position, dtype=np.float64)[:, None]
    scaled: FloatArray = corners.reshape(len(corners), -1) / np.sqrt(len(target.points))
    return scaled
