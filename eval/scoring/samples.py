"""Facts about each sample of a test set besides its pose: its cameras, and what makes it hard.

``training distance``
    Distance of the pose from the training set: the root mean square distance, over points of the object, to the
    nearest training pose or one that looks like it, in millimetres. It combines rotation and position as ADD does.
``visibility``
    The object's visible fraction in each camera's image, for datasets whose labels have it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.spatial import cKDTree

from vision.geometry.poses import Pose
from vision.geometry.rotations import FloatArray
from vision.objects.pose_object import PoseObject
from vision.statistics.spacing import evenly_spaced
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
            Pose.from_quaternion(*([label[f"object_{part}"] for label in some] for part in ("position", "quaternion")))
            for some in (labels, seen)
        ]
        columns[TRAINING_DISTANCE] = nearest_pose_mm(test_set.object, *poses)
    if all(VISIBILITY in label for label in labels):
        columns[VISIBILITY] = np.stack([label[VISIBILITY] for label in labels])
    return columns


def nearest_pose_mm(
    target: PoseObject,
    poses: Pose,
    training: Pose,
) -> FloatArray:
    """Compute distances (N,) in millimetres of N poses to what looks like the nearest of M training poses."""
    symmetries, points = target.symmetries, _points_without_spin(target)
    tree = cKDTree(_flat(points, training))
    turned = (symmetries.centre + (points - symmetries.centre) @ turn.T for turn in symmetries.rotations)
    distances = [np.asarray(tree.query(_flat(each, poses))[0]) for each in turned]
    return np.asarray(1000.0 * np.min(distances, axis=0))


def quartiles(values: ArrayLike, unit: str) -> list[Stratum]:
    """Split values (N,) into up to four groups of about equal size, from the smallest to the largest."""
    values = np.asarray(values, dtype=np.float64)
    edges = np.unique(np.percentile(values, [0, 25, 50, 75, 100]))
    groups = np.clip(np.searchsorted(edges, values, side="right") - 1, 0, max(len(edges) - 2, 0))
    return [
        Stratum(f"{values[groups == group].min():.3g} to {values[groups == group].max():.3g}{unit}", groups == group)
        for group in np.unique(groups)
    ]


def _points_without_spin(target: PoseObject) -> FloatArray:
    """Return the object's points (K, 3) in metres; of a continuous symmetry, fewer that its spin leaves in place.

    Of a body of revolution, the mean square distance of its points between two poses, the least over the spin, is that
    of two points on its axis: about their middle, the centroid, they have the points' second moment along the axis and
    across it together. Of a ball it is that of its centre.
    """
    symmetries = target.symmetries
    if not len(symmetries.axes):
        return np.asarray(target.points)
    if len(symmetries.axes) > 1:
        return symmetries.centre[None]
    (axis,) = symmetries.axes
    from_centre = target.points - symmetries.centre
    along = from_centre @ axis
    across = (from_centre**2).sum(axis=1) - along**2
    reach = np.sqrt(along.var() + across.mean() / 2)
    return np.asarray(symmetries.centre + (along.mean() + np.array([[-reach], [reach]])) * axis)


def _flat(points: FloatArray, poses: Pose) -> FloatArray:
    """Return points (K, 3) of the object in the world, (N, 3 K), scaled so that Euclidean distances are root mean
    square distances of points."""
    moved = poses.transform(points)
    scaled: FloatArray = moved.reshape(len(moved), -1) / np.sqrt(len(points))
    return scaled
