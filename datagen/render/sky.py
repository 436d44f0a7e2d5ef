"""The light from all around in Filament's scene."""

from __future__ import annotations

from typing import Any

import numpy as np

from datagen.render.environment_map import SIZE, environment_map
from vision.geometry.rotations import FloatArray

# On all sides, cd/m^2: what is left when the lights' total is 0, a seventh of full brightness.
_LUMINANCE = 3_000.0
_PLAIN_SIZE = 16  # pixels of a face; all white, so any size does


class Sky:
    """An even white sky, with or without lights in it. Frees itself when it goes; the scene must still be there.

    Args:
        mjrf: the module of that name.
        context: Filament's.
        scene: Filament's, which the sky lights.
        light_centre: (3,) metres, where it is looked at from.
    """

    def __init__(self, mjrf: Any, context: Any, scene: Any, light_centre: FloatArray) -> None:
        self._light_centre = light_centre
        self._mjrf, self._context, self._scene = mjrf, context, scene
        self._light: Any = None
        white = b"\xff" * (3 * 6 * _PLAIN_SIZE**2)
        self._shine(mjrf.PixelFormat.PIXEL_FORMAT_RGB8, _PLAIN_SIZE, white)

    def take(self, position: FloatArray, intensity: FloatArray) -> None:
        """Hold these lights from now on, and no others: each as it is seen, and as bright, from the light centre.

        Args:
            position: metres, world frame, (N, 3).
            intensity: candela, (N,).
        """
        towards = position - self._light_centre
        distance = np.linalg.norm(towards, axis=1)
        picture = environment_map(towards / distance[:, None], intensity / distance**2 / _LUMINANCE)
        self._shine(self._mjrf.PixelFormat.PIXEL_FORMAT_KTX, SIZE, picture)

    def _shine(self, form: Any, size: int, picture: bytes) -> None:
        mjrf = self._mjrf
        texture = self._context.create_texture(
            mjrf.TextureConfig(
                width=size,
                height=6 * size,
                format=form,
                sampler_type=mjrf.SamplerType.TEXTURE_CUBE,
                color_space=mjrf.ColorSpace.COLORSPACE_LINEAR,
            )
        )
        data = mjrf.TextureData()
        data.set_image(picture)
        texture.upload(data)
        if form == mjrf.PixelFormat.PIXEL_FORMAT_KTX:  # read already; of the other, Filament reads while it draws
            data.free()
        light = self._context.create_light(
            mjrf.LightParams(type=mjrf.LightType.LIGHT_IMAGE, texture=texture, intensity=_LUMINANCE)
        )
        if self._light is not None:
            self._scene.remove_light(self._light)
        self._scene.add_light(light)
        # The old light goes before the old texture that it shows.
        self._light = light
        self._texture, self._data = texture, data
