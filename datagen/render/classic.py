"""MuJoCo's OpenGL renderer, which draws the same samples differently for test sets; nothing is trained on it.

Lighting is fixed-function: sRGB-encoded colours are multiplied by light, so light also adds up in encoded values.
"""

from __future__ import annotations

import functools
import importlib
from collections.abc import Sequence
from typing import Self

import mujoco
import numpy as np
from numpy.typing import NDArray

from datagen.appearance.sample import Sample
from datagen.pictures.surroundings_pool import SurroundingsUse
from datagen.pictures.texture_pool import TEXTURE_SIZE
from datagen.render.base import RendererInfo, RenderOptions
from datagen.render.classic_textures import ClassicTextures, upload
from datagen.render.drivers import choose_opengl, load_triton_first, memory_limit_hint
from datagen.render.encoded_light import SKY, encode_lights, encoded_light, linear_light, main_lights
from datagen.render.environment_map import SKY_SIZE, cube_map
from datagen.render.phong import NON_METAL_REFLECTANCE, highlight, reflected
from datagen.render.stage import Stage
from vision.color import linear_from_srgb, srgb_from_linear
from vision.errors import DactylError
from vision.geometry.rotations import FloatArray, matrix_from_quaternion
from vision.scene.scene import Scene

_MULTISAMPLING = 4
_SHADOW_MAP_SCALE = 1.0  # relative to a light's cone: near its border a shadow map speckles surfaces with false shadow
_GEOMS = {
    "box": mujoco.mjtGeom.mjGEOM_BOX,
    "capsule": mujoco.mjtGeom.mjGEOM_CAPSULE,
    "sphere": mujoco.mjtGeom.mjGEOM_SPHERE,
}
_MOST_LIGHTS = 7  # OpenGL has eight, including the headlight
_MOST_CLUTTER = 2_048  # solids per sample; more than can be drawn by value


