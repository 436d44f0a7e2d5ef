"""Errors of estimated poses against true ones, and what a table says about them.

=================  ====  =============================================================================================
error              unit  definition and source
=================  ====  =============================================================================================
``rotation``       deg   geodesic distance on SO(3): the angle of the rotation from the estimate to the truth (Huynh,
                         "Metrics for 3D Rotations", J. Math. Imaging Vis. 2009, metric 6); the paper's
``position``       mm    Euclidean distance of the object's centres; the paper's (arXiv 1808.00177, Table 6)
``axis``           mm    signed, estimate minus truth, along the world's x, y and z
``add``            mm    mean distance of the object's points between the two poses (Hinterstoisser et al., ACCV 2012)
``add_s``          mm    ADD-S, the same to the nearest point of the other pose; blind to which face is which
``mssd``           mm    largest distance of any surface point, the least over the object's symmetries (BOP Challenge,
                         Hodan et al., ECCVW 2020); a linear map differs most at a corner: exact
``mspd``           px    largest distance of the projected corners, the least over the symmetries (BOP, as above), the
                         largest over the sample's true cameras
``face_confusion`` bool  the estimate takes one face for another: nearer to the truth turned by one of the other
                         rotations that leave the object's shape unchanged than to the truth
=================  ====  =============================================================================================

Points are the object's corners. Lettered objects have no symmetry but the identity, so MSSD and MSPD are not blind to
letters; ADD-S is, as its authors define it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike

from vision.geometry.cameras import project
from vision.geometry.rotations import FloatArray, geodesic_distance, matrix_from_quaternion
from vision.scene.objects import PoseObject

MetricName = Literal["axis", "add", "add_s", "mssd", "mspd", "within", "face_confusion"]
METRICS: tuple[MetricName, ...] = ("axis", "add", "add_s", "mssd", "mspd", "within", "face_confusion")
"""All but rotation and position, which every table has."""

WITHIN_DEG, WITHIN_MM = 5.0, 5.0
"""The share of samples within both is what a table calls ``≤ 5° & 5 mm`` (Shotton et al., CVPR 2013, use 5 cm)."""


@dataclass(frozen=True)
class PoseErrors:
    """Errors of N samples, as the table above defines them; (N,) each, ``axis_mm`` (N, 3).

    ``mspd_px`` is None where the cameras were not given.
    """

    rotation_deg: FloatArray
    position_mm: FloatArray
    axis_mm: FloatArray
    add_mm: FloatArray
    add_s_mm: FloatArray
    mssd_mm: FloatArray
    face_confusion: np.ndarray
    mspd_px: FloatArray | None = None

    def __len__(self) -> int:
        return len(self.rotation_deg)

    @property
    def within(self) -> np.ndarray:
        """Samples (N,) bool within 5 degrees and 5 millimetres."""
        return (self.rotation_deg <= WITHIN_DEG) & (self.position_mm <= WITHIN_MM)

    def of(self, samples: np.ndarray) -> PoseErrors:
        """Of some samples: their numbers, or a mask."""
        parts: dict[str, Any] = vars(self)
        chosen: dict[str, Any] = {key: None if values is None else values[samples] for key, values in parts.items()}
        return PoseErrors(**chosen)


@dataclass(frozen=True)
class Summary:
    """What a table says about the errors of a test set, in their own unit.

    Attributes:
        mean: arithmetic mean.
        std: standard deviation over the samples (divided by n, so that one sample has 0); None where a paper does not
            say.
        median: half of the samples have a smaller error; None as above.
        p90: 90 % of the samples have a smaller error, between two samples by linear interpolation; None as above.
    """

    mean: float
    std: float | None = None
    median: float | None = None
    p90: float | None = None


def rotation_error_deg(true_quaternion: ArrayLike, predicted_quaternion: ArrayLike) -> FloatArray:
    """Geodesic rotation errors (...) in degrees, [0, 180], of quaternions (..., 4), w x y z, of either sign."""
    true, predicted = matrix_from_quaternion(true_quaternion), matrix_from_quaternion(predicted_quaternion)
    return np.rad2deg(geodesic_distance(true, predicted))


def position_error_mm(true_position: ArrayLike, predicted_position: ArrayLike) -> FloatArray:
    """Euclidean position errors (...) in millimetres of positions (..., 3) in metres."""
    return 1000.0 * np.linalg.norm(np.subtract(predicted_position, true_position), axis=-1)


def pose_errors(
    target: PoseObject,
    true_position: ArrayLike,
    true_quaternion: ArrayLike,
    predicted_position: ArrayLike,
    predicted_quaternion: ArrayLike,
    cameras: tuple[ArrayLike, ArrayLike] | None = None,
) -> PoseErrors:
    """All errors of N samples.

    Args:
        target: the object; its corners, symmetries and shape symmetries.
        true_position, predicted_position: (N, 3) metres, world frame.
        true_quaternion, predicted_quaternion: (N, 4) w x y z, of either sign.
        cameras: true K (N, C, 3, 3) and T (N, C, 4, 4), for MSPD.
    """
    true, predicted = matrix_from_quaternion(true_quaternion), matrix_from_quaternion(predicted_quaternion)
    true_centre, predicted_centre = np.asarray(true_position, np.float64), np.asarray(predicted_position, np.float64)
    found = _corners(target, predicted, predicted_centre)  # (N, K, 3)
    # The truth in every pose that looks the same: (S, N, K, 3)
    truths = np.stack([_corners(target, true @ symmetry, true_centre) for symmetry in target.symmetries])
    distances = np.linalg.norm(truths - found, axis=-1)  # (S, N, K)
    return PoseErrors(
        rotation_deg=np.rad2deg(geodesic_distance(true, predicted)),
        position_mm=position_error_mm(true_centre, predicted_centre),
        axis_mm=1000.0 * (predicted_centre - true_centre),
        add_mm=1000.0 * distances[0].mean(axis=-1),
        add_s_mm=1000.0 * _nearest(truths[0], found).mean(axis=-1),
        mssd_mm=1000.0 * distances.max(axis=-1).min(axis=0),
        face_confusion=_takes_another_face(target, true, predicted),
        mspd_px=None if cameras is None else _mspd_px(truths, found, *map(np.asarray, cameras)),
    )


def summarise(errors: ArrayLike) -> Summary:
    """Mean, standard deviation, median and 90th percentile of at least one error, (N,)."""
    values = np.asarray(errors, dtype=np.float64)
    if values.ndim != 1 or not values.size:
        raise ValueError(f"expected at least one error in a row, got shape {values.shape}")
    return Summary(
        float(values.mean()), float(values.std()), float(np.median(values)), float(np.percentile(values, 90))
    )


def _corners(target: PoseObject, rotation: FloatArray, position: FloatArray) -> FloatArray:
    """Corners (N, K, 3) in the world."""
    return target.keypoints @ np.swapaxes(rotation, -1, -2) + position[:, None]


def _nearest(true: FloatArray, found: FloatArray) -> FloatArray:
    """Distance of every true point (N, K) to the nearest found one."""
    return np.linalg.norm(true[:, :, None] - found[:, None], axis=-1).min(axis=-1)


def _takes_another_face(target: PoseObject, true: FloatArray, predicted: FloatArray) -> np.ndarray:
    """(N,) bool; the object's shape symmetries begin with the identity."""
    turned = true[:, None] @ target.shape_symmetries  # (N, R, 3, 3)
    return geodesic_distance(turned, predicted[:, None]).argmin(axis=-1) != 0


def _mspd_px(truths: FloatArray, found: FloatArray, matrices: np.ndarray, transforms: np.ndarray) -> FloatArray:
    """(N,); a corner behind a camera is infinitely far off."""
    pixels = project(found[:, None], matrices, transforms)  # (N, C, K, 2)
    per_symmetry = [
        np.linalg.norm(project(true[:, None], matrices, transforms) - pixels, axis=-1).max(axis=-1) for true in truths
    ]
    return np.nan_to_num(np.stack(per_symmetry), nan=np.inf).min(axis=0).max(axis=-1)
