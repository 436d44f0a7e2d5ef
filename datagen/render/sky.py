"""Light from all around in Filament's scene, and the sky that cameras see."""

from __future__ import annotations

from typing import Any

import numpy as np

from datagen.pictures.surroundings_pool import SurroundingsUse
from datagen.render.environment_map import (
    EVEN_SKY,
    KTX,
    SIZE,
    SKY_SIZE,
    ImageBasedLight,
    environment_map,
    prefiltered,
    seen_sky,
)
from vision.geometry.rotations import FloatArray

# Luminance on all sides, cd/m^2: what remains if the lights' total is 0, a seventh of full brightness.
_LUMINANCE = 3_000.0
_PLAIN_SIZE = 16  # pixels of a face; all white, so any size does
_NO_PLACES, _NO_LIGHT = np.zeros((0, 3)), np.zeros(0)


class Sky:
    """Even white sky or surroundings, with or without lights. It must be freed before the scene.

    Args:
        mjrf: the module of that name.
        context: Filament's context.
        scene: Filament's scene, which the sky lights.
        light_centre: point from which the sky is seen, metres, (3,).
    """

    def __init__(self, mjrf: Any, context: Any, scene: Any, light_centre: FloatArray) -> None:
        self._light_centre = light_centre
        self._mjrf, self._context, self._scene = mjrf, context, scene
        self._light: Any = None
        self._white = False
        self._known: dict[tuple[str, float], tuple[ImageBasedLight, Any]] = {}
        self._shine_white()

    def hold(
        self,
        surroundings: SurroundingsUse | None,
        position: FloatArray = _NO_PLACES,
        intensity: FloatArray = _NO_LIGHT,
        *,
        lights: bool,
    ) -> None:
        """Replace the surroundings and lights. Each light has the direction and brightness seen from the light centre.

        Args:
            surroundings: None for the even white sky, which cameras do not see.
            position: positions of the lights, metres, world frame, (N, 3).
            intensity: their intensities, candela, (N,).
            lights: whether some samples have lights in the sky, even if this one has none.
        """
        if surroundings is None and not lights:
            if not self._white:
                self._shine_white()
            return
        environment, luminance = EVEN_SKY, _LUMINANCE
        if surroundings is not None:
            environment, seen = self._environment(surroundings)
            luminance *= surroundings.brightness
            self._scene.set_skybox(seen)
        towards = position - self._light_centre
        distance = np.linalg.norm(towards, axis=1)
        picture = environment_map(towards / distance[:, None], intensity / distance**2 / luminance, environment)
        self._shine(*self._texture(SIZE, picture), luminance)
        self._white = False

    def _environment(self, use: SurroundingsUse) -> tuple[ImageBasedLight, Any]:
        """Return the environment that lights the scene, and the texture that cameras see."""
        key = use.name, use.turn
        if key not in self._known:
            radiance = use.surroundings().radiance
            self._known[key] = prefiltered(radiance), self._texture(SKY_SIZE, seen_sky(radiance))[0]
        return self._known[key]

    def _shine_white(self) -> None:
        white = b"\xff" * (3 * 6 * _PLAIN_SIZE**2)
        self._shine(*self._texture(_PLAIN_SIZE, white), _LUMINANCE)
        self._white = True

    def _texture(self, size: int, picture: bytes) -> tuple[Any, Any]:
        """Create a texture, and return it with its data, from a KTX file or from 8-bit RGB."""
        mjrf = self._mjrf
        forms = mjrf.PixelFormat
        form = forms.PIXEL_FORMAT_KTX if picture.startswith(KTX) else forms.PIXEL_FORMAT_RGB8
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
        if form == forms.PIXEL_FORMAT_KTX:  # read already; RGB data are read while Filament draws
            data.free()
        return texture, data

    def _shine(self, texture: Any, data: Any, luminance: float) -> None:
        mjrf = self._mjrf
        light = self._context.create_light(
            mjrf.LightParams(type=mjrf.LightType.LIGHT_IMAGE, texture=texture, intensity=luminance)
        )
        if self._light is not None:
            self._scene.remove_light(self._light)
        self._scene.add_light(light)
        # The old light must be freed before the old texture that it uses.
        self._light = light
        self._shown, self._data = texture, data
