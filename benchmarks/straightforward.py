"""The renderers as MuJoCo's documentation uses them, as a baseline for ours.

Full meshes, shadows of everything, default quality, a full forward pass, and one camera after the other, each read back
separately.
"""

from __future__ import annotations

from collections.abc import Sequence

import mujoco
import numpy as np

from datagen.appearance.sample import Sample
from datagen.render.base import RenderOptions
from datagen.render.filament_scene import FilamentScene
from datagen.render.stage import Stage
from vision.scene.scene import Scene


def _whole_stage(scene: Scene, options: RenderOptions) -> Stage:
    stage = Stage(scene, options)
    stage.model.geom_castshadow[:] = True
    return stage


class StockRenderer:
    """``mujoco.Renderer``."""

    def __init__(self, scene: Scene) -> None:
        self.stage = _whole_stage(scene, RenderOptions(mesh_fraction=1.0))
        # It supports only centred cameras, by their vertical field of view, and ignores the model's intrinsics.
        ids, nominal = self.stage.scene.camera_ids, scene.rig.nominal
        self.stage.model.cam_fovy[ids] = np.rad2deg(
            2 * np.arctan(np.asarray(nominal.height) / (2 * nominal.intrinsics[:, 1, 1]))
        )
        self.renderer = mujoco.Renderer(self.stage.model, scene.rig.height, scene.rig.width)

    def render(self, samples: Sequence[Sample]) -> list[np.ndarray]:
        images = []
        for sample in samples:
            self.stage.set(sample)
            mujoco.mj_forward(self.stage.model, self.stage.data)
            for camera in self.stage.scene.camera_ids:
                self.renderer.update_scene(self.stage.data, int(camera))
                images.append(self.renderer.render())
        return images


class FilamentAsDocumented:
    """``mujoco.mjrf`` with its default settings, for a model that specifies none."""

    def __init__(self, scene: Scene) -> None:
        # Filament uses 2048 texels for MuJoCo's default shadowsize.
        options = RenderOptions(mesh_fraction=1.0, shadow_map_size=2048)
        self.stage = _whole_stage(scene, options)
        self.drawn = FilamentScene(self.stage, options, settings=self.stage.model)
        for view in self.drawn.views:
            view.reflections = view.haze = True

    def render(self, samples: Sequence[Sample]) -> list[np.ndarray]:
        images = []
        for sample in samples:
            self.drawn.apply(sample)
            mujoco.mj_forward(self.stage.model, self.stage.data)
            for camera, view in enumerate(self.drawn.views):
                images.append(self.drawn.draw([view])[camera].copy())
        return images

    def close(self) -> None:
        self.drawn.close()
