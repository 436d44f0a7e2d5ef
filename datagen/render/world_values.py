"""Input of a batch renderer: every value that an image depends on, as arrays with one row per sample.

This needs neither a GPU nor the renderer, so many processes can make the rows while one draws. Shading is MuJoCo's
(diffuse, Blinn-Phong highlights, light added in sRGB-encoded values), so metallic and roughness are mapped to it.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from datagen.appearance.sample import Sample
from datagen.render.base import RenderOptions
from datagen.render.encoded_light import encoded_light
from datagen.render.phong import NON_METAL_REFLECTANCE, highlight, reflected
from datagen.render.stage import Stage
from vision.color import GAMMA, linear_from_srgb
from vision.geometry.rotations import FloatArray
from vision.scene.scene import Scene

Values = dict[str, NDArray[np.float32]]
"""Arrays by the names of mujoco_warp's fields, each (N, items, ...). Flags of lights are 0 or 1."""

_MOST_METALLIC = 0.95  # a pure metal has no diffuse part, so its ambient part could not be compensated
# Factors of a metal's direct light and of its sky, by the square of its roughness, measured in Filament's images.
_ROUGH_METAL, _ROUGH_LOSS = 0.75, 0.5


class WorldValues:
    """Converter of one scene's samples to rows of :data:`Values`.

    Attributes:
        stage: compiled scene, whose model gives the renderer everything that the values do not.
    """

    def __init__(self, scene: Scene, options: RenderOptions) -> None:
        self.stage = Stage(scene, options, "warp")
        self._centre = np.array([[camera.width / 2, camera.height / 2] for camera in scene.rig.cameras])

    def __call__(self, samples: Iterable[Sample]) -> Values:
        """Return the rows of the samples in their order.

        Raises:
            DactylError: as :meth:`Stage.set`.
        """
        rows = [self._row(sample) for sample in samples]
        return {name: np.stack([row[name] for row in rows]).astype(np.float32) for name in rows[0]}

    def _row(self, sample: Sample) -> dict[str, FloatArray]:
        stage = self.stage
        stage.set(sample)
        model, data = stage.model, stage.data
        return {
            "geom_xpos": data.geom_xpos.copy(),
            "geom_xmat": data.geom_xmat.reshape(-1, 3, 3).copy(),
            "light_xpos": data.light_xpos.copy(),
            "light_xdir": data.light_xdir.copy(),
            "cam_xpos": data.cam_xpos.copy(),
            "cam_xmat": data.cam_xmat.reshape(-1, 3, 3).copy(),
            "cam_intrinsic": self._cameras(sample),
            **self._materials_and_lights(sample, model.nmat, model.nlight),
        }

    def _cameras(self, sample: Sample) -> FloatArray:
        """Return focal lengths and principal points (ncam, 4) of all the model's cameras, pixels; MuJoCo's principal
        points are offsets from the image's centre."""
        matrices = sample.appearance.camera_intrinsics
        focal = np.stack([matrices[:, 0, 0], matrices[:, 1, 1]], axis=-1)
        rows = np.ones((self.stage.model.ncam, 4))
        rows[self.stage.scene.camera_ids] = np.concatenate([focal, self._centre - matrices[:, :2, 2]], axis=-1)
        return rows

    def _materials_and_lights(self, sample: Sample, materials: int, lights: int) -> dict[str, FloatArray]:
        scene, look = self.stage.scene, sample.appearance
        ambient, direct = encoded_light(
            look.light_position - np.array(scene.scene.workspace.light_centre), look.light_intensity
        )
        rgb, emission, specular, shininess = mapped_materials(
            look.material_rgb, look.material_metallic, look.material_glossiness, ambient
        )
        ids = scene.material_ids
        rows = {name: np.zeros(materials) for name in ("mat_emission", "mat_specular", "mat_shininess")}
        rows["mat_emission"][ids], rows["mat_specular"][ids], rows["mat_shininess"][ids] = emission, specular, shininess
        rows["mat_rgba"] = np.ones((materials, 4))
        rows["mat_rgba"][ids, :3] = rgb
        used = scene.light_ids[: len(direct)]
        for name in ("light_active", "light_castshadow"):
            rows[name] = np.zeros(lights)
        for name in ("light_diffuse", "light_specular", "light_ambient"):
            rows[name] = np.zeros((lights, 3))
        rows["light_active"][used] = 1.0
        rows["light_castshadow"][:] = self.stage.model.light_castshadow
        rows["light_diffuse"][used] = rows["light_specular"][used] = direct[:, None]
        # The even sky is part of the first light, which is therefore always on.
        rows["light_active"][scene.light_ids[0]] = 1.0
        rows["light_ambient"][scene.light_ids[0]] = ambient
        return rows


def mapped_materials(
    rgb: FloatArray, metallic: FloatArray, glossiness: FloatArray, ambient: float
) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    """Map physically based materials to MuJoCo's colour (M, 3), emission, specular and shininess (M,).

    A metal reflects no light diffusely, and its highlights have its colour. A rough metal's highlights are so broad
    that they look like slightly darker diffuse reflection, and it reflects an even sky, which comes from everywhere,
    like any surface. Smooth metals are therefore darker here, emission restores the light of the sky that they lose by
    this, and highlights are as bright as the removed colour, though white.

    Args:
        rgb: sRGB-encoded, (M, 3).
        metallic, glossiness: [0, 1], (M,).
        ambient: light of the sky, sRGB-encoded.
    """
    linear, roughness = linear_from_srgb(rgb), 1.0 - glossiness
    metal = np.minimum(metallic, _MOST_METALLIC)
    mirror = metal * (1.0 - _ROUGH_METAL * roughness**2)
    color = reflected(linear)
    diffuse = (1.0 - mirror) ** (1.0 / GAMMA)
    sky = (1.0 - _ROUGH_LOSS * metal * roughness**2) ** (1.0 / GAMMA)
    reflectance = NON_METAL_REFLECTANCE * (1.0 - mirror) + mirror * linear.mean(axis=-1)
    shininess, specular = highlight(roughness, reflectance)
    return (
        color * diffuse[:, None],
        ambient * (sky / diffuse - 1.0),
        specular,
        shininess,
    )
