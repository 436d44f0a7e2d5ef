"""Boxes and prisms given by their dimensions, each face with a colour and optionally a letter."""

from __future__ import annotations

import functools
from collections.abc import Sequence

import numpy as np
from scipy.spatial.transform import Rotation

from vision.color import srgb_from_linear
from vision.geometry.rotations import FloatArray, cube_rotations
from vision.objects.pose_object import Color, Face, Mesh, Part, Piece, PoseObject
from vision.objects.symmetries import Symmetries
from vision.plain import Plain, Vector3, read_only

LETTER_RELIEF = 0.0002  # m, height of a letter above its face: no z-fighting, same silhouette

_BOX_NORMALS = {
    "+x": (1.0, 0.0, 0.0), "-x": (-1.0, 0.0, 0.0), "+y": (0.0, 1.0, 0.0),
    "-y": (0.0, -1.0, 0.0), "+z": (0.0, 0.0, 1.0), "-z": (0.0, 0.0, -1.0),
}  # fmt: skip

_LEAST_SIZE = 1e-4  # metres


class FaceLook(Plain, frozen=True):
    """Colour and letter of a face.

    Attributes:
        color: sRGB-encoded; or
        color_linear: linear, as in renderers' publications.
        letter: one capital, centred; null for none.
        up: the direction of the letter's top, along one of the object's axes and in the face.
    """

    color: Color | None = None
    color_linear: Color | None = None
    letter: str | None = None
    up: Vector3 | None = None

    def check(self) -> None:
        if (self.color is None) == (self.color_linear is None):
            raise ValueError("a face has either color or color_linear")

    @property
    def encoded(self) -> Color:
        """sRGB-encoded colour."""
        red, green, blue = self.color or (float(channel) for channel in srgb_from_linear(self.color_linear or ()))
        return red, green, blue


class BoxFile(Plain, frozen=True, tag_field="kind", tag="box"):
    """A box in a scene file.

    Attributes:
        name: name of the object.
        size: along x, y and z, metres.
        mass: kilograms.
        faces: appearance of the faces ``+x``, ``-x``, ``+y``, ``-y``, ``+z`` and ``-z``.
        letter_height: height of capitals, metres; required if a face has a letter.
    """

    name: str
    size: Vector3
    mass: float
    faces: dict[str, FaceLook]
    letter_height: float | None = None

    def check(self) -> None:
        if not all(_LEAST_SIZE <= side < 2 for side in self.size):
            raise ValueError(
                f"size: expected metres from {_LEAST_SIZE:g} and below 2, got {self.size}; are these millimetres?"
            )
        if self.faces.keys() != _BOX_NORMALS.keys():
            raise ValueError(f"faces: expected {', '.join(_BOX_NORMALS)}, got {', '.join(self.faces)}")
        _check_letters(letter_height=self.letter_height)

    def build(self) -> PoseObject:
        """Build the object."""
        half = np.array(self.size) / 2
        signs = np.array([(x, y, z) for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)], dtype=np.float64)
        keypoints = signs * half
        looks = [(name, self.faces[name], normal, self.letter_height) for name, normal in _BOX_NORMALS.items()]
        turned = np.abs(cube_rotations() @ half)
        shape_symmetries = cube_rotations()[np.isclose(turned, half).all(axis=1)]
        piece = Piece(kind="box", size=half)
        return _solid(self.name, self.mass, keypoints, looks, shape_symmetries, piece)


class PrismFile(Plain, frozen=True, tag_field="kind", tag="prism"):
    """A regular prism along z in a scene file.

    Attributes:
        name: name of the object.
        sides: number of sides.
        apothem: from the axis to the middle of a side, metres.
        half_length: from the centre to an end, metres.
        mass: kilograms.
        side_looks: appearance of the sides, counter-clockwise from the one whose normal is +x.
        end_looks: appearance of the ends, +z and -z.
        letter_height: height of the sides' capitals, metres.
        end_letter_height: height of the ends' capitals, metres.
    """

    name: str
    sides: int
    apothem: float
    half_length: float
    mass: float
    side_looks: tuple[FaceLook, ...]
    end_looks: tuple[FaceLook, FaceLook]
    letter_height: float | None = None
    end_letter_height: float | None = None

    def check(self) -> None:
        if not 3 <= self.sides <= 64 or len(self.side_looks) != self.sides:
            raise ValueError(f"sides: expected 3 to 64 and a look for each, got {self.sides}, {len(self.side_looks)}")
        if not (_LEAST_SIZE <= self.apothem < 1 and _LEAST_SIZE <= self.half_length < 1):
            raise ValueError(
                f"apothem and half_length: expected metres from {_LEAST_SIZE:g} and below 1; are these millimetres?"
            )
        _check_letters(letter_height=self.letter_height, end_letter_height=self.end_letter_height)

    def build(self) -> PoseObject:
        """Build the object."""
        circumradius = self.apothem / np.cos(np.pi / self.sides)
        angles = 2 * np.pi / self.sides * np.arange(self.sides) + np.pi / self.sides
        ring = circumradius * np.stack([np.cos(angles), np.sin(angles)], axis=-1)
        ends = (-self.half_length, self.half_length)
        keypoints = np.concatenate([np.column_stack([ring, np.full(self.sides, z)]) for z in ends])
        looks: list[tuple[str, FaceLook, Vector3, float | None]] = []
        for side, look in enumerate(self.side_looks):
            angle = 2 * np.pi / self.sides * side
            looks.append((f"side{side}", look, (float(np.cos(angle)), float(np.sin(angle)), 0.0), self.letter_height))
        for name, look, z in zip(("+z", "-z"), self.end_looks, (1.0, -1.0), strict=True):
            looks.append((name, look, (0.0, 0.0, z), self.end_letter_height))
        piece = Piece(kind="hull", vertices=keypoints)
        return _solid(self.name, self.mass, keypoints, looks, _dihedral_rotations(self.sides), piece)


