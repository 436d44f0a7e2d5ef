"""Choice of a sample's surroundings, and reconstruction of their map from the values that the sample stores."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from datagen.pictures.pool import ImagePool
from datagen.pictures.surroundings import KINDS, Surroundings, draw_surroundings, turned
from datagen.pictures.surroundings_files import SUFFIXES, read_surroundings
from datagen.pictures.texture_files import picture_files
from datagen.variation import generator
from vision.configuration.bounds import fraction
from vision.distributions import LogUniform

MAP_HEIGHT = 128
"""Rows of a map."""
SURROUNDINGS = ImagePool(
    "surroundings",
    KINDS,
    most=256,
    draw=lambda rng, kind: draw_surroundings(rng, MAP_HEIGHT, kind),
    read=lambda path: read_surroundings(path, MAP_HEIGHT),
    files=lambda folder: picture_files(folder, SUFFIXES),
    remembered=64,
)


@dataclass(frozen=True)
class SurroundingsConfig:
    """How often a sample has surroundings that light it and are seen behind it, and which. By default no sample has
    any.

    A sample without surroundings is lit by a uniform white sky that is not seen.

    Attributes:
        probability: probability that a sample has surroundings.
        kinds: procedural surroundings to draw: room, studio, sky.
        folder: folder of equirectangular images to use as well (.hdr, .exr, .jpg, .png); null for procedural ones only.
        folder_fraction: fraction of surroundings that are images of the folder, if there is one.
        pool: number of different surroundings that 128 consecutive samples share; each is rotated at random about the
            vertical.
        brightness: mean luminance of surroundings; 1 is that of the uniform white sky.
        bare: how often the scene's background (plane or bowl) is left out, so that the surroundings are seen in its
            place.
    """

    probability: float = 0.0
    kinds: tuple[str, ...] = tuple(KINDS)
    folder: Path | None = None
    folder_fraction: float = 0.5
    pool: int = 16
    brightness: LogUniform = LogUniform(0.4, 2.5)
    bare: float = 0.5

    def __post_init__(self) -> None:
        fraction(self, "probability", "folder_fraction", "bare")
        SURROUNDINGS.check(self)
        if self.brightness.high > 100:
            raise ValueError(f"brightness: must be 100 at most, got {self.brightness.high}")

    @property
    def any(self) -> bool:
        """Whether some sample may have surroundings."""
        return self.probability > 0


@dataclass(frozen=True)
class SurroundingsUse:
    """Surroundings of a sample, as it stores them.

    Attributes:
        source: source of the map: "<kind>:<seed>:<number>", or "picture:<file>".
        name: name of the :class:`Surroundings`, with a hash, that the source must give.
        turn: rotation about the vertical, counter-clockwise from above, in turns.
        brightness: mean luminance; 1 is that of the even white sky used without surroundings.
        bare: whether the scene's background is left out.
    """

    source: str
    name: str
    turn: float
    brightness: float
    bare: bool

    @property
    def turned_map(self) -> SurroundingsUse:
        """The same map, rotated alike, of unit brightness: what a renderer makes of it serves all samples with it."""
        return replace(self, brightness=1.0, bare=False)

    def surroundings(self) -> Surroundings:
        """Return the rotated map, with a mean luminance of 1 whatever the brightness.

        Raises:
            DactylError: the source gives another map than the named one, or none.
        """
        found = SURROUNDINGS.image(self.source, self.name)
        return replace(found, radiance=turned(found.radiance, self.turn))

    @classmethod
    def from_json(cls, values: Any) -> SurroundingsUse:
        """Restore surroundings; raise KeyError, TypeError or ValueError if the values are not valid."""
        use = cls(
            str(values["source"]),
            str(values["name"]),
            float(values["turn"]),
            float(values["brightness"]),
            bool(values["bare"]),
        )
        if not (0 <= use.turn <= 1 and 0 < use.brightness < 1e6):
            raise ValueError(f"surroundings: turn {use.turn}, brightness {use.brightness}")
        return use


def draw_use(config: SurroundingsConfig, seed: int, index: int) -> SurroundingsUse | None:
    """Draw the surroundings of sample ``index`` of the dataset with ``seed``; None if it has none."""
    rng = generator(seed, index, "surroundings")
    if rng.random() >= config.probability:
        return None
    number = SURROUNDINGS.number(config, index, rng)
    brightness, bare = float(config.brightness(rng)), bool(rng.random() < config.bare)
    source = SURROUNDINGS.source(config, seed, number)
    turn = float(generator(seed, number, "surroundings.turn").random())
    return SurroundingsUse(source, SURROUNDINGS.image(source).name, turn, brightness, bare)
