"""Clutter as records."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from datagen.appearance.clutter_pieces import ClutterPiece
from datagen.unity import records

_SHAPES = {"box": records.SolidShape.BOX, "capsule": records.SolidShape.CAPSULE, "sphere": records.SolidShape.SPHERE}


def solid_count(clutter: Sequence[ClutterPiece]) -> int:
    """Return the number of solids in all pieces of a sample."""
    return sum(len(piece.parts) for piece in clutter)


def clutter_records(clutter: Sequence[Sequence[ClutterPiece]]) -> np.ndarray:
    """Return records (B, S) of the pieces of each sample; rows with fewer solids are padded with the shape NONE."""
    rows = np.zeros((len(clutter), max(map(solid_count, clutter))), records.SOLID)  # of shape NONE
    rows["quaternion"][..., 0] = 1.0
    for row, pieces in zip(rows, clutter, strict=True):
        parts = [part for piece in pieces for part in piece.parts]
        if not parts:
            continue
        solids, owners = row[: len(parts)], [piece for piece in pieces for _ in piece.parts]
        solids["shape"] = [_SHAPES[part.shape] for part in parts]
        for name in ("position", "quaternion", "size"):
            solids[name] = [getattr(part, name) for part in parts]
        solids["quaternion"] /= np.linalg.norm(solids["quaternion"], axis=1, keepdims=True)
        solids["color"] = [piece.rgb for piece in owners]
        solids["metallic"] = [piece.metallic for piece in owners]
        solids["smoothness"] = [piece.glossiness for piece in owners]
    return rows
