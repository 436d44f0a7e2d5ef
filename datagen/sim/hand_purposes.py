"""Parts of a hand's model for a simulation and for a renderer.

Each visible link (a body with a visual mesh) gets its own material, so that neighbouring links can differ in colour.
"""

from __future__ import annotations

from collections.abc import Callable

import mujoco
import numpy as np
import trimesh

from datagen.sim.geom_meshes import mesh_triangles
from datagen.sim.hand import whole_model
from datagen.sim.materials import Material
from datagen.sim.objects import TOUCHED_BY_OBJECT
from vision.errors import DactylError
from vision.geometry.rotations import matrix_from_quaternion
from vision.objects.mesh_reduction import reduced
from vision.scene.hand import Hand

_SAME_SHAPE = 1e-3  # m by which a reduced mesh's surface may move: less than a pixel of any usual rig
_ROUND = (mujoco.mjtWrap.mjWRAP_SPHERE, mujoco.mjtWrap.mjWRAP_CYLINDER)  # geoms that a tendon may run over
_UNSEEN_GROUP = 5  # MuJoCo's visualizer, and so renderers, shows groups 0 to 2
_MET_BY_DEFAULT = 1  # bits of a geom that states none, such as the object's
_NAIL_RADIUS = 0.008  # m: touching this spot behind a fingernail hides its marker


def keep_for_physics(spec: mujoco.MjSpec, hand: Hand, locked_wrist: bool) -> None:
    """Remove visual geometry, and add touch sensors behind the fingernails.

    Args:
        locked_wrist: hold the wrist's joints at their initial angles (the paper's locked wrist).

    Raises:
        DactylError: the hand's file names no wrist to lock, or a nail on a body that does not exist.
    """
    _keep_collision_geometry(spec, hand)
    _add_nail_sensors(spec, hand)
    if locked_wrist:
        _lock_wrist(spec, hand)


def keep_for_rendering(spec: mujoco.MjSpec, hand: Hand, mesh_fraction: float, own_meshes: bool) -> list[Material]:
    """Remove collision geometry, reduce the visual meshes, and give each link the material "link/<body>".

    Args:
        mesh_fraction: fraction of each mesh's triangles to keep, in (0, 1]; more if its shape would change.
        own_meshes: store vertices and faces in the spec even if all triangles are kept.

    Returns:
        The materials in the order of the body tree.
    """
    for pair in list(spec.pairs):
        spec.delete(pair)
    # Nothing moves by itself here, and the geoms that tendons run over are removed.
    for element in (*spec.actuators, *spec.equalities, *spec.tendons):
        spec.delete(element)
    for site in spec.sites:  # renderers would draw them as balls
        site.group = _UNSEEN_GROUP
    if hand.visual_group is not None:
        _delete_geoms(spec, lambda geom: geom.group != hand.visual_group)
    if mesh_fraction < 1 or own_meshes:
        _reduce_meshes(spec, hand, mesh_fraction)
    materials: list[Material] = []
    for geom in spec.geoms:
        material = Material(f"link/{geom.parent.name.removeprefix(hand.prefix)}", "link")
        if material not in materials:
            spec.add_material(name=material, rgba=(0.3, 0.3, 0.3, 1), metallic=0.15, roughness=0.5)
            materials.append(material)
        geom.material = material
    return materials


def _keep_collision_geometry(spec: mujoco.MjSpec, hand: Hand) -> None:
    """Remove visual geoms and their meshes; keep geoms that tendons run over or that a pair names. Those that touch
    anything touch the object, whatever bits the hand's file uses for its own parts."""

    def touches(geom: mujoco.MjsGeom) -> bool:
        if hand.collision_group is not None:
            return bool(geom.group == hand.collision_group)
        return bool(geom.contype or geom.conaffinity)

    used = {wrap.target.name for tendon in spec.tendons for wrap in tendon.path if wrap.type in _ROUND}
    used |= {name for pair in spec.pairs for name in (pair.geomname1, pair.geomname2)}
    _delete_geoms(spec, lambda geom: not touches(geom) and geom.name not in used)
    for geom in spec.geoms:
        if not touches(geom):
            geom.contype = geom.conaffinity = 0
        elif not (geom.contype | geom.conaffinity) & _MET_BY_DEFAULT:
            geom.conaffinity |= TOUCHED_BY_OBJECT


