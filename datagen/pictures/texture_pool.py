"""Choice of the textures of a sample's surfaces, and reconstruction of their pixels from the values that it stores."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from datagen.pictures.pool import ImagePool
from datagen.pictures.texture_files import picture_files, read_texture
from datagen.pictures.textures import KINDS, Texture, draw_texture
from datagen.sim.materials import Material
from datagen.variation import generator
from vision.configuration.bounds import fraction
from vision.distributions import LogUniform
from vision.io.json_values import to_jsonable

TEXTURE_SIZE = 128
"""Width and height of a texture, texels."""
TEXTURES = ImagePool(
    "texture",
    KINDS,
    most=1024,
    draw=lambda rng, kind: draw_texture(rng, TEXTURE_SIZE, kind),
    read=lambda path: read_texture(path, TEXTURE_SIZE),
    files=picture_files,
    remembered=512,
)


@dataclass(frozen=True)
class TextureConfig:
    """How often surfaces have a texture, and which. By default none has.

    A texture multiplies its surface's colour in linear light, so a face keeps its hue.

    Attributes:
        links: probability for each link of the hand.
        object: probability for each part of the object; letters and parts with their own texture stay as they are.
        background: probability for the background; for a bowl, separately for floor and wall.
        kinds: procedural textures to draw: noise, gradient, checks, stripes, dots, brushed, wood, print.
        folder: folder of images to use as well; null for procedural ones only.
        folder_fraction: fraction of textures that are images of the folder, if there is one.
        pool: number of different textures that 128 consecutive samples share.
        scale: size of a texture: at 1 it repeats every 6 cm on the hand and the object, every 40 cm on the background.
    """

    links: float = 0.0
    object: float = 0.0
    background: float = 0.0
    kinds: tuple[str, ...] = tuple(KINDS)
    folder: Path | None = None
    folder_fraction: float = 0.5
    pool: int = 32
    scale: LogUniform = LogUniform(1.0, 1.0)

    def __post_init__(self) -> None:
        fraction(self, "links", "object", "background", "folder_fraction")
        TEXTURES.check(self)
        if not 0.01 <= self.scale.low <= self.scale.high <= 100:
            raise ValueError(f"scale: must lie between 0.01 and 100, got {self.scale.low} to {self.scale.high}")

    @property
    def any(self) -> bool:
        """Whether some surface may have a texture."""
        return max(self.links, self.object, self.background) > 0

    def identity(self) -> dict[str, Any]:
        """Return the values that, with the seed, determine the textures; a folder counts by its names and sizes."""
        identity: dict[str, Any] = {
            name: getattr(self, name) for name in ("links", "object", "background", "folder_fraction", "pool")
        }
        identity["kinds"] = list(self.kinds)
        identity["walls"] = True  # a bowl's wall was once plain, and before that backgrounds were mirrored
        if self.scale != LogUniform(1.0, 1.0):
            identity["scale"] = to_jsonable(self.scale)
        if self.folder is not None:
            identity["folder"] = TEXTURES.folder_hash(self.folder)
        return identity


@dataclass(frozen=True)
class TextureUse:
    """Texture on a material, as a sample stores it.

    Attributes:
        material: number of the material in the scene's order.
        source: source of the texture: "<kind>:<seed>:<number>", or "picture:<file>".
        name: name of the :class:`Texture`, with a hash, that the source must give.
        scale: size of the texture relative to its surface's default.
    """

    material: int
    source: str
    name: str
    scale: float = 1.0

    def to_json(self) -> dict[str, Any]:
        """Return values from which ``from_json`` restores the same use bit by bit."""
        values: dict[str, Any] = {"material": self.material, "source": self.source, "name": self.name}
        return values | ({"scale": self.scale} if self.scale != 1 else {})

    @classmethod
    def from_json(cls, values: Any) -> TextureUse:
        """Restore a use; raise KeyError, TypeError or ValueError if the values are not valid."""
        scale = float(values.get("scale", 1.0))
        if not 0 < scale < 1e3:
            raise ValueError(f"scale {scale}")
        return cls(int(values["material"]), str(values["source"]), str(values["name"]), scale)

    def pixels(self) -> Texture:
        """Return the texture, uint8 (S, S, 3).

        Raises:
            DactylError: the source gives another texture than the named one, or none.
        """
        return TEXTURES.image(self.source, self.name)


def draw_textures(
    config: TextureConfig, materials: Sequence[Material], seed: int, index: int
) -> tuple[TextureUse, ...]:
    """Draw the textures of sample ``index`` of the dataset with ``seed``, on some of the scene's materials, but not on
    letters or parts of the object with their own texture."""
    if not config.any:
        return ()
    probability = {"link": config.links, "surface": config.object, "letter": 0.0, "background": config.background}
    uses = []
    for number, material in enumerate(materials):
        if material.part is not None and material.part.texture is not None:
            continue
        rng = generator(seed, index, f"texture/{material}")
        if rng.random() < probability[material.group]:
            source = TEXTURES.source(config, seed, TEXTURES.number(config, index, rng))
            scale = float(config.scale(generator(seed, index, f"texture.scale/{material}")))
            uses.append(TextureUse(number, source, TEXTURES.image(source).name, scale))
    return tuple(uses)
