"""Triangle meshes of MuJoCo's geoms of any type."""

from __future__ import annotations

from typing import NamedTuple

import mujoco
import numpy as np
import trimesh

from vision.errors import DactylError
from vision.geometry.rotations import FloatArray

_SECTIONS = 24  # of a circle


class Triangles(NamedTuple):
    """Vertices (V, 3) in metres in the geom's own frame, and faces (F, 3)."""

    vertices: FloatArray
    faces: np.ndarray


def mesh_triangles(model: mujoco.MjModel, mesh: int) -> Triangles:
    """Return a mesh as MuJoCo has read it, in MuJoCo's frame: at its centre, along its principal axes."""
    first, count = model.mesh_vertadr[mesh], model.mesh_vertnum[mesh]
    first_face, faces = model.mesh_faceadr[mesh], model.mesh_facenum[mesh]
    return Triangles(
        model.mesh_vert[first : first + count].astype(np.float64),
        model.mesh_face[first_face : first_face + faces].astype(np.int64),
    )


def geom_mesh(model: mujoco.MjModel, geom: int) -> Triangles:
    """Return the surface of a geom.

    Raises:
        DactylError: the geom's type has none (planes, height fields).
    """
    kind, size = mujoco.mjtGeom(model.geom_type[geom]), model.geom_size[geom]
    if kind == mujoco.mjtGeom.mjGEOM_MESH:
        return mesh_triangles(model, model.geom_dataid[geom])
    if kind == mujoco.mjtGeom.mjGEOM_BOX:
        shape = trimesh.creation.box(2 * size)
    elif kind == mujoco.mjtGeom.mjGEOM_SPHERE:
        shape = trimesh.creation.icosphere(2, size[0])
    elif kind == mujoco.mjtGeom.mjGEOM_ELLIPSOID:
        shape = trimesh.creation.icosphere(2, 1.0)
        shape.apply_scale(size)
    elif kind == mujoco.mjtGeom.mjGEOM_CYLINDER:
        shape = trimesh.creation.cylinder(size[0], 2 * size[1], sections=_SECTIONS)
    elif kind == mujoco.mjtGeom.mjGEOM_CAPSULE:
        shape = trimesh.creation.capsule(2 * size[1], size[0], count=[_SECTIONS, _SECTIONS])
        shape.apply_translation(-shape.bounds.mean(axis=0))
    else:
        name = model.geom(geom).name or f"number {geom}"
        raise DactylError(f"geom {name}: a {kind.name} has no surface to draw; put a box in its place")
    return Triangles(np.asarray(shape.vertices, np.float64), np.asarray(shape.faces, np.int64))
