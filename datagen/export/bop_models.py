"""The object as the BOP format has it: meshes in millimetres, and what is known of their shape."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import trimesh

from vision.geometry.rotations import FloatArray
from vision.scene.objects import PoseObject

OBJECT_ID = 1
MM = 1000.0
"""Millimetres in a metre."""

_EVALUATION_EDGE_MM = 5.0  # models_eval: vertices spread evenly, for errors that average over them


def write_models(target: PoseObject, folder: Path) -> None:
    """Write ``models`` and ``models_eval`` into an empty folder."""
    mesh = object_mesh(target)
    vertices, faces = trimesh.remesh.subdivide_to_size(mesh.vertices, mesh.faces, _EVALUATION_EDGE_MM)
    fine = trimesh.Trimesh(vertices, faces)  # its equal vertices become one
    low, size = mesh.vertices.min(axis=0), np.ptp(mesh.vertices, axis=0)
    info: dict[str, Any] = {"diameter": target.diameter * MM}
    info |= {f"min_{axis}": float(low[i]) for i, axis in enumerate("xyz")}
    info |= {f"size_{axis}": float(size[i]) for i, axis in enumerate("xyz")}
    if alike := [rotation for rotation in target.symmetries if not np.allclose(rotation, np.eye(3))]:
        info["symmetries_discrete"] = [_transform(rotation).ravel().tolist() for rotation in alike]
    for name, shape in (("models", mesh), ("models_eval", fine)):
        (folder / name).mkdir()
        (folder / name / f"obj_{OBJECT_ID:06d}.ply").write_bytes(_ply(shape))
        (folder / name / "models_info.json").write_text(json.dumps({str(OBJECT_ID): info}, indent=1) + "\n")


def object_mesh(target: PoseObject) -> trimesh.Trimesh:
    """The object in millimetres, its origin in its centre, faces in their colours; no vertex is shared by two faces."""
    vertices: list[FloatArray] = []
    triangles: list[tuple[int, int, int]] = []
    colors: list[list[int]] = []
    for face in target.faces:
        first, corners = len(vertices), len(face.corners)
        vertices += [target.keypoints[corner] * MM for corner in face.corners]
        triangles += [(first, first + i, first + i + 1) for i in range(1, corners - 1)]
        colors += [[round(255 * channel) for channel in face.color]] * corners
    return trimesh.Trimesh(vertices, triangles, vertex_colors=colors, process=False)


def _ply(mesh: trimesh.Trimesh) -> bytes:
    return trimesh.exchange.ply.export_ply(mesh, encoding="ascii", vertex_normal=True)


def _transform(rotation: FloatArray) -> FloatArray:
    matrix = np.eye(4)
    matrix[:3, :3] = rotation
    return matrix
