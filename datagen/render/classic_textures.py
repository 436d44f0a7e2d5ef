"""Textures on the surfaces of MuJoCo's OpenGL renderer."""

from __future__ import annotations

import mujoco
import numpy as np
from numpy.typing import NDArray

from datagen.appearance.sample import Sample
from datagen.pictures.texture_pool import TEXTURE_SIZE
from datagen.render.phong import reflected
from datagen.render.stage import Stage
from vision.color import linear_from_srgb


class ClassicTextures:
    """Textures of the current sample on the model's surfaces.

    Args:
        stage: compiled scene with a texture of ``TEXTURE_SIZE`` for each material.
    """

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._textured: set[int] = set()
        # Texture coordinates cannot be negative here, so a mirrored texture gets mirrored texels.
        ids = stage.scene.material_ids
        repeats = stage.model.mat_texrepeat[ids]
        self._repeats, self._mirrored = np.abs(repeats), repeats[:, 0] < 0
        stage.model.mat_texrepeat[ids] = self._repeats

    def put_on(self, sample: Sample, context: mujoco.MjrContext) -> None:
        """Write each material's colour times its texture into the model's texture of that material.

        The product is computed here in linear light: the library would multiply encoded values, and the reflection that
        every surface has whatever its colour would vanish on black texels.
        """
        model, look = self._stage.model, sample.appearance
        ids = self._stage.scene.material_ids
        white = np.full((TEXTURE_SIZE, TEXTURE_SIZE, 3), 255, dtype=np.uint8)
        shown = {}
        for use in look.textures:
            linear = linear_from_srgb(use.pixels().pixels / 255) * linear_from_srgb(look.material_rgb[use.material])
            encoded = reflected(linear)
            mirror = -1 if self._mirrored[use.material] else 1
            shown[use.material] = np.rint(255 * encoded[:, ::mirror]).astype(np.uint8)
            model.mat_rgba[ids[use.material], :3] = 1.0
            model.mat_texrepeat[ids[use.material]] = self._repeats[use.material] / use.scale
        for material in sorted(self._textured | shown.keys()):
            texture = int(model.mat_texid[ids[material], mujoco.mjtTextureRole.mjTEXROLE_RGB])
            pixels = shown.get(material, white)[::-1]  # OpenGL's row 0 is the bottom
            upload(pixels, model, texture, context)
        self._textured = set(shown)


def upload(pixels: NDArray[np.uint8], model: mujoco.MjModel, texture: int, context: mujoco.MjrContext) -> None:
    """Replace the texels, in the model's order, of the model's texture of this number."""
    start = model.tex_adr[texture]
    model.tex_data[start : start + pixels.size] = pixels.ravel()
    mujoco.mjr_uploadTexture(model, context, texture)
