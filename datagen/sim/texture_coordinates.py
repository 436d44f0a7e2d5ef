"""Texture coordinates for meshes without any: each triangle is projected along the axis that it faces most, and a
bowl's wall is unrolled."""

from __future__ import annotations

import functools
from collections.abc import Callable

import mujoco
import numpy as np

from datagen.sim.backgrounds import BOWL_WALL, FLOOR
from vision.geometry.rotations import FloatArray
from vision.scene.surroundings import Background

_BACKGROUND_REPEAT = 0.4  # m, side of a texture on the background
_REPEAT = 0.06  # m, on the hand and the object


def add_missing_coordinates(spec: mujoco.MjSpec, background: Background) -> None:
    """Give texture coordinates to every visible mesh without them."""
    for mesh in spec.meshes:
        if mesh.name == FLOOR:
            _add_coordinates(mesh, floor_coordinates)
        elif mesh.name == BOWL_WALL:
            _add_coordinates(mesh, functools.partial(wall_coordinates, background))
        elif len(mesh.userface) and not len(mesh.usertexcoord):
            _add_coordinates(mesh, box_coordinates)
    if (plane := spec.geom(FLOOR)) is not None and plane.type == mujoco.mjtGeom.mjGEOM_BOX:
        repeats = np.maximum(1, np.rint(2 * plane.size[:2] / _BACKGROUND_REPEAT))
        # MuJoCo mirrors textures on a box's upper side, hence the negative repeat.
        spec.material(plane.material).texrepeat = repeats * (-1, 1)


def box_coordinates(triangles: FloatArray) -> FloatArray:
    """Return coordinates (F, 3, 2) for triangles (F, 3, 3) in metres; a texture repeats at every whole number."""
    normals = np.cross(triangles[:, 1] - triangles[:, 0], triangles[:, 2] - triangles[:, 0])
    axis = np.argmax(np.abs(normals), axis=1)
    kept = np.array([[1, 2], [2, 0], [0, 1]])[axis]  # (F, 2)
    coordinates = np.take_along_axis(triangles, kept[:, None].repeat(3, axis=1), axis=2) / _REPEAT
    coordinates[..., 0] *= np.where(np.take_along_axis(normals, axis[:, None], axis=1) < 0, -1, 1)  # no mirror images
    return coordinates


def floor_coordinates(triangles: FloatArray) -> FloatArray:
    """Return coordinates (F, 3, 2) for a floor's triangles (F, 3, 3), metres, world frame, as seen from above."""
    return triangles[..., :2] / _BACKGROUND_REPEAT


def wall_coordinates(background: Background, triangles: FloatArray) -> FloatArray:
    """Return coordinates (F, 3, 2) for triangles (F, 3, 3) of a bowl's wall, metres, world frame.

    They run around it, to the right as seen from inside and a whole number of times, and up along it.
    """
    away = triangles - np.array(background.centre)
    radius = np.hypot(away[..., 0], away[..., 1])
    angle = np.arctan2(away[..., 1], away[..., 0])
    angle = angle[:, :1] + (angle - angle[:, :1] + np.pi) % (2 * np.pi) - np.pi  # no triangle wraps around the bowl
    rise = np.array([background.rim_radius - background.floor_radius, background.rim_height])
    along = np.stack([radius - background.floor_radius, away[..., 2]], axis=-1) @ rise / np.linalg.norm(rise)
    around = max(1.0, np.rint(np.pi * (background.floor_radius + background.rim_radius) / _BACKGROUND_REPEAT))
    return np.stack([-around * angle / (2 * np.pi), along / _BACKGROUND_REPEAT], axis=-1)


def _add_coordinates(mesh: mujoco.MjsMesh, coordinates: Callable[[FloatArray], FloatArray]) -> None:
    """Give a mesh with user-defined vertices and faces the ``coordinates`` of its triangles; its normals stay."""
    vertices = np.reshape(mesh.uservert, (-1, 3)) * np.asarray(mesh.scale)
    faces = np.reshape(mesh.userface, (-1, 3)).astype(int)
    mesh.usertexcoord = coordinates(vertices[faces]).ravel()
    mesh.userfacetexcoord = np.arange(3 * len(faces))
