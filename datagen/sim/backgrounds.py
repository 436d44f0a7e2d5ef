"""Background under hand and object as parts of a MuJoCo model."""

from __future__ import annotations

import itertools

import mujoco
import numpy as np
from numpy.typing import NDArray

from datagen.sim.materials import Material
from vision.geometry.rotations import FloatArray
from vision.scene.surroundings import Background

FLOOR, BOWL_WALL = "background", "background/wall"
"""Names of the visible parts of a plane or a bowl: meshes, geoms and materials."""

Surface = tuple[FloatArray, FloatArray, NDArray[np.int64]]
"""Vertices (V, 3) in metres, world frame, unit normals (V, 3), and triangles (F, 3), counter-clockwise from outside."""

_THICKNESS = 0.02  # m, of a plane, and of a bowl's floor and wall
_BOWL_SIDES = 48
_OVERLAP = 0.03  # of a bowl's wall with its floor, as a fraction of the wall


def add_background(spec: mujoco.MjSpec, background: Background, visible: bool) -> tuple[list[str], list[Material]]:
    """Add the background to the world.

    Args:
        visible: whether to build it for a renderer, with materials, or for physics.

    Returns:
        Names of its geoms, and its materials, none if it is not visible.
    """
    if background.kind == "none":
        return [], []
    if visible:
        spec.add_material(name=FLOOR, rgba=(0.35, 0.35, 0.35, 1), metallic=0, roughness=0.8)
    x, y, z = background.centre
    material = FLOOR if visible else ""
    collides = int(background.collides or visible)
    shared = {"material": material, "contype": collides, "conaffinity": collides}
    # It casts no shadows: nothing lies below it, and it would fill every light's shadow map.
    if background.kind == "plane":
        spec.worldbody.add_geom(
            name=FLOOR,
            type=mujoco.mjtGeom.mjGEOM_BOX,
            pos=(x, y, z - _THICKNESS / 2),
            size=(*background.half_size, _THICKNESS / 2),
            castshadow=False,
            **shared,
        )
        return [FLOOR], [Material(FLOOR, "background")] if visible else []
    if visible:
        spec.add_material(name=BOWL_WALL, rgba=(0.5, 0.5, 0.5, 1), metallic=0, roughness=0.8)
        # Meshes carry our texture coordinates, the same in every renderer. They do not collide: their convex hulls,
        # which MuJoCo would use, fill the whole bowl.
        for name, (vertices, normals, faces) in (
            (FLOOR, bowl_floor(background)),
            (BOWL_WALL, bowl_surface(background)),
        ):
            spec.add_mesh(name=name, uservert=vertices.ravel(), usernormal=normals.ravel(), userface=faces.ravel())
            spec.worldbody.add_geom(
                name=name,
                type=mujoco.mjtGeom.mjGEOM_MESH,
                meshname=name,
                material=name,
                contype=0,
                conaffinity=0,
                castshadow=False,
            )
        return [FLOOR, BOWL_WALL], [Material(name, "background") for name in (FLOOR, BOWL_WALL)]
    spec.worldbody.add_geom(
        name=FLOOR,
        type=mujoco.mjtGeom.mjGEOM_CYLINDER,
        pos=(x, y, z - _THICKNESS / 2),
        size=(background.floor_radius, _THICKNESS / 2, 0),
        castshadow=False,
        **shared,
    )
    walls = bowl_wall(background)
    names = [f"{BOWL_WALL}{number}" for number in range(len(walls))]
    for name, corners in zip(names, walls, strict=True):
        spec.add_mesh(name=name, uservert=corners.ravel())
        spec.worldbody.add_geom(name=name, type=mujoco.mjtGeom.mjGEOM_MESH, meshname=name, castshadow=False, **shared)
    return [FLOOR, *names], []


def bowl_floor(background: Background) -> Surface:
    """Build a bowl's floor as one closed surface that looks round."""
    radius = background.floor_radius
    return _turned(background, np.array([(0, -_THICKNESS), (radius, -_THICKNESS), (radius, 0), (0, 0)]))


def bowl_surface(background: Background) -> Surface:
    """Build the slabs of :func:`bowl_wall` as one closed surface that looks round."""
    foot, rim, foot_outside, rim_outside = _profile(background)
    return _turned(background, np.stack([foot, foot_outside, rim_outside, rim, foot]))


def _turned(background: Background, profile: FloatArray) -> Surface:
    """Revolve a profile (N, 2) of radii and heights above the floor about the bowl's axis; outside is to its right."""
    around = 2 * _BOWL_SIDES  # looks round from a few decimetres
    angles = 2 * np.pi * np.arange(around) / around
    cosine, sine = np.cos(angles), np.sin(angles)
    vertices: list[FloatArray] = []
    normals: list[FloatArray] = []
    faces: list[NDArray[np.int64]] = []
    for start, end in itertools.pairwise(profile):  # a strip for each side
        along = (end - start) / np.linalg.norm(end - start)
        first = len(vertices) * around
        for radius, height in (start, end):
            vertices.append(np.stack([radius * cosine, radius * sine, np.full(around, height)], axis=-1))
            normals.append(np.stack([along[1] * cosine, along[1] * sine, np.full(around, -along[0])], axis=-1))
        this = first + np.arange(around)
        following = first + (np.arange(around) + 1) % around
        if start[0] > 0:  # else this side is a point
            faces.append(np.stack([this, following, following + around], -1))
        if end[0] > 0:
            faces.append(np.stack([this, following + around, this + around], -1))
    return np.concatenate(vertices) + np.array(background.centre), np.concatenate(normals), np.concatenate(faces)


def bowl_wall(background: Background) -> FloatArray:
    """Return convex slabs of a bowl's wall, which rises from the floor's edge to the rim: corners (sides, 8, 3) in
    metres, world frame, with the inner face of each first."""
    angles = 2 * np.pi * np.arange(_BOWL_SIDES + 1) / _BOWL_SIDES
    ring = np.stack([np.cos(angles), np.sin(angles)], axis=-1)
    rings = np.stack(
        [np.column_stack([radius * ring, np.full(len(ring), z)]) for radius, z in _profile(background)], axis=1
    )
    return np.asarray(np.concatenate([rings[:-1], rings[1:]], axis=1) + np.array(background.centre))


def _profile(background: Background) -> list[FloatArray]:
    """Return radius and height above the floor of a wall's corners: inner foot and rim, outer foot and rim."""
    rise = np.array([background.rim_radius - background.floor_radius, background.rim_height])
    rim = np.array([background.rim_radius, background.rim_height])
    foot = rim - (1 + _OVERLAP) * rise  # below the floor, to leave no gap between its round edge and the straight slabs
    outwards = _THICKNESS * np.array([rise[1], -rise[0]]) / np.linalg.norm(rise)
    return [foot, rim, foot + outwards, rim + outwards]
