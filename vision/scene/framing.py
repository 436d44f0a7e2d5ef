"""The size of an object in the images."""

from __future__ import annotations

import numpy as np

from vision.rigs.rig import Camera
from vision.scene.scene import Scene

_MARGIN = 1.1  # the object may come nearer than its start, and its centre is found only to some pixels
_MARGIN_OF_STRETCHED = 1.05  # half of it where the object is stretched to its full extent, which few orientations show


def window_sides(scene: Scene, fraction: float | None = None) -> tuple[float, ...]:
    """Return sides of square windows around the object's origin, one for each camera, image pixels.

    Args:
        scene: the scene with the object.
        fraction: fraction of the longer side of each camera's image; None for twice the object's reach from its origin
            at its start, plus a margin.
    """
    cameras = scene.rig.cameras
    if fraction is not None:
        return tuple(fraction * camera.longer_side for camera in cameras)
    # The object's diameter where its origin is its middle; of a mesh that may lie at one end, and all of it must fit.
    across = 2 * float(np.linalg.norm(scene.object.points, axis=-1).max())
    return tuple(
        min(
            max(_MARGIN, _MARGIN_OF_STRETCHED * _stretch(scene, camera)) * _pixels(scene, camera, across),
            float(camera.longer_side),
        )
        for camera in cameras
    )


def pixels_across(scene: Scene, camera: Camera) -> float:
    """Return the object's diameter in pixels of a camera's image at its start, as seen from the side."""
    return _pixels(scene, camera, scene.object.diameter)


def _pixels(scene: Scene, camera: Camera, length: float) -> float:
    """Return a length, metres, in pixels of a camera's image at the object's start, as seen from the side."""
    distance = max(float(np.linalg.norm(camera.position - np.array(scene.workspace.start))), 1e-9)
    return float(camera.intrinsics[0, 0]) * length / distance


def _stretch(scene: Scene, camera: Camera) -> float:
    """Return how much longer than ``pixels_across`` the object's image is at its start, as a factor: the image plane is
    oblique to rays off the axis, and pixels may be higher than wide."""
    start = camera.extrinsics[:3, :3] @ np.array(scene.workspace.start) + camera.extrinsics[:3, 3]
    along = float(start[2] / max(np.linalg.norm(start), 1e-9))  # cosine of the angle to the axis
    focal_x, focal_y = camera.intrinsics[0, 0], camera.intrinsics[1, 1]
    return max(1.0, float(focal_y / focal_x)) / max(along, 0.1) ** 2
