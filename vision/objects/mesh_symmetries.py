"""Tests whether a body looks the same after a rotation: its surface, and the colours on it.

The surface test checks declared symmetries when a mesh is read. ``dactyl scene check`` tests the colours, too, and
searches for undeclared symmetries.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.spatial import cKDTree
from scipy.spatial.transform import Rotation

from vision.geometry.rotations import FloatArray
from vision.io.png import png_pixels
from vision.objects.closest_points import Surface
from vision.objects.mesh_points import sample_surface, sample_with_faces
from vision.objects.pose_object import Part, PoseObject
from vision.objects.symmetries import symmetric_distance

TOLERANCE = 0.01
"""Fraction of the diameter by which a rotated surface may deviate from itself and still count as the same."""
GOLDEN = 2.39996
"""Angle in radians of which no multiple is a fraction of a turn."""
_FRACTIONS = (2, 3, 4, 5, 6, 8)  # fractions of a turn to try about each axis
_SAME_TURN = 0.05  # radians: a rotation nearer to a declared one counts as that one
_ROUGH = 0.08  # of the diameter: a larger deviation needs no exact test
_ROUGH_SAMPLES = 4000
_COLOR_SAMPLES = 4000
_OTHER_COLOR = 0.06  # mean difference of channels in [0, 1]; texels do not fall onto each other exactly
_MARK_COLOR, _MARK_AREA = 0.1, 0.02  # a difference that tells orientations apart: of a point's channels, and its area


def middle_of(solid: Any) -> FloatArray:
    """Return the point (3,) that every symmetry of a ``trimesh.Trimesh`` leaves fixed: its centroid."""
    if solid.is_watertight:
        return np.asarray(solid.centroid, np.float64)
    return np.asarray(np.average(solid.triangles_center, axis=0, weights=solid.area_faces))  # it has no volume


def distance_beside(surface: Surface, rotation: FloatArray, centre: FloatArray) -> float:
    """Return the largest deviation of a surface from itself after a rotation (3, 3) about a point (3,); metres."""
    points = np.concatenate([sample_surface(surface.solid, 2000), surface.solid.vertices[:2000]])
    return float(surface.distance(_turned(points, rotation, centre)).max())


def undeclared_symmetry(target: PoseObject) -> str | None:
    """Describe a rotation that keeps an object's shape and colours and is not among its symmetries; None if none was
    found. Fractions of a turn, and any rotation, are tried about its own axes and the principal ones of its surface."""
    import trimesh

    solid = trimesh.Trimesh(target.mesh.vertices, target.mesh.faces)
    centre, rough = middle_of(solid), sample_surface(solid, _ROUGH_SAMPLES)
    tree, colors, surface = cKDTree(rough), _Colors(target), Surface(solid)

    def same(axis: FloatArray, angle: float) -> bool:
        rotation = Rotation.from_rotvec(angle * axis).as_matrix()
        if symmetric_distance(target.symmetries, np.eye(3)[None], rotation[None])[0] < _SAME_TURN:
            return False  # declared, or the identity
        if np.max(tree.query(_turned(rough[:300], rotation, centre))[0]) > _ROUGH * target.diameter:
            return False
        if distance_beside(surface, rotation, centre) >= TOLERANCE * target.diameter:
            return False
        if (colors.differences(rotation, centre, every=20) > _MARK_COLOR).mean() > 5 * _MARK_AREA:
            return False  # most rotations, long before all points are compared
        return bool((colors.differences(rotation, centre) > _MARK_COLOR).mean() < _MARK_AREA)

    for axis in np.concatenate([np.eye(3), _principal_axes(solid, centre)]):
        about = f"about ({', '.join(f'{value:.3g}' for value in axis.round(3) + 0.0)})"
        if all(same(axis, GOLDEN * step) for step in (1, 2, 3)):
            return f"any turn {about}"
        if found := [parts for parts in _FRACTIONS if same(axis, 2 * np.pi / parts)]:
            return f"a turn by {360 / found[-1]:g} degrees {about}"
    return None


def _principal_axes(solid: Any, centre: FloatArray) -> FloatArray:
    """Return the principal axes of a surface as a shell, (3, 3) unit vectors in rows."""
    corners = solid.triangles - centre
    total = corners.sum(axis=1)
    # The integral of x x^T over a triangle of area A is A / 12 times this sum.
    moment = np.einsum("f,fcx,fcy->xy", solid.area_faces, corners, corners)
    moment += np.einsum("f,fx,fy->xy", solid.area_faces, total, total)
    return np.asarray(np.linalg.eigh(moment)[1].T)


def symmetries_change_colors(target: PoseObject) -> bool:
    """Return whether a declared symmetry of an object takes its colours and textures onto others."""
    symmetries, colors = target.symmetries, _Colors(target)
    turns = [Rotation.from_rotvec(GOLDEN * axis).as_matrix() for axis in symmetries.axes]
    return any(
        colors.differences(rotation, symmetries.centre).mean() > _OTHER_COLOR
        for rotation in (*symmetries.rotations[1:], *turns)
    )


class _Colors:
    """Colours of an object at points sampled on its surface."""

    def __init__(self, target: PoseObject) -> None:
        import trimesh

        self._parts = target.parts
        solids = [trimesh.Trimesh(part.mesh.vertices, part.mesh.faces, process=False) for part in target.parts]
        self._surfaces = [Surface(solid) for solid in solids]
        each = max(1, _COLOR_SAMPLES // len(self._parts))
        sampled = [sample_with_faces(solid, each) for solid in solids]
        self._points = np.concatenate([points for points, _ in sampled])
        self._colors = np.concatenate([_colors(part, *one) for part, one in zip(self._parts, sampled, strict=True)])

    def differences(self, rotation: FloatArray, centre: FloatArray, every: int = 1) -> FloatArray:
        """Return by how much the colour at each point (N,) differs from the one that a rotation (3, 3) about a centre
        (3,) carries there: the mean of the channels, in [0, 1]. ``every`` compares one point in so many."""
        there = _colors_at(self._parts, self._surfaces, _turned(self._points[::every], rotation, centre))
        return np.asarray(np.abs(self._colors[::every] - there).mean(axis=1))


def _colors_at(parts: Sequence[Part], surfaces: Sequence[Surface], points: FloatArray) -> FloatArray:
    """Return colours (N, 3) at the points of the parts' surfaces that are closest to points (N, 3)."""
    nearest, colors = np.full(len(points), np.inf), np.zeros((len(points), 3))
    for part, surface in zip(parts, surfaces, strict=True):
        closest, faces = surface.closest(points)
        distance = np.linalg.norm(closest - points, axis=1)
        nearer = distance < nearest
        nearest[nearer], colors[nearer] = distance[nearer], _colors(part, closest[nearer], faces[nearer])
    return colors


def _turned(points: FloatArray, rotation: FloatArray, centre: FloatArray) -> FloatArray:
    return np.asarray(centre + (points - centre) @ rotation.T)


def _colors(part: Part, points: FloatArray, faces: np.ndarray) -> FloatArray:
    """Return colours (N, 3) of a part at points (N, 3) of its triangles (N,)."""
    import trimesh

    mesh = part.mesh
    colors = np.tile(np.asarray(part.color), (len(points), 1))
    if part.texture is None or mesh.uv is None or not len(points):
        return colors
    weight = trimesh.triangles.points_to_barycentric(mesh.vertices[mesh.faces[faces]], points)
    u, v = np.einsum("nc,ncx->xn", np.nan_to_num(weight), mesh.uv[mesh.faces[faces]])
    texels = png_pixels(part.texture) / 255
    height, width = texels.shape[:2]
    rows, columns = np.floor((-v % 1) * height).astype(int), np.floor((u % 1) * width).astype(int)
    return np.asarray(colors * texels[rows.clip(0, height - 1), columns.clip(0, width - 1)])
