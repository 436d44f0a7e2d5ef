"""Rotations: scipy's, roma's and hand-written formulas must agree, and what is stored must be canonical."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.spatial.transform import Rotation

from vision.geometry import rotations as geometry

components = st.floats(-1.0, 1.0, allow_subnormal=False)
quaternions = (
    hnp.arrays(np.float64, (4,), elements=components)
    .filter(lambda q: np.linalg.norm(q) > 1e-3)
    .map(lambda q: q / np.linalg.norm(q))
)
angles = st.floats(0.0, np.pi)
axes = (
    hnp.arrays(np.float64, (3,), elements=components)
    .filter(lambda v: np.linalg.norm(v) > 1e-3)
    .map(lambda v: v / np.linalg.norm(v))
)


def matrix_by_hand(quaternion: np.ndarray) -> np.ndarray:
    """The textbook polynomial of a unit quaternion w x y z."""
    w, x, y, z = quaternion
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
            [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
            [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
        ]
    )


@given(quaternions)
def test_matrices_of_scipy_roma_and_the_formula_agree(quaternion: np.ndarray) -> None:
    expected = matrix_by_hand(quaternion)
    np.testing.assert_allclose(geometry.matrix_from_quaternion(quaternion), expected, atol=1e-12)
    np.testing.assert_allclose(geometry.quaternion_to_matrix(torch.from_numpy(quaternion)), expected, atol=1e-12)


@given(axes)
def test_the_shortest_rotation_of_z_to_a_direction(axis: np.ndarray) -> None:
    for direction in (axis, np.array([0.0, 0.0, 1.0]), np.array([0.0, 0.0, -1.0])):
        (quaternion,) = geometry.quaternion_from_z(direction[None])
        np.testing.assert_allclose(matrix_by_hand(quaternion)[:, 2], direction, atol=1e-4)
        # It turns by the angle between them, and by no more.
        assert 2 * quaternion[0] ** 2 - 1 == pytest.approx(direction[2], abs=1e-8)


@given(quaternions)
def test_quaternion_round_trips_and_is_canonical(quaternion: np.ndarray) -> None:
    matrix = matrix_by_hand(quaternion)
    for back in (
        geometry.quaternion_from_matrix(matrix),
        geometry.matrix_to_quaternion(torch.from_numpy(matrix)).numpy(),
    ):
        assert back[0] >= 0
        assert np.linalg.norm(back) == pytest.approx(1.0, abs=1e-9)
        np.testing.assert_allclose(matrix_by_hand(back), matrix, atol=1e-9)


@given(hnp.arrays(np.float64, (5, 4), elements=st.sampled_from([-1.0, -0.0, 0.0, 0.5])))
def test_canonical_quaternion_chooses_one_of_each_pair(quaternion: np.ndarray) -> None:
    canonical = geometry.canonical_quaternion(quaternion)
    np.testing.assert_array_equal(canonical, geometry.canonical_quaternion(-quaternion))
    np.testing.assert_array_equal(np.abs(canonical), np.abs(quaternion))
    for row in canonical:
        leading = next((value for value in row if value != 0), 0.0)
        assert leading >= 0
    assert not np.signbit(canonical[canonical == 0]).any(), "no negative zero is stored"


@given(quaternions, axes, angles)
def test_geodesic_distance_is_the_angle_between(start: np.ndarray, axis: np.ndarray, angle: float) -> None:
    first = matrix_by_hand(start)
    second = first @ Rotation.from_rotvec(axis * angle).as_matrix()
    # Near a half turn the sine is flat, so the angle is known to the square root of the rounding error.
    tolerance = 1e-7 if angle > 3.14 else 1e-12
    assert geometry.geodesic_distance(first, second) == pytest.approx(angle, abs=tolerance)
    scipys = (Rotation.from_matrix(first).inv() * Rotation.from_matrix(second)).magnitude()
    assert geometry.geodesic_distance(second, first) == pytest.approx(scipys, abs=1e-7)
    romas = geometry.geodesic_distance_torch(torch.from_numpy(first), torch.from_numpy(second))
    assert float(romas) == pytest.approx(angle, abs=5e-3)


def test_geodesic_distance_keeps_tiny_angles() -> None:
    """The arccosine of the trace would return 0 here."""
    angle = 1e-9
    turned = Rotation.from_rotvec([0.0, angle, 0.0]).as_matrix()
    assert geometry.geodesic_distance(np.eye(3), turned) == pytest.approx(angle, rel=1e-6)


@pytest.mark.parametrize("angle", [0.0, 1e-9, 1.0, np.pi - 1e-9, np.pi])
def test_torch_distance_has_finite_gradients(angle: float) -> None:
    turned = torch.from_numpy(Rotation.from_rotvec([angle, 0.0, 0.0]).as_matrix()).requires_grad_()
    geometry.geodesic_distance_torch(torch.eye(3, dtype=torch.float64), turned).backward()
    assert turned.grad is not None
    assert torch.isfinite(turned.grad).all()


@given(quaternions, st.floats(0.1, 10.0), st.floats(0.1, 10.0), st.floats(-5.0, 5.0))
def test_six_d_is_the_first_two_columns_and_gram_schmidt_undoes_scale_and_shear(
    quaternion: np.ndarray, first: float, second: float, shear: float
) -> None:
    matrix = torch.from_numpy(matrix_by_hand(quaternion))
    six_d = geometry.matrix_to_six_d(matrix)
    torch.testing.assert_close(six_d, torch.cat([matrix[:, 0], matrix[:, 1]]))
    skewed = torch.cat([first * six_d[:3], second * six_d[3:] + shear * six_d[:3]])
    torch.testing.assert_close(geometry.six_d_to_matrix(skewed), matrix, atol=1e-9, rtol=0)


@given(
    quaternions, hnp.arrays(np.float64, (3,), elements=components), hnp.arrays(np.float64, (3,), elements=components)
)
def test_rigid_transform_rotates_then_moves(quaternion: np.ndarray, move: np.ndarray, point: np.ndarray) -> None:
    rotation = matrix_by_hand(quaternion)
    transform = geometry.rigid_transform(rotation, move)
    np.testing.assert_allclose(transform @ [*point, 1.0], [*(rotation @ point + move), 1.0], atol=1e-12)


def test_cube_rotations_are_the_rotation_group_of_the_cube() -> None:
    group = geometry.cube_rotations()
    assert group.shape == (24, 3, 3)
    np.testing.assert_array_equal(group[0], np.eye(3))
    np.testing.assert_allclose(group @ np.swapaxes(group, 1, 2), np.broadcast_to(np.eye(3), group.shape))
    np.testing.assert_allclose(np.linalg.det(group), 1.0)
    members = {matrix.astype(int).tobytes() for matrix in group}
    assert len(members) == 24
    products = {(a @ b).astype(int).tobytes() for a, b in itertools.product(group, group)}
    assert products == members, "closed under multiplication"
    scipys = {np.rint(matrix).astype(int).tobytes() for matrix in Rotation.create_group("O").as_matrix()}
    assert members == scipys


@pytest.mark.parametrize("shape", [(3,), (4, 3), ()])
def test_a_quaternion_of_another_length_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="4 numbers"):
        geometry.rotation_from_quaternion(np.ones(shape))


def test_batches_keep_their_shape() -> None:
    quaternion = Rotation.random(6, random_state=0).as_quat().reshape(2, 3, 4)
    assert geometry.matrix_from_quaternion(quaternion).shape == (2, 3, 3, 3)
    assert geometry.quaternion_from_matrix(geometry.matrix_from_quaternion(quaternion)).shape == (2, 3, 4)
    transform = geometry.rigid_transform(geometry.matrix_from_quaternion(quaternion), np.zeros(3))
    assert transform.shape == (2, 3, 4, 4)


def test_what_is_a_rotation() -> None:
    turns = Rotation.random(5, random_state=0).as_matrix()
    assert geometry.is_rotation(turns)
    assert geometry.is_rotation(np.zeros((0, 3, 3)))
    assert geometry.is_rotation(turns + 1e-5)
    for wrong in (turns + 1e-3, -turns, 1.001 * turns, np.full((3, 3), np.nan), turns * [1.0, 1.0, -1.0]):
        assert not geometry.is_rotation(wrong)
    assert not geometry.is_rotation(turns + 1e-5, tolerance=1e-6)
