"""Default renderer: Filament, physically based, inside MuJoCo 4 (``mujoco.mjrf``), on Vulkan.

It runs headless on a GPU or in software (Mesa's lavapipe). Materials have metallic and roughness; lights are in
candela.

Filament dithers with a sequence that restarts with each context, so frames depend on how many came before: the same
samples in the same order from a new renderer give the same bytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

import mujoco
import numpy as np
from numpy.typing import NDArray

from datagen.appearance.sample import Sample
from datagen.render.base import RendererInfo, RenderOptions
from datagen.render.filament_output import without_idle_warnings
from datagen.render.filament_scene import FilamentScene
from datagen.render.stage import Stage
from vision.scene.scene import Scene


class FilamentRenderer:
    """Renders samples of a scene with Filament. See :class:`datagen.render.base.Renderer`.

    Raises:
        DactylError: Vulkan or its driver is missing.
    """

    batch_size = 1

    def __init__(self, scene: Scene, options: RenderOptions) -> None:
        stage = Stage(scene, options, "filament")
        self.materials = stage.scene.materials
        self._rig = stage.rig
        self._scene = FilamentScene(stage, options)
        self.info = RendererInfo("filament", f"mujoco {mujoco.__version__}", self._scene.device, "Vulkan")

    def skip(self, count: int) -> None:
        """Advance the dither sequence as if ``count`` samples had been drawn."""
        self._scene.skip(count)

    def render(self, samples: Sequence[Sample]) -> NDArray[np.uint8]:
        """Render images (B, C, H, W, 3), RGB, sRGB-encoded, row 0 at the top, cameras in rig order."""
        rig = self._rig
        images = np.zeros((len(samples), len(rig), rig.height, rig.width, 3), dtype=np.uint8)
        for number, sample in enumerate(samples):
            self._scene.apply(sample)
            with without_idle_warnings():
                drawn = self._scene.draw()
            images[number] = rig.padded(drawn)
        return images

    def close(self) -> None:
        """Free the graphics context; may be called twice."""
        self._scene.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()
