"""Points of the hand by which an image tells where its camera is.

What holds the hand stands still in the world, and the palm may hang on it by hinges: whoever finds points of both in an
image knows the camera's rotation and zoom, up to the hinges' angles, which all cameras share. Fingers move too freely
to help. Metres and radians, world frame.
"""

from __future__ import annotations

import numpy as np

from vision.scene.plain import Plain, checked_array

NO_LANDMARKS = (
    "the nominal protocol needs landmarks on parts of the hand that stand still, to find where the cameras are, and "
    "the scene has none; calibrate the cameras"
)


class Landmarks(Plain, frozen=True):
    """Points on a chain of hinges that begins at a body fixed in the world.

    Attributes:
        points: (L, 3) metres, world, all hinges at zero.
        level: (L,) how many of the hinges move each point: the first ``level``.
        pivots: (P, 3) metres, a point on each hinge's axis, all hinges at zero.
        axes: (P, 3) unit, its direction.
        limits: (P, 2) radians, lowest and highest angle.
        joints: (P,) the hinges' names among the hand's joints.
    """

    points: np.ndarray
    level: tuple[int, ...]
    pivots: np.ndarray = checked_array(np.zeros((0, 3)))
    axes: np.ndarray = checked_array(np.zeros((0, 3)))
    limits: np.ndarray = checked_array(np.zeros((0, 2)))
    joints: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        hinges = len(self.joints)
        if len(self.level) != len(checked_array(self.points, shape=(None, 3))):
            raise ValueError(f"landmarks: {len(self.points)} points, {len(self.level)} levels")
        if hinges:
            for name, width in (("pivots", 3), ("axes", 3), ("limits", 2)):
                checked_array(getattr(self, name), shape=(hinges, width))
        if self.level and not 0 <= min(self.level) <= max(self.level) <= hinges:
            raise ValueError(f"landmarks: levels lie between 0 and {hinges}, the number of joints")
