"""Clutter: things that lie about in a laboratory, behind the hand, beside it, and thin ones in front of it.

A piece is a value: parts that every renderer has (boxes, capsules, spheres) with one material, in the world frame.
Where it stands is drawn until it is clear of the object, of whatever else is not to be touched, of the cameras and,
unless it stands in front, of their view of the object.
"""

from __future__ import annotations

import colorsys
import itertools
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from scipy.spatial.transform import Rotation

from datagen.variation import LogUniform, Uniform, UniformInt, generator, unit_vector
from vision.errors import DactylError
from vision.geometry.rotations import FloatArray, quaternion_from_rotation, rotation_from_quaternion

Place = Literal["behind", "beside", "front"]
_THIN = ("rod", "cable")  # what may stand in front: it hides a stripe and never the whole object
_RING_PARTS, _CABLE_PARTS = 16, 12
_ATTEMPTS = 50
_CAMERA_CLEARANCE = 0.1  # metres: closer, a piece may fill the picture
_CONE_POINTS = 24  # closer together than the object's radius for cameras up to a metre away


@dataclass(frozen=True)
class ClutterConfig:
    """Ranges, one draw for each sample. There is no clutter by default.

    Attributes:
        behind, beside, front: how many pieces stand farther from the cameras than the object, around it, and between a
            camera and the object.
        size: of a piece, metres: the longest half side of a box, the radius of a sphere or ring, half the length of a
            rod or cable.
        thickness: radius of rods, cables and of what rings are made of, metres.
        distance: of pieces behind and beside from the object, metres.
        clearance: least distance of a piece from what is not to be touched, metres.
        metallic, glossiness: of each piece; glossiness is 1 - roughness.
    """

    behind: UniformInt = UniformInt(0, 0)
    beside: UniformInt = UniformInt(0, 0)
    front: UniformInt = UniformInt(0, 0)
    size: LogUniform = LogUniform(0.02, 0.2)
    thickness: LogUniform = LogUniform(0.002, 0.01)
    distance: Uniform = Uniform(0.15, 0.6)
    clearance: float = 0.01
    metallic: Uniform = Uniform(0.0, 1.0)
    glossiness: Uniform = Uniform(0.0, 1.0)

    def __post_init__(self) -> None:
        for name in ("behind", "beside", "front"):
            if not 0 <= getattr(self, name).low <= getattr(self, name).high <= 32:
                raise ValueError(f"{name}: must lie between 0 and 32 pieces, got {getattr(self, name)}")
        for name in ("metallic", "glossiness"):
            if getattr(self, name).low < 0 or getattr(self, name).high > 1:
                raise ValueError(f"{name}: must lie in [0, 1], got {getattr(self, name)}")
        if self.distance.low <= 0:
            raise ValueError(f"distance: must be positive, got {self.distance.low}")
        if not self.clearance >= 0:
            raise ValueError(f"clearance: must be 0 or more, got {self.clearance}")


@dataclass(frozen=True, eq=False)
class ClutterPart:
    """One solid, as MuJoCo's geoms have it.

    Attributes:
        shape: box, capsule or sphere.
        position: of its centre, metres, world frame, (3,).
        quaternion: w x y z, its frame to the world, (4,).
        size: metres, (3,): a box's half sides; a capsule's radius, half the length of its axis (along its z), 0; a
            sphere's radius, 0, 0.
    """

    shape: Literal["box", "capsule", "sphere"]
    position: FloatArray
    quaternion: FloatArray
    size: FloatArray

    def distance(self, points: FloatArray) -> FloatArray:
        """Of points (N, 3) from its surface, metres, (N,); negative inside."""
        local = rotation_from_quaternion(self.quaternion).inv().apply(points - self.position)
        if self.shape == "box":
            outside = np.abs(local) - self.size
            return np.linalg.norm(np.maximum(outside, 0), axis=1) + np.minimum(outside.max(axis=1), 0)
        if self.shape == "capsule":
            local[:, 2] -= np.clip(local[:, 2], -self.size[1], self.size[1])
        return np.linalg.norm(local, axis=1) - self.size[0]


