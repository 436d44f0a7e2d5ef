"""Clutter as values: solids that every renderer can draw, one material per piece, in the world frame."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from vision.errors import DactylError
from vision.geometry.rotations import FloatArray, matrix_from_quaternion
from vision.objects.pose_object import joined

Place = Literal["behind", "beside", "front", "above"]
_PLACES = ("behind", "beside", "front", "above")
_FINE, _COARSE = (16, 3), (8, 2)  # sides of a capsule, and rings of each of its ends
_MANY = 6  # a piece of more parts is drawn coarsely


@dataclass(frozen=True, eq=False)
class ClutterPart:
    """Solid with the shape and sizes of a MuJoCo geom.

    Attributes:
        shape: box, capsule or sphere.
        position: position of its centre, metres, world frame, (3,).
        quaternion: w x y z, part to world, (4,).
        size: metres, (3,): a box's half sides; a capsule's radius, half the length of its axis (along its z), 0; a
            sphere's radius, 0, 0.
    """

    shape: Literal["box", "capsule", "sphere"]
    position: FloatArray
    quaternion: FloatArray
    size: FloatArray

    def triangles(self, fine: bool = True) -> tuple[FloatArray, FloatArray, np.ndarray]:
        """Return vertices (V, 3) in metres and unit outward normals (V, 3) in the world frame, and faces (F, 3)."""
        vertices, normals, faces = _unit_box() if self.shape == "box" else _unit_capsule(*(_FINE if fine else _COARSE))
        if self.shape == "box":
            vertices = vertices * self.size
        else:
            vertices = self.size[0] * vertices
            vertices[:, 2] += np.where(normals[:, 2] > 0, self.size[1], -self.size[1])
        turn = matrix_from_quaternion(self.quaternion).T
        return vertices @ turn + self.position, normals @ turn, faces


@dataclass(frozen=True, eq=False)
class ClutterPiece:
    """Piece of clutter with one material.

    Attributes:
        kind: box, rod, sphere, ring, cable, finger or fingertip.
        place: behind, beside, front or above.
        parts: solids that make up the piece.
        rgb: sRGB-encoded, [0, 1], (3,).
        metallic, glossiness: [0, 1].
    """

    kind: str
    place: Place
    parts: tuple[ClutterPart, ...]
    rgb: FloatArray
    metallic: float
    glossiness: float

    @functools.cached_property
    def _round(self) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Capsules and spheres (capsules of no length): ends of their axes (P, 3) each, metres, world frame, and radii
        (P,)."""
        parts = [part for part in self.parts if part.shape != "box"]
        size = np.array([part.size for part in parts]).reshape(-1, 3)
        middle = np.array([part.position for part in parts]).reshape(-1, 3)
        w, x, y, z = np.array([part.quaternion for part in parts]).reshape(-1, 4).T
        axis = np.stack([2 * (x * z + w * y), 2 * (y * z - w * x), 1 - 2 * (x * x + y * y)], axis=-1)
        half = size[:, 1:2] * axis
        return middle - half, middle + half, size[:, 0]

    @functools.cached_property
    def ball(self) -> tuple[FloatArray, float]:
        """Centre (3,) and radius of a ball that encloses the piece, metres."""
        places, sizes = (np.array([getattr(part, name) for part in self.parts]) for name in ("position", "size"))
        middle = places.mean(axis=0)
        reach = np.where([part.shape == "box" for part in self.parts], np.linalg.norm(sizes, axis=1), sizes.sum(axis=1))
        return middle, float((np.linalg.norm(places - middle, axis=1) + reach).max())

    def distance(self, points: FloatArray) -> FloatArray:
        """Return distances (N,) of points (N, 3) from the surface, metres; negative inside."""
        found = [_box_distance(part, points) for part in self.parts if part.shape == "box"]
        first, last, radii = self._round
        if len(radii):
            along, offset = last - first, points[:, None] - first
            squared = np.maximum((along * along).sum(axis=-1), 1e-300)
            way = np.clip((offset * along).sum(axis=-1) / squared, 0, 1)
            found.append((np.linalg.norm(offset - way[..., None] * along, axis=-1) - radii).min(axis=1))
        least: FloatArray = np.min(found, axis=0)
        return least

    def blocks(self, start: FloatArray, end: FloatArray) -> NDArray[np.bool_]:
        """Return whether the piece stands between points (..., 3) that broadcast, (...,); boxes are ignored."""
        first, last, radii = self._round
        return np.asarray((_segment_distance(start[..., None, :], end[..., None, :], first, last) < radii).any(axis=-1))

    def triangles(self) -> tuple[FloatArray, FloatArray, np.ndarray]:
        """Return vertices (V, 3) in metres and unit outward normals (V, 3) in the world frame, and faces (F, 3)."""
        surfaces = [part.triangles(len(self.parts) <= _MANY) for part in self.parts]
        vertices, faces = joined([(own_vertices, own_faces) for own_vertices, _, own_faces in surfaces])
        return vertices, np.concatenate([normals for _, normals, _ in surfaces]), faces

    def to_json(self) -> dict[str, Any]:
        """Return numbers and names from which ``from_json`` restores the same values bit by bit."""
        parts = [
            {"shape": part.shape, **{name: getattr(part, name).tolist() for name in ("position", "quaternion", "size")}}
            for part in self.parts
        ]
        material = {"rgb": self.rgb.tolist(), "metallic": self.metallic, "glossiness": self.glossiness}
        return {"kind": self.kind, "place": self.place, "parts": parts, **material}

    @classmethod
    def from_json(cls, values: dict[str, Any], where: str) -> ClutterPiece:
        """Restore a piece; raise DactylError, which names ``where``, if the values are not one."""
        try:
            parts = tuple(_checked_part(part) for part in values["parts"])
            rgb = np.array(values["rgb"], dtype=np.float64)
            if values["place"] not in _PLACES or rgb.shape != (3,) or not parts:
                raise ValueError(f"place {values['place']}, rgb of shape {rgb.shape}, {len(parts)} parts")
            metallic, glossiness = float(values["metallic"]), float(values["glossiness"])
            return cls(str(values["kind"]), values["place"], parts, rgb, metallic, glossiness)
        except (KeyError, TypeError, ValueError) as error:
            raise DactylError(f"{where}: not a piece of clutter ({error}); make the dataset again") from None


