"""Defaults that are derived from a hand's whole model: fingertips, geometry groups, landmarks."""

from __future__ import annotations

import mujoco
import numpy as np

from datagen.sim.geom_meshes import geom_mesh
from vision.geometry.cameras import in_image, project
from vision.geometry.rotations import FloatArray, matrix_from_quaternion
from vision.objects.mesh_points import farthest
from vision.rigs.rig import Rig
from vision.scene.landmarks import Landmarks

_MOST_LANDMARKS, _FEWEST_LANDMARKS = 16, 6
_LANDMARK_SPACING = 0.005  # m: closer ones look alike to a network
_FIRST_HIDDEN_GROUP = 3  # of MuJoCo's viewers
_NO_DIRECTION = 1e-4  # m: a body whose geometry is centred on its frame has no direction


def fingertip_names(spec: mujoco.MjSpec, model: mujoco.MjModel) -> tuple[str, ...]:
    """Return the sites named ``*tip``; without any, the bodies that end a chain behind a joint and can collide."""
    if sites := tuple(site.name for site in spec.sites if is_tip(site.name)):
        return sites
    parents = {*model.body_parentid[1:].tolist()}
    return tuple(
        model.body(body).name
        for body in range(1, model.nbody)
        if body not in parents and model.body_weldid[body] != 0 and len(_colliding_geoms(model, body))
    )


def is_tip(site: str) -> bool:
    """Return whether a site is a fingertip by its name."""
    return site.lower().endswith("tip")


def far_end(model: mujoco.MjModel, body: int) -> FloatArray:
    """Return a body's end on the side away from its joint, (3,), metres, in its frame."""
    geoms = _colliding_geoms(model, body)
    if not len(geoms):
        first = model.body_geomadr[body]
        geoms = np.arange(first, first + model.body_geomnum[body])
    points = np.concatenate([np.zeros((1, 3)), *(_vertices(model, int(geom)) for geom in geoms)])
    direction = (points.min(axis=0) + points.max(axis=0)) / 2
    length = np.linalg.norm(direction)
    if length < _NO_DIRECTION:
        return np.zeros(3)
    direction /= length
    return np.asarray(direction * (points @ direction).max())


def visual_group(model: mujoco.MjModel) -> int | None:
    """Return the group of the visual geoms if a model separates them from colliding ones, else None, for all geoms.

    Also None if colliding meshes are in a group that MuJoCo's viewers show: they are visible too, like LEAP's
    fingertips.
    """
    seen = (model.geom_contype == 0) & (model.geom_conaffinity == 0)
    groups = {*model.geom_group[seen].tolist()}
    apart = len(groups) == 1 and not groups & {*model.geom_group[~seen].tolist()}
    shown = ~seen & (model.geom_group < _FIRST_HIDDEN_GROUP) & (model.geom_type == mujoco.mjtGeom.mjGEOM_MESH)
    return groups.pop() if apart and not shown.any() else None


def fixed_landmarks(model: mujoco.MjModel, group: int | None, rig: Rig) -> Landmarks | None:
    """Choose points far apart on parts that no joint moves, within the image of a nominal camera.

    Args:
        model: the whole hand.
        group: group of the visible geoms; None if all are visible.
        rig: the cameras.

    Returns:
        None if the cameras see too little of the hand's fixed parts.
    """
    data = mujoco.MjData(model)
    mujoco.mj_kinematics(model, data)
    found = [np.zeros((0, 3))]
    for geom in np.flatnonzero(model.body_weldid[model.geom_bodyid] == 0):
        if group in (None, model.geom_group[geom]) and _has_surface(model, int(geom)):
            vertices = geom_mesh(model, int(geom)).vertices
            found.append(vertices @ data.geom_xmat[geom].reshape(3, 3).T + data.geom_xpos[geom])
    points = np.concatenate(found)
    nominal = rig.nominal
    seen = in_image(project(points, nominal), nominal.width, nominal.height).any(axis=0)
    points = np.unique(points[seen].round(4), axis=0)  # each once, in an order of their own
    if len(points) < _FEWEST_LANDMARKS:
        return None
    outermost = int(np.linalg.norm(points - points.mean(axis=0), axis=1).argmax())
    chosen = points[farthest(points, _MOST_LANDMARKS, [outermost], _LANDMARK_SPACING)]
    return Landmarks(points=chosen, level=(0,) * len(chosen)) if len(chosen) >= _FEWEST_LANDMARKS else None


def _colliding_geoms(model: mujoco.MjModel, body: int) -> np.ndarray:
    collides = (model.geom_contype != 0) | (model.geom_conaffinity != 0)
    return np.flatnonzero((model.geom_bodyid == body) & collides)


def _has_surface(model: mujoco.MjModel, geom: int) -> bool:
    return mujoco.mjtGeom(model.geom_type[geom]) not in (mujoco.mjtGeom.mjGEOM_PLANE, mujoco.mjtGeom.mjGEOM_HFIELD)


def _vertices(model: mujoco.MjModel, geom: int) -> FloatArray:
    """Return the vertices (N, 3) of a geom's surface, metres, in the frame of its body."""
    if not _has_surface(model, geom):
        return np.zeros((0, 3))
    rotation = matrix_from_quaternion(model.geom_quat[geom])
    return np.asarray(geom_mesh(model, geom).vertices @ rotation.T + model.geom_pos[geom])