@dataclass(frozen=True, eq=False)
class Piece:
    """A thing of one material.

    Attributes:
        kind: box, rod, sphere, ring or cable.
        place: where it stands.
        parts: what it is made of.
        rgb: sRGB-encoded, [0, 1], (3,).
        metallic, glossiness: [0, 1].
    """

    kind: str
    place: Place
    parts: tuple[ClutterPart, ...]
    rgb: FloatArray
    metallic: float
    glossiness: float

    def distance(self, points: FloatArray) -> FloatArray:
        """Of points (N, 3) from its surface, metres, (N,); negative inside."""
        return np.min([part.distance(points) for part in self.parts], axis=0)

    def to_json(self) -> dict[str, Any]:
        """Numbers and names; ``from_json`` gives the same values back, bit by bit."""
        parts = [
            {"shape": part.shape, **{name: getattr(part, name).tolist() for name in ("position", "quaternion", "size")}}
            for part in self.parts
        ]
        material = {"rgb": self.rgb.tolist(), "metallic": self.metallic, "glossiness": self.glossiness}
        return {"kind": self.kind, "place": self.place, "parts": parts, **material}

    @classmethod
    def from_json(cls, values: dict[str, Any], where: str) -> Piece:
        """Raises DactylError, with ``where`` in it, for values that are no piece."""
        try:
            parts = tuple(_checked_part(part) for part in values["parts"])
            rgb = np.array(values["rgb"], dtype=np.float64)
            if values["place"] not in ("behind", "beside", "front") or rgb.shape != (3,) or not parts:
                raise ValueError(f"place {values['place']}, rgb of shape {rgb.shape}, {len(parts)} parts")
            metallic, glossiness = float(values["metallic"]), float(values["glossiness"])
            return cls(str(values["kind"]), values["place"], parts, rgb, metallic, glossiness)
        except (KeyError, TypeError, ValueError) as error:
            raise DactylError(f"{where}: not a piece of clutter ({error}); make the dataset again") from None


def draw_clutter(
    config: ClutterConfig,
    cameras: FloatArray,
    centres: FloatArray,
    radii: FloatArray,
    seed: int,
    index: int,
) -> tuple[Piece, ...]:
    """The clutter of sample ``index`` of the dataset with ``seed``; the same wherever and whenever it is drawn.

    A piece for which no free place is found in many attempts is left out.

    Args:
        config: ranges.
        cameras: their positions, metres, world frame, (C, 3).
        centres: of spheres that no piece may touch, metres, world frame, (K, 3). The first holds the object, which the
            places refer to; others may hold parts of the hand.
        radii: of these spheres, metres, (K,).
        seed, index: key of every generator.
    """
    pieces = []
    places: tuple[Place, ...] = ("behind", "beside", "front")
    for place in places:
        count = getattr(config, place)(generator(seed, index, f"clutter/{place}"))
        for number in range(count):
            rng = generator(seed, index, f"clutter/{place}/{number}")
            for _ in range(_ATTEMPTS):
                piece = _piece(config, place, _site(config, place, cameras, centres[0], rng), rng)
                if _is_clear(piece, config, cameras, centres, radii):
                    pieces.append(piece)
                    break
    return tuple(pieces)


def _is_clear(piece: Piece, config: ClutterConfig, cameras: FloatArray, centres: FloatArray, radii: FloatArray) -> bool:
    points = [centres, cameras]
    distances = [radii + config.clearance, np.full(len(cameras), _CAMERA_CLEARANCE)]
    if piece.place != "front":  # the cones in which the cameras see the object, as spheres along them
        way = np.linspace(0.1, 1.0, _CONE_POINTS)
        points.append((cameras[:, None] + way[:, None] * (centres[0] - cameras[:, None])).reshape(-1, 3))
        distances.append(np.tile(way * radii[0], len(cameras)))
    return bool((piece.distance(np.concatenate(points)) >= np.concatenate(distances)).all())


def _site(
    config: ClutterConfig, place: Place, cameras: FloatArray, target: FloatArray, rng: np.random.Generator
) -> FloatArray:
    """Where the middle of a piece could be."""
    if place == "beside":
        direction = unit_vector(rng)
        direction[2] = 0.5 * abs(direction[2])  # what is below is hidden by the hand
        return target + direction / np.linalg.norm(direction) * config.distance(rng)
    camera = cameras[rng.integers(len(cameras))]
    if place == "front":
        way = rng.uniform(0.4, 0.85)
        return camera + way * (target - camera) + rng.uniform(-0.06, 0.06, 3)
    away = (target - camera) / np.linalg.norm(target - camera)
    return target + away * config.distance(rng) + rng.uniform(-0.3, 0.3, 3)


