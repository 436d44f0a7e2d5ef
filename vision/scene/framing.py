"""How much of an image an object fills."""

from __future__ import annotations

import numpy as np

from vision.scene.rig import Camera
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
    return tuple(min(_MARGIN * pixels_across(scene, camera), float(longest)) for camera in rig.cameras)


def pixels_across(scene: Scene, camera: Camera) -> float:
    """How long the object is in a camera's image where it starts, pixels: its diameter, seen from the side."""
    distance = max(float(np.linalg.norm(camera.position - np.array(scene.workspace.start))), 1e-9)
    return float(camera.intrinsics[0, 0]) * scene.object.diameter / distance
