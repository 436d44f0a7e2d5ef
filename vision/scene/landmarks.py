"""Points of the hand from which an image reveals where its camera is.

The hand's mount is fixed in the world, and the palm may be attached to it by hinges. Finding points of both in an image
determines the camera's rotation and zoom, up to the hinges' angles, which all cameras share. Fingers move too freely to
help. Metres and radians, world frame.
"""

from __future__ import annotations

from typing import Annotated

import numpy as np

from vision.plain import ArrayOf, Plain, Vectors

NO_LANDMARKS = (
    "the nominal protocol needs landmarks on parts of the hand that stand still, to find where the cameras are, and "
    "the scene has none; calibrate the cameras"
)

_ROUNDING = 1e-3  # of an axis's length


class Landmarks(Plain, frozen=True):
    """Points on a chain of hinges that begins at a body fixed in the world.

    Attributes:
        points: (L, 3) metres, world, all hinges at zero.
        level: (L,) number of hinges that move each point: the first ``level``.
        pivots: (P, 3) metres, a point on each hinge's axis, all hinges at zero.
        axes: (P, 3) unit, its direction.
        limits: (P, 2) radians, lowest and highest angle, which differ.
        joints: (P,) the hinges' names among the hand's joints.
    """

    points: Vectors
    level: tuple[int, ...]
    pivots: Vectors = np.zeros((0, 3))
    axes: Vectors = np.zeros((0, 3))
    limits: Annotated[np.ndarray, ArrayOf((None, 2))] = np.zeros((0, 2))
    joints: tuple[str, ...] = ()

    def check(self) -> None:
        hinges = len(self.joints)
        if len(self.level) != len(self.points):
            raise ValueError(f"landmarks: {len(self.points)} points, {len(self.level)} levels")
        for name, width in (("pivots", 3), ("axes", 3), ("limits", 2)):
            if len(getattr(self, name)) != hinges:
                raise ValueError(f"landmarks: {name}: expected {width} numbers for each of {hinges} joints")
        if hinges and (np.abs(np.linalg.norm(self.axes, axis=1) - 1) > _ROUNDING).any():
            raise ValueError("landmarks: axes: expected directions of length 1")
        if hinges and not (self.limits[:, 0] < self.limits[:, 1]).all():
            raise ValueError("landmarks: limits: expected the lower angle first, below the higher one")
        if self.level and not 0 <= min(self.level) <= max(self.level) <= hinges:
            raise ValueError(f"landmarks: levels lie between 0 and {hinges}, the number of joints")
