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
``mspd``           px    largest distance of the projected points, the least over the symmetries (BOP, as above), the
                         largest over the sample's true cameras
``face_confusion`` bool  the estimate takes one face for another: nearer to the truth turned by one of the other
                         rotations that leave the object's shape unchanged than to the truth
=================  ====  =============================================================================================

Points are points of the object's surface, the corners of a convex solid. Rotation, MSSD and MSPD are the least over the
object's symmetries; position is that of the point which they leave in place. Lettered objects have no symmetry but the
identity, so these errors are not blind to letters; ADD-S is, as its authors define it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike
from scipy.spatial import cKDTree

from vision.geometry.cameras import project
from vision.geometry.rotations import FloatArray, geodesic_distance, matrix_from_quaternion
from vision.scene.objects import PoseObject
from vision.scene.symmetries import symmetric_distance

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
        target: the object; its points, symmetries and shape symmetries.
        true_position, predicted_position: (N, 3) metres, world frame.
        true_quaternion, predicted_quaternion: (N, 4) w x y z, of either sign.
        cameras: true K (N, C, 3, 3) and T (N, C, 4, 4), for MSPD.
    """
    true, predicted = matrix_from_quaternion(true_quaternion), matrix_from_quaternion(predicted_quaternion)
    true_origin, predicted_origin = np.asarray(true_position, np.float64), np.asarray(predicted_position, np.float64)
    found = _world(target.points, predicted, predicted_origin)  # (N, P, 3)
    truth = _world(target.points, true, true_origin)
    centre = target.symmetries.centre
    shift = (predicted @ centre + predicted_origin) - (true @ centre + true_origin)
    mssd, mspd = np.full(len(true), np.inf), np.full(len(true), np.inf)
    for motion in target.symmetries.transforms():  # the truth in every pose that looks the same
        alike = _world(target.points @ motion[:3, :3].T + motion[:3, 3], true, true_origin)
        mssd = np.minimum(mssd, np.linalg.norm(alike - found, axis=-1).max(axis=-1))
        if cameras is not None:
            mspd = np.minimum(mspd, _largest_pixel_distance(alike, found, *map(np.asarray, cameras)))
    return PoseErrors(
        rotation_deg=np.rad2deg(symmetric_distance(target.symmetries, true, predicted)),
        position_mm=1000.0 * np.linalg.norm(shift, axis=-1),
        axis_mm=1000.0 * shift,
        add_mm=1000.0 * np.linalg.norm(truth - found, axis=-1).mean(axis=-1),
        add_s_mm=1000.0 * _nearest(target.points, truth, predicted, predicted_origin).mean(axis=-1),
        mssd_mm=1000.0 * mssd,
        face_confusion=_takes_another_face(target, true, predicted),
        mspd_px=None if cameras is None else mspd,
    )


def summarise(errors: ArrayLike) -> Summary:
    """Mean, standard deviation, median and 90th percentile of at least one error, (N,)."""
    values = np.asarray(errors, dtype=np.float64)
    if values.ndim != 1 or not values.size:
        raise ValueError(f"expected at least one error in a row, got shape {values.shape}")
    return Summary(
        float(values.mean()), float(values.std()), float(np.median(values)), float(np.percentile(values, 90))
    )


def _world(points: FloatArray, rotation: FloatArray, position: FloatArray) -> FloatArray:
    """Points (P, 3) of the object in the world, (N, P, 3)."""
    return np.asarray(points @ np.swapaxes(rotation, -1, -2) + position[:, None])


def _nearest(points: FloatArray, truth: FloatArray, rotation: FloatArray, position: FloatArray) -> FloatArray:
    """Distance of every true point (N, P, 3) in the world to the nearest of the points in the estimated pose, (N, P):
    looked for in the object's own frame, where the points are the same for every sample."""
    own = (truth - position[:, None]) @ rotation
    return np.asarray(cKDTree(points).query(own)[0])


def _takes_another_face(target: PoseObject, true: FloatArray, predicted: FloatArray) -> np.ndarray:
    """(N,) bool; never for an object whose look has all the symmetries of its shape."""
    if not target.symmetries.trivial or len(target.shape_symmetries) == 1:
        return np.zeros(len(true), bool)
    turned = true[:, None] @ target.shape_symmetries  # (N, R, 3, 3), the first by the identity
    return geodesic_distance(turned, predicted[:, None]).argmin(axis=-1) != 0


def _largest_pixel_distance(
    truth: FloatArray, found: FloatArray, matrices: np.ndarray, transforms: np.ndarray
) -> FloatArray:
    """(N,) over points (N, P, 3) and cameras; a point behind a camera is infinitely far off."""
    pixels = [project(points[:, None], matrices, transforms) for points in (truth, found)]  # (N, C, P, 2)
    distance = np.linalg.norm(pixels[0] - pixels[1], axis=-1)
    return np.nan_to_num(distance, nan=np.inf).max(axis=(1, 2))
