"""Cameras against an independent computation: rays and angles, not matrices."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from vision.geometry import cameras
from vision.geometry.cameras import DACTYL_RIG, CameraPose, Rig


def project_by_hand(point: np.ndarray, camera: CameraPose, width: int, height: int) -> tuple[float, float]:
    """Pixel of a world point, from MuJoCo's definition: looks along -z, +y up, the image spans fovy vertically."""
    right, up, backward = Rotation.from_quat(np.roll(camera.quaternion, -1)).as_matrix().T
    ray = point - np.asarray(camera.position)
    depth = -ray @ backward
    half_height = depth * math.tan(math.radians(camera.fovy_deg) / 2)  # metres seen above the axis at that depth
    pixels_per_metre = (height / 2) / half_height
    return width / 2 + ray @ right * pixels_per_metre, height / 2 - ray @ up * pixels_per_metre


rotations = st.integers(0, 2**32 - 1).map(lambda seed: Rotation.random(random_state=seed))
coordinates = st.floats(-2.0, 2.0)


@given(
    rotations,
    st.tuples(coordinates, coordinates, coordinates),
    st.floats(5.0, 120.0),
    st.tuples(st.floats(-0.9, 0.9), st.floats(-0.9, 0.9), st.floats(0.1, 3.0)),
    st.tuples(st.integers(16, 640), st.integers(16, 640)),
)
def test_projection_of_both_libraries_equals_the_ray_computation(
    rotation: Rotation,
    position: tuple[float, float, float],
    fovy_deg: float,
    in_camera: tuple[float, float, float],
    size: tuple[int, int],
) -> None:
    width, height = size
    quaternion = tuple(np.roll(rotation.as_quat(), 1))
    camera = CameraPose("camera", position, quaternion, fovy_deg)
    x, y, depth = in_camera
    point = np.asarray(position) + rotation.apply([x * depth, y * depth, -depth])
    expected = project_by_hand(point, camera, width, height)
    matrix = cameras.intrinsics(fovy_deg, width, height)
    transform = cameras.extrinsics(position, quaternion)
    np.testing.assert_allclose(cameras.project(point[None], matrix, transform)[0], expected, atol=1e-6)
    pixels = cameras.project_torch(torch.from_numpy(point[None]), torch.from_numpy(matrix), torch.from_numpy(transform))
    np.testing.assert_allclose(pixels[0].numpy(), expected, atol=1e-6)


def test_the_image_spans_zero_to_its_size() -> None:
    """A point at half the field of view above the axis lies on the upper border, the axis in the middle."""
    camera = CameraPose("camera", (0.0, 0.0, 0.0), (1.0, 0.0, 0.0, 0.0), 40.0)
    matrix = cameras.intrinsics(camera.fovy_deg, 300, 200)
    transform = cameras.extrinsics(camera.position, camera.quaternion)
    edge = math.tan(math.radians(20.0))
    pixels = cameras.project(
        [[0.0, 0.0, -1.0], [0.0, edge, -1.0], [0.0, -edge, -1.0], [1.5 * edge, 0.0, -1.0]], matrix, transform
    )
    np.testing.assert_allclose(pixels, [[150, 100], [150, 0], [150, 200], [300, 100]], atol=1e-9)


def test_points_behind_the_camera_project_to_nan() -> None:
    matrix, transform = cameras.intrinsics(40.0, 200, 200), cameras.extrinsics((0, 0, 0), (1, 0, 0, 0))
    assert np.isnan(cameras.project([[0, 0, 1], [0, 0, 0]], matrix, transform)).all()
    clamped = cameras.project_torch(
        torch.tensor([[0.0, 0.0, 1.0]], dtype=torch.float64), torch.from_numpy(matrix), torch.from_numpy(transform)
    )
    assert torch.isfinite(clamped).all()


def test_the_rig_sees_the_object_near_the_middle() -> None:
    """The block rests near (1.02, 0.87, 0.145): each calibrated camera must have it well inside its picture."""
    pixels = cameras.project(np.array([[1.02, 0.87, 0.145]]), DACTYL_RIG.intrinsics(200, 200), DACTYL_RIG.extrinsics())
    assert pixels.shape == (3, 1, 2)
    assert (np.abs(pixels - 100) < 50).all()


def test_rig_survives_json() -> None:
    assert Rig.from_json(DACTYL_RIG.to_json()) == DACTYL_RIG
    assert DACTYL_RIG.names == ("left", "top", "right")


@given(st.floats(1.0, 170.0), st.integers(1, 1000))
def test_field_of_view_comes_back_from_intrinsics(fovy_deg: float, height: int) -> None:
    matrix = cameras.intrinsics([fovy_deg, fovy_deg / 2], 2 * height, height)
    np.testing.assert_allclose(cameras.fovy_from_intrinsics(matrix, height), [fovy_deg, fovy_deg / 2], rtol=1e-9)


def test_resized_intrinsics_project_to_scaled_pixels() -> None:
    matrix, transform = DACTYL_RIG.intrinsics(200, 200), DACTYL_RIG.extrinsics()
    point = np.array([[1.0, 0.9, 0.2]])
    half = cameras.resize_intrinsics(torch.from_numpy(matrix), 0.5).numpy()
    np.testing.assert_allclose(half, DACTYL_RIG.intrinsics(100, 100))
    np.testing.assert_allclose(cameras.project(point, half, transform), cameras.project(point, matrix, transform) / 2)


@pytest.mark.parametrize("fovy_deg", [0.0, -1.0, 180.0, math.nan])
def test_an_impossible_field_of_view_is_refused(fovy_deg: float) -> None:
    with pytest.raises(ValueError, match="fovy_deg"):
        CameraPose("camera", (0, 0, 0), (1, 0, 0, 0), fovy_deg)


@pytest.mark.parametrize(
    ("position", "quaternion"),
    [
        ((0, 0), (1, 0, 0, 0)),
        ((0, 0, math.nan), (1, 0, 0, 0)),
        (("0", "0", "0"), (1, 0, 0, 0)),
        ((0, 0, 0), (1, 0, 0)),
        ((0, 0, 0), (0, 0, 0, 0)),
        ((0, 0, 0), (1, 0, 0, math.inf)),
    ],
)
def test_an_impossible_camera_pose_is_refused(position: Any, quaternion: Any) -> None:
    with pytest.raises(ValueError, match=r"camera front: (position|quaternion) must"):
        CameraPose("front", position, quaternion, 20.0)


def test_a_rig_refuses_no_camera_and_equal_names() -> None:
    camera = DACTYL_RIG.cameras[0]
    with pytest.raises(ValueError, match="at least one"):
        Rig(())
    with pytest.raises(ValueError, match="differ"):
        Rig((camera, camera))
