"""Rotations and rigid transforms.

Quaternions are ``w x y z`` (MuJoCo's order), unit, and have ``w >= 0`` when stored. Arrays use
``scipy.spatial.transform``, tensors use ``roma``. Both use ``x y z w`` internally, and this module is the only place
where the order changes.

``roma`` is imported where it is used: it imports torch, which takes seconds and hundreds of megabytes that rendering
and simulating processes do not need.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.spatial.transform import Rotation

if TYPE_CHECKING:
    from torch import Tensor

FloatArray = NDArray[np.float64]

_COUNTED_AT_ONCE = 100_000  # rotations whose distances to the cells are in memory at once


# ---------------------------------------------------------------------------------------------------------- arrays


def rotation_from_quaternion(quaternion: ArrayLike) -> Rotation:
    """Convert ``w x y z`` quaternions (..., 4) to SciPy rotations; normalises."""
    array = np.asarray(quaternion, dtype=np.float64)
    if array.shape[-1:] != (4,):
        raise ValueError(f"a quaternion has 4 numbers (w x y z), got shape {array.shape}")
    return Rotation.from_quat(array[..., [1, 2, 3, 0]])


def quaternion_from_rotation(rotation: Rotation) -> FloatArray:
    """Convert SciPy rotations to ``w x y z`` quaternions (..., 4) with ``w >= 0``."""
    return canonical_quaternion(rotation.as_quat()[..., [3, 0, 1, 2]])


def rotate(rotation: Rotation, vectors: ArrayLike) -> FloatArray:
    """Rotate vectors (..., 3). SciPy's own ``apply`` refuses read-only arrays, which those of a scene are."""
    return rotation.apply(np.array(vectors, dtype=np.float64))


def matrix_from_quaternion(quaternion: ArrayLike) -> FloatArray:
    """Convert ``w x y z`` quaternions (..., 4) to rotation matrices (..., 3, 3)."""
    return rotation_from_quaternion(quaternion).as_matrix()


def quaternion_from_matrix(matrix: ArrayLike) -> FloatArray:
    """Convert rotation matrices (..., 3, 3) to ``w x y z`` quaternions (..., 4) with ``w >= 0``."""
    return quaternion_from_rotation(Rotation.from_matrix(np.asarray(matrix, dtype=np.float64)))


def canonical_quaternion(quaternion: ArrayLike) -> FloatArray:
    """Return the one of ``q`` and ``-q`` that is stored: ``w > 0``, or the first non-zero of x, y, z positive when w is
    0."""
    array = np.asarray(quaternion, dtype=np.float64)
    leading = array[..., 3]
    for component in (2, 1, 0):
        leading = np.where(array[..., component] != 0, array[..., component], leading)
    return np.where(leading[..., None] < 0, -array, array) + 0.0  # + 0.0 turns -0.0 into 0.0


def quaternion_from_z(directions: ArrayLike) -> FloatArray:
    """Return the shortest rotations of the z axis to unit vectors (N, 3): quaternions ``w x y z`` with ``w >= 0``, (N,
    4)."""
    x, y, z = np.asarray(directions, dtype=np.float64).T
    found = np.column_stack([1.0 + z, -y, x, np.zeros_like(x)])
    found[z < -1 + 1e-9] = (0.0, 1.0, 0.0, 0.0)  # half a turn: choose the one about x
    return np.asarray(found / np.linalg.norm(found, axis=1, keepdims=True))


def geodesic_distance(first: ArrayLike, second: ArrayLike) -> FloatArray:
    """Return the rotation angle in radians, [0, pi], between rotation matrices (..., 3, 3).

    ``2 arcsin(|A - B|_F / (2 sqrt 2))`` is exact at small angles, where the usual arccosine of the trace loses half of
    its digits.
    """
    difference = np.asarray(first, dtype=np.float64) - np.asarray(second, dtype=np.float64)
    chord = np.sqrt((difference**2).sum(axis=(-2, -1))) / (2.0 * np.sqrt(2.0))
    angle: FloatArray = 2.0 * np.arcsin(np.clip(chord, 0.0, 1.0))
    return angle


