"""One parameterised builder for the MuJoCo model of every object, for physics and for every renderer.

Both purposes have the same bodies, joints and frames, so a state means the same in both. "physics" holds
collision geometry; "render" holds what a camera sees, each part with a material of its own that a sample
recolours. World frame of the hand's MJCF; metres, radians, kilograms, seconds.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import mujoco
import numpy as np
import trimesh
from scipy.spatial import ConvexHull

from datagen.sim.glyphs import letter_mesh
from datagen.sim.hand import (
    FINGERTIPS,
    PREFIX,
    add_nail_sensors,
    keep_collision_geometry,
    keep_visual_geometry,
    load_hand,
    lock_wrist,
)
from vision.geometry.cameras import DACTYL_RIG
from vision.geometry.rotations import FloatArray
from vision.scene.objects import Face, PoseObject, get_object
from vision.scene.workspace import LIGHT_CENTRE, PALM

PHYSICS_TIMESTEP = 0.008  # s, MuJoCo's step (paper, appendix C.1)
LETTER_RELIEF = 0.0002  # m, how far a letter stands out of its face: no z-fighting, same silhouette
LIGHTS = 6  # the most that a sample uses (Table 9)
OBJECT_SIZES = tuple(0.95 + 0.005 * index for index in range(21))  # of an object that is a mesh: one mesh each

_LIGHT_DISTANCE = 1.3  # m
# The reference's box is 1 m x 1 m around (1, 1) and leaves a corner of the right camera's picture empty, with
# nothing to randomise there; twice the size fills every picture, displaced cameras included.
_BACKGROUND_HALF_SIZE = (1.0, 1.0, 0.01)  # m
_BACKGROUND_TOP = 0.001  # m


@dataclass(frozen=True)
class SceneConfig:
    """What to build.

    Attributes:
        object: name of an object in `vision.scene.objects`.
        purpose: "physics" or "render".
        mesh_fraction: share of the triangles of the hand's visual meshes to keep, in (0, 1].
        locked_wrist: hold the two wrist joints at their initial angles (Table 3's locked wrist).
    """

    object: str = "block"
    purpose: Literal["physics", "render"] = "physics"
    mesh_fraction: float = 1.0
    locked_wrist: bool = False

    def __post_init__(self) -> None:
        get_object(self.object)
        if self.purpose not in ("physics", "render"):
            raise ValueError(f"purpose must be physics or render, got {self.purpose!r}")
        if not 0 < self.mesh_fraction <= 1:
            raise ValueError(f"mesh_fraction must lie in (0, 1], got {self.mesh_fraction}")


@dataclass(frozen=True, eq=False)
class Scene:
    """A compiled model and where to find things in it. Materials, cameras and lights exist for "render" only.

    Attributes:
        model: the compiled model.
        object: the object's definition.
        config: what it was built from.
        joint_names: the hand's 24 joints without prefix, in the order of the model and of every stored state.
        hand_qpos, hand_dof: indices of the hand's joints in qpos and qvel, (24,) each.
        object_qpos, object_dof: where the object's 7 values of qpos (position, quaternion w x y z) and 6 of
            qvel (velocity in the world frame, angular velocity in the object's) start.
        actuated_joints: which of the 24 joints each actuator drives, (20,).
        control_range: lowest and highest target of each actuator, rad, (20, 2).
        fingertip_sites: site ids in the order of `hand.FINGERTIPS`, (5,).
        materials: names of the materials that a sample sets, in the fixed order "link/<body>"...,
            "face/<name>"..., "letter/<name>"..., "background".
        material_ids: their ids, (M,).
        object_geoms: ids of the object's geoms.
        camera_ids: in the order of the rig, (C,).
        light_ids: (6,).
    """

    model: mujoco.MjModel
    object: PoseObject
    config: SceneConfig
    joint_names: tuple[str, ...]
    hand_qpos: np.ndarray
    hand_dof: np.ndarray
    object_qpos: int
    object_dof: int
    actuated_joints: np.ndarray
    control_range: FloatArray
    fingertip_sites: np.ndarray
    materials: tuple[str, ...]
    material_ids: np.ndarray
    object_geoms: np.ndarray
    camera_ids: np.ndarray
    light_ids: np.ndarray


def build_scene(config: SceneConfig) -> Scene:
    """Compile the model: the hand, the free object, the background; to render, cameras and lights too.

    Raises:
        DactylError: unknown object, or the hand's model is not installed.
    """
    target = get_object(config.object)
    spec = load_hand()
    spec.option.timestep = PHYSICS_TIMESTEP
    spec.option.integrator = mujoco.mjtIntegrator.mjINT_IMPLICITFAST  # stable at 8 ms
    # A broken state must stay broken for the environment to see it; MuJoCo would put the initial state in its place.
    spec.option.disableflags |= mujoco.mjtDisableBit.mjDSBL_AUTORESET
    body = spec.worldbody.add_body(name="object", pos=PALM)
    body.add_joint(name="object", type=mujoco.mjtJoint.mjJNT_FREE, damping=[0.01, 0, 0])
    materials: list[str] = []
    if config.purpose == "physics":
        keep_collision_geometry(spec)
        add_nail_sensors(spec)
        _add_collision_shape(spec, body, target)
        if config.locked_wrist:
            lock_wrist(spec)
    else:
        materials += keep_visual_geometry(spec, config.mesh_fraction)
        materials += _add_visual_shape(spec, body, target)
        spec.add_material(name="background", rgba=(0.35, 0.35, 0.35, 1), metallic=0, roughness=0.8)
        materials.append("background")
        _add_cameras_and_lights(spec)
    spec.worldbody.add_geom(
        name="background",
        type=mujoco.mjtGeom.mjGEOM_BOX,
        pos=(1, 1, _BACKGROUND_TOP - _BACKGROUND_HALF_SIZE[2]),
        size=_BACKGROUND_HALF_SIZE,
        material="background" if config.purpose == "render" else "",
        castshadow=False,  # there is nothing below it, and it fills every light's shadow map
    )
    return _index(spec.compile(), target, config, materials)


def _add_collision_shape(spec: mujoco.MjSpec, body: mujoco.MjsBody, target: PoseObject) -> None:
    """A box where the corners are those of a box (its contacts are the most robust), else the convex hull."""
    extent = np.abs(target.keypoints).max(axis=0)
    geom = body.add_geom(name="object", mass=target.mass, condim=4)  # condim 4: torsional friction
    if len(target.keypoints) == 8 and np.allclose(np.abs(target.keypoints), extent):
        geom.type, geom.size = mujoco.mjtGeom.mjGEOM_BOX, extent
    else:
        spec.add_mesh(name="object", uservert=target.keypoints.ravel())
        geom.type, geom.meshname = mujoco.mjtGeom.mjGEOM_MESH, "object"
        # Worlds of a batch share vertices; where sizes are randomised, each points to the mesh of its own.
        for index, size in enumerate(OBJECT_SIZES):
            spec.add_mesh(name=f"object/{index}", uservert=size * target.keypoints.ravel())


def _add_visual_shape(spec: mujoco.MjSpec, body: mujoco.MjsBody, target: PoseObject) -> list[str]:
    """Faces and letters, one mesh and one material each; returns the materials' names, faces first.

    A face is the pyramid over its polygon with the apex in the object's centre: the pyramids fill the object
    exactly, so that silhouette, mass and inertia are the solid's, and only the face itself can be seen.
    """
    density = target.mass / ConvexHull(target.keypoints).volume
    names = []
    for face in target.faces:
        pyramid = trimesh.convex.convex_hull(np.vstack([np.zeros(3), target.keypoints[list(face.corners)]]))
        names.append(_add_part(spec, body, f"face/{face.name}", pyramid, face.color, density))
    for face in target.faces:
        letter = letter_mesh(face.letter, face.letter_height, LETTER_RELIEF)
        letter.apply_transform(_face_frame(face, target))
        names.append(_add_part(spec, body, f"letter/{face.name}", letter, (1.0, 1.0, 1.0), 0.0))
    return names


def _add_part(
    spec: mujoco.MjSpec,
    body: mujoco.MjsBody,
    name: str,
    mesh: trimesh.Trimesh,
    color: tuple[float, float, float],
    density: float,
) -> str:
    # Three vertices of its own for every triangle keep edges sharp: shared ones would get averaged normals.
    spec.add_mesh(
        name=name,
        uservert=mesh.triangles.ravel(),
        usernormal=np.repeat(mesh.face_normals, 3, axis=0).ravel(),
        userface=np.arange(3 * len(mesh.faces)),
    )
    spec.add_material(name=name, rgba=(*color, 1), metallic=0.1, roughness=0.9)
    body.add_geom(
        name=name,
        type=mujoco.mjtGeom.mjGEOM_MESH,
        meshname=name,
        material=name,
        density=density,
        contype=0,
        conaffinity=0,
        castshadow=name.startswith("face/"),  # letters lie on them
    )
    return name


def _face_frame(face: Face, target: PoseObject) -> FloatArray:
    """Transform (4, 4) from the letter's frame (x right, y up, z outward, centred) to the object's."""
    frame = np.eye(4)
    frame[:3, :3] = np.column_stack([face.right, face.up, face.normal])
    frame[:3, 3] = target.keypoints[list(face.corners)].mean(axis=0)
    return frame


def _add_cameras_and_lights(spec: mujoco.MjSpec) -> None:
    for camera in DACTYL_RIG:
        spec.worldbody.add_camera(name=camera.name, pos=camera.position, quat=camera.quaternion, fovy=camera.fovy_deg)
    # Clip planes that suit cameras some 0.7 m away, independent of what the compiler measures.
    spec.stat.center, spec.stat.extent = LIGHT_CENTRE, 1.0
    spec.visual.map.znear, spec.visual.map.zfar = 0.05, 10.0
    # The headlight follows the camera: only its even fill stays, the movable lights do the shading.
    spec.visual.headlight.diffuse = spec.visual.headlight.specular = (0, 0, 0)
    spec.visual.headlight.ambient = (0.25, 0.25, 0.25)
    # Spot lights on a ring half-way up the upper half-sphere.
    for index in range(LIGHTS):
        azimuth = 2 * np.pi * index / LIGHTS
        direction = np.array([np.cos(azimuth), np.sin(azimuth), 1.0]) / np.sqrt(2)
        spec.worldbody.add_light(
            name=f"light/{index}",
            type=mujoco.mjtLightType.mjLIGHT_SPOT,
            pos=LIGHT_CENTRE + _LIGHT_DISTANCE * direction,
            dir=-direction,
            diffuse=(0.15, 0.15, 0.15),
            specular=(0.1, 0.1, 0.1),
            intensity=10_000,  # candela, read by physically based renderers
            cutoff=30,
        )


def _index(model: mujoco.MjModel, target: PoseObject, config: SceneConfig, materials: list[str]) -> Scene:
    joints = [joint for joint in map(model.joint, range(model.njnt)) if joint.name.startswith(PREFIX)]
    joint_ids = [joint.id for joint in joints]
    free = model.joint("object")
    cameras = [camera.name for camera in DACTYL_RIG] if config.purpose == "render" else []
    lights = [f"light/{index}" for index in range(LIGHTS)] if config.purpose == "render" else []
    return Scene(
        model=model,
        object=target,
        config=config,
        joint_names=tuple(joint.name.removeprefix(PREFIX) for joint in joints),
        hand_qpos=np.array([joint.qposadr[0] for joint in joints]),
        hand_dof=np.array([joint.dofadr[0] for joint in joints]),
        object_qpos=int(free.qposadr[0]),
        object_dof=int(free.dofadr[0]),
        actuated_joints=np.array([joint_ids.index(joint) for joint in model.actuator_trnid[:, 0]]),
        control_range=model.actuator_ctrlrange.copy(),
        fingertip_sites=np.array([model.site(f"{PREFIX}S_{tip}").id for tip in FINGERTIPS]),
        materials=tuple(materials),
        material_ids=np.array([model.material(name).id for name in materials], dtype=np.int64),
        object_geoms=np.flatnonzero(model.geom_bodyid == model.body("object").id),
        camera_ids=np.array([model.camera(name).id for name in cameras], dtype=np.int64),
        light_ids=np.array([model.light(name).id for name in lights], dtype=np.int64),
    )
