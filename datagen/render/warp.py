"""Ray casting on a GPU, many samples at once, as fast as a network trains on them (``mujoco_warp``, extra ``warp``).

Shading is MuJoCo's, as in the classic renderer, with metals mapped to it (``datagen.render.world_values``). It also
runs on a CPU, for tests. Its kernels are compiled once, which takes minutes, and cached in ``~/.cache/warp``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

import numpy as np
from numpy.typing import NDArray

from datagen.appearance.sample import Sample
from datagen.render.base import RenderOptions
from datagen.render.warp_device import WarpDevice
from datagen.render.world_values import WorldValues
from vision.scene.scene import Scene


class WarpRenderer:
    """Renders samples of a scene with mujoco_warp. See :class:`datagen.render.base.Renderer`.

    Raises:
        DactylError: mujoco_warp is not installed, or the device does not exist.
    """

    def __init__(self, scene: Scene, options: RenderOptions) -> None:
        self._values = WorldValues(scene, options)
        self.materials = self._values.stage.scene.materials
        self._device = WarpDevice(self._values.stage, options)
        self.batch_size, self.info = self._device.worlds, self._device.info

    def skip(self, count: int) -> None:
        """Do nothing: images do not depend on earlier ones."""

    def render(self, samples: Sequence[Sample]) -> NDArray[np.uint8]:
        """Render images (B, C, H, W, 3), RGB, sRGB-encoded, row 0 at the top, cameras in rig order."""
        parts = [
            self._device.draw(self._values(samples[first : first + self.batch_size])).numpy()
            for first in range(0, len(samples), self.batch_size)
        ]
        images: NDArray[np.uint8] = np.concatenate(parts)
        rig = self._values.stage.rig
        return images.reshape(*images.shape[:2], rig.height, rig.width, 3)

    def close(self) -> None:
        """Free the device's memory; may be called twice."""
        self.__dict__.pop("_device", None)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()
