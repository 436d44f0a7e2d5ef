"""The objects whose pose is estimated: faces, letters, corners.

Simulators build them, the network predicts their corners, reports draw their edges: all from the one definition here.
Metres; the object's frame has its origin in the centre. Colours are sRGB-encoded, [0, 1].
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.spatial.transform import Rotation

from vision.errors import DactylError
from vision.geometry.rotations import FloatArray, cube_rotations


@dataclass(frozen=True)
class Face:
    """One flat side with its letter.

    Attributes:
        name: unique within the object, for example ``+x``.
        letter: one capital, drawn upright along ``up``, centred.
        color: sRGB-encoded, (3,).
        normal: unit, outward, (3,).
        up: unit, in the face, the direction of the letter's top as seen from outside, (3,).
        letter_height: metres, height of a capital.
        corners: indices into the object's keypoints, counter-clockwise as seen from outside.
    """

    name: str
    letter: str
    color: tuple[float, float, float]
    normal: tuple[float, float, float]
    up: tuple[float, float, float]
    letter_height: float
    corners: tuple[int, ...]

    @property
    def right(self) -> FloatArray:
        """Unit vector along the letter's baseline, (3,): right x up = normal."""
        return np.cross(self.up, self.normal)


@dataclass(frozen=True, eq=False)
class PoseObject:
    """A rigid, convex object with lettered faces.

    Attributes:
        name: key in :data:`OBJECTS`.
        keypoints: corners, (K, 3) metres, object frame.
        faces: outer faces.
        mass: kilograms.
        symmetries: proper rotations (S, 3, 3) that leave the object's look unchanged; letters leave only the identity.
        shape_symmetries: proper rotations (R, 3, 3) that leave its shape unchanged (letters and colours aside).
    """

    name: str
    keypoints: FloatArray
    faces: tuple[Face, ...]
    mass: float
    symmetries: FloatArray
    shape_symmetries: FloatArray

    @functools.cached_property
    def edges(self) -> tuple[tuple[int, int], ...]:
        """Pairs of keypoint indices, each edge once, for wireframes."""
        pairs = set()
        for face in self.faces:
            for a, b in zip(face.corners, (*face.corners[1:], face.corners[0]), strict=True):
                pairs.add((min(a, b), max(a, b)))
        return tuple(sorted(pairs))

    @functools.cached_property
    def diameter(self) -> float:
        """Largest distance between two corners, metres."""
        return float(np.linalg.norm(self.keypoints[:, None] - self.keypoints[None], axis=-1).max())


def srgb_from_linear(color: ArrayLike) -> FloatArray:
    """sRGB encoding (IEC 61966-2-1) of linear values in [0, 1]."""
    linear = np.asarray(color, dtype=np.float64)
    return np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * np.maximum(linear, 0.0031308) ** (1 / 2.4) - 0.055)


def linear_from_srgb(color: ArrayLike) -> FloatArray:
    """Linear values of sRGB-encoded ones in [0, 1]."""
    encoded = np.asarray(color, dtype=np.float64)
    return np.where(encoded <= 0.04045, encoded / 12.92, ((encoded + 0.055) / 1.055) ** 2.4)


# name, letter, linear RGB as published, normal, letter's up direction (ORRB, arXiv 1906.11633).
_BLOCK_FACES = (
    ("+x", "N", (0.29, 0.54, 0.00), (1, 0, 0), (0, 0, 1)),
    ("-x", "P", (0.62, 0.33, 0.00), (-1, 0, 0), (0, 0, 1)),
    ("+y", "O", (0.33, 0.04, 0.02), (0, 1, 0), (0, 0, 1)),
    ("-y", "E", (0.70, 0.62, 0.09), (0, -1, 0), (0, 0, 1)),
    ("+z", "A", (0.09, 0.12, 0.45), (0, 0, 1), (0, -1, 0)),
    ("-z", "I", (0.13, 0.10, 0.27), (0, 0, -1), (0, 1, 0)),
)
_BLOCK_HALF_SIZE = 0.0285
_BLOCK_MASS = 0.078
_BLOCK_LETTER_HEIGHT = 0.038

