"""Objects from mesh files: their description in a scene file, and the object made from it."""

from __future__ import annotations

import glob
from pathlib import Path
from typing import Any, Literal

import numpy as np

from vision.geometry.rotations import FloatArray
from vision.objects.convex import convex_pieces
from vision.objects.declared_symmetries import SymmetriesFile
from vision.objects.mesh_points import (
    error_points,
    orbit_of,
    sample_surface,
    sharp_corners,
    symmetric_keypoints,
    wireframe,
)
from vision.objects.mesh_reading import make_parts, read_geometries
from vision.objects.pose_object import Color, Piece, PoseObject, diameter_of, joined
from vision.objects.symmetries import Symmetries
from vision.plain import Plain, Vector3

_MOST_POINTS = 300  # over which errors are computed
_MOST_PIECES = 32
_OFF_CENTRE = 0.25  # of the diameter: an origin farther from the middle counts as a mistake
_FEWEST_KEYPOINTS, _MOST_KEYPOINTS = 4, 128


class MeshFile(Plain, frozen=True, tag_field="kind", tag="mesh"):
    """A mesh file in a scene file.

    Attributes:
        name: name of the object.
        file: ``.obj``, ``.ply``, ``.stl`` or ``.glb``, relative to the file that contains this.
        mass: kilograms.
        scale: metres per unit of the file: 0.001 for one in millimetres.
        origin: ``file`` keeps the file's; ``middle`` moves it to the middle of the bounding box.
        color: of the whole, sRGB-encoded; it multiplies textures. The file's own when null.
        smooth: whether normals are smoothed across all but sharp edges.
        keypoints: a number of points far from each other; ``corners``, the sharp ones; or points in the file's
            coordinates. Their images under the symmetries are added. With a continuous symmetry only points on the axis
            are used, as all others look the same at any angle about it.
        pieces: maximum number of convex collision pieces, found by CoACD; 32 when null. Or their files, one piece in
            each, in the same coordinates: a list, or a pattern such as ``mug-piece-*.stl``.
        symmetries: declared symmetries, which are checked against the mesh.
    """

    name: str
    file: str
    mass: float
    scale: float = 1.0
    origin: Literal["file", "middle"] = "file"
    color: Color | None = None
    smooth: bool = True
    keypoints: Literal["corners"] | int | tuple[Vector3, ...] = 16
    pieces: int | str | tuple[str, ...] | None = None
    symmetries: SymmetriesFile = SymmetriesFile()

    def check(self) -> None:
        if not 0 < self.scale < np.inf:
            raise ValueError(f"scale: expected metres per unit, above 0, got {self.scale}")
        if isinstance(self.keypoints, int) and not _FEWEST_KEYPOINTS <= self.keypoints <= _MOST_KEYPOINTS:
            raise ValueError(f"keypoints: expected {_FEWEST_KEYPOINTS} to {_MOST_KEYPOINTS}, got {self.keypoints}")
        if isinstance(self.pieces, int) and not 1 <= self.pieces <= 4 * _MOST_PIECES:
            raise ValueError(f"pieces: expected 1 to {4 * _MOST_PIECES}, got {self.pieces}")

    def build(self, folder: Path) -> PoseObject:
        """Build the object from files in ``folder``. ValueError says in one line what is wrong with them."""
        import trimesh

        geometries = read_geometries(folder / self.file)
        shift = self._shift(np.concatenate([geometry.vertices for geometry in geometries]))
        for geometry in geometries:
            geometry.vertices = geometry.vertices * self.scale + shift
        solid = trimesh.Trimesh(*joined([(geometry.vertices, geometry.faces) for geometry in geometries]))
        solid.update_faces(solid.nondegenerate_faces())
        if not len(solid.faces) or not solid.area > 0:
            raise ValueError(f"file: {self.file}: its triangles have no area")
        if solid.is_watertight and solid.volume < 0:  # inside out: renderers show only outer sides
            solid.invert()
            for geometry in geometries:
                geometry.faces = geometry.faces[:, ::-1]
        points = error_points(solid, _MOST_POINTS)
        diameter = diameter_of(points)
        symmetries = self.symmetries.build(solid, diameter, self.file)
        lines, normals = wireframe(solid)
        return PoseObject(
            name=self.name,
            mass=self.mass,
            parts=make_parts(geometries, self.color, self.smooth),
            pieces=self._pieces(solid, folder, shift),
            keypoints=self._keypoints(solid, symmetries, shift),
            points=points,
            edges=lines,
            edge_normals=normals,
            symmetries=symmetries,
            shape_symmetries=symmetries.rotations,
        )

    def _shift(self, vertices: FloatArray) -> FloatArray:
        """Return the translation (3,) of scaled coordinates in metres; ValueError if size or origin look like
        mistakes."""
        low, high = self.scale * vertices.min(axis=0), self.scale * vertices.max(axis=0)
        extent, middle = float((high - low).max()), (low + high) / 2
        if extent > 2:
            raise ValueError(
                f"file: {self.file}: {extent:.4g} m long with scale {self.scale:g}; "
                f"are these millimetres? set scale: {0.001 * self.scale:g}"
            )
        if extent < 0.002:
            raise ValueError(
                f"file: {self.file}: {1000 * extent:.4g} mm long with scale {self.scale:g}; mend the scale"
            )
        if self.origin == "middle":
            shift: FloatArray = -middle
            return shift
        if np.linalg.norm(middle) > _OFF_CENTRE * np.linalg.norm(high - low):
            raise ValueError(
                f"file: {self.file}: its origin is {np.linalg.norm(middle):.3g} m from the middle of a body "
                f"{extent:.3g} m long, about which it is looked for; set origin: middle"
            )
        return np.zeros(3)

    def _keypoints(self, solid: Any, symmetries: Symmetries, shift: FloatArray) -> FloatArray:
        centre = symmetries.centre
        if len(symmetries.axes) > 1:
            return centre[None]  # of a sphere
        if len(symmetries.axes):
            (axis,) = symmetries.axes
            along = (solid.vertices - centre) @ axis
            radius = np.linalg.norm(solid.vertices - centre - along[:, None] * axis, axis=1).max()
            middle = 0.0 if len(symmetries.rotations) > 1 else (along.min() + along.max()) / 2
            # A flat body's own thickness would hardly tell how its axis lies: they then reach beyond it.
            half = max(np.abs(along - middle).max(), radius)
            places: FloatArray = centre + np.array([middle - half, middle, middle + half])[:, None] * axis
            return places
        motions = symmetries.transforms()
        if isinstance(self.keypoints, int):
            return symmetric_keypoints(sample_surface(solid), self.keypoints, motions)
        if self.keypoints == "corners":
            chosen = sharp_corners(solid)
            if not _FEWEST_KEYPOINTS <= len(chosen) <= _MOST_KEYPOINTS:
                raise ValueError(
                    f"keypoints: corners: {self.file} has {len(chosen)} sharp ones, expected {_FEWEST_KEYPOINTS} to "
                    f"{_MOST_KEYPOINTS}; give a number of points of its surface"
                )
        else:
            chosen = self.scale * np.array(self.keypoints, np.float64).reshape(-1, 3) + shift
            if len(chosen) < _FEWEST_KEYPOINTS or np.linalg.matrix_rank(chosen - chosen.mean(axis=0), tol=1e-4) < 2:
                raise ValueError("keypoints: expected at least 4 points that do not lie on one line")
        found: list[FloatArray] = []
        for point in chosen:
            if all(np.linalg.norm(other - point, axis=1).min() > 1e-4 for other in found):
                found.append(orbit_of(point, motions, 1e-3))
        return np.concatenate(found)

    def _pieces(self, solid: Any, folder: Path, shift: FloatArray) -> tuple[Piece, ...]:
        files = self._piece_files(folder)
        if files is not None:
            meshes = [read_geometries(folder / file) for file in files]
            clouds = [self.scale * np.concatenate([one.vertices for one in found]) + shift for found in meshes]
        else:
            clouds = convex_pieces(solid, self.pieces if isinstance(self.pieces, int) else _MOST_PIECES)
        from scipy.spatial import ConvexHull, QhullError

        pieces = []
        for number, cloud in enumerate(clouds):
            try:
                hull = cloud[np.sort(ConvexHull(cloud).vertices)]
            except (QhullError, ValueError):
                if files is not None:
                    raise ValueError(f"pieces: {files[number]}: has no volume") from None
                continue  # CoACD made a sliver
            pieces.append(Piece(kind="hull", vertices=hull))
        if not pieces:
            raise ValueError(f"file: {self.file}: has no volume that could collide; give pieces")
        return tuple(pieces)

    def _piece_files(self, folder: Path) -> tuple[str, ...] | None:
        """Return the files of the pieces, relative to the folder; None if CoACD makes them."""
        if isinstance(self.pieces, tuple):
            return self.pieces
        if not isinstance(self.pieces, str):
            return None
        found = glob.glob(self.pieces, root_dir=folder)  # noqa: PTH207 (it accepts absolute patterns, too)
        if not found:
            raise ValueError(f"pieces: {self.pieces}: no file beside {self.file} has such a name")
        # Shorter names first, so that piece 10 comes after piece 9.
        return tuple(sorted(found, key=lambda name: (len(name), name)))
