"""What lies under hand and object, as MuJoCo has it."""

from __future__ import annotations

import mujoco
import numpy as np

from vision.geometry.rotations import FloatArray
from vision.scene.surroundings import Background

_THICKNESS = 0.02  # m, of a plane, and of a bowl's floor and wall
_BOWL_SIDES = 48
_OVERLAP = 0.03  # of a bowl's wall with its floor, as a fraction of the wall


def add_background(spec: mujoco.MjSpec, background: Background, visible: bool) -> list[str]:
    """Add it to the world.

    Args:
        visible: for a renderer: with materials. Else for physics.

    Returns:
        Names of its materials; none where it is not visible.
    """
    if background.kind == "none":
        return []
    if visible:
        spec.add_material(name="background", rgba=(0.35, 0.35, 0.35, 1), metallic=0, roughness=0.8)
    x, y, z = background.centre
    material = "background" if visible else ""
    collides = int(background.collides or visible)
    shared = {"material": material, "contype": collides, "conaffinity": collides}
    # None of it casts a shadow: there is nothing below it, and it would fill every light's shadow map.
    if background.kind == "plane":
        spec.worldbody.add_geom(
            name="background",
            type=mujoco.mjtGeom.mjGEOM_BOX,
            pos=(x, y, z - _THICKNESS / 2),
            size=(*background.half_size, _THICKNESS / 2),
            castshadow=False,
            **shared,
        )
        return ["background"] if visible else []
    spec.worldbody.add_geom(
        name="background",
        type=mujoco.mjtGeom.mjGEOM_CYLINDER,
        pos=(x, y, z - _THICKNESS / 2),
        size=(background.floor_radius, _THICKNESS / 2, 0),
        castshadow=False,
        **shared,
    )
    if visible:
        spec.add_material(name="background/wall", rgba=(0.5, 0.5, 0.5, 1), metallic=0, roughness=0.8)
        shared["material"] = "background/wall"
    for number, corners in enumerate(bowl_wall(background)):
        name = f"background/wall{number}"
        spec.add_mesh(name=name, uservert=corners.ravel())
        spec.worldbody.add_geom(name=name, type=mujoco.mjtGeom.mjGEOM_MESH, meshname=name, castshadow=False, **shared)
    return ["background", "background/wall"] if visible else []


def bowl_wall(background: Background) -> FloatArray:
    """Convex slabs of a bowl's wall, which rises from the floor's edge to the rim: (sides, 8, 3) corners in metres,
    world frame; in each the inner face first."""
    angles = 2 * np.pi * np.arange(_BOWL_SIDES + 1) / _BOWL_SIDES
    ring = np.stack([np.cos(angles), np.sin(angles)], axis=-1)
    rise = np.array([background.rim_radius - background.floor_radius, background.rim_height])
    rim = np.array([background.rim_radius, background.rim_height])
    foot = rim - (1 + _OVERLAP) * rise  # under the floor: no gap opens between its edge and the wall's straight ones
    outwards = _THICKNESS * np.array([rise[1], -rise[0]]) / np.linalg.norm(rise)
    profile = [foot, rim, foot + outwards, rim + outwards]
    rings = np.stack([np.column_stack([radius * ring, np.full(len(ring), z)]) for radius, z in profile], axis=1)
    return np.asarray(np.concatenate([rings[:-1], rings[1:]], axis=1) + np.array(background.centre))