def _solid(
    name: str,
    mass: float,
    keypoints: FloatArray,
    looks: Sequence[tuple[str, FaceLook, Vector3, float | None]],
    shape_symmetries: FloatArray,
    piece: Piece,
) -> PoseObject:
    """Return a convex solid whose corners are its keypoints."""
    faces = [_face(face, look, normal, keypoints) for face, look, normal, _ in looks]
    parts = [Part(name=f"face/{face.name}", mesh=_pyramid(face, keypoints), color=face.color) for face in faces]
    for face, (_, look, _, height) in zip(faces, looks, strict=True):
        if look.letter is not None:
            if height is None:
                raise ValueError(f"face {face.name}: has a letter, but no letter height is given")
            mesh = _letter(face, look.letter, height, keypoints)
            # It casts no shadow, since it lies on its face.
            parts.append(Part(name=f"letter/{face.name}", mesh=mesh, casts_shadow=False, letter=True))
    beside: dict[tuple[int, int], list[Color]] = {}
    for face in faces:
        for a, b in zip(face.corners, (*face.corners[1:], face.corners[0]), strict=True):
            beside.setdefault((min(a, b), max(a, b)), []).append(face.normal)
    pairs = sorted(beside)
    letters = {face.name: look.letter for face, (_, look, _, _) in zip(faces, looks, strict=True)}
    alike = [rotation for rotation in shape_symmetries if _looks_the_same(rotation, faces, letters)]
    return PoseObject(
        name=name,
        mass=mass,
        parts=tuple(parts),
        pieces=(piece,),
        keypoints=keypoints,
        points=keypoints,
        edges=keypoints[np.array(pairs)],
        edge_normals=np.array([beside[pair] for pair in pairs]),
        symmetries=Symmetries(rotations=np.array(alike)),
        shape_symmetries=shape_symmetries,
        faces=tuple(faces),
    )


def _face(name: str, look: FaceLook, normal: Vector3, keypoints: FloatArray) -> Face:
    """Return a face whose corners are the keypoints farthest along its normal, sorted counter-clockwise from
    outside."""
    up = look.up or ((0.0, 0.0, 1.0) if abs(normal[2]) < 0.5 else (0.0, 1.0, 0.0))
    distance = keypoints @ np.asarray(normal, dtype=np.float64)
    (corners,) = np.nonzero(distance > distance.max() - 1e-9)
    right = np.cross(up, normal)
    if not np.isclose(np.linalg.norm(right), 1):
        raise ValueError(f"face {name}: up must be a unit vector in the face, got {up}")
    order = np.argsort(np.arctan2(keypoints[corners] @ up, keypoints[corners] @ right))
    return Face(name=name, color=look.encoded, normal=normal, up=up, corners=tuple(int(i) for i in corners[order]))


def _pyramid(face: Face, keypoints: FloatArray) -> Mesh:
    """Return the pyramid over a face with its apex in the object's centre: pyramids fill the object exactly, so that
    its silhouette is the solid's and only the face itself is visible."""
    import trimesh

    hull = trimesh.convex.convex_hull(np.vstack([np.zeros(3), keypoints[list(face.corners)]]))
    return Mesh(vertices=np.array(hull.vertices), faces=np.array(hull.faces))


def _check_letters(**heights: float | None) -> None:
    """Raise ValueError, naming the key, for an impossible height of letters."""
    for key, height in heights.items():
        if height is not None and not 0 < height < 1:
            raise ValueError(f"{key}: expected metres above 0 and below 1, got {height}; are these millimetres?")


def _letter(face: Face, letter: str, height: float, keypoints: FloatArray) -> Mesh:
    from vision.objects.glyphs import letter_mesh

    frame = np.eye(4)
    frame[:3, :3] = np.column_stack([np.cross(face.up, face.normal), face.up, face.normal])
    frame[:3, 3] = keypoints[list(face.corners)].mean(axis=0)
    solid = letter_mesh(letter, height, LETTER_RELIEF)
    solid.apply_transform(frame)
    return Mesh(vertices=np.array(solid.vertices), faces=np.array(solid.faces))


def _looks_the_same(rotation: FloatArray, faces: Sequence[Face], letters: dict[str, str | None]) -> bool:
    """Return whether every face falls onto one of the same colour and letter, the letter upright."""
    for face in faces:
        normal, up = rotation @ face.normal, rotation @ face.up
        onto = next((other for other in faces if np.allclose(other.normal, normal)), None)
        if onto is None or onto.color != face.color or letters[onto.name] != letters[face.name]:
            return False
        if letters[face.name] is not None and not np.allclose(onto.up, up):
            return False
    return True


@functools.cache
def _dihedral_rotations(order: int) -> FloatArray:
    """Return the 2 x order rotations of a regular prism about z, the identity first; read-only."""
    turns = Rotation.from_euler("z", 2 * np.pi / order * np.arange(order)[:, None]).as_matrix()
    flip = np.diag([1.0, -1.0, -1.0])
    return read_only(np.concatenate([turns, turns @ flip]))
