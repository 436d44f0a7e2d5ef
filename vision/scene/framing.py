"""The size of an object in the images."""

from __future__ import annotations

import numpy as np

from vision.rigs.rig import Camera
from vision.scene.scene import Scene

_MARGIN = 1.1  # the object may come nearer than its start, and its centre is found only to some pixels


def window_sides(scene: Scene, fraction: float | None = None) -> tuple[float, ...]:
    """Return sides of square windows around the object, one for each camera, image pixels.

    Args:
        scene: the scene with the object.
        fraction: fraction of the image's longer side; None for the object's extent in each camera's image at its start,
            plus a margin.
    """
    rig, longest = scene.rig, max(scene.rig.width, scene.rig.height)
    if fraction is not None:
        return (fraction * longest,) * len(rig)
    return tuple(min(_MARGIN * pixels_across(scene, camera), float(longest)) for camera in rig.cameras)


def pixels_across(scene: Scene, camera: Camera) -> float:
    """Return the object's diameter in pixels of a camera's image at its start, as seen from the side."""
    distance = max(float(np.linalg.norm(camera.position - np.array(scene.workspace.start))), 1e-9)
    return float(camera.intrinsics[0, 0]) * scene.object.diameter / distance
