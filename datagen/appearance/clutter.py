"""Clutter: objects of a laboratory behind and beside the hand, thin ones in front of it, and fingers of a robot that
reach in from above, for scenes without a hand.

Lengths in the configuration are fractions of the cameras' distance from the object, so that they suit a hand seen from
a metre and a cube in a bowl seen from half of that. A piece's position is redrawn until it is clear of the object, of
the hand, of the cameras and, unless it stands in front, of their view of the object.
"""

from __future__ import annotations

import colorsys
import itertools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from scipy.spatial.transform import Rotation

from datagen.appearance.clutter_pieces import ClutterPart, ClutterPiece, Place
from datagen.appearance.clutter_shapes import KINDS, chain
from datagen.variation import generator, unit_vector
from vision.configuration.bounds import fraction
from vision.distributions import LogUniform, Uniform, UniformInt
from vision.geometry.rotations import FloatArray

_THIN = ("rod", "cable")  # allowed in front, because they hide a stripe and never the whole object
_TAPER = 3  # capsules of a finger's last link
_ATTEMPTS = 50

if TYPE_CHECKING:  # it imports the simulator, which reading a configuration does not need
    from datagen.appearance.room import Room


@dataclass(frozen=True)
class FingerConfig:
    """Fingers of a robot that hang from above and reach towards the object. There are none by default.

    Lengths are fractions of the cameras' distance from the object.

    Attributes:
        count: number of fingers.
        thickness: radius of the fingers' links, at the knee.
        tip: radius of the fingers' grey round tips.
        length: length of a finger's last link.
        reach: distance of a finger's tip from the object.
        height: height of the fingers' upper ends above the floor, or above the workspace if there is no floor.
        colored: fraction of fingers in any colour; the others are white or black.
    """

    count: UniformInt = UniformInt(0, 0)
    thickness: Uniform = Uniform(0.019, 0.038)
    tip: Uniform = Uniform(0.014, 0.017)
    length: Uniform = Uniform(0.28, 0.4)
    reach: Uniform = Uniform(0.0, 0.25)
    height: Uniform = Uniform(0.5, 0.65)
    colored: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.count.low <= self.count.high <= 8:
            raise ValueError(f"count: must lie between 0 and 8 fingers, got {self.count}")
        for name in ("thickness", "tip", "length", "height"):
            if getattr(self, name).low <= 0:
                raise ValueError(f"{name}: must be positive, got {getattr(self, name)}")
        fraction(self, "colored")


@dataclass(frozen=True)
class ClutterConfig:
    """Ranges of clutter, one draw for each sample. There is no clutter by default.

    Lengths are fractions of the cameras' mean distance from the object.

    Attributes:
        probability: probability that a sample has any clutter.
        behind: number of pieces that stand farther from the cameras than the object.
        beside: number of pieces around the object.
        front: number of pieces between a camera and the object, thin ones only.
        fingers: fingers that reach in from above.
        size: size of a piece: the longest half side of a box, the radius of a sphere or ring, half the length of a rod
            or cable.
        thickness: radius of rods, of cables and of the tube of rings.
        distance: distance from the object of pieces behind and beside it.
        clearance: least distance of a piece from samples of the object's surface, and half the least distance from
            samples of the hand's. No piece touches either, but between samples one may come closer.
        hidden: largest fraction of the object that pieces in front and fingers together may hide from a camera.
        value: brightness of a piece's colour (the V of HSV); hue and saturation are arbitrary.
        metallic: metallic fraction of each piece.
        glossiness: glossiness of each piece; 1 - roughness.
    """

    probability: float = 1.0
    behind: UniformInt = UniformInt(0, 0)
    beside: UniformInt = UniformInt(0, 0)
    front: UniformInt = UniformInt(0, 0)
    fingers: FingerConfig = field(default_factory=FingerConfig)
    size: LogUniform = LogUniform(0.02, 0.2)
    thickness: LogUniform = LogUniform(0.002, 0.01)
    distance: Uniform = Uniform(0.15, 0.6)
    clearance: float = 0.01
    hidden: float = 0.8
    value: Uniform = Uniform(0.05, 1.0)
    metallic: Uniform = Uniform(0.0, 1.0)
    glossiness: Uniform = Uniform(0.0, 1.0)

    def __post_init__(self) -> None:
        for name in ("behind", "beside", "front"):
            if not 0 <= getattr(self, name).low <= getattr(self, name).high <= 32:
                raise ValueError(f"{name}: must lie between 0 and 32 pieces, got {getattr(self, name)}")
        for name in ("value", "metallic", "glossiness"):
            if getattr(self, name).low < 0 or getattr(self, name).high > 1:
                raise ValueError(f"{name}: must lie in [0, 1], got {getattr(self, name)}")
        fraction(self, "probability", "hidden")
        if self.distance.low <= 0:
            raise ValueError(f"distance: must be positive, got {self.distance.low}")
        if not 0.002 <= self.clearance <= 0.1:
            raise ValueError(f"clearance: must lie in [0.002, 0.1], got {self.clearance}")

    @property
    def any(self) -> bool:
        """Whether some sample may have clutter."""
        counts = (self.behind, self.beside, self.front, self.fingers.count)
        return self.probability > 0 and any(count.high > 0 for count in counts)


