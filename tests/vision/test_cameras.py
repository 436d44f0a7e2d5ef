"""Cameras against an independent computation: rays and angles, not matrices."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from tests.scenes import rig
from vision.geometry import cameras
from vision.geometry.cameras import Cameras
from vision.geometry.distortion import Lens
from vision.geometry.rotations import rigid_transform
from vision.plain import from_plain, to_plain
from vision.rigs.rig import Camera, Rig
from vision.rigs.rig_files import CameraFile


def project_by_hand(point: np.ndarray, camera: CameraFile) -> tuple[float, float]:
    """Pixel of a world point, from OpenGL's definition: looks along -z, +y up, the image spans fovy vertically."""
    assert camera.quaternion is not None
    assert camera.fovy_deg is not None
    right, up, backward = Rotation.from_quat(np.roll(camera.quaternion, -1)).as_matrix().T
    ray = point - np.asarray(camera.position)
    depth = -ray @ backward
    half_height = depth * math.tan(math.radians(camera.fovy_deg) / 2)  # metres seen above the axis at that depth
    pixels_per_metre = (camera.height / 2) / half_height
    return camera.width / 2 + ray @ right * pixels_per_metre, camera.height / 2 - ray @ up * pixels_per_metre


def straight(fovy_deg: float, width: int, height: int) -> Camera:
    """In the origin, looking along -z with +y up."""
    file = CameraFile(
        name="camera", width=width, height=height, fovy_deg=fovy_deg, position=(0, 0, 0), quaternion=(1, 0, 0, 0)
    )
    return file.build()


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
    w, x, y, z = np.roll(rotation.as_quat(), 1)
    camera = CameraFile(
        name="camera", width=width, height=height, fovy_deg=fovy_deg, position=position, quaternion=(w, x, y, z)
    )
    x, y, depth = in_camera
    point = np.asarray(position) + rotation.apply([x * depth, y * depth, -depth])
    expected = project_by_hand(point, camera)
    built = camera.build()
    matrix, transform = built.intrinsics, built.extrinsics
    np.testing.assert_allclose(built.position, position, atol=1e-12)
    np.testing.assert_allclose(cameras.project(point[None], Cameras(matrix, transform))[0], expected, atol=1e-6)
    pixels = cameras.project_torch(
        torch.from_numpy(point[None]), Cameras(torch.tensor(matrix), torch.tensor(transform))
    )
    np.testing.assert_allclose(pixels[0].numpy(), expected, atol=1e-6)


def test_the_image_spans_zero_to_its_size() -> None:
    """A point at half the field of view above the axis lies on the upper border, the axis in the middle."""
    camera = straight(40.0, 300, 200)
    matrix, transform = camera.intrinsics, camera.extrinsics
    edge = math.tan(math.radians(20.0))
    pixels = cameras.project(
        [[0.0, 0.0, -1.0], [0.0, edge, -1.0], [0.0, -edge, -1.0], [1.5 * edge, 0.0, -1.0]], Cameras(matrix, transform)
    )
    np.testing.assert_allclose(pixels, [[150, 100], [150, 0], [150, 200], [300, 100]], atol=1e-9)


def test_what_lies_in_an_image_is_asked_of_each_camera_with_its_own_size() -> None:
    pixels = np.array([[0.0, 0.0], [30.0, 20.0], [30.1, 5.0], [5.0, -0.1], [np.nan, np.nan]])
    assert cameras.in_image(pixels, 30, 20).tolist() == [True, True, False, False, False]
    both = cameras.in_image(np.stack([pixels, pixels]), [30, 40], [20, 10])
    assert both.tolist() == [[True, True, False, False, False], [True, False, True, False, False]]


def test_points_behind_the_camera_project_to_nan() -> None:
    camera = straight(40.0, 200, 200)
    matrix, transform = camera.intrinsics, camera.extrinsics
    assert np.isnan(cameras.project([[0, 0, 1], [0, 0, 0]], Cameras(matrix, transform))).all()
    clamped = cameras.project_torch(
        torch.tensor([[0.0, 0.0, 1.0]], dtype=torch.float64), Cameras(torch.tensor(matrix), torch.tensor(transform))
    )
    assert torch.isfinite(clamped).all()


def test_the_rig_sees_the_object_near_the_middle() -> None:
    """The block rests near (1.02, 0.87, 0.145): each calibrated camera must have it well inside its picture."""
    pixels = cameras.project(
        np.array([[1.02, 0.87, 0.145]]), Cameras(rig(200).nominal.intrinsics, rig().nominal.extrinsics)
    )
    assert pixels.shape == (3, 1, 2)
    assert (np.abs(pixels - 100) < 50).all()


def test_rig_survives_json() -> None:
    there = json.loads(json.dumps(to_plain(rig(200))))
    back = from_plain(there, Rig, "test")
    assert back.names == ("left", "top", "right")
    for one, other in zip(back.nominal, rig(200).nominal, strict=True):
        np.testing.assert_array_equal(one, other)


@given(st.floats(1.0, 160.0), st.floats(-0.9, 9.0), st.integers(16, 1000))
def test_a_changed_field_of_view_is_that_of_a_camera_built_so(fovy_deg: float, change: float, height: int) -> None:
    built = np.stack([cameras.camera_matrix(fovy, 2 * height, height) for fovy in (fovy_deg, fovy_deg + change)])
    changed = cameras.change_field_of_view(built[:1], height, [change])
    np.testing.assert_allclose(changed[0], built[1], rtol=1e-9)


