"""Convex pieces of a non-convex body by CoACD, computed once on each machine.

CoACD takes half a minute for a mug, and each command and worker that reads a scene needs the pieces. They are kept in
the user's cache, keyed by the body, the settings and CoACD's version.
"""

from __future__ import annotations

import hashlib
import importlib.util
import io
import zipfile
from typing import Any

import numpy as np

from vision.console import Console
from vision.extras import install
from vision.geometry.rotations import FloatArray
from vision.io.json_values import canonical_json
from vision.io.user_cache import keep, recall
from vision.scene.decomposition import decompose
from vision.versions import package_version

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
    if (pieces := _unpacked(recall(_GROUP, key, _MOST_BYTES))) is not None:
        return pieces
    said = f"convex pieces of {len(faces):,} triangles by CoACD, once on this machine: half a minute or more"
    Console(stderr=True).print(f"{said} (none if files of pieces are given)")
    pieces = decompose(solid.vertices, solid.faces, settings)
    keep(_GROUP, key, _packed(pieces), _MOST_BYTES_OF_ALL)
    return pieces


def _packed(pieces: list[FloatArray]) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, vertices=np.concatenate(pieces), counts=np.array([len(piece) for piece in pieces]))
    return buffer.getvalue()


def _unpacked(content: bytes | None) -> list[FloatArray] | None:
    """Return the pieces; None if the content is invalid, since others may be able to write to the cache."""
    if content is None:
        return None
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
            vertices, counts = arrays["vertices"], arrays["counts"]
        fits = vertices.dtype == np.float64 and vertices.shape == (int(counts.sum()), 3) and counts.min() > 0
    except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile):
        return None
    if not fits or not np.isfinite(vertices).all():
        return None
    return np.split(vertices, np.cumsum(counts)[:-1])
