"""Definitions of the errors, one row each: key, unit, title, definition and function.

A row is all that an error needs: tables, CSV, JSON, ``dactyl report`` with its chapter of definitions and its option
``metrics`` are made from the rows of :data:`METRICS`, and from those of other packages under the entry point
``dactyl.metrics`` (a :class:`Metric` each, under its key).

Points are points of the object's surface, the corners of a convex solid. Rotation, MSSD and MSPD are the least over the
object's symmetries; position is that of the point which they leave in place. Lettered objects have no symmetry but the
identity, so these errors account for letters; ADD-S, as its authors define it, ignores them.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.spatial import cKDTree

from eval.scoring.pose_pairs import PosePairs
from vision.geometry.cameras import project
from vision.geometry.rotations import FloatArray, geodesic_distance
from vision.objects.symmetries import symmetric_distance

WITHIN_DEG, WITHIN_MM = 5.0, 5.0
"""Errors up to both count as ``≤ 5° & 5 mm`` (Shotton et al., CVPR 2013, use 5 cm)."""

_SYMBOLS = {"deg": "°"}


@dataclass(frozen=True)
class Metric:
    """An error of pose estimates.

    Attributes:
        key: its name in configurations, CSV and JSON: lower-case letters, digits and underscores.
        unit: of the error, for example mm, px or deg; empty for a fraction of samples.
        title: its name in tables, without the unit.
        definition: half a sentence that defines it, with its source.
        function: takes N pairs of poses and returns the error of each, (N,): numbers, or booleans for a fraction.
            Returns None if the error cannot be computed, for example without cameras, or means nothing for the object.
        kind: what a table shows: mean, standard deviation, median and 90th percentile; only the mean; or the fraction
            of samples.
        in_table: whether the main table shows it; the report's other errors show all but rotation and position.
    """

    key: str
    unit: str
    title: str
    definition: str
    function: Callable[[PosePairs], np.ndarray | None]
    kind: Literal["distribution", "mean", "share"] = "distribution"
    in_table: bool = False

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[a-z][a-z0-9_]{0,50}", self.key):
            raise ValueError(f"metric '{self.key}': a key has small letters, digits and _ only")
        if (self.kind == "share") != (not self.unit):
            raise ValueError(f"metric '{self.key}': a share has no unit, all else has one")

    @property
    def heading(self) -> str:
        """Column title in the main table, with the unit in brackets."""
        return f"{self.title} ({_SYMBOLS.get(self.unit, self.unit)})" if self.unit else self.title

    @property
    def short_heading(self) -> str:
        """Column title in a table of many errors, with the unit."""
        return f"{self.title} {self.unit}" if self.unit else self.title

    @property
    def sentence(self) -> str:
        """Title and definition as one sentence."""
        return f"{self.title[0].upper()}{self.title[1:]}: {self.definition}."


def _rotation(pairs: PosePairs) -> FloatArray:
    turn = symmetric_distance(pairs.target.symmetries, pairs.true.rotation, pairs.predicted.rotation)
    return np.asarray(np.rad2deg(turn))


def _position(pairs: PosePairs) -> FloatArray:
    distance: FloatArray = 1000.0 * np.linalg.norm(pairs.shift, axis=-1)
    return distance


def _along(axis: int) -> Callable[[PosePairs], FloatArray]:
    return lambda pairs: 1000.0 * np.abs(pairs.shift[:, axis])


def _add(pairs: PosePairs) -> FloatArray:
    return np.asarray(1000.0 * np.linalg.norm(pairs.true_points - pairs.predicted_points, axis=-1).mean(axis=-1))


def _add_s(pairs: PosePairs) -> FloatArray:
    """Compute the mean distance to the nearest point, in the object's frame, where all samples share their points."""
    own = (pairs.true_points - pairs.predicted.position[:, None]) @ pairs.predicted.rotation
    distance = np.asarray(cKDTree(pairs.target.points).query(own)[0])
    return np.asarray(1000.0 * distance.mean(axis=-1))