# The prism's measures and colours are ours: the reference publishes none. Sides have one hue each, 45 degrees apart.
_PRISM_APOTHEM = 0.026
_PRISM_HALF_LENGTH = 0.040
_PRISM_LETTERS = "NPOEAITS"
_PRISM_END_LETTERS = ("X", "L")
_PRISM_COLORS = (
    (0.80, 0.16, 0.14),
    (0.90, 0.50, 0.10),
    (0.85, 0.78, 0.16),
    (0.42, 0.70, 0.16),
    (0.08, 0.52, 0.36),
    (0.10, 0.56, 0.72),
    (0.16, 0.26, 0.70),
    (0.52, 0.20, 0.62),
)
_PRISM_END_COLORS = ((0.80, 0.46, 0.56), (0.34, 0.22, 0.14))


def block() -> PoseObject:
    """The reference's block: a cube of side 57 mm with six coloured, lettered faces."""
    signs = np.array([(x, y, z) for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)], dtype=np.float64)
    keypoints = signs * _BLOCK_HALF_SIZE
    faces = tuple(
        _face(name, letter, tuple(srgb_from_linear(color)), normal, up, _BLOCK_LETTER_HEIGHT, keypoints)
        for name, letter, color, normal, up in _BLOCK_FACES
    )
    return PoseObject("block", keypoints, faces, _BLOCK_MASS, np.eye(3)[None], cube_rotations())


def octagonal_prism() -> PoseObject:
    """An octagonal prism along z: 52 mm across flats, 80 mm long, eight lettered sides and two lettered ends."""
    circumradius = _PRISM_APOTHEM / np.cos(np.pi / 8)
    angles = np.pi / 4 * np.arange(8) + np.pi / 8
    ring = circumradius * np.stack([np.cos(angles), np.sin(angles)], axis=-1)
    keypoints = np.concatenate(
        [np.column_stack([ring, np.full(8, z)]) for z in (-_PRISM_HALF_LENGTH, _PRISM_HALF_LENGTH)]
    )
    faces = []
    for side in range(8):
        angle = np.pi / 4 * side
        normal = (float(np.cos(angle)), float(np.sin(angle)), 0.0)
        # A side is 21.5 mm wide, so its letter is smaller than the block's.
        faces.append(
            _face(f"side{side}", _PRISM_LETTERS[side], _PRISM_COLORS[side], normal, (0, 0, 1), 0.020, keypoints)
        )
    for name, letter, color, z in (
        ("+z", _PRISM_END_LETTERS[0], _PRISM_END_COLORS[0], 1),
        ("-z", _PRISM_END_LETTERS[1], _PRISM_END_COLORS[1], -1),
    ):
        faces.append(_face(name, letter, color, (0, 0, z), (0, 1, 0), 0.030, keypoints))
    volume = 8 * _PRISM_APOTHEM**2 * np.tan(np.pi / 8) * 2 * _PRISM_HALF_LENGTH
    density = _BLOCK_MASS / (2 * _BLOCK_HALF_SIZE) ** 3
    return PoseObject("prism", keypoints, tuple(faces), density * volume, np.eye(3)[None], _dihedral_rotations(8))


def _dihedral_rotations(order: int) -> FloatArray:
    """The 2 x order rotations of a regular prism about z, the identity first."""
    turns = Rotation.from_euler("z", 2 * np.pi / order * np.arange(order)[:, None]).as_matrix()
    flip = np.diag([1.0, -1.0, -1.0])
    return np.concatenate([turns, turns @ flip])


def _face(
    name: str,
    letter: str,
    color: tuple[float, ...],
    normal: tuple[float, float, float],
    up: tuple[float, float, float],
    letter_height: float,
    keypoints: FloatArray,
) -> Face:
    """A face whose corners are the keypoints farthest along its normal, sorted counter-clockwise from outside."""
    distance = keypoints @ np.asarray(normal, dtype=np.float64)
    (corners,) = np.nonzero(distance > distance.max() - 1e-9)
    right = np.cross(up, normal)
    order = np.argsort(np.arctan2(keypoints[corners] @ up, keypoints[corners] @ right))
    red, green, blue = (float(value) for value in color)
    return Face(name, letter, (red, green, blue), normal, up, letter_height, tuple(int(i) for i in corners[order]))


OBJECTS: dict[str, Callable[[], PoseObject]] = {"block": block, "prism": octagonal_prism}
"""Builders by name. To add an object, add its builder here: nothing else names objects."""


@functools.cache
def get_object(name: str) -> PoseObject:
    """The object of that name; :class:`DactylError` lists the known ones."""
    if name not in OBJECTS:
        raise DactylError(f"unknown object '{name}': choose one of {', '.join(OBJECTS)}")
    return OBJECTS[name]()
