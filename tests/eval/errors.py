"""Errors of positions and quaternions by themselves, for what tests expect of poses."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from vision.geometry.rotations import FloatArray, geodesic_distance, matrix_from_quaternion


def rotation_error_deg(true_quaternion: ArrayLike, predicted_quaternion: ArrayLike) -> FloatArray:
    """Geodesic rotation errors (...) in degrees, [0, 180], of quaternions (..., 4), w x y z, of either sign."""
    true, predicted = matrix_from_quaternion(true_quaternion), matrix_from_quaternion(predicted_quaternion)
    return np.rad2deg(geodesic_distance(true, predicted))


def position_error_mm(true_position: ArrayLike, predicted_position: ArrayLike) -> FloatArray:
    """Euclidean position errors (...) in millimetres of positions (..., 3) in metres."""
    distance: FloatArray = 1000.0 * np.linalg.norm(np.subtract(predicted_position, true_position), axis=-1)
    return distance
