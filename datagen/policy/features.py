"""What a policy's or critic's network reads of an observation: vectors made from it, goal and state apart.

The goal enters as the rotation still to be made. The object's own orientation enters as its shape sees it: a block
turned by 90 degrees about an axis of its own is the same block, only its letters move, so one state stands for all 24.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from datagen.sim.interface import ACTIONS, FloatArray, Observation
from datagen.sim.scene import SimScene
from vision.geometry.rotations import rotation_from_quaternion

INPUTS = {
    "fingertip_position": 15,
    "object_position": 3,
    "object_shape": 15,
    "joint_position": 24,
    "last_action": ACTIONS,
    "joint_velocity": 24,
    "object_velocity": 6,
}
"""Parts of the state vector by name, in this order, and their widths. The rotation to the goal is always an input."""

STATE_WIDTH = sum(INPUTS.values())
GOAL_WIDTH = 13  # the rotation to the goal as a quaternion and as a matrix
_EXPONENTS = [(i, j, 4 - i - j) for i in range(5) for j in range(5 - i)]


def input_indices(names: tuple[str, ...]) -> list[int]:
    """Columns of the state vector that hold the named inputs.

    Raises:
        ValueError: an unknown or repeated name.
    """
    unknown = [name for name in names if name not in INPUTS]
    if unknown or len(set(names)) < len(names):
        raise ValueError(f"inputs: expected different names out of {', '.join(INPUTS)}, got {', '.join(names)}")
    starts = dict(zip(INPUTS, np.cumsum([0, *INPUTS.values()])[:-1], strict=True))
    return [int(starts[name]) + column for name in names for column in range(INPUTS[name])]


def state_vector(scene: SimScene, observation: Observation, last_action: FloatArray) -> NDArray[np.float32]:
    """State vectors (N, STATE_WIDTH), float32; `last_action` (N, 20) is the action before, in [-1, 1]."""
    worlds = len(last_action)
    rotation = rotation_from_quaternion(observation["object_quaternion"])
    palm = np.asarray(scene.scene.workspace.start)
    parts = {
        "fingertip_position": (observation["fingertip_position"] - palm).reshape(worlds, -1),
        "object_position": observation["object_position"] - palm,
        "object_shape": shape_moments(scene, observation["object_quaternion"]),
        "joint_position": observation["joint_position"],
        "last_action": last_action,
        "joint_velocity": observation["joint_velocity"],
        "object_velocity": np.hstack(
            [observation["object_linear_velocity"], rotation.apply(observation["object_angular_velocity"])]
        ),
    }
    return np.hstack([parts[name] for name in INPUTS]).astype(np.float32)


def shape_moments(scene: SimScene, quaternion: FloatArray) -> FloatArray:
    """Fourth moments of the object's face normals in the world frame, (N, 15): its orientation without the letters.

    They are smooth in the orientation, equal for orientations that differ by a symmetry of the shape, and tell all
    others of a block apart (of degree four, the block's symmetry has one invariant direction and no more symmetries).
    """
    normals = np.array([face.normal for face in scene.object.faces])
    turned = np.einsum("nij,fj->nfi", rotation_from_quaternion(quaternion).as_matrix(), normals)
    square = turned**2
    powers = np.stack([np.ones_like(turned), turned, square, square * turned, square**2], axis=-1)  # (N, F, 3, 5)
    return np.stack(
        [(powers[:, :, 0, i] * powers[:, :, 1, j] * powers[:, :, 2, k]).mean(axis=1) for i, j, k in _EXPONENTS], axis=1
    )


def goal_vector(relative: FloatArray) -> NDArray[np.float32]:
    """Goal vectors (N, GOAL_WIDTH), float32, from the rotations to the goal (N, 4), w x y z with w >= 0."""
    matrix = rotation_from_quaternion(relative).as_matrix().reshape(len(relative), 9)
    return np.hstack([relative, matrix]).astype(np.float32)
