"""Builder of the MuJoCo model of every scene, for physics and for every renderer.

Both purposes have the same bodies, joints and frames, so a state means the same in both. "physics" holds collision
geometry; "render" holds visible geometry, each part with its own material that a sample recolours. Units are metres,
radians, kilograms and seconds.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import mujoco
import numpy as np

from datagen.sim.backgrounds import add_background
from datagen.sim.controls import Controls, controls_of
from datagen.sim.hand import load_hand
from datagen.sim.hand_purposes import keep_for_physics, keep_for_rendering
from datagen.sim.materials import Material
from datagen.sim.objects import OBJECT, add_collision_shape, add_object, add_parts
from datagen.sim.overlaps import placed_at_start
from datagen.sim.picture_parts import LIGHTS, add_cameras_and_lights, add_sky, add_white_textures
from datagen.sim.texture_coordinates import add_missing_coordinates
from vision.errors import DactylError
from vision.geometry.rotations import FloatArray
from vision.objects.pose_object import PoseObject
from vision.scene.hand import Hand
from vision.scene.scene import Scene

PHYSICS_TIMESTEP = 0.008  # s, MuJoCo's step (paper, appendix C.1)

SIMULATION = 1
"""Simulation version, raised whenever the same scene, policy and seed give other states. A folder of states holds those
of one version."""

Purpose = Literal["physics", "render"]


@dataclass(frozen=True, eq=False)
class SimScene:
    """Compiled model with the indices of its parts. Materials, cameras and lights exist for "render" only.

    Attributes:
        scene: scene that it was compiled from, with its hand completed.
        model: the compiled model.
        joint_names: the hand's J joints without prefix, in the order of the model and of every stored state.
        hand_qpos, hand_dof: indices of the hand's joints in qpos and qvel, (J,) each.
        object_qpos, object_dof: index of the first of the object's 7 values in qpos (position, quaternion w x y z) and
            6 in qvel (velocity in the world frame, angular velocity in the object's).
        controls: meaning of actions for each of the A actuators.
        fingertip_sites: site ids in the order of the hand's fingertips, (F,).
        materials: materials that a sample sets, in the fixed order "link/<body>"..., the object's parts,
            "background"....
        material_ids: ids of the materials, (M,).
        object_geoms: ids of the object's geoms.
        background_geoms: ids of the background's geoms.
        camera_ids: ids of the cameras in rig order, (C,).
        light_ids: ids of the lights, (6,).
    """

    scene: Scene
    model: mujoco.MjModel
    joint_names: tuple[str, ...]
    hand_qpos: np.ndarray
    hand_dof: np.ndarray
    object_qpos: int
    object_dof: int
    controls: Controls
    fingertip_sites: np.ndarray
    materials: tuple[Material, ...]
    material_ids: np.ndarray
    object_geoms: np.ndarray
    background_geoms: np.ndarray
    camera_ids: np.ndarray
    light_ids: np.ndarray

    @property
    def object(self) -> PoseObject:
        return self.scene.object

    @property
    def hand(self) -> Hand | None:
        return self.scene.hand

    @property
    def control_range(self) -> FloatArray:
        """Lowest and highest target of each actuator, radians, or metres for slides, (A, 2)."""
        return self.controls.range

    @property
    def actions(self) -> int:
        """Number of the hand's actuators, A."""
        return len(self.control_range)


def compile_scene(
    scene: Scene,
    purpose: Purpose = "physics",
    *,
    mesh_fraction: float = 1.0,
    locked_wrist: bool = False,
    object_sizes: bool = False,
    textured: bool = False,
    texture_size: int = 0,
    sky_size: int = 0,
) -> SimScene:
    """Compile the model: the hand, the free object, the background, and cameras and lights for "render".

    Args:
        scene: scene to build.
        purpose: whether to simulate or to render it.
        mesh_fraction: fraction of the triangles of the hand's visual meshes to keep, in (0, 1].
        locked_wrist: hold the wrist's joints at their initial angles (Table 3's locked wrist).
        object_sizes: for "physics", compile what the randomization of the object's size needs.
        textured: for "render", give texture coordinates to meshes without any.
        texture_size: for "render", width in texels of the white texture given to each material without one; 0 for none.
        sky_size: for "render", width in texels of the faces of a cube map "sky"; 0 for none.

    Raises:
        DactylError: the hand's model is missing or has no wrist to lock, its links overlap in hundreds of places, or
            MuJoCo cannot compile the whole.
    """
    hand = scene.hand
    spec = mujoco.MjSpec() if hand is None else load_hand(hand)
    _set_options(spec)
    materials: list[Material] = []
    if hand is not None and purpose == "physics":
        keep_for_physics(spec, hand, locked_wrist)
    elif hand is not None:
        materials += keep_for_rendering(spec, hand, mesh_fraction, own_meshes=textured)
    body = add_object(spec, scene)
    if purpose == "physics":
        add_collision_shape(spec, body, scene.object, object_sizes)
    else:
        materials += add_parts(spec, body, scene.object)
        add_cameras_and_lights(spec, scene)
    backgrounds, covers = add_background(spec, scene.background, purpose == "render")
    materials += covers
    if textured:
        add_missing_coordinates(spec, scene.background)
    if texture_size:
        add_white_textures(spec, materials, texture_size)
    if sky_size:
        add_sky(spec, sky_size)
    try:
        model = spec.compile()
    except ValueError as error:
        raise DactylError(f"scene {scene.name}: MuJoCo cannot compile it: {' '.join(str(error).split())}") from None
    compiled = _index(model, scene, purpose, materials, backgrounds)
    if purpose == "physics":
        placed_at_start(compiled)  # refuses a hand that cannot be simulated
    return compiled


def _set_options(spec: mujoco.MjSpec) -> None:
    """Set the simulation's own options, overriding those of the hand's file."""
    spec.option.timestep = PHYSICS_TIMESTEP
    spec.option.integrator = mujoco.mjtIntegrator.mjINT_IMPLICITFAST  # stable at 8 ms
    # A broken state must stay broken for the environment to detect it; MuJoCo would replace it by the initial state.
    spec.option.disableflags |= mujoco.mjtDisableBit.mjDSBL_AUTORESET


def _index(
    model: mujoco.MjModel, scene: Scene, purpose: Purpose, materials: list[Material], backgrounds: list[str]
) -> SimScene:
    hand = scene.hand
    free = model.joint(OBJECT)
    joints = [joint for joint in map(model.joint, range(model.njnt)) if joint.id != free.id]
    joint_ids = [joint.id for joint in joints]
    prefix = "" if hand is None else hand.prefix
    names = tuple(joint.name.removeprefix(prefix) for joint in joints)
    cameras = [f"camera/{name}" for name in scene.rig.names] if purpose == "render" else []
    lights = [f"light/{index}" for index in range(LIGHTS)] if purpose == "render" else []
    return SimScene(
        scene=scene,
        model=model,
        joint_names=names,
        hand_qpos=np.array([joint.qposadr[0] for joint in joints], dtype=np.int64),
        hand_dof=np.array([joint.dofadr[0] for joint in joints], dtype=np.int64),
        object_qpos=int(free.qposadr[0]),
        object_dof=int(free.dofadr[0]),
        controls=controls_of(model, joint_ids, hand),
        fingertip_sites=_sites(model, hand),
        materials=tuple(materials),
        material_ids=np.array([model.material(name).id for name in materials], dtype=np.int64),
        object_geoms=np.flatnonzero(model.geom_bodyid == model.body(OBJECT).id),
        background_geoms=np.array([model.geom(name).id for name in backgrounds], dtype=np.int64),
        camera_ids=np.array([model.camera(name).id for name in cameras], dtype=np.int64),
        light_ids=np.array([model.light(name).id for name in lights], dtype=np.int64),
    )


def _sites(model: mujoco.MjModel, hand: Hand | None) -> np.ndarray:
    """Return the ids of the fingertips' sites."""
    if hand is None:
        return np.zeros(0, dtype=np.int64)
    names = [hand.prefix + name for name in hand.fingertips]
    sites = np.array([mujoco.mj_name2id(model, mujoco.mjtObj.mjOBJ_SITE, name) for name in names], dtype=np.int64)
    for name in np.array(names)[sites < 0]:
        raise DactylError(f"hand {hand.name}: fingertips: its model has no site or body '{name}'")
    return sites