@given(rotations, rotations, st.tuples(coordinates, coordinates, coordinates))
def test_a_displaced_camera_is_turned_about_its_own_centre(
    there: Rotation, turn: Rotation, shift: tuple[float, float, float]
) -> None:
    before = rigid_transform(there.as_matrix(), [0.3, -0.2, 0.9])
    after = cameras.displace(before, turn.as_matrix(), shift)
    centres = [-transform[:3, :3].T @ transform[:3, 3] for transform in (before, after)]
    np.testing.assert_allclose(centres[1] - centres[0], shift, atol=1e-12)
    # An axis of the camera, seen in the world, has turned.
    np.testing.assert_allclose(after[:3, :3].T, turn.as_matrix() @ before[:3, :3].T, atol=1e-12)


@given(st.tuples(coordinates, coordinates, coordinates))
def test_a_camera_that_looks_at_a_point_shows_it_in_the_middle_upright(eye: tuple[float, float, float]) -> None:
    target = np.array([3.0, -2.5, 2.2])
    transform = cameras.look_at(eye, target)
    matrix = cameras.camera_matrix(50.0, 320, 240)
    middle, above = cameras.project([target, target + np.array([0, 0, 0.01])], Cameras(matrix, transform))
    np.testing.assert_allclose(middle, (160, 120), atol=1e-6)
    assert above[1] < middle[1]
    assert above[0] == pytest.approx(middle[0], abs=1e-6)


POSE = {"position": (0.0, 0.0, 0.0), "quaternion": (1.0, 0.0, 0.0, 0.0)}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"fovy_deg": 0.0}, "fovy_deg"),
        ({"fovy_deg": 180.0}, "fovy_deg"),
        ({"fx": 100.0}, "either fovy_deg or fx"),
        ({"quaternion": None}, "either quaternion or look_at"),
        ({"position": None}, "either extrinsics or position"),
        ({"quaternion": (0.0, 0.0, 0.0, 0.0)}, "quaternion must not be zero"),
        ({"quaternion": (1.0, 0.0, 0.0, math.inf)}, "finite|rotation"),
        ({"position": (0.0, 0.0, math.nan)}, "finite"),
        ({"width": 0}, "16 to 20000 pixels, got 0 x 200"),
        ({"name": "../left"}, "letters, digits"),
        ({"name": "a" * 61}, "at most 60 letters"),
        ({"fovy_deg": None, "fx": -5.0}, "positive fx, fy"),
        ({"fovy_deg": None, "fx": 500.0, "cx": 900.0}, "principal point"),
        ({"position": None, "quaternion": None, "extrinsics": 2 * np.eye(4)}, "rotation"),
    ],
)
def test_an_impossible_camera_is_refused(changes: dict[str, Any], words: str) -> None:
    keys = {"name": "front", "width": 200, "height": 200, "fovy_deg": 20.0, **POSE, **changes}
    with pytest.raises(ValueError, match=f"camera .*({words})"):
        CameraFile(**keys).build()


def test_a_rig_refuses_no_camera_and_equal_names() -> None:
    camera = rig().cameras[0]
    with pytest.raises(ValueError, match="at least one"):
        Rig(cameras=())
    with pytest.raises(ValueError, match="differ"):
        Rig(cameras=(camera, camera))


def test_a_resized_rig_sees_the_same_and_keeps_its_shape() -> None:
    wide = CameraFile(name="wide", width=640, height=480, fx=600.0, cx=300.0, cy=250.0, **POSE).build()  # type: ignore[arg-type]
    small = CameraFile(
        name="small", width=320, height=240, fx=300.0, fy=290.0, distortion=Lens("equidistant", (0.1, 0, 0, 0)), **POSE
    ).build()  # type: ignore[arg-type]
    before = Rig(cameras=(wide, small))
    after = before.resized(200)
    assert [(camera.width, camera.height) for camera in after.cameras] == [(200, 150), (100, 75)]
    assert [camera.distortion for camera in after.cameras] == [None, small.distortion]
    points = np.array([[0.1, 0.05, -1.0]])
    for one, other in zip(before.cameras, after.cameras, strict=True):
        pixels = [cameras.project(points, camera)[0] for camera in (one, other)]
        np.testing.assert_allclose(pixels[1], pixels[0] * 200 / 640)
    np.testing.assert_array_equal(before.resized(640).nominal.intrinsics, before.nominal.intrinsics)


def test_a_camera_has_its_own_size_and_those_of_a_batch_keep_theirs() -> None:
    sizes = np.array([200, 100, 50]), np.array([150, 80, 40])
    cameras = Cameras(np.stack([np.eye(3)] * 3), np.stack([np.eye(4)] * 3), *sizes)
    one, two = cameras.at(1), cameras.at([2, 0])
    assert (one.width, one.height) == (100, 80)
    np.testing.assert_array_equal((two.width, two.height), ([50, 200], [40, 150]))
    several = cameras.repeated(2).at(1)
    np.testing.assert_array_equal((several.width, several.height), sizes)
    assert cameras._replace(width=None, height=150).at(1)[2:] == (None, 150)
