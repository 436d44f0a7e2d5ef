"""What the stand-in player shows: the scene of a pack, rebuilt in MuJoCo and drawn by its OpenGL renderer.

Nothing of the original model is used. Every body is one that the wire moves (a mocap body), and every mesh, material,
light and camera has the values that came over the wire.
"""

from __future__ import annotations

import dataclasses
import functools
import io
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any
from unittest import mock

import mujoco
import numpy as np
from PIL import Image
from scipy.spatial.transform import Rotation

from datagen.appearance.clutter_pieces import ClutterPart, ClutterPiece
from datagen.appearance.sample import Appearance, Sample
from datagen.pictures.texture_pool import TEXTURE_SIZE
from datagen.render import phong
from datagen.render.base import RenderOptions
from datagen.render.classic import ClassicRenderer
from datagen.sim.cameras import Frustum
from datagen.unity import records
from datagen.unity.environment import MAGIC, EnvironmentPicture
from datagen.unity.scene_pack import ScenePack
from tests.unity.codec import decode_picture
from vision.color import srgb_from_linear

_LIGHTS = 6
_LIGHT_TYPES = {
    records.LightType.DIRECTIONAL: mujoco.mjtLightType.mjLIGHT_DIRECTIONAL,
    records.LightType.SPOT: mujoco.mjtLightType.mjLIGHT_SPOT,
}
_TRACE = 0.02  # of even light at least: MuJoCo clears to black, and a black surface would be taken for the background


class MujocoStage:
    """Draws batches of the wire; see `standin.Content`."""

    def __init__(self) -> None:
        self._pack = ScenePack((), (), (), ())
        self._renderer: _WireRenderer | None = None
        self._made_for: tuple[Any, ...] = ()
        self._pictures: dict[int, np.ndarray | EnvironmentPicture] = {}

    def describe(self) -> str:
        return f"engine: stand-in, mujoco {mujoco.__version__}\ndevice: whatever OpenGL runs on\napi: OpenGL"

    def load(self, pack: ScenePack) -> None:
        self._pack, self._made_for = pack, ()

    def add_picture(self, number: int, content: bytes) -> None:
        if content.startswith(MAGIC):
            self._pictures[number] = decode_picture(content)
        else:
            self._pictures[number] = np.asarray(Image.open(io.BytesIO(content)).convert("RGB"))

    def forget(self) -> None:
        self._pictures.clear()

    def render(self, batch: records.RenderBatch) -> np.ndarray:
        shadows = bool((batch.lights["shadow"] > 0).any())
        wanted = (batch.sizes, shadows, batch.shadow_size)
        if self._made_for != wanted:
            if self._renderer is not None:
                self._renderer.close()
            self._renderer = _WireRenderer(self._pack, *wanted)
            self._made_for = wanted
        assert self._renderer is not None
        return self._renderer.draw(batch, [self._pictures[number] for number in batch.pictures])