def _box_distance(box: ClutterPart, points: FloatArray) -> FloatArray:
    local = (points - box.position) @ matrix_from_quaternion(box.quaternion)
    outside = np.abs(local) - box.size
    return np.asarray(np.linalg.norm(np.maximum(outside, 0), axis=1) + np.minimum(outside.max(axis=1), 0))


def _segment_distance(a: FloatArray, b: FloatArray, c: FloatArray, d: FloatArray) -> FloatArray:
    """Return distances (...,) between segments a-b and c-d, (..., 3) that broadcast; a and b must differ."""
    one, other, offset = b - a, d - c, a - c
    aa, bb, ab = (one * one).sum(-1), (other * other).sum(-1), (one * other).sum(-1)
    ao, bo = (one * offset).sum(-1), (other * offset).sum(-1)
    determinant = aa * bb - ab**2
    with np.errstate(divide="ignore", invalid="ignore"):
        s = np.clip(np.where(determinant > 1e-12 * aa * bb, (ab * bo - ao * bb) / determinant, 0.0), 0, 1)
        t = np.clip(np.where(bb > 0, (bo + ab * s) / bb, 0.0), 0, 1)
    s = np.clip((ab * t - ao) / aa, 0, 1)  # nearest point again, since the other may have been clipped to its end
    distance: FloatArray = np.linalg.norm(offset + s[..., None] * one - t[..., None] * other, axis=-1)
    return distance


def _checked_part(values: dict[str, Any]) -> ClutterPart:
    arrays = {name: np.array(values[name], dtype=np.float64) for name in ("position", "quaternion", "size")}
    if values["shape"] not in ("box", "capsule", "sphere"):
        raise ValueError(f"shape {values['shape']}")
    if [array.shape for array in arrays.values()] != [(3,), (4,), (3,)]:
        raise ValueError(f"shapes {[array.shape for array in arrays.values()]}")
    if not all(np.isfinite(array).all() for array in arrays.values()):
        raise ValueError("values that are not finite")
    return ClutterPart(values["shape"], **arrays)


@functools.cache
def _unit_box() -> tuple[FloatArray, FloatArray, np.ndarray]:
    """Build a box with half sides of 1; separate vertices for every triangle keep the edges sharp."""
    import trimesh  # late, because code that only reads the values does not need it

    mesh = trimesh.creation.box((2.0, 2.0, 2.0))
    vertices = np.asarray(mesh.triangles, np.float64).reshape(-1, 3)
    normals = np.asarray(mesh.face_normals, np.float64).repeat(3, axis=0)
    return vertices, normals, np.arange(len(vertices)).reshape(-1, 3)


@functools.cache
def _unit_capsule(sides: int, rings: int) -> tuple[FloatArray, FloatArray, np.ndarray]:
    """Build a unit sphere with two rings at its equator, which a capsule's two ends pull apart."""
    quarter = np.linspace(0, np.pi / 2, rings + 1)
    polar = np.concatenate([quarter, np.pi / 2 + quarter])
    azimuth = 2 * np.pi * np.arange(sides) / sides
    ring = np.stack([np.cos(azimuth), np.sin(azimuth)], axis=-1)
    heights = np.cos(polar)
    # The sign of its normal's z says which end a vertex belongs to.
    heights[rings], heights[rings + 1] = 1e-9, -1e-9
    vertices = np.concatenate(
        [np.column_stack([np.sin(p) * ring, np.full(sides, z)]) for p, z in zip(polar, heights, strict=True)]
    )
    place = np.arange(len(polar) * sides).reshape(len(polar), sides)
    after = np.roll(place, -1, axis=1)
    lower = np.stack([place[:-1], place[1:], after[1:]], axis=-1)[:-1]  # the last ring is a point
    upper = np.stack([place[:-1], after[1:], after[:-1]], axis=-1)[1:]  # and so is the first
    faces = np.concatenate([lower.reshape(-1, 3), upper.reshape(-1, 3)])
    return vertices, vertices.copy(), faces
