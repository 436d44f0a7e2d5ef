"""Background in Filament's scene."""

from __future__ import annotations

from typing import Any

import mujoco
import numpy as np

from datagen.render.stage import Stage


class FilamentBackground:
    """Background of the current sample. Must be freed before the scene.

    Args:
        mjrf: the module of that name.
        context: Filament's context.
        scene: Filament's scene.
        stage: compiled scene.
        renderables: its renderables.
        shadows: whether shadows fall on the background; on a bowl they always do.
    """

    def __init__(self, mjrf: Any, context: Any, scene: Any, stage: Stage, renderables: Any, shadows: bool) -> None:
        self._scene = scene
        self._parts = [
            renderables.get_renderable(mujoco.mjtObj.mjOBJ_GEOM, int(geom)) for geom in stage.scene.background_geoms
        ]
        self._drawn = self._parts
        if not shadows and stage.scene.scene.background.kind == "plane":
            self._drawn = [self._without_shadows(mjrf, context, stage)]
        self._left_out = False

    def put(self, leave_out: bool) -> None:
        """Draw the background, or leave it out; call it after each update of the renderables."""
        if self._drawn is not self._parts:
            self._drawn[0].set_material(self._parts[0].get_material())
        if leave_out != self._left_out:
            change = self._scene.remove_renderable if leave_out else self._scene.add_renderable
            for renderable in self._drawn:
                change(renderable)
            self._left_out = leave_out

    def _without_shadows(self, mjrf: Any, context: Any, stage: Stage) -> Any:
        """Replace a plane by a box that receives no shadows, which is decided when a renderable is created.

        Without shadows Filament uses a shader that is twice as fast, whatever the lights.
        """
        (number,), (part,) = stage.scene.background_geoms, self._parts
        geom = stage.model.geom(int(number))
        self._scene.remove_renderable(part)
        box = context.create_renderable(mjrf.RenderableParams(cast_shadow=False, receive_shadow=False))
        box.set_geom_mesh(mujoco.mjtGeom.mjGEOM_BOX, 1, 1, 1)
        box.set_size(geom.size.astype(np.float32))
        box.set_pose(geom.pos.astype(np.float32), np.eye(3, dtype=np.float32).ravel())
        self._scene.add_renderable(box)
        return box