def is_rotation(matrices: ArrayLike, tolerance: float = 1e-4) -> bool:
    """Return whether all matrices (..., 3, 3) are rotations: no reflections, and orthogonal, with each element of the
    product with the transpose within the tolerance of the identity's."""
    matrices = np.asarray(matrices, dtype=np.float64)
    off = np.abs(matrices @ np.swapaxes(matrices, -1, -2) - np.eye(3)).max(initial=0.0)
    return bool(off <= tolerance and (np.linalg.det(matrices) > 0).all())


def rigid_transform(rotation: ArrayLike, translation: ArrayLike) -> FloatArray:
    """Return homogeneous matrices (..., 4, 4) that map ``x`` to ``rotation @ x + translation``."""
    rotation = np.asarray(rotation, dtype=np.float64)
    translation = np.asarray(translation, dtype=np.float64)
    shape = np.broadcast_shapes(rotation.shape[:-2], translation.shape[:-1])
    transform = np.zeros((*shape, 4, 4))
    transform[..., :3, :3] = rotation
    transform[..., :3, 3] = translation
    transform[..., 3, 3] = 1.0
    return transform


def cube_rotations() -> FloatArray:
    """Return the 24 proper rotations that map the coordinate axes onto each other, (24, 3, 3), the identity first."""
    matrices = []
    for permutation in itertools.permutations(range(3)):
        for signs in itertools.product((1.0, -1.0), repeat=3):
            matrix = np.zeros((3, 3))
            matrix[range(3), permutation] = signs
            if np.linalg.det(matrix) > 0:
                matrices.append(matrix)
    return np.stack(matrices)


def count_by_cube_rotation(orientation: NDArray[np.float64]) -> NDArray[np.int64]:
    """Count the quaternions (N, 4) that are nearest to each of the 24 rotations of a cube onto itself, (24,)."""
    cells = quaternion_from_matrix(cube_rotations())
    counts = np.zeros(len(cells), dtype=np.int64)
    for start in range(0, len(orientation), _COUNTED_AT_ONCE):
        # |q . p| grows as the angle between two rotations falls.
        nearest = np.abs(orientation[start : start + _COUNTED_AT_ONCE] @ cells.T).argmax(axis=1)
        counts += np.bincount(nearest, minlength=len(cells))
    return counts


# --------------------------------------------------------------------------------------------------------- tensors


def quaternion_to_matrix(quaternion: Tensor) -> Tensor:
    """Convert ``w x y z`` quaternions (..., 4) of any non-zero length to rotation matrices (..., 3, 3)."""
    import roma

    matrix: Tensor = roma.unitquat_to_rotmat(roma.quat_normalize(roma.quat_wxyz_to_xyzw(quaternion)))
    return matrix


def matrix_to_quaternion(matrix: Tensor) -> Tensor:
    """Convert rotation matrices (..., 3, 3) to ``w x y z`` quaternions (..., 4) with ``w >= 0``."""
    import roma

    quaternion = roma.quat_xyzw_to_wxyz(roma.rotmat_to_unitquat(matrix))
    upper: Tensor = quaternion.where(quaternion[..., :1] >= 0, -quaternion)
    return upper


def six_d_to_matrix(six_d: Tensor) -> Tensor:
    """Return rotation matrices from their first two columns (..., 6) by Gram-Schmidt (Zhou et al., arXiv
    1812.07035)."""
    import roma

    matrix: Tensor = roma.special_gramschmidt(six_d.unflatten(-1, (2, 3)).transpose(-1, -2))
    return matrix


def matrix_to_six_d(matrix: Tensor) -> Tensor:
    """Return the first two columns of rotation matrices (..., 3, 3), one after the other: (..., 6)."""
    return matrix[..., :2].transpose(-1, -2).flatten(-2)


def geodesic_distance_torch(first: Tensor, second: Tensor) -> Tensor:
    """Return the rotation angle in radians between rotation matrices (..., 3, 3), with finite gradients everywhere.

    The clamp that bounds the gradient at a half turn caps the angle 0.003 rad below pi: fine for a loss, while reports
    use the exact :func:`geodesic_distance`.
    """
    import roma

    angle: Tensor = roma.rotmat_geodesic_distance(first, second, clamping=1.0 - 1e-6)
    return angle
