"""Symmetries of an object: rigid motions after which it looks the same."""

from __future__ import annotations

import functools
from typing import Annotated, Any

import numpy as np
from scipy.spatial import cKDTree
from scipy.spatial.transform import Rotation

from vision.geometry.poses import Pose
from vision.geometry.rotations import FloatArray, geodesic_distance, is_rotation
from vision.plain import ArrayOf, Plain, Vectors

_SAME_POINT = 1e-4  # of the points' extent
_SAME_AXIS_DEG = 6.0  # a body of revolution about two axes that are farther apart is a ball


class Symmetries(Plain, frozen=True):
    """Rotations about one point that leave an object unchanged.

    Attributes:
        rotations: (S, 3, 3) proper rotations, the identity first.
        axes: (A, 3) unit vectors of continuous symmetries; every rotation about one leaves the object unchanged.
        centre: (3,) metres, object frame: the fixed point of all of them (a body's centroid is one).
    """

    rotations: Annotated[np.ndarray, ArrayOf((None, 3, 3))]
    axes: Vectors = np.zeros((0, 3))
    centre: Annotated[np.ndarray, ArrayOf((3,))] = np.zeros(3)

    def check(self) -> None:
        if not len(self.rotations) or not np.allclose(self.rotations[0], np.eye(3)):
            raise ValueError("symmetries: the first rotation must be the identity")
        if not is_rotation(self.rotations, 1e-5):
            raise ValueError("symmetries: every rotation must be orthogonal, and a reflection is none")
        if not np.allclose(np.linalg.norm(self.axes, axis=1), 1, atol=1e-6):
            raise ValueError("symmetries: axes must be unit vectors")
        if any(parallel(axis, other) for number, axis in enumerate(self.axes) for other in self.axes[:number]):
            raise ValueError("symmetries: two axes are one and the same; two mean that every rotation is a symmetry")

    @functools.cached_property
    def trivial(self) -> bool:
        """Whether there is only the identity."""
        return len(self.rotations) == 1 and len(self.axes) == 0

    @functools.cached_property
    def turns(self) -> Rotation:
        """The S discrete rotations, in the same order."""
        return Rotation.from_matrix(self.rotations)

    def discretised(self, steps: int = 36) -> FloatArray:
        """Return rotations (N, 3, 3), the identity first, with continuous symmetries in ``steps`` steps of a full
        turn."""
        found = np.asarray(self.rotations)
        for axis in self.axes:
            turns = Rotation.from_rotvec(np.linspace(0, 2 * np.pi, steps, endpoint=False)[:, None] * axis).as_matrix()
            found = (found[:, None] @ turns).reshape(-1, 3, 3)
        return found

    def transforms(self, steps: int = 36) -> FloatArray:
        """Return :meth:`discretised` as rigid transforms (N, 4, 4) of points in the object's frame."""
        rotations = self.discretised(steps)
        found = np.tile(np.eye(4), (len(rotations), 1, 1))
        found[:, :3, :3] = rotations
        found[:, :3, 3] = self.centre - rotations @ self.centre
        return found

    def permutations(self, points: FloatArray) -> np.ndarray:
        """Return the indices (S, K) of the points (K, 3) onto which each rotation takes each point; the first row is
        the identity.

        Raises:
            ValueError: the points are not as symmetric as the object.
        """
        moved = self.centre + (points - self.centre) @ np.swapaxes(self.rotations, 1, 2)  # (S, K, 3)
        distance, onto = map(np.asarray, cKDTree(points).query(moved))
        complete = (np.sort(onto, axis=1) == np.arange(len(points))).all()
        if not complete or distance.max() > _SAME_POINT * max(1e-9, float(np.ptp(points, axis=0).max())):
            raise ValueError("keypoints: a symmetry carries one to where there is none")
        return np.asarray(onto, np.int64)


def parallel(axis: FloatArray, other: FloatArray) -> bool:
    """Return whether two unit vectors (3,) are one axis, whatever their direction along it."""
    return bool(abs(axis @ other) > np.cos(np.deg2rad(_SAME_AXIS_DEG)))


def symmetric_distance(symmetries: Symmetries, true: FloatArray, predicted: FloatArray) -> FloatArray:
    """Return geodesic distances (N,) in radians of rotations (N, 3, 3) to the nearest that looks like the true one.

    Rotations about a continuous symmetry's axis do not count: what remains is the angle between the axes.
    """
    if len(symmetries.axes) > 1:
        return np.zeros(len(true))  # a sphere
    distances = []
    for rotation in symmetries.rotations:
        alike = true @ rotation
        if len(symmetries.axes):
            (axis,) = symmetries.axes
            one, other = alike @ axis, predicted @ axis
            distances.append(np.arctan2(np.linalg.norm(np.cross(one, other), axis=-1), (one * other).sum(axis=-1)))
        else:
            distances.append(geodesic_distance(alike, predicted))
    least: FloatArray = np.min(distances, axis=0)
    return least


def centre_shift(symmetries: Symmetries, true: Pose, predicted: Pose) -> Any:
    """Return predicted minus true positions (..., 3), metres, of the point that no symmetry moves: the difference of
    poses (...) of arrays or of tensors that a symmetry does not change."""
    centre: Any = symmetries.centre[None]
    if not isinstance(true.position, np.ndarray):
        centre = true.position.new_tensor(centre)
    return (predicted.transform(centre) - true.transform(centre))[..., 0, :]


def least_turn(symmetries: Symmetries, present: Rotation, wanted: Rotation) -> Rotation:
    """Return the smallest rotations (N), world frame, that take an object from orientations `present` to ones that look
    like `wanted`.

    Args:
        symmetries: of the object; with two axes all orientations look the same.
        present, wanted: object to world, N each.
    """
    back = present.inv()
    if symmetries.trivial:
        return wanted * back
    if len(symmetries.axes) > 1:
        return Rotation.identity(len(present))
    between, turns = (back * wanted).as_quat(), symmetries.turns
    # The smallest rotation has the largest |w|; w of a product is the scalar product with the other's conjugate.
    closeness = (between @ turns.inv().as_quat().T) ** 2
    for axis in symmetries.axes:
        # A further turn by t about the axis gives w cos(t/2) - (x, y, z) axis sin(t/2) for w.
        closeness += (between @ (turns * Rotation.from_quat([*axis, 0.0])).inv().as_quat().T) ** 2
    alike = wanted * turns[np.argmax(closeness, axis=1)]
    for axis in symmetries.axes:
        vector, w = np.split((back * alike).as_quat(), [3], axis=1)
        alike = alike * Rotation.from_rotvec(2 * np.arctan2(-(vector @ axis), w[:, 0])[:, None] * axis)
    return alike * back


def nearest_alike(symmetries: Symmetries, reference: Rotation, pose: Pose) -> Pose:
    """Return the poses, among those that look like given ones, with the smallest rotation from a reference.

    Args:
        symmetries: of the object.
        reference: orientations, object to world, N.
        pose: the N given poses.
    """
    turn = least_turn(symmetries, reference, Rotation.from_matrix(pose.rotation))
    alike = (turn * reference).as_matrix()
    return Pose(alike, pose.position + (pose.rotation - alike) @ symmetries.centre)
