"""OpenCV's cameras as MuJoCo's, against MuJoCo's own geometry: its frustum, its camera frame, and its rays."""

from __future__ import annotations

import mujoco
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from datagen.sim.cameras import frustum, mujoco_pose
from vision.geometry.cameras import Cameras, look_at, project
from vision.geometry.rotations import FloatArray, rigid_transform

# fx, fy, cx, cy, width, height: square and centred; off the middle, not square; beyond the border.
LENSES = (
    (300.0, 300.0, 100.0, 100.0, 200, 200),
    (310.0, 275.0, 71.5, 104.25, 160, 120),
    (90.0, 140.0, -20.0, 210.0, 96, 180),
)


def matrix(lens: tuple[float, float, float, float, int, int]) -> FloatArray:
    fx, fy, cx, cy, _, _ = lens
    return np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1]])


def random_extrinsics(count: int, seed: int) -> FloatArray:
    rng = np.random.default_rng(seed)
    return rigid_transform(Rotation.random(count, rng=rng).as_matrix(), rng.normal(size=(count, 3)))


def clip_matrix(left: float, right: float, bottom: float, top: float, near: float, far: float) -> FloatArray:
    """OpenGL's glFrustum, from its reference page."""
    return np.array([
        [2 * near / (right - left), 0, (right + left) / (right - left), 0],
        [0, 2 * near / (top - bottom), (top + bottom) / (top - bottom), 0],
        [0, 0, -(far + near) / (far - near), -2 * far * near / (far - near)],
        [0, 0, -1, 0],
    ])  # fmt: skip


@pytest.mark.parametrize("lens", LENSES)
def test_opengl_draws_a_point_where_opencv_projects_it(lens: tuple[float, float, float, float, int, int]) -> None:
    """World, MuJoCo's camera frame, OpenGL's clip space, window, image: the whole chain, for points all over."""
    *_, width, height = lens
    K, rng = matrix(lens), np.random.default_rng(1)
    near, far = 0.05, 10.0
    for T in random_extrinsics(5, 2):
        position, (w, x, y, z) = mujoco_pose(T)
        pixels = rng.uniform([0, 0], [width, height], (40, 2))
        rays = np.column_stack([pixels, np.ones(40)]) @ np.linalg.inv(K).T * rng.uniform(0.1, 5, (40, 1))
        world = (rays - T[:3, 3]) @ T[:3, :3]
        np.testing.assert_allclose(project(world, Cameras(K, T)), pixels, atol=1e-6)
        in_camera = Rotation.from_quat([x, y, z, w]).inv().apply(world - position)
        assert (in_camera[:, 2] < 0).all(), "MuJoCo's camera looks along its -z"
        planes = near * np.array(frustum(K, width, height))
        clip = np.column_stack([in_camera, np.ones(40)]) @ clip_matrix(*planes, near, far).T
        device = clip[:, :2] / clip[:, 3:]
        window = (device + 1) / 2 * [width, height]
        np.testing.assert_allclose(window * [1, -1] + [0, height], pixels, atol=1e-6)


@pytest.mark.parametrize("lens", LENSES)
def test_the_frustums_borders_are_the_images(lens: tuple[float, float, float, float, int, int]) -> None:
    """Points on its four borders project onto the image's four."""
    *_, width, height = lens
    left, right, bottom, top = frustum(matrix(lens), width, height)
    assert left < right
    assert bottom < top
    corners = project(
        [[left, -top, 1], [right, -bottom, 1]], Cameras(matrix(lens), np.eye(4))
    )  # OpenCV's y is downwards
    np.testing.assert_allclose(corners, [[0, 0], [width, height]], atol=1e-9)


def test_the_pose_is_the_one_whose_axes_mujoco_has() -> None:
    transforms = random_extrinsics(6, 3)
    positions, quaternions = mujoco_pose(transforms)
    spec = mujoco.MjSpec()
    for position, quaternion in zip(positions, quaternions, strict=True):
        spec.worldbody.add_camera(pos=position, quat=quaternion)
    model = spec.compile()
    data = mujoco.MjData(model)
    mujoco.mj_kinematics(model, data)
    mujoco.mj_camlight(model, data)
    for T, place, axes in zip(transforms, data.cam_xpos, data.cam_xmat.reshape(-1, 3, 3), strict=True):
        np.testing.assert_allclose(T[:3, :3] @ place + T[:3, 3], 0, atol=1e-12)
        right, down, forward = T[:3, :3]
        np.testing.assert_allclose(axes.T, [right, -down, -forward], atol=1e-9)


def test_one_pose_and_many_are_converted_alike() -> None:
    transforms = random_extrinsics(6, 4).reshape(2, 3, 4, 4)
    positions, quaternions = mujoco_pose(transforms)
    assert positions.shape == (2, 3, 3)
    assert quaternions.shape == (2, 3, 4)
    for index in np.ndindex(2, 3):
        position, quaternion = mujoco_pose(transforms[index])
        np.testing.assert_array_equal(positions[index], position)
        np.testing.assert_allclose(quaternions[index], quaternion, atol=1e-15)


def test_a_known_pose() -> None:
    """From above, with the world's y upwards in the image: MuJoCo's own pose without any rotation."""
    T = rigid_transform(np.diag([1.0, -1.0, -1.0]), np.array([-0.3, 0.2, 1.5]))
    position, quaternion = mujoco_pose(T)
    np.testing.assert_allclose(position, [0.3, 0.2, 1.5])
    np.testing.assert_allclose(np.abs(quaternion), [1, 0, 0, 0], atol=1e-12)
    position, _ = mujoco_pose(look_at([1.0, 2.0, 3.0], [0.0, 0.0, 0.0]))
    np.testing.assert_allclose(position, [1, 2, 3])
