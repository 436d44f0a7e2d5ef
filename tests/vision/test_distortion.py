"""Lens distortion: OpenCV's figures where they mean something, and nothing where they do not."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from vision.geometry.distortion import Lens

RADIAL = {
    4: (-0.28, 0.09, 0.001, -0.002),
    5: (-0.28, 0.09, 0.001, -0.002, 0.01),
    8: (0.4, -0.1, 0.001, 0.002, 0.02, 0.6, -0.05, 0.01),
    12: (-0.2, 0.05, 0.001, 0.002, 0.01, 0.1, 0.02, 0.01, 0.003, -0.001, -0.002, 0.004),
    14: (-0.2, 0.05, 0.001, 0.002, 0.01, 0.1, 0.02, 0.01, 0.003, -0.001, -0.002, 0.004, 0.05, -0.03),
}
FISHEYE = (-0.03, 0.01, -0.004, 0.0005)
LENSES = [*(Lens("radial-tangential", k) for k in RADIAL.values()), Lens("equidistant", FISHEYE)]


def by_opencv(lens: Lens, points: np.ndarray) -> np.ndarray:
    """(N, 2) of (N, 2), by OpenCV's projection with a camera matrix of ones."""
    rays = np.insert(points, 2, 1.0, axis=-1)[:, None]
    coefficients = np.array(lens.coefficients)
    if lens.model == "equidistant":
        return np.asarray(cv2.fisheye.projectPoints(rays, np.zeros(3), np.zeros(3), np.eye(3), coefficients)[0][:, 0])
    return np.asarray(cv2.projectPoints(rays, np.zeros(3), np.zeros(3), np.eye(3), coefficients)[0][:, 0])


@pytest.mark.parametrize("lens", LENSES, ids=lambda lens: f"{lens.model}-{len(lens.coefficients)}")
def test_as_opencv(lens: Lens) -> None:
    radius = min(lens.max_radius, 3.0) * 0.98
    x, y = np.meshgrid(np.linspace(-1, 1, 41), np.linspace(-1, 1, 41))
    points = radius * np.stack([x, y], axis=-1)[np.hypot(x, y) <= 1]
    if lens.model == "radial-tangential":
        points = 0.8 * points  # tangential terms let the map turn back earlier on one side
    np.testing.assert_allclose(lens.distort(points), by_opencv(lens, points), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("lens", LENSES[:-1], ids=lambda lens: str(len(lens.coefficients)))
def test_the_jacobian_is_the_derivative(lens: Lens) -> None:
    """A wrong one would misplace the end of the region of validity."""
    points = np.random.default_rng(1).uniform(-0.4, 0.4, (50, 2))
    _, jacobian = lens._bend(points)
    step = 1e-6
    for axis in (0, 1):
        shift = step * np.eye(2)[axis]
        difference = (lens._bend(points + shift)[0] - lens._bend(points - shift)[0]) / (2 * step)
        np.testing.assert_allclose(jacobian[..., axis], difference, atol=1e-8)


def test_shapes_and_the_pinhole() -> None:
    points = np.random.default_rng(0).uniform(-0.3, 0.3, (2, 3, 4, 2))
    assert np.array_equal(Lens().distort(points), points)
    assert Lens().max_radius == np.inf
    for lens in LENSES:
        distorted = lens.distort(points)
        assert distorted.shape == points.shape
        np.testing.assert_array_equal(distorted[0, 1, 2], lens.distort(points[0, 1, 2]))
        np.testing.assert_allclose(lens.distort([0.0, 0.0]), 0.0, atol=1e-15)


def radii(lens: Lens, angles: np.ndarray) -> np.ndarray:
    """Distorted radii of rays at ``angles`` to the axis by OpenCV, which knows no end."""
    return np.asarray(by_opencv(lens, np.stack([np.tan(angles), np.zeros_like(angles)], axis=-1))[:, 0])


@pytest.mark.parametrize(
    ("lens", "degrees"),
    [
        (Lens("radial-tangential", (-0.3, 0.0, 0.0, 0.0)), np.rad2deg(np.arctan(np.sqrt(1 / 0.9)))),
        (Lens("radial-tangential", (0.1, 0.1, 0.0, 0.0)), 90.0),
        (Lens("radial-tangential", (0.0, 0.0, 0.0, 0.0, 0.0, -0.5, 0.0, 0.0)), np.rad2deg(np.arctan(np.sqrt(2)))),
        (Lens("equidistant", (-0.3, 0.0, 0.0, 0.0)), np.rad2deg(np.sqrt(1 / 0.9))),
        (Lens("equidistant", (0.1, 0.0, 0.0, 0.0)), 90.0),
        (Lens("radial-tangential", (1e-320, -1e-320, 0.0, 0.0)), 90.0),
    ],
)
def test_the_region_of_validity_ends_where_the_radius_stops_to_grow(lens: Lens, degrees: float) -> None:
    assert np.rad2deg(lens.max_angle) == pytest.approx(degrees, abs=1e-6)
    inside = np.linspace(0.0, 0.999 * lens.max_angle, 500)
    assert (np.diff(radii(lens, inside)) > 0).all()
    if lens.max_angle < np.pi / 2:
        beyond = np.tan([1.01 * lens.max_angle, 1.1 * lens.max_angle])
        assert np.isnan(lens.distort(np.stack([beyond, 0 * beyond], axis=-1))).all()
        assert np.isfinite(radii(lens, np.array([1.01 * lens.max_angle]))).all(), "OpenCV has a number there"


def test_points_behind_the_camera_are_nan() -> None:
    for lens in (Lens("radial-tangential", (-0.3, 0.0, 0.0, 0.0)), Lens("equidistant", (-0.3, 0.0, 0.0, 0.0))):
        assert np.isnan(lens.distort([np.nan, 0.1])).all()


def test_impossible_lenses_are_refused() -> None:
    for model, coefficients, text in (
        ("fisheye", (0.0,) * 4, "expected radial-tangential or equidistant, got 'fisheye'"),
        ("radial-tangential", (0.1,), "expected 0, 4, 5, 8, 12, 14 coefficients, got 1"),
        ("equidistant", (), "expected 4 coefficients, got 0"),
        ("equidistant", (0.0, 0.0, np.nan, 0.0), "expected numbers within 1e\\+09"),
        ("radial-tangential", (0.0, 0.0, np.inf, 0.0), "expected numbers within 1e\\+09"),
    ):
        with pytest.raises(ValueError, match=text):
            Lens(model, coefficients)  # type: ignore[arg-type]