class PackStage:
    """Stands in for `datagen.render.stage.Stage`, with a model made from a pack."""

    def __init__(self, pack: ScenePack, sizes: Sequence[tuple[int, int]]) -> None:
        self._pack = pack
        width, height = (max((size[axis] for size in sizes), default=64) for axis in (0, 1))
        images = [SimpleNamespace(width=own_width, height=own_height) for own_width, own_height in sizes]
        self.rig = SimpleNamespace(width=width, height=height, cameras=images)
        spec = mujoco.MjSpec()
        spec.stat.extent = 1.0
        self._add_materials(spec)
        bodies = [spec.worldbody.add_body(name=f"body/{body.name}", mocap=True) for body in pack.bodies]
        for number, part in enumerate(pack.parts):
            mesh = spec.add_mesh(
                name=f"part{number}",
                uservert=part.positions.ravel(),
                usernormal=part.normals.ravel(),
                usertexcoord=part.uv.ravel(),
                userface=part.triangles.astype(np.int32).ravel(),
                inertia=mujoco.mjtMeshInertia.mjMESH_INERTIA_SHELL,
            )
            bodies[part.body].add_geom(
                type=mujoco.mjtGeom.mjGEOM_MESH,
                meshname=mesh.name,
                material=f"material{part.material}",
                castshadow=part.casts_shadow,
            )
        for number in range(len(sizes)):
            spec.worldbody.add_camera(name=f"camera{number}")
        for number in range(_LIGHTS):
            spec.worldbody.add_light(name=f"light{number}", type=mujoco.mjtLightType.mjLIGHT_SPOT)
        self.model: mujoco.MjModel = spec.compile()
        self.data = mujoco.MjData(self.model)
        self.scene = SimpleNamespace(
            scene=_aimed_at(np.zeros(3)),
            materials=tuple(material.name for material in pack.materials),
            material_ids=np.array([self.model.material(f"material{m}").id for m in range(len(pack.materials))]),
            background_geoms=np.zeros(0, np.int64),
            camera_ids=np.array([self.model.camera(f"camera{c}").id for c in range(len(sizes))]),
            light_ids=np.array([self.model.light(f"light{number}").id for number in range(_LIGHTS)]),
        )
        self._mocap = np.array([self.model.body(f"body/{body.name}").mocapid[0] for body in pack.bodies])

    def _add_materials(self, spec: mujoco.MjSpec) -> None:
        for number, (_, png) in enumerate(self._pack.textures):
            pixels = np.asarray(Image.open(io.BytesIO(png)).convert("RGB"))[::-1]
            texture = spec.add_texture(
                name=f"texture{number}", type=mujoco.mjtTexture.mjTEXTURE_2D, width=pixels.shape[1], nchannel=3
            )
            texture.height, texture.data = pixels.shape[0], pixels.tobytes()
        for number, material in enumerate(self._pack.materials):
            made = spec.add_material(name=f"material{number}", texrepeat=material.texture_scale)
            name = f"texture{material.texture}"
            if material.texture < 0:  # a white one, which samples change
                name = f"drawn{number}"
                texture = spec.add_texture(
                    name=name, type=mujoco.mjtTexture.mjTEXTURE_2D, width=TEXTURE_SIZE, height=TEXTURE_SIZE, nchannel=3
                )
                texture.builtin, texture.rgb1 = mujoco.mjtBuiltin.mjBUILTIN_FLAT, (1, 1, 1)
            made.textures[mujoco.mjtTextureRole.mjTEXROLE_RGB] = name

    def set(self, sample: Sample) -> None:
        """Apply what `_WireRenderer.draw` put into the sample: an appearance, and records for the rest."""
        model, wire_values, look = self.model, sample.joint_position, sample.appearance
        cameras, bodies, lights = wire_values["cameras"], wire_values["bodies"], wire_values["lights"]
        model.vis.map.znear, model.vis.map.zfar = cameras[0]["near"], cameras[0]["far"]
        self.data.mocap_pos[self._mocap] = bodies["position"]
        self.data.mocap_quat[self._mocap] = bodies["quaternion"]
        model.mat_rgba[self.scene.material_ids, :3] = look.material_rgb
        model.mat_rgba[self.scene.material_ids, 3] = wire_values["visible"]
        used = self.scene.light_ids[: len(lights)]
        model.light_pos[used], model.light_dir[used] = lights["position"], lights["direction"]
        model.light_cutoff[used] = lights["spot_deg"] / 2
        model.light_type[used] = [_LIGHT_TYPES[int(kind)] for kind in lights["type"]]
        model.light_castshadow[used] = lights["shadow"] > 0
        model.light_active[self.scene.light_ids] = np.arange(_LIGHTS) < len(used)
        model.cam_pos[self.scene.camera_ids] = cameras["position"]
        model.cam_quat[self.scene.camera_ids] = cameras["quaternion"]
        mujoco.mj_kinematics(model, self.data)
        mujoco.mj_comPos(model, self.data)
        mujoco.mj_camlight(model, self.data)

    def frustum(self, sample: Sample, camera: int) -> tuple[Frustum, float, float]:
        """Of a camera of the wire, as MuJoCo has it."""
        values: Any = sample.joint_position
        one, image = values["cameras"][camera], self.rig.cameras[camera]
        (fx, fy), (cx, cy) = one["focal"].astype(float), one["centre"].astype(float)
        borders = Frustum(-cx / fx, (image.width - cx) / fx, -(image.height - cy) / fy, cy / fy)
        return borders, float(one["near"]), float(one["far"])