def draw_clutter(config: ClutterConfig, room: Room, seed: int, index: int) -> tuple[ClutterPiece, ...]:
    """Draw the clutter of sample ``index`` of the dataset with ``seed``; the result depends on nothing else.

    A piece for which no free place is found in many attempts is left out.

    Args:
        config: ranges.
        room: object, hand, cameras and floor of the sample.
        seed, index: key of every generator.
    """
    if not config.any or generator(seed, index, "clutter").random() >= config.probability:
        return ()
    pieces: list[ClutterPiece] = []
    hidden = room.nothing_hidden()

    def place(name: str, make: Callable[[np.random.Generator], list[ClutterPiece]]) -> None:
        nonlocal hidden
        rng = generator(seed, index, f"clutter/{name}")
        for _ in range(_ATTEMPTS):
            made = make(rng)
            if not all(room.is_clear(piece, config.clearance) for piece in made):
                continue
            now = np.logical_or.reduce([hidden, *(room.hides(piece) for piece in made)])
            if now.mean(axis=1).max() <= config.hidden:
                pieces.extend(made)
                hidden = now
                return

    places: tuple[Place, ...] = ("behind", "beside", "front")
    for where in places:
        count = getattr(config, where)(generator(seed, index, f"clutter/{where}"))
        for number in range(count):
            place(f"{where}/{number}", lambda rng, where=where: [_piece(config, where, room, rng)])  # type: ignore[misc]
    rng = generator(seed, index, "clutter/above")
    count, first = config.fingers.count(rng), rng.uniform(0, 2 * np.pi)
    plain = float(rng.choice([rng.uniform(0.01, 0.1), rng.uniform(0.8, 1.0)]))  # one robot's fingers are alike
    for number in range(count):
        azimuth = first + 2 * np.pi * number / count
        place(f"above/{number}", lambda rng, azimuth=azimuth: _finger(config, room, azimuth, plain, rng))  # type: ignore[misc]
    return tuple(pieces)


def _site(config: ClutterConfig, place: Place, room: Room, size: float, rng: np.random.Generator) -> FloatArray:
    """Draw a possible centre of a piece, above the floor."""
    target, scale = room.centre, room.scale
    distance = scale * config.distance(rng)
    if place == "beside":
        direction = unit_vector(rng)
        direction[2] = 0.5 * abs(direction[2])  # pieces below would be hidden
        site = target + direction / np.linalg.norm(direction) * distance
    else:
        camera = room.cameras[rng.integers(len(room.cameras))]
        if place == "front":
            site = camera + rng.uniform(0.4, 0.85) * (target - camera) + scale * rng.uniform(-0.06, 0.06, 3)
        else:
            away = (target - camera) / np.linalg.norm(target - camera)
            aside = scale * rng.uniform(-0.3, 0.3, 3)
            site = target + away * distance + aside - (aside @ away) * away
    site[2] = max(site[2], room.floor(site) + size * rng.uniform(0.0, 1.0))
    return site


