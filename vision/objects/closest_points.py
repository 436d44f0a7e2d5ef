"""Exact closest points on a mesh's surface, whatever mixture of triangles it has."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
from scipy.spatial import cKDTree

from vision.geometry.rotations import FloatArray
from vision.objects.mesh_points import sample_with_faces

_GUESSES, _SAMPLES = 8, 20_000
_AT_ONCE = 256  # points: for a ball's centre every triangle is the closest one
_ROUNDING = 1 + 1e-9


class Surface:
    """Surface of a ``trimesh.Trimesh`` that is indexed once, at the first of any number of queries.

    Args:
        solid: the mesh; it must not change.
    """

    def __init__(self, solid: Any) -> None:
        self.solid = solid

    @functools.cached_property
    def _index(self) -> tuple[cKDTree, np.ndarray, _Triangles]:
        samples, sampled = sample_with_faces(self.solid, _SAMPLES)
        return cKDTree(samples), sampled, _Triangles(self.solid.triangles)

    def closest(self, points: FloatArray) -> tuple[FloatArray, np.ndarray]:
        """Return the closest points (N, 3) on the surface to points (N, 3), and the triangles (N,) that they lie on."""
        samples, sampled, triangles = self._index
        guesses = sampled[samples.query(points, k=_GUESSES)[1]]  # (N, G)
        found = [
            triangles.closest(points[part], guesses[part])
            for part in np.array_split(np.arange(len(points)), -(-len(points) // _AT_ONCE))
        ]
        return np.concatenate([place for place, _ in found]), np.concatenate([face for _, face in found])

    def distance(self, points: FloatArray) -> FloatArray:
        """Return the distances (N,) of points (N, 3) from the surface, in its unit."""
        distance: FloatArray = np.linalg.norm(self.closest(points)[0] - points, axis=1)
        return distance


class _Triangles:
    """Triangles (F, 3, 3) indexed by position.

    Triangles of similar radii are searched together: one large triangle among a million small ones would widen every
    search.
    """

    def __init__(self, corners: FloatArray) -> None:
        self._corners = corners
        self._low, self._high = corners.min(axis=1), corners.max(axis=1)
        centres = corners.mean(axis=1)
        radii = np.linalg.norm(corners - centres[:, None], axis=2).max(axis=1)
        sizes = np.frexp(radii)[1]
        alike = [np.flatnonzero(sizes == size) for size in np.unique(sizes)]
        self._trees = [(faces, radii[faces].max() * _ROUNDING, cKDTree(centres[faces])) for faces in alike]

    def closest(self, points: FloatArray, guesses: np.ndarray) -> tuple[FloatArray, np.ndarray]:
        """Return the closest points (N, 3) to points (N, 3), and their triangles (N,); guesses (N, G) of these save
        time."""
        row = np.repeat(np.arange(len(points)), guesses.shape[1])
        near = [(row, guesses.ravel())]
        place, _ = self._best(points, *near[0])
        within = np.linalg.norm(points - place, axis=1) * _ROUNDING
        for faces, radius, tree in self._trees:
            # A closer triangle has its centre within that distance plus its radius.
            inside = tree.query_ball_point(points, within + radius)
            row = np.repeat(np.arange(len(points)), [len(each) for each in inside])
            face = faces[np.concatenate([np.asarray(each, np.int64) for each in inside])]
            beside = np.maximum(self._low[face] - points[row], points[row] - self._high[face]).clip(0)
            kept = np.einsum("nx,nx->n", beside, beside) <= within[row] ** 2  # most are long slivers
            near.append((row[kept], face[kept]))
        return self._best(points, *(np.concatenate(each) for each in zip(*near, strict=True)))

    def _best(self, points: FloatArray, row: np.ndarray, face: np.ndarray) -> tuple[FloatArray, np.ndarray]:
        """Return the closest pair for each point, among pairs (P,) of a point and a triangle."""
        import trimesh

        # trimesh treats products of lengths below 1e-14 as zero, such as those of triangles of a tenth of a millimetre.
        corners = self._corners[face]
        middle = corners.mean(axis=1)
        size = np.linalg.norm(corners - middle[:, None], axis=2).max(axis=1)[:, None]
        size[size == 0] = 1
        scaled = (corners - middle[:, None]) / size[:, None], (points[row] - middle) / size
        place = trimesh.triangles.closest_point(*scaled) * size + middle
        order = np.lexsort((face, np.linalg.norm(place - points[row], axis=1), row))
        first = order[np.searchsorted(row[order], np.arange(len(points)))]
        return place[first], face[first]