def _aimed_at(point: np.ndarray) -> Any:
    """As much of a scene as the OpenGL renderer's light model asks for: where lights aim."""
    return SimpleNamespace(workspace=SimpleNamespace(light_centre=tuple(point)))


def _meeting_point(lights: np.ndarray) -> np.ndarray:
    """Where the beams (L,) meet, metres, world frame; on the way of a single one."""
    if len(lights) < 2:
        return np.asarray((lights["position"] + lights["direction"]).sum(axis=0))
    across = np.eye(3) - np.einsum("li,lj->lij", lights["direction"], lights["direction"])
    meeting, *_ = np.linalg.lstsq(across.reshape(-1, 3), np.einsum("lij,lj->li", across, lights["position"]).ravel())
    return np.asarray(meeting)


def _pieces(solids: np.ndarray) -> tuple[ClutterPiece, ...]:
    """Clutter as the OpenGL renderer takes it: each solid is a piece."""
    shapes: dict[int, Any] = {1: "box", 2: "capsule", 3: "sphere"}
    return tuple(
        ClutterPiece(
            "one",
            "beside",
            (ClutterPart(shapes[int(solid["shape"])], solid["position"], solid["quaternion"], solid["size"]),),
            *(solid[name].astype(float) for name in ("color", "metallic", "smoothness")),
        )
        for solid in solids
        if solid["shape"] != records.SolidShape.NONE
    )


def _to_unity(camera: np.ndarray, directions: np.ndarray) -> np.ndarray:
    """Directions (..., 3) of MuJoCo's frame of a camera, in Unity's world."""
    turn = Rotation.from_quat(np.roll(camera["quaternion"], -1)).as_matrix()
    return (directions @ turn.T)[..., [0, 2, 1]]


def _light_on(around: EnvironmentPicture, camera: np.ndarray, radiance: float) -> np.ndarray:
    """What surroundings give to a surface that faces a camera: ambient light, sRGB-encoded, (3,)."""
    x, y, z = _to_unity(camera, np.array([0.0, 0.0, 1.0]))
    terms = np.array([1, y, z, x, x * y, y * z, 3 * z * z - 1, z * x, x * x - y * y])
    return srgb_from_linear(np.clip(radiance * terms @ around.harmonics, 0, 1))


# A cube map's coordinates (OpenGL 4.6, table 8.19) by face: the axis that is looked along with its sign, then the axes
# that s and t grow along with theirs.
_FACES = (
    ((0, 1), (2, -1), (1, -1)), ((0, -1), (2, 1), (1, -1)), ((1, 1), (0, 1), (2, 1)),
    ((1, -1), (0, 1), (2, -1)), ((2, 1), (0, 1), (1, -1)), ((2, -1), (0, -1), (1, -1)),
)  # fmt: skip


def _seen(around: EnvironmentPicture, camera: np.ndarray, width: int, height: int) -> np.ndarray:
    """Linear colours (H, W, 3) that a camera sees of surroundings."""
    pixels = np.stack(np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5), axis=-1)
    across = (pixels - camera["centre"]) / camera["focal"] * (1, -1)
    rays = _to_unity(camera, np.concatenate([across, np.full((height, width, 1), -1.0)], axis=-1))
    colors, cube = np.zeros(rays.shape), around.levels[0].astype(np.float64)
    largest = np.abs(rays).max(axis=-1)
    for face, ((axis, sign), (s_axis, s_sign), (t_axis, t_sign)) in enumerate(_FACES):
        here = sign * rays[..., axis] == largest
        s, t = ((sign * rays[here][:, a] / largest[here] + 1) / 2 for a, sign in ((s_axis, s_sign), (t_axis, t_sign)))
        column, row = (np.minimum(place * cube.shape[1], cube.shape[1] - 1).astype(int) for place in (s, t))
        colors[here] = cube[face, row, column, :3]
    return colors


