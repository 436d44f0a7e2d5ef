"""Errors of estimated poses against true ones, and what a table says about them.

Rotation error: the geodesic distance on SO(3), the angle of the rotation that leads from the estimate to the truth, in
degrees (Huynh, "Metrics for 3D Rotations", J. Math. Imaging Vis. 2009, metric 6). Position error: the Euclidean
distance of the object's centres, in millimetres. Both are those of OpenAI et al., arXiv 1808.00177, Table 6, which
gives mean and standard deviation over the samples of a test set.

ADD: the mean distance between the object's points in the true and in the estimated pose (Hinterstoisser et al., ACCV
2012; BOP's ``add``), in millimetres, here over its corners: one number for rotation and position together.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from vision.geometry import FloatArray, geodesic_distance, matrix_from_quaternion
from vision.objects import PoseObject


@dataclass(frozen=True)
class PoseErrors:
    """Errors of N samples, (N,) each."""

    rotation_deg: FloatArray
    position_mm: FloatArray
    add_mm: FloatArray


@dataclass(frozen=True)
class Summary:
    """What a table says about the errors of a test set, in their own unit.

    Attributes:
        mean: arithmetic mean.
        std: standard deviation over the samples (divided by n, so that one sample has 0).
        median: half of the samples have a smaller error; None where a paper does not say.
        p90: 90 % of the samples have a smaller error, between two samples by linear interpolation; None as above.
    """

    mean: float
    std: float
    median: float | None = None
    p90: float | None = None


def rotation_error_deg(true_quaternion: ArrayLike, predicted_quaternion: ArrayLike) -> FloatArray:
    """Geodesic rotation errors (...) in degrees, [0, 180], of quaternions (..., 4), w x y z, of either sign."""
    true, predicted = matrix_from_quaternion(true_quaternion), matrix_from_quaternion(predicted_quaternion)
    return np.rad2deg(geodesic_distance(true, predicted))


def position_error_mm(true_position: ArrayLike, predicted_position: ArrayLike) -> FloatArray:
    """Euclidean position errors (...) in millimetres of positions (..., 3) in metres."""
    return 1000.0 * np.linalg.norm(np.subtract(predicted_position, true_position), axis=-1)


def add_mm(
    target: PoseObject,
    true_position: ArrayLike,
    true_quaternion: ArrayLike,
    predicted_position: ArrayLike,
    predicted_quaternion: ArrayLike,
) -> FloatArray:
    """ADD (...) in millimetres over the corners of ``target``; positions (..., 3) in metres, quaternions (..., 4)."""
    turn = matrix_from_quaternion(predicted_quaternion) - matrix_from_quaternion(true_quaternion)
    move = np.subtract(predicted_position, true_position)
    moved = np.einsum("...ij,kj->...ki", turn, target.keypoints) + move[..., None, :]
    return 1000.0 * np.linalg.norm(moved, axis=-1).mean(axis=-1)


def pose_errors(
    target: PoseObject,
    true_position: ArrayLike,
    true_quaternion: ArrayLike,
    predicted_position: ArrayLike,
    predicted_quaternion: ArrayLike,
) -> PoseErrors:
    """All errors of N samples: positions (N, 3) in metres, quaternions (N, 4), w x y z, world frame."""
    return PoseErrors(
        rotation_error_deg(true_quaternion, predicted_quaternion),
        position_error_mm(true_position, predicted_position),
        add_mm(target, true_position, true_quaternion, predicted_position, predicted_quaternion),
    )


def summarise(errors: ArrayLike) -> Summary:
    """Mean, standard deviation, median and 90th percentile of at least one error, (N,)."""
    values = np.asarray(errors, dtype=np.float64)
    if values.ndim != 1 or not values.size:
        raise ValueError(f"expected at least one error in a row, got shape {values.shape}")
    return Summary(
        float(values.mean()), float(values.std()), float(np.median(values)), float(np.percentile(values, 90))
    )
