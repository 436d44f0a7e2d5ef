"""Compiled scene of one renderer, set to one sample after another.

MuJoCo's two renderers read the same model and data, so this module holds what they share: joints, object and light
positions.
"""

from __future__ import annotations

import mujoco
import numpy as np

from datagen.appearance.sample import Sample
from datagen.render import traits_of
from datagen.render.base import EXTRAS, RenderOptions
from datagen.sim.cameras import Frustum, frustum, mujoco_pose
from datagen.sim.scene import compile_scene
from vision.errors import DactylError
from vision.scene.scene import Scene

# Half of a light's cone. It is just wide enough to keep its rim, a dark arc on the background, out of nearly all
# images; a wider one would stretch the texels of the shadow map.
_LIGHT_CONE_DEG = 40.0
_LEAST_NEAR = 0.002  # m, least distance of a near clip plane


class Stage:
    """Compiled scene and its data.

    Args:
        scene: scene to compile.
        options: how to render it.
        renderer: name of the renderer that draws it, which refuses samples with more than it draws; None if nothing is
            drawn, and samples with anything are welcome.
        texture_size: size of the white texture that each material gets in the model if ``options.textures`` is set.
        sky_size: size of the faces of the model's cube map "sky"; 0 for none.

    Attributes:
        scene: indices of materials, lights and cameras in the model.
        model: model owned by this stage; renderers write colours into it.
        data: kinematics of the sample last set.
    """

    def __init__(
        self,
        scene: Scene,
        options: RenderOptions,
        renderer: str | None = None,
        *,
        texture_size: int = 0,
        sky_size: int = 0,
    ) -> None:
        self._renderer, self._textured = renderer, options.textures
        self.scene = compile_scene(
            scene,
            "render",
            mesh_fraction=options.mesh_fraction,
            textured=options.textures,
            texture_size=texture_size if options.textures else 0,
            sky_size=sky_size,
        )
        self.rig = scene.rig
        self._object_radius = float(np.linalg.norm(scene.object.mesh.vertices, axis=1).max())
        self._light_centre = np.array(scene.workspace.light_centre)
        self.model: mujoco.MjModel = self.scene.model
        self.model.light_cutoff[self.scene.light_ids] = _LIGHT_CONE_DEG
        casting = np.arange(len(self.scene.light_ids)) < options.shadow_lights
        self.model.light_castshadow[self.scene.light_ids] = casting & options.shadows
        self.data = mujoco.MjData(self.model)

    def set(self, sample: Sample) -> None:
        """Pose hand and object, colour the materials, and move lights and cameras. Unused lights are inactive.

        Raises:
            DactylError: the sample has values that are not finite (MuJoCo would silently omit the object), that belong
                to another scene, or that the renderer does not draw.
        """
        self._check(sample)
        scene, model, look = self.scene, self.model, sample.appearance
        start = scene.object_qpos
        self.data.qpos[scene.hand_qpos] = sample.joint_position
        self.data.qpos[start : start + 3] = sample.object_position
        self.data.qpos[start + 3 : start + 7] = sample.object_quaternion
        model.mat_rgba[scene.material_ids, :3] = look.material_rgb
        used = scene.light_ids[: len(look.light_position)]
        towards_hand = self._light_centre - look.light_position
        model.light_pos[used] = look.light_position
        model.light_dir[used] = towards_hand / np.linalg.norm(towards_hand, axis=1, keepdims=True)
        model.light_active[scene.light_ids] = np.arange(len(scene.light_ids)) < len(used)
        model.cam_pos[scene.camera_ids], model.cam_quat[scene.camera_ids] = mujoco_pose(look.camera_extrinsics)
        # Images need no more; the full mj_forward would also solve for contacts.
        mujoco.mj_kinematics(model, self.data)
        mujoco.mj_comPos(model, self.data)
        mujoco.mj_camlight(model, self.data)

    def frustum(self, sample: Sample, camera: int) -> tuple[Frustum, float, float]:
        """Return the frustum at 1 m of camera number ``camera`` of a sample, and near and far clip planes (m) between
        which the whole object lies."""
        model, one = self.model, self.rig.cameras[camera]
        near, far = model.vis.map.znear * model.stat.extent, model.vis.map.zfar * model.stat.extent
        transform = sample.appearance.camera_extrinsics[camera]
        depth = float(transform[2, :3] @ sample.object_position + transform[2, 3])
        if depth > 0:
            near = min(near, max((depth - self._object_radius) / 2, _LEAST_NEAR))
            far = max(far, 2 * (depth + self._object_radius))
        return frustum(sample.appearance.camera_intrinsics[camera], one.width, one.height), float(near), float(far)

    def _check(self, sample: Sample) -> None:
        scene, look = self.scene, sample.appearance
        expected = {
            "joint_position": (sample.joint_position, (len(scene.joint_names),)),
            "object_position": (sample.object_position, (3,)),
            "object_quaternion": (sample.object_quaternion, (4,)),
            "material_rgb": (look.material_rgb, (len(scene.materials), 3)),
            "camera_extrinsics": (look.camera_extrinsics, (len(scene.camera_ids), 4, 4)),
        }
        for name, (value, shape) in expected.items():
            if np.shape(value) != shape:
                raise DactylError(
                    f"sample {sample.index}: {name} has shape {np.shape(value)}, the scene "
                    f"{scene.scene.name} needs {shape}; draw the sample for this scene"
                )
        if len(look.light_position) > len(scene.light_ids):
            raise DactylError(
                f"sample {sample.index}: {len(look.light_position)} lights, the scene has {len(scene.light_ids)}"
            )
        if self._renderer is not None:
            _refuse_undrawn(sample, self._renderer, self._textured)
        for use in look.textures:
            if not 0 <= use.material < len(scene.materials):
                raise DactylError(f"sample {sample.index}: a texture on material {use.material}, which there is not")
        finite = {name: value for name, (value, _) in expected.items()} | {
            field: value for field, value in vars(look).items() if isinstance(value, np.ndarray)
        }
        for name, value in finite.items():
            if not np.isfinite(value).all():
                raise DactylError(f"sample {sample.index}: {name} is not finite; leave this state out")


def _refuse_undrawn(sample: Sample, renderer: str, textured: bool) -> None:
    """Raise DactylError for a sample of which something would be missing in the image."""
    for extra in sorted(EXTRAS - traits_of(renderer).draws):
        if getattr(sample.appearance, extra):
            raise DactylError(
                f"sample {sample.index}: has {extra}, which {renderer} does not draw; take another renderer"
            )
    if sample.appearance.textures and not textured:
        raise DactylError(f"sample {sample.index}: has textures, which are not drawn here; set render.textures to true")
