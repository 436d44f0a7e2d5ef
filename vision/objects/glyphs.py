"""Letters as solid geometry.

A letter on an object is an extruded outline with its own material: sharp at any image size, the same in every renderer,
recoloured like any other material, and without a texture to upload. The outlines come from DejaVu Sans Bold, which
matplotlib ships.
"""

from __future__ import annotations

import functools
from typing import cast

import numpy as np
import shapely
import trimesh
from matplotlib.font_manager import FontProperties
from matplotlib.textpath import TextPath

from vision.fonts import font_file

FONT = font_file(bold=True)

_OUTLINE_SIZE = 1000.0  # font size at which outlines are taken; a capital is then about 730 units tall
_TOLERANCE = 2.0  # largest deviation of a simplified outline from the curve, in the same units (0.1 mm on the block)


@functools.cache
def outline(letter: str) -> shapely.Geometry:
    """Return the outline of a letter, one unit high, its bounding box centred on the origin; x is right and y is up.

    Raises:
        ValueError: `letter` is not exactly one visible character.
    """
    if len(letter) != 1 or not letter.isprintable() or letter.isspace():
        raise ValueError(f"a glyph is one visible character, got {letter!r}")
    path = TextPath((0, 0), letter, size=_OUTLINE_SIZE, prop=FontProperties(fname=str(FONT)))
    rings = [shapely.Polygon(ring) for ring in map(np.asarray, path.to_polygons()) if len(ring) >= 4]
    # A ring inside another is a hole (O, A, P): exclusive or needs no assumption about the font's winding.
    shape = functools.reduce(shapely.symmetric_difference, rings).simplify(_TOLERANCE)
    left, bottom, right, top = shape.bounds
    shape = shapely.affinity.translate(shape, -(left + right) / 2, -(bottom + top) / 2)
    scale = 1 / (top - bottom)
    return shapely.affinity.scale(shape, scale, scale, origin=(0, 0))


def letter_mesh(letter: str, height: float, relief: float) -> trimesh.Trimesh:
    """Return a watertight solid of a letter standing on the plane z = 0, readable when seen from +z.

    Args:
        letter: one character.
        height: extent along +y (the letter's up), metres. The bounding box is centred on the origin.
        relief: height of the letter above its face, metres: the solid spans z from -relief to +relief, so that it is
            sunk into the face and no gap can show.
    """
    shape = shapely.affinity.scale(outline(letter), height, height, origin=(0, 0))
    solids = [trimesh.creation.extrude_polygon(part, 2 * relief) for part in shapely.get_parts(shape)]
    solid = cast(trimesh.Trimesh, trimesh.util.concatenate(solids))
    solid.apply_translation((0, 0, -relief))
    return solid
