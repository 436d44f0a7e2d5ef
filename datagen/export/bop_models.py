"""Object in the BOP format: meshes in millimetres, with their size and symmetries."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import trimesh

from vision.geometry.rotations import FloatArray
from vision.objects.pose_object import PoseObject

OBJECT_ID = 1
MM = 1000.0
"""Millimetres in a metre."""

_EVALUATION_EDGE_MM = 5.0  # longest edge in models_eval: evenly spread vertices, for errors averaged over them


def write_models(target: PoseObject, folder: Path) -> None:
    """Write ``models`` and ``models_eval`` into an empty folder."""
    mesh = object_mesh(target)
    vertices, faces = trimesh.remesh.subdivide_to_size(mesh.vertices, mesh.faces, _EVALUATION_EDGE_MM)
    fine = trimesh.Trimesh(vertices, faces)  # merges equal vertices
    low, size = mesh.vertices.min(axis=0), np.ptp(mesh.vertices, axis=0)
    info: dict[str, Any] = {"diameter": target.diameter * MM}
    info |= {f"min_{axis}": float(low[i]) for i, axis in enumerate("xyz")}
    info |= {f"size_{axis}": float(size[i]) for i, axis in enumerate("xyz")}
    symmetries = target.symmetries
    if alike := [motion for motion in symmetries.transforms(steps=1) if not np.allclose(motion, np.eye(4))]:
        info["symmetries_discrete"] = [_in_millimetres(motion).ravel().tolist() for motion in alike]
    if len(symmetries.axes):
        offset = (symmetries.centre * MM).tolist()
        info["symmetries_continuous"] = [{"axis": axis.tolist(), "offset": offset} for axis in symmetries.axes]
    for name, shape in (("models", mesh), ("models_eval", fine)):
        (folder / name).mkdir()
        (folder / name / f"obj_{OBJECT_ID:06d}.ply").write_bytes(_ply(shape))
        (folder / name / "models_info.json").write_text(
            json.dumps({str(OBJECT_ID): info}, indent=1) + "\n", encoding="utf-8"
        )


def object_mesh(target: PoseObject) -> trimesh.Trimesh:
    """Return the object's mesh in millimetres, in its own frame, with the parts' colours and without letters."""
    surface, colors = target.mesh, np.rint(255 * target.mesh_colors).astype(np.uint8)
    return trimesh.Trimesh(surface.vertices * MM, surface.faces, vertex_colors=colors, process=False)


def _ply(mesh: trimesh.Trimesh) -> bytes:
    content: bytes = trimesh.exchange.ply.export_ply(mesh, encoding="ascii", vertex_normal=True)
    return content


def _in_millimetres(motion: FloatArray) -> FloatArray:
    """Convert a rigid transform (4, 4) from metres to millimetres."""
    matrix = motion.copy()
    matrix[:3, 3] *= MM
    return matrix
