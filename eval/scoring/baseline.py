"""The best constant estimate: what an estimator that never looks at the pictures can reach.

"Best" is what the table's first column asks for: of all constant poses, the one with the smallest mean error on the
training labels. For the position that is the geometric median (the mean minimises the squared error instead), for the
rotation the geodesic median on SO(3). It is fitted to the training labels and scored on the test set, like a network.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import minimize
from scipy.spatial.transform import Rotation

from eval.spacing import evenly_spaced
from vision.geometry.rotations import FloatArray, quaternion_from_rotation, rotation_from_quaternion
from vision.storage.datasets import TripletDataset

_STARTS = 2_000  # rotations all over SO(3): the nearest to any other is some 11 degrees away
_DESCENTS = 5
_MAX_LABELS = 20_000  # more would move the medians by a tenth of a millimetre and degree


@dataclass(frozen=True)
class ConstantPose:
    """The same answer for every sample.

    Attributes:
        position: (3,) metres, world frame.
        quaternion: (4,) w x y z, object to world.
        labels: number of training labels it was fitted to.
    """

    position: FloatArray
    quaternion: FloatArray
    labels: int

    def to_json(self) -> dict[str, Any]:
        return {"position": self.position.tolist(), "quaternion": self.quaternion.tolist(), "labels": self.labels}


def best_constant(training_set: TripletDataset) -> ConstantPose:
    """The constant pose of least mean error on a training set (on evenly spaced labels of a large one)."""
    labels = [training_set.label(number) for number in evenly_spaced(len(training_set), _MAX_LABELS)]
    return ConstantPose(
        geometric_median([label["object_position"] for label in labels]),
        rotation_median([label["object_quaternion"] for label in labels]),
        len(labels),
    )


def geometric_median(points: ArrayLike) -> FloatArray:
    """The point (3,) of least mean distance to points (N, 3); the problem is convex, so one descent finds it."""
    points = np.asarray(points, dtype=np.float64)

    def mean_distance(candidate: FloatArray) -> float:
        return float(np.linalg.norm(points - candidate, axis=-1).mean())

    spread = float(points.std()) or 1.0
    return _descend(mean_distance, np.median(points, axis=0), spread)


def rotation_median(quaternions: ArrayLike) -> FloatArray:
    """The rotation (4,), w x y z, of least mean geodesic distance to rotations (N, 4).

    The problem has local minima, so the mean distance is looked at from all over SO(3) and descended from the best few
    places; their tangent spaces are flat enough for that (Hartley et al., "Rotation Averaging", IJCV 2013, section 5).
    """
    quaternions = np.asarray(quaternions, dtype=np.float64)
    random = Rotation.random(_STARTS, random_state=0)  # a fixed grid as good as any
    own = rotation_from_quaternion(quaternions[np.linspace(0, len(quaternions) - 1, 200).astype(int)])
    starts = Rotation.concatenate([random, own, rotation_from_quaternion(quaternions).mean()])
    costs = np.array([_mean_angle(quaternions, candidate) for candidate in quaternion_from_rotation(starts)])
    best = min(
        (_descend_rotation(quaternions, starts[int(place)]) for place in np.argsort(costs)[:_DESCENTS]),
        key=lambda rotation: _mean_angle(quaternions, quaternion_from_rotation(rotation)),
    )
    return quaternion_from_rotation(best)


def _mean_angle(quaternions: FloatArray, candidate: FloatArray) -> float:
    """Mean geodesic distance in radians."""
    return float(2.0 * np.arccos(np.minimum(np.abs(quaternions @ candidate), 1.0)).mean())


def _descend_rotation(quaternions: FloatArray, start: Rotation) -> Rotation:
    def mean_angle(turn: FloatArray) -> float:
        return _mean_angle(quaternions, quaternion_from_rotation(start * Rotation.from_rotvec(turn)))

    return start * Rotation.from_rotvec(_descend(mean_angle, np.zeros(3), 0.2))


def _descend(cost: Callable[[FloatArray], float], start: FloatArray, step: float) -> FloatArray:
    """Nelder and Mead's method, for a sum of distances has a kink at every sample."""
    simplex = start + step * np.concatenate([np.zeros((1, 3)), np.eye(3)])
    options = {"initial_simplex": simplex, "xatol": 1e-6 * step, "fatol": 1e-9 * step, "maxiter": 2_000}
    best: FloatArray = minimize(cost, start, method="Nelder-Mead", options=options).x  # type: ignore[call-overload]
    return best