class _WireRenderer(ClassicRenderer):
    """The OpenGL renderer of the project, on a stage that knows only the wire."""

    def __init__(self, pack: ScenePack, sizes: Sequence[tuple[int, int]], shadows: bool, shadow_size: int) -> None:
        options = RenderOptions(shadows=shadows, shadow_map_size=shadow_size or 512, textures=True)
        stage: Any = PackStage(pack, sizes)
        self._own_textures = len(pack.textures)
        self._texture_scales = [material.texture_scale[1] for material in pack.materials]
        with mock.patch("datagen.render.classic.Stage", return_value=stage):
            super().__init__(stage, options)

    def draw(self, batch: records.RenderBatch, pictures: Sequence[Any]) -> np.ndarray:
        """Images of a batch, with the pixels (H, W, 3) of its pictures, or surroundings."""
        images = np.zeros(batch.image_shape, np.uint8)
        for row, frame in enumerate(batch.frames):
            cameras, materials = batch.cameras[row], batch.materials[row]
            lights = batch.lights[row][batch.lights[row]["type"] != records.LightType.OFF]
            look = Appearance(
                material_rgb=materials["color"],
                material_metallic=materials["metallic"],
                material_glossiness=materials["smoothness"],
                light_position=lights["position"],
                light_intensity=lights["intensity"],
                # The stage takes its cameras from the wire, as they are there.
                camera_intrinsics=np.zeros((len(cameras), 3, 3)),
                camera_extrinsics=np.zeros((len(cameras), 4, 4)),
                textures=self._uses(materials, pictures),
            )
            # The OpenGL renderer has a light model of its own. Where either even light is off or all others are, it is
            # Unity's, as far as light that adds up in encoded values can be.
            self._unity_light = (frame["ambient"], lights) if not (len(lights) and frame["ambient"].any()) else None
            around = pictures[int(frame["surroundings"])] if frame["surroundings"] >= 0 else None
            if around is not None:  # all surfaces are lit as those that face the first camera
                self._unity_light = (_light_on(around, cameras[0], frame["radiance"]), lights)
            self._stage.scene.scene = _aimed_at(_meeting_point(lights))
            look = dataclasses.replace(look, clutter=_pieces(batch.solids[row]))
            values: Any = {"cameras": cameras, "bodies": batch.bodies[row], "lights": lights}
            values["visible"] = materials["visible"]
            images[row] = self.render([Sample(row, values, np.zeros(3), np.zeros(4), look)])[0]
            for image, camera, (width, height) in zip(images[row], cameras, batch.sizes, strict=True):
                empty = (image == 0).all(axis=-1)
                image[empty] = np.rint(255 * frame["background"])
                if around is not None:
                    sky = _seen(around, camera, width, height) * frame["radiance"]
                    shown, nothing = image[:height, :width], empty[:height, :width]
                    shown[nothing] = np.rint(255 * srgb_from_linear(np.clip(sky, 0, 1)))[nothing]
        return images

    def _uses(self, materials: np.ndarray, pictures: Sequence[np.ndarray]) -> tuple[Any, ...]:
        """Those of the batch's pictures that materials show, as the OpenGL renderer takes textures."""
        uses = []
        for number, material in enumerate(materials):
            if (index := int(material["texture"]) - self._own_textures) >= 0:
                pixels = functools.partial(SimpleNamespace, pixels=pictures[index])
                scale = self._texture_scales[number] / material["texture_scale"][1]
                uses.append(SimpleNamespace(material=number, pixels=pixels, scale=float(scale)))
        return tuple(uses)

    def _set_materials(self, sample: Sample) -> None:
        if self._unity_light is None:
            super()._set_materials(sample)
            return
        with mock.patch("datagen.render.phong._COLOURLESS_REFLECTION", 0.0):
            super()._set_materials(sample)
        model, ids = self._stage.model, self._stage.scene.material_ids
        model.mat_specular[ids] = 0.0

    def _add_clutter(self, sample: Sample) -> None:
        sheen = 0.0 if self._unity_light is not None else phong._COLOURLESS_REFLECTION
        with mock.patch("datagen.render.phong._COLOURLESS_REFLECTION", sheen):
            super()._add_clutter(sample)

    def _set_lights(self, sample: Sample) -> None:
        super()._set_lights(sample)
        if self._unity_light is not None:
            model, (ambient, lights) = self._stage.model, self._unity_light
            model.vis.headlight.ambient[:] = np.maximum(ambient, _TRACE)
            used = self._stage.scene.light_ids[: len(lights)]
            model.light_diffuse[used] = srgb_from_linear(np.minimum(lights["intensity"], 1.0))[:, None]
            model.light_specular[used] = 0.0
