"""Textures on Filament's surfaces."""

from __future__ import annotations

from typing import Any

import mujoco
import numpy as np

from datagen.appearance.sample import Sample
from datagen.pictures.texture_pool import TEXTURE_SIZE, TextureUse
from datagen.render.stage import Stage


class FilamentTextures:
    """Textures of the current sample on the scene's surfaces. Each texture is uploaded once.

    Args:
        mjrf: the module of that name.
        context: Filament's context.
        stage: compiled scene.
        renderables: its renderables.
    """

    def __init__(self, mjrf: Any, context: Any, stage: Stage, renderables: Any) -> None:
        self._mjrf, self._context = mjrf, context
        model = stage.model
        self._surfaces = [
            [
                renderables.get_renderable(mujoco.mjtObj.mjOBJ_GEOM, int(geom))
                for geom in np.flatnonzero(model.geom_matid == material)
            ]
            for material in stage.scene.material_ids
        ]
        repeats = model.mat_texrepeat[stage.scene.material_ids]
        self._scales = np.column_stack([repeats, np.ones(len(repeats))]).astype(np.float32)
        self._uploaded: dict[str, tuple[Any, Any]] = {}

    def put_on(self, sample: Sample) -> None:
        """Set the sample's textures; call it after each update of the renderables, which removes them."""
        for use in sample.appearance.textures:
            for surface in self._surfaces[use.material]:
                material = surface.get_material()
                material.color_texture = self._texture(use)
                material.uv_scale = self._scales[use.material] / np.array([use.scale, use.scale, 1], np.float32)
                surface.set_material(material)

    def _texture(self, use: TextureUse) -> Any:
        if use.source not in self._uploaded:
            mjrf = self._mjrf
            texture = self._context.create_texture(
                mjrf.TextureConfig(
                    width=TEXTURE_SIZE,
                    height=TEXTURE_SIZE,
                    format=mjrf.PixelFormat.PIXEL_FORMAT_RGB8,
                    sampler_type=mjrf.SamplerType.TEXTURE_2D,
                    color_space=mjrf.ColorSpace.COLORSPACE_SRGB,
                )
            )
            data = mjrf.TextureData()
            data.set_image(use.pixels().pixels[::-1].tobytes())
            texture.upload(data)
            self._uploaded[use.source] = texture, data  # Filament reads the data while it draws
        return self._uploaded[use.source][0]
