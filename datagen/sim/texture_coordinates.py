"""Texture coordinates for meshes that have none: each triangle is seen along the axis that it faces most."""

from __future__ import annotations

import mujoco
import numpy as np

from vision.geometry.rotations import FloatArray

_REPEAT = 0.06  # m, side of a texture on the hand and the object


def box_coordinates(triangles: FloatArray) -> FloatArray:
    """Coordinates (F, 3, 2) for triangles (F, 3, 3) in metres; a texture repeats every whole number."""
    normals = np.cross(triangles[:, 1] - triangles[:, 0], triangles[:, 2] - triangles[:, 0])
    axis = np.argmax(np.abs(normals), axis=1)
    kept = np.array([[1, 2], [2, 0], [0, 1]])[axis]  # (F, 2)
    coordinates = np.take_along_axis(triangles, kept[:, None].repeat(3, axis=1), axis=2) / _REPEAT
    coordinates[..., 0] *= np.where(np.take_along_axis(normals, axis[:, None], axis=1) < 0, -1, 1)  # no mirror images
    return coordinates


def add_box_coordinates(mesh: mujoco.MjsMesh) -> None:
    """Give a mesh whose vertices and faces are the user's own coordinates for textures; its normals stay."""
    vertices = np.reshape(mesh.uservert, (-1, 3)) * np.asarray(mesh.scale)
    faces = np.reshape(mesh.userface, (-1, 3)).astype(int)
    mesh.usertexcoord = box_coordinates(vertices[faces]).ravel()
    mesh.userfacetexcoord = np.arange(3 * len(faces))