class ClassicRenderer:
    """Renders samples of a scene with MuJoCo's OpenGL. See :class:`datagen.render.base.Renderer`.

    Raises:
        DactylError: neither EGL nor OSMesa can be used.
    """

    batch_size = 1

    def __init__(self, scene: Scene, options: RenderOptions) -> None:
        load_triton_first()
        platform = choose_opengl()
        self._options = options
        self._stage = Stage(scene, options, "classic", texture_size=TEXTURE_SIZE, sky_size=SKY_SIZE)
        self._textures = ClassicTextures(self._stage)
        self._sky: tuple[str, float, float] | None = None
        self._dominant: list[tuple[FloatArray, FloatArray]] = []
        self.materials = self._stage.scene.materials
        model, lights = self._stage.model, self._stage.scene.light_ids
        width, height = scene.rig.width, scene.rig.height
        model.vis.global_.offwidth, model.vis.global_.offheight = width, height
        model.vis.quality.offsamples = _MULTISAMPLING
        model.vis.quality.shadowsize = options.shadow_map_size
        model.vis.map.shadowscale = _SHADOW_MAP_SCALE
        model.vis.headlight.diffuse[:] = model.vis.headlight.specular[:] = 0.0
        model.light_attenuation[lights] = (1.0, 0.0, 0.0)  # _set_lights puts the distance into the light's colour
        model.light_exponent[lights] = 0.0
        model.light_ambient[lights] = 0.0
        self._mujoco_scene = mujoco.MjvScene(model, maxgeom=2 * model.ngeom + 16 + _MOST_CLUTTER)
        self._mujoco_scene.flags[mujoco.mjtRndFlag.mjRND_SHADOW] = options.shadows
        self._mujoco_scene.flags[mujoco.mjtRndFlag.mjRND_REFLECTION] = False
        self._mujoco_scene.flags[mujoco.mjtRndFlag.mjRND_SKYBOX] = False
        self._view_options = mujoco.MjvOption()
        try:
            self._gl = importlib.import_module(f"mujoco.{platform}").GLContext(width, height)
            self._gl.make_current()
            self._context = mujoco.MjrContext(model, mujoco.mjtFontScale.mjFONTSCALE_100)
            gl = importlib.import_module("OpenGL.GL")
            device, version = (gl.glGetString(name).decode() for name in (gl.GL_RENDERER, gl.GL_VERSION))
        except (ImportError, OSError, AttributeError, RuntimeError, mujoco.FatalError) as error:
            raise DactylError(
                f"the classic renderer cannot start OpenGL through {platform} ({error}): "
                f"apt-get install libegl1 libgl1 libosmesa6{memory_limit_hint()}"
            ) from None
        mujoco.mjr_setBuffer(mujoco.mjtFramebuffer.mjFB_OFFSCREEN, self._context)
        self.info = RendererInfo(
            name="classic",
            version=f"mujoco {mujoco.__version__}",
            device=device,
            api=f"OpenGL {version} through {platform}",
        )

    def skip(self, count: int) -> None:
        """Do nothing: frames do not depend on earlier ones."""

    def render(self, samples: Sequence[Sample]) -> NDArray[np.uint8]:
        """Render images (B, C, H, W, 3), RGB, sRGB-encoded, row 0 at the top, cameras in rig order."""
        rig, cameras = self._stage.rig, self._stage.scene.camera_ids
        images = np.zeros((len(samples), len(cameras), rig.height, rig.width, 3), dtype=np.uint8)
        view = mujoco.MjvCamera()
        view.type = mujoco.mjtCamera.mjCAMERA_FIXED
        self._gl.make_current()
        for number, sample in enumerate(samples):
            self._stage.set(sample)
            self._set_materials(sample)
            self._set_lights(sample)
            self._set_sky(sample)
            for place, camera in enumerate(rig.cameras):
                view.fixedcamid = cameras[place]
                mujoco.mjv_updateScene(
                    self._stage.model,
                    self._stage.data,
                    self._view_options,
                    None,
                    view,
                    mujoco.mjtCatBit.mjCAT_ALL,
                    self._mujoco_scene,
                )
                self._add_clutter(sample)
                self._add_dominant_lights()
                self._set_frustum(sample, place)
                viewport = mujoco.MjrRect(0, 0, camera.width, camera.height)
                frame = np.empty((camera.height, camera.width, 3), dtype=np.uint8)
                mujoco.mjr_render(viewport, self._mujoco_scene, self._context)
                mujoco.mjr_readPixels(frame, None, viewport, self._context)
                images[number, place, : camera.height, : camera.width] = frame[::-1]  # OpenGL's row 0 is the bottom
        return images

    def _set_frustum(self, sample: Sample, camera: int) -> None:
        """Set the frustum of both eyes of the scene's camera; MuJoCo itself takes only a vertical field of view."""
        (left, right, bottom, top), near, far = self._stage.frustum(sample, camera)
        for eye in self._mujoco_scene.camera:
            eye.frustum_near, eye.frustum_far = near, far
            eye.frustum_bottom, eye.frustum_top = near * bottom, near * top
            eye.frustum_center, eye.frustum_width = near * (left + right) / 2, near * (right - left) / 2

    def _add_clutter(self, sample: Sample) -> None:
        """Add clutter to the scene, for each image anew: updating the scene removes it."""
        scene = self._mujoco_scene
        for piece in sample.appearance.clutter:
            rgb, shininess, specular = _mapped(piece.rgb, np.array(piece.glossiness))
            color = np.array([*rgb, 1.0], np.float32)
            for part in piece.parts:
                turn = matrix_from_quaternion(part.quaternion).ravel()
                if scene.ngeom == scene.maxgeom:
                    raise DactylError(f"sample {sample.index}: more than {_MOST_CLUTTER} solids of clutter")
                geom = scene.geoms[scene.ngeom]
                mujoco.mjv_initGeom(geom, _GEOMS[part.shape], part.size, part.position, turn, color)
                geom.shininess, geom.specular = shininess, specular
                geom.category = mujoco.mjtCatBit.mjCAT_STATIC
                scene.ngeom += 1

    def _set_materials(self, sample: Sample) -> None:
        """Give each material a normalised Blinn-Phong highlight for its roughness.

        Metallic has no effect: a metal moves light from diffuse reflection to highlights of the same colour, but
        highlights are white here.
        """
        model, ids, look = self._stage.model, self._stage.scene.material_ids, sample.appearance
        rgb, shininess, specular = _mapped(look.material_rgb, look.material_glossiness)
        model.mat_rgba[ids, :3], model.mat_shininess[ids], model.mat_specular[ids] = rgb, shininess, specular
        if self._options.textures:
            self._textures.put_on(sample, self._context)

    def _set_lights(self, sample: Sample) -> None:
        model, look = self._stage.model, sample.appearance
        position = look.light_position - np.array(self._stage.scene.scene.workspace.light_centre)
        used = self._stage.scene.light_ids[: len(position)]
        if look.surroundings is None:
            ambient, lights = encoded_light(position, look.light_intensity)
            model.vis.headlight.ambient[:] = ambient
            lights, self._dominant = lights[:, None], []
        else:
            around = main_lights(look.surroundings.turned_map, _MOST_LIGHTS - len(position))
            bright = SKY * look.surroundings.brightness
            linear = linear_light(position, look.light_intensity)[:, None].repeat(3, axis=1)
            all_lights = np.concatenate([linear, bright * around.lights / np.pi])
            model.vis.headlight.ambient[:], encoded = encode_lights(bright * around.ambient, all_lights)
            lights = encoded[: len(used)]
            self._dominant = list(zip(around.directions, encoded[len(used) :], strict=True))
        model.light_diffuse[used] = lights
        model.light_specular[used] = lights

    def _add_dominant_lights(self) -> None:
        """Add the surroundings' lights, infinitely far away, for each image anew: updating the scene removes them."""
        scene = self._mujoco_scene
        for towards, color in self._dominant:
            light = scene.lights[scene.nlight]
            light.type, light.headlight, light.castshadow = mujoco.mjtLightType.mjLIGHT_DIRECTIONAL, 0, 0
            light.pos, light.dir = 10.0 * towards, -towards
            light.attenuation, light.cutoff, light.exponent = (1.0, 0.0, 0.0), 180.0, 0.0
            light.ambient, light.diffuse, light.specular = np.zeros(3), color, color
            scene.nlight += 1

    def _set_sky(self, sample: Sample) -> None:
        """Draw the surroundings as the sky, and hide the background if the sample leaves it out."""
        model, use = self._stage.model, sample.appearance.surroundings
        background = model.geom_matid[self._stage.scene.background_geoms]
        model.mat_rgba[background, 3] = 0.0 if use is not None and use.bare else 1.0
        self._mujoco_scene.flags[mujoco.mjtRndFlag.mjRND_SKYBOX] = use is not None
        if use is None or (use.name, use.turn, use.brightness) == self._sky:
            return
        linear = SKY * use.brightness * _seen_sky(use.turned_map)
        texture = model.texture("sky").id
        pixels = np.rint(255 * srgb_from_linear(np.minimum(linear, 1.0))).astype(np.uint8)
        upload(pixels, model, texture, self._context)
        self._sky = use.name, use.turn, use.brightness

    def close(self) -> None:
        """Free the graphics context; may be called twice."""
        if "_context" in self.__dict__:
            self._gl.make_current()
            self._context.free()
            self._gl.free()
            del self._context, self._gl

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


@functools.lru_cache(maxsize=16)  # as many as samples share (appearance.surroundings.pool)
def _seen_sky(use: SurroundingsUse) -> FloatArray:
    """Return the faces (6, h, w, 3) of surroundings' :attr:`SurroundingsUse.turned_map`."""
    return cube_map(use.surroundings().radiance, SKY_SIZE)


def _mapped(rgb: FloatArray, glossiness: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Convert materials to MuJoCo's colour (..., 3), shininess and specular (...,)."""
    return reflected(linear_from_srgb(rgb)), *highlight(1.0 - glossiness, NON_METAL_REFLECTANCE)
