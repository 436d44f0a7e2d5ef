"""Mesh reduction that preserves the shape.

The fewer triangles are kept, the farther the surface moves, and how far depends on the mesh: a tenth of a smooth
housing's triangles looks like all of them; a tenth of a machined part's loses its flanges. The movement of the surface
is therefore measured, and if it is too large for the fraction aimed at, more triangles are kept.
"""

from __future__ import annotations

import contextlib
import hashlib
import math
from typing import Any

import numpy as np

from vision.geometry.rotations import FloatArray
from vision.io.json_values import canonical_json
from vision.io.user_cache import keep, recall
from vision.machine.versions import package_version
from vision.objects.closest_points import Surface
from vision.objects.mesh_points import sample_surface

_STEP = 0.8  # fractions are powers of it, so that measurements can be reused
_ROUNDING = 1e-9
_FEWEST = 12  # triangles: a box
_PATIENCE = 3  # collapses the cheapest edges first; the library's own 7 hardly does: a palm moved 6 mm instead of 1.8
_PROBES = 1_000  # points of each surface whose distance from the other is measured
_SHARE = 0.99  # fraction of them that have to be near it: a screw deep inside may vanish
_GROUP, _MOST_BYTES, _MOST_BYTES_OF_ALL = "mesh-deviations", 64, 1 << 20


def reduced(
    vertices: FloatArray, faces: np.ndarray, fraction: float, tolerance: float
) -> tuple[FloatArray, np.ndarray, np.ndarray]:
    """Keep about that fraction of the triangles, or as many more as needed to stay within the tolerance.

    Edges are collapsed without random choices (quadric error metric): the same mesh gives the same result. Measurements
    are cached on this machine, because they take longer than everything else here.

    Args:
        vertices: (V, 3) float.
        faces: (F, 3) int, indices of vertices.
        fraction: fraction of the triangles to aim at, in (0, 1].
        tolerance: distance within which 99 of 100 points of either surface must lie from the other one, in the
            vertices' unit.

    Returns:
        Vertices (W, 3) float64 and triangles (G, 3) int32 of the smaller mesh, and the index of the vertex that each of
            the given ones (V,) became.
    """
    points, faces = np.asarray(vertices, np.float32), np.asarray(faces, np.int32)
    whole = Surface(_solid(points.astype(np.float64), faces))
    mesh = hashlib.sha256(points.tobytes() + faces.tobytes()).hexdigest()
    for step in range(math.ceil(math.log(max(fraction, _FEWEST / len(faces)), _STEP) - _ROUNDING), 0, -1):
        key = _key(mesh, step)
        deviation = _number(recall(_GROUP, key, _MOST_BYTES))
        if deviation is not None and deviation > tolerance:
            continue
        found = collapsed(points, faces, _STEP**step)
        if deviation is None:
            deviation = _deviation(whole, *found[:2])
            keep(_GROUP, key, repr(deviation).encode(), _MOST_BYTES_OF_ALL)
        if deviation <= tolerance:
            return found
    return points.astype(np.float64), faces, np.arange(len(points))


def _key(mesh: str, step: int) -> str:
    about = {"mesh": mesh, "share": _STEP**step, "patience": _PATIENCE, "probes": _PROBES, "of": _SHARE}
    return hashlib.sha256(
        canonical_json(about | {"by": [package_version(name) for name in ("fast-simplification", "trimesh")]})
    ).hexdigest()


def _number(content: bytes | None) -> float | None:
    with contextlib.suppress(ValueError):
        return float((content or b"").decode())
    return None


def collapsed(vertices: np.ndarray, faces: np.ndarray, fraction: float) -> tuple[FloatArray, np.ndarray, np.ndarray]:
    """Keep that fraction of the triangles, however far the surface moves; arguments and results as in
    :func:`reduced`."""
    import fast_simplification

    points, faces = np.asarray(vertices, np.float32), np.asarray(faces, np.int32)
    *_, collapses = fast_simplification.simplify(
        points, faces, target_reduction=1 - fraction, agg=_PATIENCE, return_collapses=True
    )
    kept, fewer, onto = fast_simplification.replay_simplification(points, faces, collapses)
    return np.asarray(kept, np.float64), np.asarray(fewer, np.int32), np.asarray(onto)


def _deviation(before: Surface, vertices: FloatArray, fewer: np.ndarray) -> float:
    """Return the distance within which nearly all of either surface lies from the other one."""
    after = _solid(vertices, fewer)
    if not len(fewer) or not after.area > 0:
        return math.inf
    there = Surface(after)
    return max(_apart(before, there), _apart(there, before))


def _solid(vertices: FloatArray, faces: np.ndarray) -> Any:
    import trimesh

    return trimesh.Trimesh(vertices, faces, process=False)


def _apart(one: Surface, other: Surface) -> float:
    return float(np.quantile(other.distance(sample_surface(one.solid, _PROBES)), _SHARE))
