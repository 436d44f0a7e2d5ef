"""Lens distortion of a pinhole camera's rays.

Points are normalised: (x, y) = (X / Z, Y / Z) in OpenCV's camera frame (x right, y down, z forward), without unit, so
that neither a focal length nor a convention of pixel centres enters. Two models, with OpenCV's coefficients in
OpenCV's order:

- ``radial-tangential``: none, or k1 k2 p1 p2 [k3 [k4 k5 k6 [s1 s2 s3 s4 [tau_x tau_y]]]].
- ``equidistant``, of fisheye lenses: k1 k2 k3 k4 of the angle to the optical axis.

A polynomial that was fitted to an image decreases somewhere beyond its corners: two rays then share an image point, and
one of them is an artefact. Distortion is therefore defined only where the distorted radius still grows with the angle
to the optical axis (``Lens.max_angle``), and NaN elsewhere. OpenCV's functions return a number even there.
"""

from __future__ import annotations

import math
from functools import cached_property
from typing import Literal, get_args

import msgspec
import numpy as np
from numpy.polynomial import Polynomial
from numpy.typing import ArrayLike

from vision.geometry.rotations import FloatArray

LensModel = Literal["radial-tangential", "equidistant"]

COEFFICIENT_COUNTS: dict[LensModel, tuple[int, ...]] = {"radial-tangential": (0, 4, 5, 8, 12, 14), "equidistant": (4,)}

_LARGEST = 1e9  # largest coefficient; those of narrow views reach some ten thousands


