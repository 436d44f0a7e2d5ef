"""One scene on Filament's device, in which a sample only changes values in place.

The cameras are viewports of one target, read back by one request.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any, Self

import mujoco
import numpy as np
from numpy.typing import NDArray

from datagen.appearance.sample import Appearance, Sample
from datagen.render.base import RenderOptions
from datagen.render.filament_background import FilamentBackground
from datagen.render.filament_clutter import FilamentClutter
from datagen.render.filament_context import calibrated_settings, create_context
from datagen.render.filament_output import captured_output
from datagen.render.filament_textures import FilamentTextures
from datagen.render.sky import Sky
from datagen.render.stage import Stage
from vision.geometry.cameras import camera_centres
from vision.rigs.rig import Camera

# Candela per unit of Unity's: with Table 9's largest total, 15 from 1.25 m, a face has its calibrated colour.
_CANDELA_PER_UNIT = 8_000.0


class FilamentScene:
    """Compiled scene on Filament's device. A context manager that frees the graphics context on exit.

    Args:
        stage: compiled scene.
        options: how to render it.
        settings: model whose custom fields hold Filament's settings; None for those by which a face has its calibrated
            colour.

    Attributes:
        device: name of the device that draws.
        views: Filament's render request of each camera, in rig order.

    Raises:
        DactylError: Vulkan or its driver is missing.
    """

    device: str
    views: list[Any]
    _context: Any
    _scene: Any
    _resources: Any
    _lights: Any
    _renderables: Any
    _textures: FilamentTextures
    _clutter: FilamentClutter
    _sky: Sky
    _background: FilamentBackground
    _target: Any
    _read: Any

    def __init__(self, stage: Stage, options: RenderOptions, settings: mujoco.MjModel | None = None) -> None:
        self._stage, self._options = stage, options
        with ExitStack() as owned:
            self._owned = owned
            self._mjrf, self._context, self.device = create_context()
            owned.callback(self._end)
            self._build(calibrated_settings(options) if settings is None else settings)
            self._aim()
            self._owned = owned.pop_all()

    def _own(self, **made: Any) -> None:
        """Keep an object as an attribute until it is freed, in the reverse order: objects in Filament's scene must be
        freed before the scene, and everything before the context."""
        for name, value in made.items():
            setattr(self, name, value)
            self._owned.callback(delattr, self, name)

    def _end(self) -> None:
        with captured_output(1):  # it says farewell
            del self._context

    def _build(self, settings: mujoco.MjModel) -> None:
        """Create everything in Filament's scene."""
        mjrf, stage = self._mjrf, self._stage
        self._own(_scene=self._context.create_scene(mjrf.SceneParams()))
        self._scene.configure_from_model(settings)
        # Filament multiplies a light's intensity by this colour. The intensity must be non-zero from the start;
        # otherwise all lights are treated as those of MuJoCo's old renderer.
        stage.model.light_diffuse[stage.scene.light_ids] = 1.0
        stage.model.light_intensity[stage.scene.light_ids] = 1.0
        stage.model.vis.headlight.active = 0
        self._own(_resources=mjrf.ModelResources(self._context, stage.model))
        self._own(_lights=mjrf.ModelLights(self._scene, self._resources))
        self._own(_renderables=mjrf.ModelRenderables(self._scene, self._resources))
        self._own(_textures=FilamentTextures(mjrf, self._context, stage, self._renderables))
        self._own(_clutter=FilamentClutter(mjrf, self._context, self._scene))
        for light in stage.scene.light_ids:
            self._lights.get_light(int(light)).set_shadow_map_size(self._options.shadow_map_size)
        light_centre = np.array(stage.scene.scene.workspace.light_centre)
        self._own(_sky=Sky(mjrf, self._context, self._scene, light_centre))
        shadows = self._options.background_shadows
        self._own(_background=FilamentBackground(mjrf, self._context, self._scene, stage, self._renderables, shadows))

    def _aim(self) -> None:
        """Create the cameras' views side by side, aligned with the lower edge of one target, and the request that reads
        all of them."""
        mjrf, cameras = self._mjrf, self._stage.rig.cameras
        width, height = sum(camera.width for camera in cameras), self._stage.rig.height
        form = mjrf.PixelFormat.PIXEL_FORMAT_RGB8
        self._own(
            _target=self._context.create_render_target(
                mjrf.RenderTargetConfig(width=width, height=height, color_format=form)
            )
        )
        frame = np.zeros((height, width, 3), dtype=np.uint8)
        self._own(_read=mjrf.ReadRequest(target=self._target))
        self._read.set_buffer(frame)
        left = np.cumsum([0, *(camera.width for camera in cameras)])[:-1]
        self._images = [
            frame[-camera.height :, place : place + camera.width] for camera, place in zip(cameras, left, strict=True)
        ]
        self._own(views=[self._view(camera, int(place)) for camera, place in zip(cameras, left, strict=True)])

    def _view(self, camera: Camera, left: int) -> Any:
        request = self._mjrf.RenderRequest()
        request.scene, request.target = self._scene, self._target
        request.viewport.left, request.viewport.bottom = left, 0
        request.viewport.width, request.viewport.height = camera.width, camera.height
        request.shadows = self._options.shadows
        request.reflections = request.skybox = request.haze = request.headlight = False
        return request

    def apply(self, sample: Sample) -> None:
        """Set the scene to a sample.

        Raises:
            DactylError: as :meth:`datagen.render.stage.Stage.set`.
        """
        stage, look = self._stage, sample.appearance
        stage.set(sample)
        stage.model.mat_metallic[stage.scene.material_ids] = look.material_metallic
        stage.model.mat_roughness[stage.scene.material_ids] = 1.0 - look.material_glossiness
        self._lights.update(stage.data)
        self._renderables.update(stage.data)
        self._textures.put_on(sample)
        self._clutter.put(sample)
        self._background.put(leave_out=look.surroundings is not None and look.surroundings.bare)
        self._apply_light(look)
        for camera, view in enumerate(self.views):
            view.camera = self._camera(sample, camera)
            view.skybox = look.surroundings is not None

    def _apply_light(self, look: Appearance) -> None:
        """Set the lights, those that cast no shadows as part of the sky if the options say so."""
        lights = self._stage.scene.light_ids
        intensity = np.zeros(len(lights))
        intensity[: len(look.light_intensity)] = look.light_intensity
        far = slice(self._options.shadow_lights if self._options.environment_lights else len(lights), None)
        self._sky.hold(
            look.surroundings,
            look.light_position[far],
            _CANDELA_PER_UNIT * look.light_intensity[far],
            lights=self._options.environment_lights,
        )
        intensity[far] = 0.0  # Filament skips lights of zero intensity
        for light, value in zip(lights, intensity, strict=True):
            self._lights.get_light(int(light)).set_intensity(_CANDELA_PER_UNIT * value)

    def _camera(self, sample: Sample, camera: int) -> Any:
        T = sample.appearance.camera_extrinsics[camera]
        (left, right, bottom, top), near, far = self._stage.frustum(sample, camera)
        return self._mjrf.Camera(
            pos=camera_centres(T).astype(np.float32),
            forward=T[2, :3].astype(np.float32),
            up=-T[1, :3].astype(np.float32),
            frustum_center=near * (left + right) / 2,
            frustum_width=near * (right - left) / 2,
            frustum_bottom=near * bottom,
            frustum_top=near * top,
            frustum_near=near,
            frustum_far=far,
        )

    def draw(self, views: Sequence[Any] | None = None) -> Sequence[NDArray[np.uint8]]:
        """Draw some of ``views``, by default all, and read every camera's image (H, W, 3), RGB, sRGB-encoded, row 0 at
        the top. The next call overwrites the images."""
        requests = self.views if views is None else list(views)
        self._context.wait_for_frame(self._context.render(requests, [self._read]))
        return self._images

    def skip(self, count: int) -> None:
        """Advance the dither sequence as if ``count`` samples had been drawn, by rendering one pixel for each view."""
        mjrf = self._mjrf
        target = self._context.create_render_target(
            mjrf.RenderTargetConfig(width=1, height=1, color_format=mjrf.PixelFormat.PIXEL_FORMAT_RGB8)
        )
        read = mjrf.ReadRequest(target=target)
        pixel = np.zeros((1, 1, 3), dtype=np.uint8)
        read.set_buffer(pixel)
        nothing = self._context.create_scene(mjrf.SceneParams())
        view = mjrf.RenderRequest()
        view.scene, view.target = nothing, target
        view.viewport.width = view.viewport.height = 1
        view.shadows = view.reflections = view.skybox = view.haze = view.headlight = False
        view.camera = mjrf.Camera(
            pos=np.zeros(3, np.float32),
            forward=np.array([0, 0, -1], np.float32),
            up=np.array([0, 1, 0], np.float32),
            frustum_bottom=-0.1,
            frustum_top=0.1,
            frustum_near=0.1,
            frustum_far=1.0,
        )
        for _ in range(count):
            self._context.wait_for_frame(self._context.render([view] * len(self.views), [read]))

    def close(self) -> None:
        """Free the graphics context; may be called twice."""
        self._owned.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()
