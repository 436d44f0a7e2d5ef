"""The object whose pose is estimated, as plain data: its appearance, its collision shape, its keypoints.

Metres; colours are sRGB-encoded, [0, 1]. ``vision.objects.lettered`` and ``vision.objects.meshes`` make objects.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Annotated, Literal

import numpy as np

from vision.geometry.rotations import FloatArray
from vision.objects.symmetries import Symmetries
from vision.plain import ArrayOf, Plain, Vector3, Vectors, check_name, read_only

Color = tuple[float, float, float]
"""Red, green and blue, sRGB-encoded, [0, 1]."""


class Mesh(Plain, frozen=True):
    """Triangles.

    Attributes:
        vertices: (V, 3) metres, object frame.
        faces: (F, 3) indices, counter-clockwise as seen from outside.
        uv: (V, 2) texture coordinates, (0, 0) at the texture's lower left corner; None without a texture.
    """

    vertices: Vectors
    faces: Annotated[np.ndarray, ArrayOf((None, 3), "int64")]
    uv: Annotated[np.ndarray, ArrayOf((None, 2))] | None = None

    def check(self) -> None:
        if not len(self.faces):
            raise ValueError("a mesh needs at least one triangle")
        if self.faces.min() < 0 or self.faces.max() >= len(self.vertices):
            raise ValueError(f"faces: an index is outside of the {len(self.vertices)} vertices")
        if self.uv is not None and len(self.uv) != len(self.vertices):
            raise ValueError(f"uv: expected one for each of the {len(self.vertices)} vertices, got {len(self.uv)}")

    @property
    def triangles(self) -> FloatArray:
        """Corners of the triangles, (F, 3, 3) metres."""
        return np.asarray(self.vertices[self.faces], np.float64)


class Part(Plain, frozen=True):
    """A piece of surface with its own material.

    Attributes:
        name: unique in the object.
        mesh: its triangles.
        color: calibrated colour, sRGB-encoded; it multiplies the texture if there is one.
        texture: the content of a PNG file, or None.
        smooth: whether shading is smooth across edges, for curved surfaces; else every triangle is flat.
        casts_shadow: whether it casts a shadow; a part that lies flat on another need not.
        letter: whether it is a letter on the surface, drawn in any light grey; every other part is the surface itself.
    """

    name: str
    mesh: Mesh
    color: Color = (1.0, 1.0, 1.0)
    texture: bytes | None = None
    smooth: bool = False
    casts_shadow: bool = True
    letter: bool = False

    def check(self) -> None:
        if not all(0 <= channel <= 1 for channel in self.color):
            raise ValueError(f"part {self.name}: color: channels lie in [0, 1], got {self.color}")
        if self.texture is not None and self.mesh.uv is None:
            raise ValueError(f"part {self.name}: a texture needs texture coordinates")


class Piece(Plain, frozen=True):
    """A convex piece of the collision shape.

    Attributes:
        kind: ``box``, whose contacts are the most robust, or ``hull`` of the vertices.
        size: (3,) half sizes of a box centred on the object's origin, metres; None for a hull.
        vertices: (V, 3) metres, object frame; None for a box.
    """

    kind: Literal["box", "hull"]
    size: Annotated[np.ndarray, ArrayOf((3,))] | None = None
    vertices: Vectors | None = None

    def check(self) -> None:
        if self.kind == "box":
            if self.size is None or self.size.min() <= 0 or self.vertices is not None:
                raise ValueError("a box piece needs three positive half sizes and no vertices")
        elif self.vertices is None or len(self.vertices) < 4 or self.size is not None:
            raise ValueError("a hull piece needs at least four vertices and no size")

    @functools.cached_property
    def volume(self) -> float:
        """Volume in cubic metres; ValueError for a flat hull."""
        if self.size is not None:
            return float(8 * np.prod(self.size))
        from scipy.spatial import ConvexHull, QhullError

        assert self.vertices is not None
        try:
            return float(ConvexHull(self.vertices).volume)
        except QhullError:
            raise ValueError("a convex piece is flat: nothing can rest on it") from None


class Face(Plain, frozen=True):
    """One flat side of a convex object with a colour that distinguishes it from the others.

    Attributes:
        name: unique within the object, for example ``+x``.
        color: sRGB-encoded, calibrated.
        normal: unit, outward.
        up: unit, in the face: the direction of a letter's top as seen from outside.
        corners: indices into the object's keypoints, counter-clockwise as seen from outside.
    """

    name: str
    color: Color
    normal: Vector3
    up: Vector3
    corners: tuple[int, ...]


class PoseObject(Plain, frozen=True):
    """A rigid object.

    Attributes:
        name: for titles and files.
        mass: kilograms.
        parts: its visible parts.
        pieces: convex pieces that collide.
        keypoints: (K, 3) metres: the points that networks find.
        points: (P, 3) metres: points of the surface over which errors are computed; the corners of a convex solid.
        edges: (E, 2, 3) metres: ends of the lines of a wireframe.
        edge_normals: (E, 2, 3) unit, outward: of the two faces that meet in each edge.
        symmetries: motions that leave its appearance unchanged.
        shape_symmetries: (R, 3, 3) rotations that leave its shape unchanged, colours and letters aside.
        faces: flat sides; none if the object is not a convex solid with flat sides.
    """

    name: str
    mass: float
    parts: tuple[Part, ...]
    pieces: tuple[Piece, ...]
    keypoints: Vectors
    points: Vectors
    edges: Annotated[np.ndarray, ArrayOf((None, 2, 3))]
    edge_normals: Annotated[np.ndarray, ArrayOf((None, 2, 3))]
    symmetries: Symmetries
    shape_symmetries: Annotated[np.ndarray, ArrayOf((None, 3, 3))]
    faces: tuple[Face, ...] = ()

    def check(self) -> None:
        check_name(self.name, "object")
        if not 0 < self.mass < 100:
            raise ValueError(f"mass: expected kilograms above 0 and below 100, got {self.mass}")
        if all(part.letter for part in self.parts) or not self.pieces:
            raise ValueError("an object needs at least one part to see, besides letters, and one convex piece to touch")
        if len({part.name for part in self.parts}) < len(self.parts):
            raise ValueError("names of parts must differ")
        if len(self.edges) != len(self.edge_normals):
            raise ValueError(f"edge_normals: {len(self.edge_normals)}, edges: {len(self.edges)}")
        if len(self.points) < 2:
            raise ValueError(f"points: expected at least 2, got {len(self.points)}")

    @functools.cached_property
    def diameter(self) -> float:
        """Largest distance between two of its points, metres."""
        return diameter_of(self.points)

    @property
    def mesh(self) -> Mesh:
        """The whole surface without letters, as one mesh; walls between adjoining parts are left out."""
        return self._surface[0]

    @property
    def mesh_colors(self) -> FloatArray:
        """Colours of the vertices of ``mesh``, (V, 3) sRGB-encoded: those of their parts."""
        return self._surface[1]

    @functools.cached_property
    def _surface(self) -> tuple[Mesh, FloatArray]:
        parts = [part for part in self.parts if not part.letter]
        vertices, faces = joined([(part.mesh.vertices, part.mesh.faces) for part in parts])
        colors = np.concatenate([np.tile(part.color, (len(part.mesh.vertices), 1)) for part in parts])
        # A wall occurs in the parts on both of its sides; what occurs twice in one part is seen from both sides.
        places = np.unique(vertices.round(9), axis=0, return_inverse=True)[1].reshape(-1)
        kinds = np.unique(np.sort(places[faces], axis=1), axis=0, return_inverse=True)[1].reshape(-1)
        owners = np.repeat(np.arange(len(parts)), [len(part.mesh.faces) for part in parts])
        once = np.unique(np.stack([kinds, owners], axis=1), axis=0)[:, 0]  # each triangle once for each of its parts
        outer = faces[np.bincount(once, minlength=kinds.max() + 1)[kinds] == 1]
        used, renumbered = np.unique(outer, return_inverse=True)
        return Mesh(vertices=vertices[used], faces=renumbered.reshape(-1, 3)), read_only(colors[used])


def diameter_of(points: FloatArray) -> float:
    """Return the largest distance between two of some points (P, 3), in their unit."""
    return float(np.linalg.norm(points[:, None] - points[None], axis=-1).max())


def joined(pieces: Sequence[tuple[np.ndarray, np.ndarray]]) -> tuple[np.ndarray, np.ndarray]:
    """Join vertices (V, 3) and faces (F, 3) of several surfaces into one."""
    first = np.cumsum([0, *(len(vertices) for vertices, _ in pieces)])
    faces = [start + own for start, (_, own) in zip(first, pieces, strict=False)]
    return np.concatenate([vertices for vertices, _ in pieces]), np.concatenate(faces)
