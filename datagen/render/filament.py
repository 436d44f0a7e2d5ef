"""Default renderer: Filament, physically based, inside MuJoCo 4 (``mujoco.mjrf``), on Vulkan.

It runs headless on a GPU or in software (Mesa's lavapipe). Materials have metallic and roughness; lights are in
candela. One scene stays on the device, and a sample only changes values in place. The cameras are viewports of one
target, read back by one request.

Filament dithers with a sequence that restarts with each context, so frames depend on how many came before: the same
samples in the same order from a new renderer give the same bytes.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Self

import mujoco
import numpy as np
from numpy.typing import NDArray

from datagen.render.base import RendererInfo, RenderOptions
from datagen.render.drivers import memory_limit_hint, require_vulkan
from datagen.render.filament_clutter import FilamentClutter
from datagen.render.filament_output import captured_output, without_idle_warnings
from datagen.render.filament_textures import FilamentTextures
from datagen.render.sample import Sample
from datagen.render.sky import Sky
from datagen.render.stage import Stage
from vision.errors import DactylError
from vision.geometry.cameras import camera_centres
from vision.scene.rig import Camera
from vision.scene.scene import Scene

# Candela per unit of Unity's: with Table 9's largest total, 15 from 1.25 m, a face has its calibrated colour.
_CANDELA_PER_UNIT = 8_000.0
_MESSAGE_OF_DEVICE = re.compile(rb"Selected physical device '(.+?)' from")


class FilamentRenderer:
    """Renders samples of a scene with Filament. See :class:`datagen.render.base.Renderer`.

    Raises:
        DactylError: Vulkan or its driver is missing.
    """

    batch_size = 1

    def __init__(self, scene: Scene, options: RenderOptions) -> None:
        require_vulkan()
        import mujoco.studio._studio  # registers Filament's shaders; without it a context aborts
        from mujoco import mjrf

        self._mjrf = mjrf
        self._options = options
        self._stage = Stage(scene, options, "filament")
        self._padded = (scene.rig.height, scene.rig.width)
        self.materials = self._stage.scene.materials
        with captured_output(1) as log:
            try:
                self._context = mjrf.Context(mjrf.ContextConfig(graphics_api=mjrf.GraphicsApi.GRAPHICS_API_VULKAN))
            except RuntimeError as error:
                raise DactylError(
                    f"the filament renderer cannot start on Vulkan ({error}): see what `vulkaninfo` says of the driver"
                    f"{memory_limit_hint()}"
                ) from None
            device = _MESSAGE_OF_DEVICE.search(log())
        self.info = RendererInfo(
            name="filament",
            version=f"mujoco {mujoco.__version__}",
            device=device.group(1).decode() if device else "unknown",
            api="Vulkan",
        )
        self._build_scene()

    def _build_scene(self) -> None:
        mjrf, stage = self._mjrf, self._stage
        self._filament_scene = self._context.create_scene(mjrf.SceneParams())
        self._filament_scene.configure_from_model(_quality(self._options))
        # Filament multiplies a light's intensity by this colour. The intensity must be non-zero from the start;
        # otherwise all lights are treated as those of MuJoCo's old renderer.
        stage.model.light_diffuse[stage.scene.light_ids] = 1.0
        stage.model.light_intensity[stage.scene.light_ids] = 1.0
        stage.model.vis.headlight.active = 0
        resources = mjrf.ModelResources(self._context, stage.model)
        self._lights = mjrf.ModelLights(self._filament_scene, resources)
        self._renderables = mjrf.ModelRenderables(self._filament_scene, resources)
        self._resources = resources
        if self._options.textures:
            self._textures = FilamentTextures(mjrf, self._context, stage, self._renderables)
        self._clutter = FilamentClutter(mjrf, self._context, self._filament_scene)
        for light in stage.scene.light_ids:
            self._lights.get_light(int(light)).set_shadow_map_size(self._options.shadow_map_size)
        self._sky = Sky(mjrf, self._context, self._filament_scene, np.array(stage.scene.scene.workspace.light_centre))
        geoms = stage.scene.background_geoms
        self._backgrounds = [self._renderables.get_renderable(mujoco.mjtObj.mjOBJ_GEOM, int(geom)) for geom in geoms]
        self._bare = False
        if not self._options.background_shadows and self._stage.scene.scene.background.kind == "plane":
            self._take_shadows_off_background()
            self._backgrounds = [self._bare_background]
        cameras = stage.rig.cameras
        width, height = sum(camera.width for camera in cameras), stage.rig.height
        self._target = self._context.create_render_target(
            mjrf.RenderTargetConfig(width=width, height=height, color_format=mjrf.PixelFormat.PIXEL_FORMAT_RGB8)
        )
        self._frame = np.zeros((height, width, 3), dtype=np.uint8)
        self._read = mjrf.ReadRequest(target=self._target)
        self._read.set_buffer(self._frame)
        self._left = np.cumsum([0, *(camera.width for camera in cameras)])[:-1]
        self._requests = [self._view(camera, left) for camera, left in zip(cameras, self._left, strict=True)]

    def _take_shadows_off_background(self) -> None:
        """Replace the background by a box that receives no shadows, which is decided when a renderable is created.

        Without shadows Filament uses a shader that is twice as fast, whatever the lights.
        """
        geom = self._stage.model.geom("background")
        self._background = self._renderables.get_renderable(mujoco.mjtObj.mjOBJ_GEOM, geom.id)
        self._filament_scene.remove_renderable(self._background)
        self._bare_background = self._context.create_renderable(
            self._mjrf.RenderableParams(cast_shadow=False, receive_shadow=False)
        )
        self._bare_background.set_geom_mesh(mujoco.mjtGeom.mjGEOM_BOX, 1, 1, 1)
        self._bare_background.set_size(geom.size.astype(np.float32))
        self._bare_background.set_pose(geom.pos.astype(np.float32), np.eye(3, dtype=np.float32).ravel())
        self._filament_scene.add_renderable(self._bare_background)

    def _view(self, camera: Camera, left: int) -> Any:
        request = self._mjrf.RenderRequest()
        request.scene, request.target = self._filament_scene, self._target
        request.viewport.left, request.viewport.bottom = int(left), 0
        request.viewport.width, request.viewport.height = camera.width, camera.height
        request.shadows = self._options.shadows
        request.reflections = request.skybox = request.haze = request.headlight = False
        return request

    def skip(self, count: int) -> None:
        """Advance the dither sequence by ``count`` samples, by rendering one pixel for each of their views."""
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
        view.camera = self._mjrf.Camera(
            pos=np.zeros(3, np.float32),
            forward=np.array([0, 0, -1], np.float32),
            up=np.array([0, 1, 0], np.float32),
            frustum_bottom=-0.1,
            frustum_top=0.1,
            frustum_near=0.1,
            frustum_far=1.0,
        )
        for _ in range(count):
            self._context.wait_for_frame(self._context.render([view] * len(self._requests), [read]))

    def render(self, samples: Sequence[Sample]) -> NDArray[np.uint8]:
        """Render images (B, C, H, W, 3), RGB, sRGB-encoded, row 0 at the top, cameras in rig order."""
        images = np.zeros((len(samples), len(self._requests), *self._padded, 3), dtype=np.uint8)
        for number, sample in enumerate(samples):
            self._apply(sample)
            with without_idle_warnings():
                self._context.wait_for_frame(self._context.render(self._requests, [self._read]))
            rig = self._stage.rig
            images[number] = rig.padded(  # viewports are aligned with the target's lower edge
                [
                    self._frame[-camera.height :, left : left + camera.width]
                    for camera, left in zip(rig.cameras, self._left, strict=True)
                ]
            )
        return images

    def _apply(self, sample: Sample) -> None:
        stage, look = self._stage, sample.appearance
        stage.set(sample)
        stage.model.mat_metallic[stage.scene.material_ids] = look.material_metallic
        stage.model.mat_roughness[stage.scene.material_ids] = 1.0 - look.material_glossiness
        self._lights.update(stage.data)
        self._renderables.update(stage.data)
        if self._options.textures:
            self._textures.put_on(sample)
        self._clutter.put(sample)
        if not self._options.background_shadows and self._stage.scene.scene.background.kind == "plane":
            self._bare_background.set_material(self._background.get_material())
        intensity = np.zeros(len(stage.scene.light_ids))
        intensity[: len(look.light_intensity)] = look.light_intensity
        far = slice(self._options.shadow_lights if self._options.environment_lights else len(intensity), None)
        self._sky.hold(
            look.surroundings,
            look.light_position[far],
            _CANDELA_PER_UNIT * look.light_intensity[far],
            lights=self._options.environment_lights,
        )
        intensity[far] = 0.0  # Filament skips lights of zero intensity
        self._leave_out_background(look.surroundings is not None and look.surroundings.bare)
        for light, value in zip(stage.scene.light_ids, intensity, strict=True):
            self._lights.get_light(int(light)).set_intensity(_CANDELA_PER_UNIT * value)
        for camera, request in enumerate(self._requests):
            request.camera = self._camera(sample, camera)
            request.skybox = look.surroundings is not None

    def _leave_out_background(self, bare: bool) -> None:
        if bare != self._bare:
            change = self._filament_scene.remove_renderable if bare else self._filament_scene.add_renderable
            for renderable in self._backgrounds:
                change(renderable)
            self._bare = bare

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

    def close(self) -> None:
        """Free the graphics context; may be called twice."""
        # Objects in the scene must be freed before the scene, and everything before the context.
        for name in (
            *("_requests", "_read", "_background", "_bare_background", "_textures", "_clutter", "_backgrounds"),
            *("_renderables", "_lights", "_resources", "_sky"),
        ):
            self.__dict__.pop(name, None)
        self.__dict__.pop("_filament_scene", None)
        with captured_output(1):
            self.__dict__.pop("_context", None)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


def _quality(options: RenderOptions) -> mujoco.MjModel:
    """Build a model that holds only Filament's settings, which it reads from custom fields."""
    spec = mujoco.MjSpec()
    spec.add_numeric(name="filament.ao.enabled", data=[float(options.ambient_occlusion)])
    # Filament's default tone curve removes the grey from dark colours; without one a face has its calibrated colour.
    spec.add_text(name="filament.cg.tone_mapping", data="linear")
    return spec.compile()
