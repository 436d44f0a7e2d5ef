"""Symmetries that a scene file declares for a mesh, checked against it."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.spatial.transform import Rotation

from vision.geometry.rotations import FloatArray, is_rotation
from vision.objects.closest_points import Surface
from vision.objects.mesh_points import group
from vision.objects.mesh_symmetries import GOLDEN, TOLERANCE, distance_beside, middle_of
from vision.objects.symmetries import Symmetries, parallel
from vision.plain import Plain, Vector3


class Turn(Plain, frozen=True):
    """A rotation by ``degrees`` about an axis."""

    axis: Vector3
    degrees: float

    def matrix(self) -> FloatArray:
        """Return the rotation matrix (3, 3)."""
        return Rotation.from_rotvec(np.deg2rad(self.degrees) * _unit(self.axis)).as_matrix()


class SymmetriesFile(Plain, frozen=True):
    """Motions about the object's centroid that leave its appearance unchanged.

    Attributes:
        discrete: rotations by an axis and an angle, or (3, 3) rotation matrices; those that follow from them may be
            left out.
        continuous: axes about which any rotation leaves it unchanged.
    """

    discrete: tuple[Turn | tuple[Vector3, Vector3, Vector3], ...] = ()
    continuous: tuple[Vector3, ...] = ()

    def build(self, solid: Any, diameter: float, file: str) -> Symmetries:
        """Return the symmetries of a mesh, including all rotations that follow.

        Args:
            solid: the mesh (trimesh), metres.
            diameter: of the object, metres.
            file: name of the mesh's file, for messages.

        Raises:
            ValueError: a declared motion is not a rotation, or not a symmetry of the mesh.
        """
        centre, surface = middle_of(solid), Surface(solid)

        def check(rotation: FloatArray, which: str) -> None:
            distance = distance_beside(surface, rotation, centre)
            if distance > TOLERANCE * diameter:
                raise ValueError(
                    f"symmetries.{which}: turned so, the surface is up to {1000 * distance:.3g} mm beside itself "
                    f"({100 * distance / diameter:.2g} % of the diameter); it is no symmetry of {file}"
                )

        axes: list[FloatArray] = []
        for axis in map(_unit, self.continuous):
            if not any(parallel(axis, other) for other in axes):  # an axis and its opposite are one
                axes.append(axis)
        matrices = []
        for number, turn in enumerate(self.discrete):
            matrix = turn.matrix() if isinstance(turn, Turn) else np.array(turn)
            if not is_rotation(matrix):
                raise ValueError(f"symmetries.discrete[{number}]: no rotation matrix (a reflection is none)")
            matrix = Rotation.from_matrix(matrix).as_matrix()
            check(matrix, f"discrete[{number}]")
            if len(axes) == 1 and abs(abs(axes[0] @ matrix @ axes[0]) - 1) > 1e-3:
                raise ValueError(f"symmetries.discrete[{number}]: does not keep the continuous symmetry's axis")
            matrices.append(matrix)
        for number, axis in enumerate(map(_unit, self.continuous)):
            for step in range(1, 9):
                matrix = Rotation.from_rotvec(GOLDEN * step * axis).as_matrix()
                check(matrix, f"continuous[{number}]")
        rotations = group(matrices)
        if axes:  # rotations about the axis are included already
            rotations = rotations[[0, *(i for i in range(1, len(rotations)) if not _about(rotations[i], axes[0]))]]
        if len(axes) == 1:
            rotations = rotations[:2]  # one rotation that exchanges the ends represents the rest
        if len(axes) > 1:
            rotations = rotations[:1]
        trivial = len(rotations) == 1 and not axes
        return Symmetries(
            rotations=rotations,
            axes=np.array(axes).reshape(-1, 3),
            centre=np.zeros(3) if trivial else centre,
        )


def _unit(axis: Vector3) -> FloatArray:
    length = float(np.linalg.norm(axis))
    if not length > 0:
        raise ValueError(f"symmetries: {list(axis)} is no axis")
    return np.array(axis) / length


def _about(rotation: FloatArray, axis: FloatArray) -> bool:
    return bool(rotation @ axis @ axis > 1 - 1e-6)