def _mssd(pairs: PosePairs) -> FloatArray:
    least = np.full(len(pairs), np.inf)
    for alike in pairs.alike_points():
        least = np.minimum(least, np.linalg.norm(alike - pairs.predicted_points, axis=-1).max(axis=-1))
    return 1000.0 * least


def _mspd(pairs: PosePairs) -> FloatArray | None:
    """Compute the largest distance in pixels; a point behind a camera counts as infinitely far off."""
    if (cameras := pairs.cameras) is None:
        return None

    def pixels(points: FloatArray) -> FloatArray:
        """Project points (N, P, 3) of the world to (N, C, P, 2)."""
        return project(points[:, None], cameras)

    least = np.full(len(pairs), np.inf)
    found = pixels(pairs.predicted_points)
    for alike in pairs.alike_points():
        distance = np.linalg.norm(pixels(alike) - found, axis=-1)
        least = np.minimum(least, np.nan_to_num(distance, nan=np.inf).max(axis=(1, 2)))
    return least


def _within(pairs: PosePairs) -> np.ndarray:
    return np.asarray((_rotation(pairs) <= WITHIN_DEG) & (_position(pairs) <= WITHIN_MM))


def _face_confusion(pairs: PosePairs) -> np.ndarray | None:
    """Return whether a face is taken for another; None if the object's appearance has symmetries or its shape none."""
    target = pairs.target
    if not target.symmetries.trivial or len(target.shape_symmetries) == 1:
        return None
    turned = pairs.true.rotation[:, None] @ target.shape_symmetries  # (N, R, 3, 3), the first by the identity
    confused: np.ndarray = geodesic_distance(turned, pairs.predicted.rotation[:, None]).argmin(axis=-1) != 0
    return confused


METRICS = (
    Metric(
        "rotation",
        "deg",
        "rotation",
        "geodesic distance, the angle from the estimate to the truth, the least over the symmetries of the object's "
        "look (Huynh, J. Math. Imaging Vis. 2009, metric 6)",
        _rotation,
        in_table=True,
    ),
    Metric(
        "position",
        "mm",
        "position",
        "Euclidean distance of the object's origins, or of the points that its symmetries leave in place",
        _position,
        in_table=True,
    ),
    *(
        Metric(
            f"absolute_{name}", "mm", f"|{name}|", f"mean absolute error along the world's {name}", _along(axis), "mean"
        )
        for axis, name in enumerate("xyz")
    ),
    Metric(
        "add",
        "mm",
        "ADD",
        "mean distance of the object's points between the true and the estimated pose (Hinterstoisser et al., ACCV "
        "2012)",
        _add,
    ),
    Metric("add_s", "mm", "ADD-S", "the same to the nearest point, blind to which face is which", _add_s),
    Metric(
        "mssd",
        "mm",
        "MSSD",
        "largest distance of any of the object's points, the least over the symmetries of the object's look (BOP "
        "Challenge, Hodan et al., ECCVW 2020); of a solid with flat faces its corners are enough",
        _mssd,
    ),
    Metric(
        "mspd",
        "px",
        "MSPD",
        "largest distance of the projected points, the least over the symmetries (BOP, as above), the largest over the "
        "sample's true cameras, at the network's image size",
        _mspd,
    ),
    Metric(
        "within_5deg_5mm",
        "",
        "≤ 5° & 5 mm",
        "share of samples within both",
        _within,
        "share",
        in_table=True,
    ),
    Metric(
        "face_confusion",
        "",
        "another face",
        "share of samples whose estimate takes one face of the object for another: it is nearer to the truth turned by "
        "another rotation that leaves the object's shape unchanged than to the truth; not of an object whose look has "
        "symmetries or whose shape has none",
        _face_confusion,
        "share",
        in_table=True,
    ),
)
