"""Inputs of a policy's or critic's network, computed from an observation: a state vector and a goal vector.

The goal enters as the remaining rotation. The object's orientation enters up to the symmetries of its shape, in one of
four ways (:func:`shape_of`):

- ``moments``: fourth moments of the normals of its flat sides. A block rotated by 90 degrees about one of its axes is
  the same block except for its letters, so one state stands for all 24. For a prism they give the axis, but not the
  rotation about it.
- ``axis``: for a body of revolution, first and second moments of its axis, averaged over its ends if they look alike.
- ``nearest``: for other shapes with symmetries, the matrix of the smallest rotation among the equivalent orientations.
  It jumps where another becomes the smallest, and is the same whichever of them a camera saw.
- ``matrix``: for every other object, its rotation matrix.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from datagen.sim.interface import Observation
from datagen.sim.scene import SimScene
from vision.geometry.rotations import FloatArray, rotation_from_quaternion
from vision.objects.pose_object import PoseObject
from vision.objects.symmetries import Symmetries, least_turn

SENSED_INPUTS = ("fingertip_position", "object_position", "object_shape", "joint_position", "last_action")
"""Parts of the state vector that sensors report; velocities only a simulator knows."""
INPUTS = (*SENSED_INPUTS, "joint_velocity", "object_velocity")
"""Parts of the state vector in order; :class:`~datagen.policy.layout.Layout` has their widths. The rotation to the goal
is always an input."""

GOAL_WIDTH = 13  # the rotation to the goal as a quaternion and as a matrix

Shape = Literal["moments", "axis", "nearest", "matrix"]
SHAPE_WIDTHS: dict[Shape, int] = {"moments": 15, "axis": 9, "nearest": 9, "matrix": 9}

_ROUND = 10  # symmetries of a five-sided prism: with fewer, moments of degree four do not determine the orientation


def shape_of(target: PoseObject) -> Shape:
    """Return how the orientation of an object is represented."""
    if len(target.faces) and len(target.shape_symmetries) >= _ROUND:
        return "moments"
    if len(target.symmetries.axes) == 1:
        return "axis"
    return "nearest" if len(target.shape_symmetries) > 1 else "matrix"


def state_vector(scene: SimScene, observation: Observation, last_action: FloatArray) -> NDArray[np.float32]:
    """Return state vectors (N, S), float32; ``last_action`` (N, A) is the action before, in [-1, 1]."""
    worlds = len(last_action)
    rotation = rotation_from_quaternion(observation["object_quaternion"])
    palm = np.asarray(scene.scene.workspace.start)
    parts = {
        "fingertip_position": (observation["fingertip_position"] - palm).reshape(worlds, -1),
        "object_position": observation["object_position"] - palm,
        "object_shape": shape_vector(scene.object, observation["object_quaternion"]),
        "joint_position": observation["joint_position"],
        "last_action": last_action,
        "joint_velocity": observation["joint_velocity"],
        "object_velocity": np.hstack(
            [observation["object_linear_velocity"], rotation.apply(observation["object_angular_velocity"])]
        ),
    }
    return np.hstack([parts[name] for name in INPUTS]).astype(np.float32)


def shape_vector(target: PoseObject, quaternion: FloatArray) -> FloatArray:
    """Represent orientations (N, 4), object to world, up to symmetries, as (N, SHAPE_WIDTHS[shape_of(target)]).

    Moments are smooth in the orientation and equal for orientations that differ by a symmetry. A block's moments
    distinguish all others: in degree four, its symmetry has one invariant direction and no more symmetries.
    """
    rotation, kind = rotation_from_quaternion(quaternion), shape_of(target)
    if kind == "nearest":
        alike = Symmetries(rotations=target.shape_symmetries)
        rotation = least_turn(alike, Rotation.identity(len(quaternion)), rotation)
    matrices = rotation.as_matrix()
    if kind in ("nearest", "matrix"):
        return matrices.reshape(-1, 9)
    if kind == "moments":
        return _moments(matrices, np.array([face.normal for face in target.faces]), 4)
    ends = target.symmetries.rotations @ target.symmetries.axes[0]
    return np.hstack([_moments(matrices, ends, degree) for degree in (1, 2)])


def _moments(matrices: FloatArray, directions: FloatArray, degree: int) -> FloatArray:
    """Return means of all products of ``degree`` (at most four) coordinates of directions (D, 3) rotated by matrices
    (N, 3, 3)."""
    turned = np.einsum("nij,fj->nfi", matrices, directions)
    square = turned**2
    powers = np.stack([np.ones_like(turned), turned, square, square * turned, square**2], axis=-1)  # (N, D, 3, 5)
    exponents = [(i, j, degree - i - j) for i in range(degree + 1) for j in range(degree + 1 - i)]
    return np.stack(
        [(powers[:, :, 0, i] * powers[:, :, 1, j] * powers[:, :, 2, k]).mean(axis=1) for i, j, k in exponents], axis=1
    )


def goal_vector(relative: FloatArray) -> NDArray[np.float32]:
    """Return goal vectors (N, GOAL_WIDTH), float32, of the rotations to the goal (N, 4), w x y z with w >= 0."""
    matrix = rotation_from_quaternion(relative).as_matrix().reshape(len(relative), 9)
    return np.hstack([relative, matrix]).astype(np.float32)