class Lens(msgspec.Struct, frozen=True, forbid_unknown_fields=True, dict=True):
    """A lens model with its coefficients; without any, the pinhole camera.

    Attributes:
        model: which model.
        coefficients: OpenCV's, in its order; as many as :data:`COEFFICIENT_COUNTS` allows.
    """

    model: LensModel = "radial-tangential"
    coefficients: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if self.model not in get_args(LensModel):
            raise ValueError(f"lens model: expected {' or '.join(get_args(LensModel))}, got {self.model!r}")
        if (count := len(self.coefficients)) not in (allowed := COEFFICIENT_COUNTS[self.model]):
            raise ValueError(f"{self.model} lens: expected {', '.join(map(str, allowed))} coefficients, got {count}")
        if not (np.abs(self.coefficients) < _LARGEST).all():
            raise ValueError(f"{self.model} lens: expected numbers within {_LARGEST:g}, got {self.coefficients}")

    @property
    def is_pinhole(self) -> bool:
        return self.model == "radial-tangential" and not any(self.coefficients)

    @cached_property
    def max_angle(self) -> float:
        """Largest angle to the optical axis, radians, up to which the distorted radius grows; at most pi / 2."""
        if self.model == "equidistant":
            return min(_first_positive_root(self._growth.deriv()), math.pi / 2)
        numerator, denominator = self._radial
        square = Polynomial([0.0, 1.0])  # of the radius
        quotient_rule = numerator.deriv() * denominator - numerator * denominator.deriv()
        slope = numerator * denominator + 2 * square * quotient_rule  # times the squared denominator
        return math.atan(math.sqrt(min(_first_positive_root(slope), _first_positive_root(denominator))))

    @property
    def max_radius(self) -> float:
        """Largest undistorted radius sqrt(x^2 + y^2) that belongs to :attr:`max_angle`; may be infinite."""
        return math.inf if self.max_angle == math.pi / 2 else math.tan(self.max_angle)

    def distort(self, points: ArrayLike) -> FloatArray:
        """Map the pinhole's normalised points (..., 2) to distorted ones (..., 2), NaN where the model is not valid."""
        points = np.asarray(points, dtype=np.float64)
        if self.is_pinhole:
            return points.copy()
        if self.model == "equidistant":
            angle = np.arctan(_norm(points))
            distorted = _with_radius(points, self._growth(angle))
            valid = angle <= self.max_angle
        else:
            distorted, jacobian = self._bend(points)
            valid = (_norm(points) <= self.max_radius) & (_cross(jacobian[..., 0], jacobian[..., 1]) > 0)
            distorted = _apply_homography(self._tilt, distorted)
        return np.where(valid[..., None], distorted, math.nan)

    @cached_property
    def _growth(self) -> Polynomial:
        """Distorted radius of the equidistant model as a polynomial of the angle in radians."""
        return Polynomial([0.0, 1.0, *(value for k in self.coefficients for value in (0.0, k))])

    @cached_property
    def _named(self) -> FloatArray:
        """The 14 coefficients of the radial-tangential model; missing ones are zero."""
        return np.array([*self.coefficients, *[0.0] * (14 - len(self.coefficients))])

    @cached_property
    def _radial(self) -> tuple[Polynomial, Polynomial]:
        """Numerator and denominator of the radial factor, polynomials of the squared radius."""
        k1, k2, _, _, k3, k4, k5, k6 = self._named[:8]
        return Polynomial([1.0, k1, k2, k3]), Polynomial([1.0, k4, k5, k6])

    @cached_property
    def _tilt(self) -> FloatArray:
        """The homography (3, 3) of a sensor that is tilted by tau_x and tau_y, radians."""
        (sx, sy), (cx, cy) = np.sin(self._named[12:]), np.cos(self._named[12:])
        rotation = np.array([[cy, 0, -sy], [0, 1, 0], [sy, 0, cy]]) @ np.array([[1, 0, 0], [0, cx, sx], [0, -sx, cx]])
        onto_sensor = np.array([[rotation[2, 2], 0, -rotation[0, 2]], [0, rotation[2, 2], -rotation[1, 2]], [0, 0, 1]])
        turned: FloatArray = onto_sensor @ rotation
        return turned

    def _bend(self, points: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return the radial, tangential and thin-prism distortion of points (..., 2), and its Jacobian (..., 2, 2)."""
        _, _, p1, p2, _, _, _, _, s1, s2, s3, s4 = self._named[:12]
        x, y = points[..., 0], points[..., 1]
        square = x * x + y * y
        numerator, denominator = self._radial
        below = denominator(square)
        factor = numerator(square) / below
        slope = (numerator.deriv()(square) - factor * denominator.deriv()(square)) / below
        u = x * factor + 2 * p1 * x * y + p2 * (square + 2 * x * x) + square * (s1 + s2 * square)
        v = y * factor + p1 * (square + 2 * y * y) + 2 * p2 * x * y + square * (s3 + s4 * square)
        cross, prism_u, prism_v = 2 * (x * y * slope + p1 * x + p2 * y), s1 + 2 * s2 * square, s3 + 2 * s4 * square
        u_x = factor + 2 * x * x * slope + 2 * p1 * y + 6 * p2 * x + 2 * x * prism_u
        v_y = factor + 2 * y * y * slope + 6 * p1 * y + 2 * p2 * x + 2 * y * prism_v
        rows = np.stack([u_x, cross + 2 * y * prism_u, cross + 2 * x * prism_v, v_y], axis=-1)
        return np.stack([u, v], axis=-1), rows.reshape(*points.shape, 2)


def _norm(points: FloatArray) -> FloatArray:
    return np.asarray(np.hypot(points[..., 0], points[..., 1]))


def _cross(first: FloatArray, second: FloatArray) -> FloatArray:
    """Return the determinant (...) of the matrices with columns ``first`` and ``second`` (..., 2)."""
    return np.asarray(first[..., 0] * second[..., 1] - first[..., 1] * second[..., 0])


def _with_radius(points: FloatArray, radius: FloatArray) -> FloatArray:
    """Move points (..., 2) along their rays from the origin to ``radius`` (...)."""
    before = _norm(points)
    scale = np.divide(radius, before, out=np.ones_like(before), where=before > 0)
    return points * scale[..., None]


def _apply_homography(matrix: FloatArray, points: FloatArray) -> FloatArray:
    mapped = points @ matrix[:, :2].T + matrix[:, 2]
    return np.asarray(mapped[..., :2] / mapped[..., 2:])


def _first_positive_root(polynomial: Polynomial) -> float:
    """Return the smallest positive real root of a polynomial that is 1 at 0; infinity if there is none."""
    # The roots' reciprocals are roots of the reversed polynomial, whose leading coefficient cannot vanish.
    reciprocals = np.roots(polynomial.coef)
    real = reciprocals.real[np.abs(reciprocals.imag) <= 1e-9 * np.abs(reciprocals)]
    return 1.0 / float(real.max()) if (real > 0).any() else math.inf
