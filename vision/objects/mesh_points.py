"""Points and lines of a surface: points far from each other or related by symmetries, and edges."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.spatial import ConvexHull, QhullError, cKDTree
from scipy.spatial.distance import pdist, squareform

from vision.geometry.rotations import FloatArray

SHARP_DEG = 30.0  # between the normals of two triangles whose common edge is drawn
_SAMPLES = 20_000
_MOST_HULL_POINTS = 200  # among the points over which errors are computed
_MOST_EDGES = 400
_FEWEST_EDGES = 8  # with fewer, the body is round and a coarse net of it is drawn
_NET_TRIANGLES = 160
_MOST_ROTATIONS = 60  # of a group: those of the icosahedron
_NEAR_AXIS = 0.03  # of the diameter: points of one orbit that lie closer are merged


def sample_surface(solid: Any, count: int = _SAMPLES) -> FloatArray:
    """Sample points (N, 3) uniformly over the triangles of a ``trimesh.Trimesh``, the same ones each time."""
    return sample_with_faces(solid, count)[0]


def sample_with_faces(solid: Any, count: int) -> tuple[FloatArray, np.ndarray]:
    """Sample as :func:`sample_surface` does; also return the triangles (N,) that the points lie on."""
    rng = np.random.default_rng(0)  # a scene file makes the same object each time
    faces = np.searchsorted(np.cumsum(solid.area_faces), rng.uniform(0, solid.area, count))
    faces = np.minimum(faces, len(solid.faces) - 1)
    weight = rng.dirichlet((1.0, 1.0, 1.0), count)
    return np.einsum("nc,ncx->nx", weight, solid.triangles[faces]), faces


def farthest(candidates: FloatArray, count: int, first: list[int], spacing: float = 0.0) -> list[int]:
    """Return indices of up to ``count`` candidates (N, 3), more than ``spacing`` apart: those given, then always the
    one farthest from all before."""
    chosen = list(first)
    distance = np.min([np.linalg.norm(candidates - candidates[i], axis=1) for i in chosen], axis=0)
    while len(chosen) < min(count, len(candidates)) and distance.max() > spacing:
        chosen.append(int(distance.argmax()))
        distance = np.minimum(distance, np.linalg.norm(candidates - candidates[chosen[-1]], axis=1))
    return chosen


def error_points(solid: Any, count: int) -> FloatArray:
    """Return up to ``count`` points of a surface: the two farthest apart, corners of its hull, and points between
    them."""
    try:
        hull = solid.vertices[ConvexHull(solid.vertices).vertices]
    except QhullError:
        raise ValueError("the mesh is flat: a body has a volume") from None
    # Exact except for hulls of thousands of corners; these are round, and points far from each other include the
    # farthest two.
    corners = hull[farthest(hull, 2000, [0])]
    first, second = np.unravel_index(squareform(pdist(corners)).argmax(), (len(corners),) * 2)
    chosen = corners[farthest(corners, _MOST_HULL_POINTS, [int(first), int(second)])]
    together = np.concatenate([chosen, sample_surface(solid)])
    return together[farthest(together, count, list(range(len(chosen))))]


def symmetric_keypoints(candidates: FloatArray, count: int, motions: FloatArray) -> FloatArray:
    """Return ``count`` points (K, 3) or a few more, far apart: candidates (N, 3) and their images under motions (S, 4,
    4)."""
    diameter = float(np.linalg.norm(np.ptp(candidates, axis=0)))
    middle = candidates.mean(axis=0)
    nearest = np.linalg.norm(candidates - middle, axis=1)
    found: list[FloatArray] = []
    distance = np.full(len(candidates), np.inf)
    index = int(nearest.argmax())
    while sum(map(len, found)) < count and distance[index] > 0:
        orbit = orbit_of(candidates[index], motions, _NEAR_AXIS * diameter)
        found.append(orbit)
        distance = np.minimum(distance, cKDTree(orbit).query(candidates)[0])
        distance[index] = 0.0  # its orbit may have moved onto an axis
        index = int(distance.argmax())
    return np.concatenate(found)


def orbit_of(point: FloatArray, motions: FloatArray, near: float) -> FloatArray:
    """Return all images (O, 3) of a point (3,) under a group of motions (S, 4, 4)."""
    images = motions[:, :3, :3] @ point + motions[:, :3, 3]
    kept = images[np.linalg.norm(images - point, axis=1) < near].mean(axis=0)  # the exact fixed point
    places: list[FloatArray] = []
    for image in motions[:, :3, :3] @ kept + motions[:, :3, 3]:
        if all(np.linalg.norm(image - other) > 1e-3 * near for other in places):
            places.append(image)
    return np.array(places)


def sharp_corners(solid: Any) -> FloatArray:
    """Return vertices (C, 3) in which at least three sharp edges meet."""
    edges = solid.face_adjacency_edges[solid.face_adjacency_angles > np.deg2rad(SHARP_DEG)]
    meeting = np.bincount(edges.ravel(), minlength=len(solid.vertices))
    return np.asarray(solid.vertices[meeting >= 3], np.float64)


def wireframe(solid: Any) -> tuple[FloatArray, FloatArray]:
    """Return lines (E, 2, 3) that outline a body, and normals (E, 2, 3) of the two triangles that meet in each.

    These are its sharp edges and open borders, the longest if there are many; for a round body a coarse net.
    """
    lines, normals = _lines(solid, SHARP_DEG)
    if len(lines) < _FEWEST_EDGES:
        import fast_simplification
        import trimesh

        reduction = max(0.0, 1 - _NET_TRIANGLES / len(solid.faces))
        coarse = fast_simplification.simplify(
            np.asarray(solid.vertices, np.float32), np.asarray(solid.faces, np.int32), target_reduction=reduction
        )
        lines, normals = _lines(trimesh.Trimesh(coarse[0], coarse[1], process=False), 0.0)
    length = np.linalg.norm(lines[:, 0] - lines[:, 1], axis=1)
    kept = np.sort(np.argsort(-length, kind="stable")[:_MOST_EDGES])
    return lines[kept], normals[kept]


def group(generators: list[FloatArray]) -> FloatArray:
    """Return all products (S, 3, 3) of rotations (3, 3), the identity first; ValueError if there are more than
    60."""
    found = [np.eye(3)]
    for rotation in found:  # grows during the loop
        for product in (generator @ rotation for generator in generators):
            if not any(np.allclose(product, other, atol=1e-6) for other in found):
                found.append(product)
        if len(found) > _MOST_ROTATIONS:
            raise ValueError(
                f"symmetries: together these make more than {_MOST_ROTATIONS} rotations; "
                "an angle that is no fraction of a turn? Write a continuous one as an axis"
            )
    return np.array(found)


def _lines(solid: Any, degrees: float) -> tuple[FloatArray, FloatArray]:
    sharp = solid.face_adjacency_angles >= np.deg2rad(degrees)
    pairs = [solid.face_adjacency_edges[sharp]]
    normals = [solid.face_normals[solid.face_adjacency[sharp]]]
    sides, counts = np.unique(solid.edges_sorted, axis=0, return_counts=True)
    border = sides[counts == 1]
    if len(border):  # visible from either side
        faces = {tuple(edge): face for edge, face in zip(solid.edges_sorted.tolist(), solid.edges_face, strict=True)}
        facing = solid.face_normals[[faces[tuple(edge)] for edge in border.tolist()]]
        pairs.append(border)
        normals.append(np.stack([facing, -facing], axis=1))
    return np.asarray(solid.vertices[np.concatenate(pairs)], np.float64), np.concatenate(normals)