def _piece(config: ClutterConfig, place: Place, room: Room, rng: np.random.Generator) -> ClutterPiece:
    kind = str(rng.choice(_THIN if place == "front" else list(KINDS)))
    size, thickness = room.scale * float(config.size(rng)), room.scale * float(config.thickness(rng))
    turn = Rotation.from_quat(rng.normal(size=4))
    parts = tuple(KINDS[kind](rng, _site(config, place, room, size, rng), turn, size, thickness))
    return ClutterPiece(
        kind, place, parts, _color(config, rng), float(config.metallic(rng)), float(config.glossiness(rng))
    )


def _color(config: ClutterConfig, rng: np.random.Generator) -> FloatArray:
    return np.array(colorsys.hsv_to_rgb(rng.uniform(), rng.beta(1, 1.5), float(config.value(rng))))


def _finger(
    config: ClutterConfig, room: Room, azimuth: float, plain: float, rng: np.random.Generator
) -> list[ClutterPiece]:
    """Draw a finger with links from above to a knee and on to a tip near the object: two pieces, links and tip.

    Args:
        config: ranges.
        room: room in which it hangs.
        azimuth: side of the workspace from which it reaches in, radians.
        plain: grey level of fingers without a colour.
        rng: random generator.
    """
    scale, fingers = room.scale, config.fingers
    thickness, tip_radius = scale * float(fingers.thickness(rng)), scale * float(fingers.tip(rng))
    tip = room.centre + (room.inner_radius + tip_radius + scale * float(fingers.reach(rng))) * _towards(
        azimuth + rng.uniform(-1.2, 1.2), rng.uniform(-0.3, 1.3)
    )
    tip[2] = max(tip[2], room.floor(tip) + tip_radius)
    length = scale * float(fingers.length(rng))
    lift = rng.uniform(0.15, 1.3)
    knee = tip + length * _towards(azimuth + rng.uniform(-0.6, 0.6), lift)
    knee[2] = max(knee[2], room.floor(knee) + 1.3 * thickness)
    hip = room.axis + scale * rng.uniform(0.05, 0.2) * _towards(azimuth, 0.0)
    hip[2] = room.ground + scale * float(fingers.height(rng))
    along = (knee - tip) / np.linalg.norm(knee - tip)
    collar = tip + 2 * tip_radius * along
    places = collar + np.linspace(0, 1, _TAPER + 1)[:, None] * (knee - collar)
    radii = np.linspace(tip_radius, thickness, _TAPER)
    links = [
        *(chain(np.stack(ends), radius)[0] for ends, radius in zip(itertools.pairwise(places), radii, strict=True)),
        ClutterPart("sphere", knee, np.array([1.0, 0, 0, 0]), np.array([1.3 * thickness, 0, 0])),
        *chain(np.stack([knee, hip]), 1.1 * thickness),
    ]
    rgb = _color(config, rng) if rng.random() < fingers.colored else np.full(3, plain)
    gloss = rng.uniform(0.2, 0.8)
    grey = np.full(3, rng.uniform(0.25, 0.55))
    return [
        ClutterPiece("finger", "above", tuple(links), rgb, float(rng.uniform(0.0, 0.2)), float(gloss)),
        ClutterPiece("fingertip", "above", tuple(chain(np.stack([tip, collar]), tip_radius)), grey, 0.0, 0.2),
    ]


def _towards(azimuth: float, elevation: float) -> FloatArray:
    flat = np.cos(elevation)
    return np.array([flat * np.cos(azimuth), flat * np.sin(azimuth), np.sin(elevation)])
