"""Convex pieces of a non-convex body by CoACD, computed once on each machine.

CoACD takes half a minute for a mug, and each command and worker that reads a scene needs the pieces. They are kept in
the user's cache, keyed by the body, the settings and CoACD's version.
"""

from __future__ import annotations

import hashlib
import importlib.util
from typing import Any

import numpy as np

from vision.geometry.rotations import FloatArray
from vision.io.json_values import canonical_json
from vision.io.user_cache import keep, recall
from vision.machine.console import Console
from vision.machine.extras import install
from vision.machine.versions import package_version
from vision.objects.decomposition import decompose, packed, unpacked

_GROUP = "convex-pieces"
_MOST_BYTES, _MOST_BYTES_OF_ALL = 1 << 20, 64 << 20  # a mug's pieces have 20 KB
_SETTINGS = {
    "decimate": True,
    "max_ch_vertex": 64,
    "seed": 0,
    # Coarser than CoACD's own, which took minutes for a mug.
    "threshold": 0.08,
    "preprocess_resolution": 30,
    "resolution": 1000,
    "mcts_nodes": 10,
    "mcts_iterations": 40,
    "mcts_max_depth": 2,
}


def convex_pieces(solid: Any, most: int) -> list[FloatArray]:
    """Return vertices (V, 3) of at most ``most`` convex pieces that together fill a ``trimesh.Trimesh``."""
    hull = solid.convex_hull
    if solid.is_watertight and abs(solid.volume) > 0.99 * hull.volume:
        return [np.asarray(hull.vertices, np.float64)]
    if importlib.util.find_spec("coacd") is None:
        raise ValueError(
            f"a body that is not convex needs CoACD for its convex pieces: {install('meshes')}, or "
            "list files of convex pieces under pieces"
        )
    settings = _SETTINGS | {"max_convex_hull": most}
    vertices, faces = np.asarray(solid.vertices, "<f8"), np.asarray(solid.faces, "<i8")
    about = canonical_json({"settings": settings, "coacd": package_version("coacd"), "vertices": len(vertices)})
    key = hashlib.sha256(about + vertices.tobytes() + faces.tobytes()).hexdigest()
    content = recall(_GROUP, key, _MOST_BYTES)
    # Others may be able to write to the cache.
    if content is not None and (pieces := unpacked(content)) is not None:
        return pieces
    said = f"convex pieces of {len(faces):,} triangles by CoACD, once on this machine: half a minute or more"
    Console(stderr=True).print(f"{said} (none if files of pieces are given)")
    pieces = decompose(solid.vertices, solid.faces, settings)
    keep(_GROUP, key, packed(pieces), _MOST_BYTES_OF_ALL)
    return pieces
