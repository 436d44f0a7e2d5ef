"""Batches of images by mujoco_warp's ray caster, one world per sample, on a GPU or a CPU.

Rays query the scene's geometry for each pixel, with hard shadows and without dithering, so a sample's pixels depend
only on the sample. Each camera has its own matrix K, which rules out the library's antialiasing: images are drawn
larger and averaged here, on the device. They stay there until they are copied.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import mujoco
import numpy as np

from datagen.render.base import RendererInfo, RenderOptions
from datagen.render.stage import Stage
from datagen.render.world_values import Values
from datagen.workers.pool import PLACE
from vision.errors import DactylError
from vision.machine.extras import optional
from vision.machine.hardware import processor_name
from vision.machine.versions import package_version

_WORLDS_ON_GPU, _WORLDS_ON_CPU = 64, 4
_OF_DATA = ("geom_xpos", "geom_xmat", "light_xpos", "light_xdir", "cam_xpos", "cam_xmat")


def import_warp() -> tuple[Any, Any]:
    """Import warp and mujoco_warp, and silence their log.

    Raises:
        DactylError: they are not installed.
    """
    with optional("mujoco_warp", "renderer warp"):
        import warp

        warp.config.log_level = warp.LOG_WARNING  # users need not see what it compiles
        import mujoco_warp
    return warp, mujoco_warp


class WarpDevice:
    """Scene on a device, with room for a number of worlds.

    Attributes:
        worlds: largest number of samples in a batch.
        cameras: images per sample.
        info: the renderer, its version and its device.

    Raises:
        DactylError: the library is not installed, or the device does not exist.
    """

    def __init__(self, stage: Stage, options: RenderOptions) -> None:
        self._wp, self._mjw = import_warp()
        from datagen.render import warp_kernels

        wp, self._kernels = self._wp, warp_kernels
        self._rig, self._rays = stage.rig, options.warp.rays
        try:
            gpus = [device.alias for device in wp.get_cuda_devices()]
            chosen = options.warp.device
            self.device = wp.get_device(device_of_worker(gpus, options.warp.devices) if chosen == "auto" else chosen)
        except (RuntimeError, ValueError) as error:
            raise DactylError(f"render.warp.device: {options.warp.device}: {error}; choose cpu or cuda:0") from None
        self.worlds = options.warp.worlds or (_WORLDS_ON_GPU if self.device.is_cuda else _WORLDS_ON_CPU)
        self.info = RendererInfo(
            name="warp",
            version=f"mujoco {mujoco.__version__}, mujoco-warp {package_version('mujoco-warp')}",
            device=self.device.name if self.device.is_cuda else f"CPU ({processor_name()})",
            api=f"Warp {wp.__version__}",
        )
        with wp.ScopedDevice(self.device):
            self._build(stage, options)

    def _build(self, stage: Stage, options: RenderOptions) -> None:
        mjw, model = self._mjw, stage.model
        rays, cameras = options.warp.rays, stage.scene.camera_ids
        sizes = [(camera.width, camera.height) for camera in stage.rig.cameras]
        # The library refuses this flag, which only affects physics steps; none is made here.
        model.opt.disableflags &= ~int(mujoco.mjtDisableBit.mjDSBL_AUTORESET)
        model.vis.headlight.active = 0  # the values include the sky
        model.light_attenuation[:] = (1.0, 0.0, 0.0)  # the values include the distance
        model.light_exponent[:] = 0.0
        model.cam_sensorsize[cameras] = sizes  # in pixels, so that focal lengths are too
        self._model = mjw.put_model(model)
        self._data = mjw.put_data(model, stage.data, nworld=self.worlds, nconmax=8, njmax=8)
        self._context = mjw.create_render_context(
            model,
            nworld=self.worlds,
            cam_res=[(width * rays, height * rays) for width, height in sizes],
            render_rgb=True,
            render_depth=False,
            render_seg=False,
            use_textures=False,
            use_fast_math=False,  # its rounding depends on the compiler
            use_shadows=options.shadows,
            use_precomputed_rays=False,  # each world has its own cameras
            shadow_light_fraction=0.0,
            cam_active=[int(camera) for camera in cameras],
        )
        self.cameras = len(cameras)
        self._sizes = self._wp.array(sizes, dtype=self._wp.vec2i)
        self._targets: dict[str, Any] = {}

    def draw(self, values: Values, images: Any = None) -> Any:
        """Draw samples into a Warp array (N, C, H * W, 3) uint8 on the device; the stream may still be drawing them.

        Args:
            values: rows of at most ``worlds`` samples.
            images: array to draw into; a new one if None.
        """
        wp, mjw, rig = self._wp, self._mjw, self._rig
        count = len(values["geom_xpos"])
        if count > self.worlds:
            raise ValueError(f"{count} samples, room for {self.worlds}")
        with wp.ScopedDevice(self.device):
            self._put(values)
            self._data.nworld = count  # worlds beyond are not drawn
            mjw.refit_bvh(self._model, self._data, self._context)
            mjw.render(self._model, self._data, self._context)
            if images is None:
                images = wp.empty((count, self.cameras, rig.height * rig.width, 3), dtype=wp.uint8)
            wp.launch(
                self._kernels.resolve,
                dim=(count, self.cameras, rig.height, rig.width),
                inputs=[self._context.rgb_data, self._context.rgb_adr, self._rays, self._sizes, rig.width],
                outputs=[images],
            )
            return images

    def _put(self, values: Values) -> None:
        wp = self._wp
        for name, rows in values.items():
            owner = self._data if name in _OF_DATA else self._model
            if name not in self._targets:
                there = getattr(owner, name)
                if name in _OF_DATA:
                    self._targets[name] = there
                else:  # the model itself has one row for all worlds
                    self._targets[name] = wp.empty((self.worlds, *there.shape[1:]), dtype=there.dtype)
                    setattr(owner, name, self._targets[name])
            target = self._targets[name]
            if target.dtype is wp.bool:
                rows = rows.astype(bool)
            source = wp.array(np.ascontiguousarray(rows), dtype=target.dtype, device="cpu")
            wp.copy(target, source, count=source.size)


def device_of_worker(gpus: Sequence[str], devices: int | None) -> str:
    """Return the GPU of this process, assigned to render processes in turn, or the CPU if there is none.

    Args:
        gpus: GPUs of this machine.
        devices: number of them to use; all if None.
    """
    used = gpus[:devices]
    return used[int(os.environ.get(PLACE, 0)) % len(used)] if used else "cpu"