def _piece(config: ClutterConfig, place: Place, site: FloatArray, rng: np.random.Generator) -> Piece:
    kind = str(rng.choice(_THIN if place == "front" else list(_KINDS)))
    size, thickness = float(config.size(rng)), float(config.thickness(rng))
    turn = Rotation.from_quat(rng.normal(size=4))
    parts = tuple(_KINDS[kind](rng, site, turn, size, thickness))
    rgb = np.array(colorsys.hsv_to_rgb(rng.uniform(), rng.beta(1, 1.5), rng.uniform(0.05, 1.0)))
    return Piece(kind, place, parts, rgb, float(config.metallic(rng)), float(config.glossiness(rng)))


def _box(rng: np.random.Generator, site: FloatArray, turn: Rotation, size: float, _: float) -> list[ClutterPart]:
    half = size * rng.permutation([1.0, *rng.uniform(0.1, 1.0, 2)])
    return [ClutterPart("box", site, quaternion_from_rotation(turn), half)]


def _sphere(rng: np.random.Generator, site: FloatArray, turn: Rotation, size: float, _: float) -> list[ClutterPart]:
    del rng
    return [ClutterPart("sphere", site, quaternion_from_rotation(turn), np.array([size, 0.0, 0.0]))]


def _rod(
    rng: np.random.Generator, site: FloatArray, turn: Rotation, size: float, thickness: float
) -> list[ClutterPart]:
    del rng
    end = turn.apply([0.0, 0.0, size])
    return _chain(np.stack([site - end, site + end]), thickness)


def _ring(
    rng: np.random.Generator, site: FloatArray, turn: Rotation, size: float, thickness: float
) -> list[ClutterPart]:
    del rng
    angle = np.linspace(0, 2 * np.pi, _RING_PARTS + 1)
    circle = size * np.stack([np.cos(angle), np.sin(angle), np.zeros_like(angle)], axis=1)
    return _chain(site + turn.apply(circle), thickness)


def _cable(
    rng: np.random.Generator, site: FloatArray, turn: Rotation, size: float, thickness: float
) -> list[ClutterPart]:
    """A curve between two ends that bends to the sides on its way (a cubic of Bézier's)."""
    bends = np.array([[0, 0, -1], [0, 0, -0.3], [0, 0, 0.3], [0, 0, 1.0]]) * size
    bends[1:3, :2] = size * rng.uniform(-1.0, 1.0, (2, 2))
    t = np.linspace(0, 1, _CABLE_PARTS + 1)[:, None]
    weights = np.concatenate([(1 - t) ** 3, 3 * t * (1 - t) ** 2, 3 * t**2 * (1 - t), t**3], axis=1)
    return _chain(site + turn.apply(weights @ bends), thickness)


_KINDS = {"box": _box, "rod": _rod, "sphere": _sphere, "ring": _ring, "cable": _cable}


def _chain(points: FloatArray, radius: float) -> list[ClutterPart]:
    """Capsules along a line through points (K, 3)."""
    parts = []
    for start, end in itertools.pairwise(points):
        along = end - start
        length = float(np.linalg.norm(along))
        size = np.array([radius, length / 2, 0.0])
        parts.append(ClutterPart("capsule", (start + end) / 2, _from_z(along / length), size))
    return parts


def _from_z(direction: FloatArray) -> FloatArray:
    """The shortest rotation of the z axis to a unit vector, w x y z."""
    x, y, z = direction
    quaternion = np.array([1.0 + z, -y, x, 0.0]) if z > -1 + 1e-9 else np.array([0.0, 1.0, 0.0, 0.0])
    return quaternion / np.linalg.norm(quaternion)


def _checked_part(values: dict[str, Any]) -> ClutterPart:
    arrays = {name: np.array(values[name], dtype=np.float64) for name in ("position", "quaternion", "size")}
    if values["shape"] not in ("box", "capsule", "sphere"):
        raise ValueError(f"shape {values['shape']}")
    if [array.shape for array in arrays.values()] != [(3,), (4,), (3,)]:
        raise ValueError(f"shapes {[array.shape for array in arrays.values()]}")
    if not all(np.isfinite(array).all() for array in arrays.values()):
        raise ValueError("values that are not finite")
    return ClutterPart(values["shape"], **arrays)
