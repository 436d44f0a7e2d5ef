"""Clutter in Filament's scene."""

from __future__ import annotations

from typing import Any

import numpy as np

from datagen.appearance.clutter_pieces import ClutterPiece
from datagen.appearance.sample import Sample
from vision.geometry.rotations import FloatArray, quaternion_from_z


class FilamentClutter:
    """Pieces of the current sample, each drawn as one mesh. Must be freed before the scene.

    Args:
        mjrf: the module of that name.
        context: Filament's context.
        scene: Filament's scene, to which the pieces are added.
    """

    def __init__(self, mjrf: Any, context: Any, scene: Any) -> None:
        self._mjrf, self._context, self._scene = mjrf, context, scene
        self._drawn: list[tuple[Any, Any, Any]] = []

    def put(self, sample: Sample) -> None:
        """Replace the last sample's pieces by this one's."""
        for renderable, _, _ in self._drawn:
            self._scene.remove_renderable(renderable)
        self._drawn = [self._add(piece) for piece in sample.appearance.clutter]

    def _add(self, piece: ClutterPiece) -> tuple[Any, Any, Any]:
        """Return a renderable, its mesh, and the mesh's data, which Filament reads while it draws."""
        mjrf = self._mjrf
        usage, kind = mjrf.VertexAttributeUsage, mjrf.VertexAttributeType
        vertices, normals, faces = piece.triangles()
        config = mjrf.MeshConfig(
            max_vertices=len(vertices),
            max_indices=faces.size,
            attributes=[
                mjrf.VertexAttribute(usage.VERTEX_ATTRIBUTE_USAGE_POSITION, kind.VERTEX_ATTRIBUTE_TYPE_FLOAT3),
                mjrf.VertexAttribute(usage.VERTEX_ATTRIBUTE_USAGE_TANGENTS, kind.VERTEX_ATTRIBUTE_TYPE_FLOAT4),
                # Unused, but the shaders require them.
                mjrf.VertexAttribute(usage.VERTEX_ATTRIBUTE_USAGE_UV, kind.VERTEX_ATTRIBUTE_TYPE_FLOAT2),
            ],
            interleaved=True,
            index_type=mjrf.IndexType.INDEX_TYPE_U16,
            primitive_type=mjrf.MeshPrimitiveType.MESH_PRIMITIVE_TYPE_TRIANGLES,
        )
        low, high = vertices.min(axis=0).astype(np.float32), vertices.max(axis=0).astype(np.float32)
        data = mjrf.MeshData(compute_bounds=False, bounds_min=low, bounds_max=high)
        rows = np.concatenate([vertices, _tangent_frames(normals), np.zeros((len(vertices), 2))], axis=1)
        data.set_vertices(config, rows.astype(np.float32).tobytes())
        data.set_indices(config, faces.astype(np.uint16).tobytes())
        mesh = self._context.create_mesh(config)
        mesh.upload(data)
        renderable = self._context.create_renderable(mjrf.RenderableParams(cast_shadow=True, receive_shadow=True))
        renderable.set_mesh(mesh, 0, faces.size)
        renderable.set_pose(np.zeros(3, np.float32), np.eye(3, dtype=np.float32).ravel())
        renderable.set_material(
            mjrf.Material(
                color=np.array([*piece.rgb, 1.0], np.float32),
                metallic=piece.metallic,
                roughness=1.0 - piece.glossiness,
            )
        )
        self._scene.add_renderable(renderable)
        return renderable, mesh, data


def _tangent_frames(normals: FloatArray) -> FloatArray:
    """Return rotations of the z axis to unit normals (V, 3) in Filament's form: quaternions x y z w, w > 0, (V, 4)."""
    frames = quaternion_from_z(normals)[:, [1, 2, 3, 0]]
    frames[:, 3] = np.maximum(frames[:, 3], 1e-6)
    return frames
