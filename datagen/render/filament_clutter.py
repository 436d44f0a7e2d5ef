"""Clutter in Filament's scene."""

from __future__ import annotations

from typing import Any

import numpy as np

from datagen.render.clutter import Piece
from datagen.render.sample import Sample
from vision.geometry.rotations import FloatArray, quaternion_from_z


class FilamentClutter:
    """Draws a sample's pieces, each as one mesh. Must go before the scene does.

    Args:
        mjrf: the module of that name.
        context: Filament's.
        scene: Filament's, which the pieces are added to.
    """

    def __init__(self, mjrf: Any, context: Any, scene: Any) -> None:
        self._mjrf, self._context, self._scene = mjrf, context, scene
        self._drawn: list[tuple[Any, Any, Any]] = []

    def put(self, sample: Sample) -> None:
        """Put the sample's pieces in the place of the last one's."""
        for renderable, _, _ in self._drawn:
            self._scene.remove_renderable(renderable)
        self._drawn = [self._add(piece) for piece in sample.appearance.clutter]

    def _add(self, piece: Piece) -> tuple[Any, Any, Any]:
        """A renderable, its mesh, and the mesh's data, which Filament reads while it draws."""
        mjrf = self._mjrf
        usage, kind = mjrf.VertexAttributeUsage, mjrf.VertexAttributeType
        vertices, normals, faces = piece.triangles()
        config = mjrf.MeshConfig(
            max_vertices=len(vertices),
            max_indices=faces.size,
            attributes=[
                mjrf.VertexAttribute(usage.VERTEX_ATTRIBUTE_USAGE_POSITION, kind.VERTEX_ATTRIBUTE_TYPE_FLOAT3),
                mjrf.VertexAttribute(usage.VERTEX_ATTRIBUTE_USAGE_TANGENTS, kind.VERTEX_ATTRIBUTE_TYPE_FLOAT4),
                # Nothing is looked up by them, but the shaders ask for them.
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
    """Rotations of the z axis to unit normals (V, 3), as Filament has them: quaternions x y z w, w above 0, (V, 4)."""
    frames = quaternion_from_z(normals)[:, [1, 2, 3, 0]]
    frames[:, 3] = np.maximum(frames[:, 3], 1e-6)
    return frames
