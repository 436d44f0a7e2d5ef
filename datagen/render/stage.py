"""The scene of one renderer, set to one sample after another.

MuJoCo's two renderers read the same model and data, so what they share is here: joints, object and light positions.
"""

from __future__ import annotations

import mujoco
import numpy as np

from datagen.render.base import Appearance, RenderOptions, Sample
from datagen.sim.scene import Scene, SceneConfig, build_scene
from vision.errors import DactylError
from vision.scene.workspace import LIGHT_CENTRE

# Half of a light's cone: as narrow as keeps its rim, a dark arc on the background, out of nearly all pictures. A wider
# one would spread the texels of the shadow map.
_LIGHT_CONE_DEG = 40.0


class Stage:
    """A compiled scene and its data.

    Attributes:
        scene: where to find materials, lights and cameras in the model.
        model: this stage's own; renderers write colours into it.
        data: kinematics of the sample last set.
    """

    def __init__(self, object_name: str, options: RenderOptions) -> None:
        self.scene: Scene = build_scene(
            SceneConfig(object=object_name, purpose="render", mesh_fraction=options.mesh_fraction)
        )
        self.model: mujoco.MjModel = self.scene.model
        self.model.light_cutoff[self.scene.light_ids] = _LIGHT_CONE_DEG
        casting = np.arange(len(self.scene.light_ids)) < options.shadow_lights
        self.model.light_castshadow[self.scene.light_ids] = casting & options.shadows
        self.data = mujoco.MjData(self.model)

    def set(self, sample: Sample) -> None:
        """Pose the hand and the object, colour the materials, move lights and cameras. Lights not in use are inactive.

        Raises:
            DactylError: the sample has values that are not finite (MuJoCo would silently leave the object out of the
                picture), or that belong to another scene.
        """
        self._check(sample)
        scene, model, look = self.scene, self.model, sample.appearance
        start = scene.object_qpos
        self.data.qpos[scene.hand_qpos] = sample.joint_position
        self.data.qpos[start : start + 3] = sample.object_position
        self.data.qpos[start + 3 : start + 7] = sample.object_quaternion
        model.mat_rgba[scene.material_ids, :3] = look.material_rgb
        used = scene.light_ids[: len(look.light_position)]
        towards_hand = np.asarray(LIGHT_CENTRE) - look.light_position
        model.light_pos[used] = look.light_position
        model.light_dir[used] = towards_hand / np.linalg.norm(towards_hand, axis=1, keepdims=True)
        model.light_active[scene.light_ids] = np.arange(len(scene.light_ids)) < len(used)
        model.cam_pos[scene.camera_ids] = look.camera_position
        model.cam_quat[scene.camera_ids] = look.camera_quaternion
        model.cam_fovy[scene.camera_ids] = look.camera_fovy_deg
        # All that a picture needs; the full mj_forward would also solve for contacts.
        mujoco.mj_kinematics(model, self.data)
        mujoco.mj_comPos(model, self.data)
        mujoco.mj_camlight(model, self.data)

    def _check(self, sample: Sample) -> None:
        scene, look = self.scene, sample.appearance
        expected = {
            "joint_position": (sample.joint_position, (len(scene.joint_names),)),
            "object_position": (sample.object_position, (3,)),
            "object_quaternion": (sample.object_quaternion, (4,)),
            "material_rgb": (look.material_rgb, (len(scene.materials), 3)),
            "camera_position": (look.camera_position, (len(scene.camera_ids), 3)),
        }
        for name, (value, shape) in expected.items():
            if np.shape(value) != shape:
                raise DactylError(
                    f"sample {sample.index}: {name} has shape {np.shape(value)}, the scene of the "
                    f"{scene.config.object} needs {shape}; draw the sample for this scene"
                )
        if len(look.light_position) > len(scene.light_ids):
            raise DactylError(
                f"sample {sample.index}: {len(look.light_position)} lights, the scene has {len(scene.light_ids)}"
            )
        finite = {name: value for name, (value, _) in expected.items()} | {
            field: getattr(look, field) for field in Appearance.__dataclass_fields__
        }
        for name, value in finite.items():
            if not np.isfinite(value).all():
                raise DactylError(f"sample {sample.index}: {name} is not finite; leave this state out")
