"""Baking of vertex or triangle colours, as 3-D scanners write them, into a texture.

Each triangle gets half a cell of the texture. Triangles are ordered along a space-filling curve over the surface, and
cells along one over the texture, so that neighbouring cells show neighbouring places: when a renderer shrinks and
blends the texture, it blends what belongs together.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from vision.geometry.rotations import FloatArray
from vision.io.png import png_bytes
from vision.objects.mesh_points import sample_with_faces
from vision.objects.pose_object import Mesh

_SIDE = 1024  # pixels of the texture; more if that leaves too few for a cell
_SMALLEST_CELL, _LARGEST_CELL = 8, 16  # pixels: scans have enough triangles, and no more detail than these
_MOST_CELLS = 512  # in a row of the texture, which is then 4096 pixels wide
_SAMPLES = 200_000  # colours of the surface; each texel takes one


def baked(mesh: Mesh, scan: Any) -> tuple[Mesh, bytes]:
    """Return a mesh with the colours of a scan's surface as a texture.

    Args:
        mesh: the scan with as many triangles or fewer.
        scan: a ``trimesh.Trimesh`` in the same frame, with colours of its vertices or triangles.

    Returns:
        The mesh, its triangles no longer sharing vertices, with texture coordinates; and the content of a PNG file.

    Raises:
        ValueError: the mesh has too many triangles for a texture.
    """
    from PIL import Image

    if len(mesh.faces) > (most := 2 * _MOST_CELLS**2):
        raise ValueError(
            f"file: {len(mesh.faces):,} triangles of a coloured scan have to be kept for its shape, {most:,} at most "
            "have room in a texture; smooth the scan, or give one with fewer"
        )
    points, chosen = sample_with_faces(scan, _SAMPLES)
    colors = _colors(scan, points, chosen)
    corners = mesh.triangles[_along_a_curve(mesh.triangles.mean(axis=1))]
    cells = 1 << int(np.ceil(np.log2(max(1, len(corners) / 2)) / 2))  # in a row of the texture
    size = max(_SMALLEST_CELL, min(_LARGEST_CELL, _SIDE // cells))
    cell, upper = np.divmod(np.arange(len(corners)), 2)
    places = size * np.stack([_along(cell, axis) for axis in (0, 1)], axis=1)
    # Triangles keep a pixel's distance from the cell's sides and from each other: renderers mix neighbouring texels.
    low = np.array([[1.0, 1.0], [size - 3.0, 1.0], [1.0, size - 3.0]])
    uv = places[:, None] + np.where(upper[:, None, None], size - low, low)

    column, row = (axis.ravel() for axis in np.meshgrid(np.arange(size) + 0.5, np.arange(size) + 0.5))
    texture = np.zeros((cells * size, cells * size, 3), np.uint8)
    tree = cKDTree(points)
    for half, inside in ((0, column + row < size), (1, column + row >= size)):
        at = np.stack([column, row], axis=1)[inside]
        weight = _barycentric(size - at if half else at, low).clip(0)
        weight /= weight.sum(axis=1, keepdims=True)
        here = np.flatnonzero(upper == half)
        nearest = tree.query(np.einsum("tc,ncx->ntx", weight, corners[here]), workers=-1)[1]
        texel = places[here][:, None] + np.floor(at).astype(np.int64)
        texture[-1 - texel[..., 1], texel[..., 0]] = colors[nearest]  # texture coordinates begin at the bottom
    faces = np.arange(3 * len(corners)).reshape(-1, 3)
    mesh = Mesh(vertices=corners.reshape(-1, 3), faces=faces, uv=uv.reshape(-1, 2) / (cells * size))
    return mesh, png_bytes(Image.fromarray(texture))


def _colors(scan: Any, points: FloatArray, chosen: NDArray[np.int64]) -> NDArray[np.uint8]:
    """Return sRGB-encoded colours (N, 3) at points (N, 3) on a scan's triangles (N,)."""
    visual = scan.visual
    if visual.kind == "face":
        faces: NDArray[np.uint8] = np.asarray(visual.face_colors)[chosen, :3]
        return faces
    import trimesh

    weight = trimesh.triangles.points_to_barycentric(scan.triangles[chosen], points)
    corners = np.asarray(visual.vertex_colors, np.float64)[scan.faces[chosen], :3]
    mixed: FloatArray = np.einsum("nc,ncx->nx", weight, corners)
    return mixed.round().clip(0, 255).astype(np.uint8)


def _barycentric(at: FloatArray, corners: FloatArray) -> FloatArray:
    """Return weights (N, 3) of a right triangle's corners (3, 2), the right angle first, at points (N, 2); negative
    outside."""
    along = (at - corners[0]) / (corners[1, 0] - corners[0, 0])
    weights: FloatArray = np.stack([1 - along.sum(axis=1), along[:, 0], along[:, 1]], axis=1)
    return weights


def _along_a_curve(points: FloatArray) -> NDArray[np.int64]:
    """Return an order of points (N, 3) in which neighbours lie near each other (Morton's)."""
    extent = np.ptp(points, axis=0).max() or 1.0
    steps = ((points - points.min(axis=0)) / extent * 1023).astype(np.int64)
    code = np.zeros(len(points), np.int64)
    for bit in range(10):
        for axis in range(3):
            code |= (steps[:, axis] >> bit & 1) << (3 * bit + axis)
    return np.argsort(code, kind="stable")


def _along(code: NDArray[np.int64], axis: int) -> NDArray[np.int64]:
    """Return one coordinate, 0 or 1, of the places (N,) along that curve in the plane."""
    place = np.zeros_like(code)
    for bit in range(20):
        place |= (code >> (2 * bit + axis) & 1) << bit
    return place
