"""The best constant estimate: what an estimator can reach without looking at the images.

"Best" refers to the table's first column: of all constant poses, it has the smallest mean error on the training labels.
For the position this is the geometric median (the mean would minimise the squared error instead), for the rotation the
geodesic median on SO(3), both forgiving the object's symmetries as the table does. It is fitted to the training labels
and scored on the test set, like a network.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import minimize
from scipy.spatial.transform import Rotation

from eval.scoring.record_types import ConstantRecord
from vision.geometry.rotations import FloatArray, quaternion_from_rotation, rotate, rotation_from_quaternion
from vision.objects.symmetries import Symmetries
from vision.statistics.spacing import evenly_spaced
from vision.storage.datasets import TripletDataset

_STARTS = 2_000  # random rotations all over SO(3): any rotation has one of them within about 11 degrees
_OWN_STARTS = 200  # among the labels
_DESCENTS = 5
_PARTS = ("position", "quaternion")
_MAX_LABELS = 20_000  # more would move the medians by only a tenth of a millimetre or degree


def best_constant(training_set: TripletDataset) -> ConstantRecord:
    """Fit the constant pose of least mean error to the labels of a training set (evenly spaced ones of a large set)."""
    labels = [training_set.label(number) for number in evenly_spaced(len(training_set), _MAX_LABELS)]
    positions, quaternions = (np.array([label[f"object_{part}"] for label in labels]) for part in _PARTS)
    symmetries = training_set.object.symmetries
    centres = positions + rotate(rotation_from_quaternion(quaternions), symmetries.centre)
    quaternion = rotation_median(quaternions, symmetries)
    position = geometric_median(centres) - rotate(rotation_from_quaternion(quaternion), symmetries.centre)
    return ConstantRecord(tuple(position.tolist()), tuple(quaternion.tolist()), len(labels))


def geometric_median(points: ArrayLike) -> FloatArray:
    """Return the point (3,) of least mean distance to points (N, 3). The problem is convex, so one descent finds it."""
    points = np.asarray(points, dtype=np.float64)

    def mean_distance(candidate: FloatArray) -> float:
        return float(np.linalg.norm(points - candidate, axis=-1).mean())

    spread = float(points.std()) or 1.0
    return _descend(mean_distance, np.median(points, axis=0), spread)


def rotation_median(quaternions: ArrayLike, symmetries: Symmetries) -> FloatArray:
    """Return the rotation (4,), w x y z, of least mean geodesic distance to rotations (N, 4), or what looks like them.

    The problem has local minima, so the mean distance is evaluated all over SO(3) and minimised from the best few
    rotations; their tangent spaces are flat enough for that (Hartley et al., "Rotation Averaging", IJCV 2013, section
    5).
    """
    quaternions = np.asarray(quaternions, dtype=np.float64)
    alike = _alike(quaternions, symmetries)
    random = Rotation.random(_STARTS, random_state=0)  # seeded: serves as a fixed grid
    own = rotation_from_quaternion(quaternions[evenly_spaced(len(quaternions), _OWN_STARTS)])
    starts = Rotation.concatenate([random, own, rotation_from_quaternion(quaternions).mean()])
    costs = np.array([_mean_angle(alike, candidate) for candidate in quaternion_from_rotation(starts)])
    best = min(
        (_descend_rotation(alike, starts[int(place)]) for place in np.argsort(costs)[:_DESCENTS]),
        key=lambda rotation: _mean_angle(alike, quaternion_from_rotation(rotation)),
    )
    return quaternion_from_rotation(best)


def _alike(quaternions: FloatArray, symmetries: Symmetries) -> FloatArray:
    """Return quaternions (S, B, N, 4) of what looks like rotations (N, 4): all unit combinations of B of them.

    B is 1 without a continuous symmetry. With one, B is 2: no turn and half a turn about its axis combine to any turn.
    With two, B is 4: half turns about x, y and z combine to any rotation.
    """
    axes = symmetries.axes if len(symmetries.axes) < 2 else np.eye(3)
    turns = Rotation.from_rotvec(np.pi * np.concatenate([np.zeros((1, 3)), axes]))
    seen, alike = rotation_from_quaternion(quaternions), Rotation.from_matrix(symmetries.rotations)
    return np.array([[quaternion_from_rotation(seen * each * turn) for turn in turns] for each in alike])


def _mean_angle(alike: FloatArray, candidate: FloatArray) -> float:
    """Return the mean geodesic distance in radians to the nearest of :func:`_alike`."""
    nearest = np.linalg.norm(alike @ candidate, axis=1).max(axis=0)
    return float(2.0 * np.arccos(np.minimum(nearest, 1.0)).mean())


def _descend_rotation(alike: FloatArray, start: Rotation) -> Rotation:
    def mean_angle(turn: FloatArray) -> float:
        return _mean_angle(alike, quaternion_from_rotation(start * Rotation.from_rotvec(turn)))

    return start * Rotation.from_rotvec(_descend(mean_angle, np.zeros(3), 0.2))


def _descend(cost: Callable[[FloatArray], float], start: FloatArray, step: float) -> FloatArray:
    """Minimise by Nelder and Mead's method, because a sum of distances has a kink at every sample."""
    simplex = start + step * np.concatenate([np.zeros((1, 3)), np.eye(3)])
    options = {"initial_simplex": simplex, "xatol": 1e-6 * step, "fatol": 1e-9 * step, "maxiter": 2_000}
    best: FloatArray = minimize(cost, start, method="Nelder-Mead", options=options).x  # type: ignore[call-overload]
    return best
