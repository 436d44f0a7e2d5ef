"""How much of an image an object fills."""

from __future__ import annotations

import numpy as np

from vision.scene.scene import Scene

_MARGIN = 1.1  # the object may come nearer than where it starts, and its middle is found to some pixels


def window_sides(scene: Scene, fraction: float | None = None) -> tuple[float, ...]:
    """Sides of square windows around the object, one for each camera, image pixels.

    Args:
        scene: whose object is looked at.
        fraction: of the image's longer side; None for what the object fills in each camera's image where it starts,
            and a little more.
    """
    rig, longest = scene.rig, max(scene.rig.width, scene.rig.height)
    if fraction is not None:
        return (fraction * longest,) * len(rig)
    sides = []
    for camera in rig.cameras:
        distance = float(np.linalg.norm(camera.position - np.array(scene.workspace.start)))
        filled = float(camera.intrinsics[0, 0]) * scene.object.diameter / distance
        sides.append(min(_MARGIN * filled, float(longest)))
    return tuple(sides)
