"""What lies under hand and object, as MuJoCo has it."""

from __future__ import annotations

import mujoco
import numpy as np

from vision.scene.surroundings import Background

_THICKNESS = 0.02  # m, of a plane
_BOWL_SIDES = 32


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
    collides = int(background.collides or visible)
    if background.kind == "plane":
        half = (*background.half_size, _THICKNESS / 2)
        spec.worldbody.add_geom(
            name="background",
            type=mujoco.mjtGeom.mjGEOM_BOX,
            pos=(x, y, z - _THICKNESS / 2),
            size=half,
            material="background" if visible else "",
            contype=collides,
            conaffinity=collides,
            castshadow=False,  # there is nothing below it, and it fills every light's shadow map
        )
        return ["background"] if visible else []
    raise NotImplementedError("bowl")


def bowl_wall(background: Background) -> np.ndarray:
    """Convex slabs of a bowl's wall, (sides, 8, 3) corners in metres, world frame."""
    return np.zeros((_BOWL_SIDES, 8, 3))