def _add_nail_sensors(spec: mujoco.MjSpec, hand: Hand) -> None:
    """Add a touch sensor behind each fingernail, "nail/<number>" in the order of the fingertips. Motion capture has its
    markers there, and whatever touches the spot hides them."""
    for number, nail in enumerate(hand.nails):
        body = spec.body(hand.prefix + nail.body)
        if body is None:
            raise DactylError(f"hand {hand.name}: nails: the model has no body '{nail.body}'")
        site = body.add_site(name=f"nail/{number}", pos=nail.position, size=[_NAIL_RADIUS] * 3)
        spec.add_sensor(
            name=f"nail/{number}",
            type=mujoco.mjtSensor.mjSENS_TOUCH,
            objtype=mujoco.mjtObj.mjOBJ_SITE,
            objname=site.name,
        )


def _lock_wrist(spec: mujoco.MjSpec, hand: Hand) -> None:
    """Hold the wrist's joints at their initial angles (the paper's locked wrist); they stay in the state.

    Raises:
        DactylError: the hand's file names no such joints.
    """
    if not hand.wrist:
        raise DactylError(f"hand {hand.name}: names no joints of a wrist to lock; give them as wrist, or leave it free")
    drawn = whole_model(spec, hand)
    for name in hand.wrist:
        equality = spec.add_equality(name=f"lock_{name}", type=mujoco.mjtEq.mjEQ_JOINT, name1=hand.prefix + name)
        # MuJoCo holds what is added to the position in which the model is drawn, a joint's ref.
        equality.data[0] = hand.initial_pose.get(name, 0.0) - drawn.joint(hand.prefix + name).qpos0[0]


def _delete_geoms(spec: mujoco.MjSpec, unwanted: Callable[[mujoco.MjsGeom], bool]) -> None:
    for geom in [geom for geom in spec.geoms if unwanted(geom)]:
        spec.delete(geom)
    used = {geom.meshname for geom in spec.geoms}
    for mesh in [mesh for mesh in spec.meshes if mesh.name not in used]:
        spec.delete(mesh)


def _reduce_meshes(spec: mujoco.MjSpec, hand: Hand, fraction: float) -> None:
    """Replace each mesh file in the spec by about this fraction of its triangles."""
    meshes = [mesh for mesh in spec.meshes if mesh.file]
    model = whole_model(spec, hand)
    for mesh in meshes:
        vertices, faces = _compiled_mesh(model, mesh.name)
        if fraction < 1:
            vertices, faces, _ = reduced(vertices, faces, fraction, _SAME_SHAPE)
        mesh.scale, mesh.refpos, mesh.refquat = (1, 1, 1), (0, 0, 0), (1, 0, 0, 0)  # applied to the vertices already
        mesh.file = ""
        mesh.uservert, mesh.userface = vertices.ravel(), faces.ravel()


def _compiled_mesh(model: mujoco.MjModel, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Return vertices (V, 3), metres, in the file's frame after scaling, and triangles (F, 3).

    They are taken from MuJoCo's compiled model: if a path is stripped or a model attached, the file's folder is not the
    hand's. Corners that were split because of several normals are merged again.
    """
    mesh = model.mesh(name).id
    read = mesh_triangles(model, mesh)
    vertices = read.vertices @ matrix_from_quaternion(model.mesh_quat[mesh]).T + model.mesh_pos[mesh]
    solid = trimesh.Trimesh(vertices, read.faces, process=False)
    solid.merge_vertices()
    return np.asarray(solid.vertices, np.float32), np.asarray(solid.faces, np.int32)
