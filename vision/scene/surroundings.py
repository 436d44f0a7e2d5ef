"""Surroundings of hand and object as plain data: background and workspace. Metres, world frame."""

from __future__ import annotations

import math
from typing import Literal

from vision.plain import Plain, Vector3

_WIDEST_M = 5.0  # largest size of a workspace: with a larger one no state would ever be discarded


class Background(Plain, frozen=True):
    """The surface under and behind everything.

    Attributes:
        kind: ``plane``: a flat box; ``bowl``: a round floor with a wall that rises outwards; ``none``.
        centre: centre of its upper side; z is the height of the floor.
        half_size: of a plane, along x and y.
        floor_radius: radius of a bowl's flat floor.
        rim_radius: radius of a bowl's upper rim.
        rim_height: height of that rim above the floor.
        collides: whether the object can lie on it. A plane or a bowl without collisions is only visible.
    """

    kind: Literal["plane", "bowl", "none"] = "plane"
    centre: Vector3 = (0.0, 0.0, 0.0)
    half_size: tuple[float, float] = (1.0, 1.0)
    floor_radius: float = 0.2
    rim_radius: float = 0.4
    rim_height: float = 0.2
    collides: bool = True

    def check(self) -> None:
        if min(self.half_size) <= 0 or self.rim_height <= 0 or not 0 < self.floor_radius < self.rim_radius:
            raise ValueError("background: sizes must be positive, and rim_radius greater than floor_radius")

    def height(self, x: float, y: float) -> float:
        """Return the height of its upper side at (x, y), metres, world frame; minus infinity outside of it."""
        over = (abs(x - self.centre[0]), abs(y - self.centre[1]))
        if self.kind == "plane" and over[0] <= self.half_size[0] and over[1] <= self.half_size[1]:
            return self.centre[2]
        radius = math.hypot(*over)
        if self.kind == "bowl" and radius <= self.rim_radius:
            rise = max(0.0, radius - self.floor_radius) / (self.rim_radius - self.floor_radius)
            return self.centre[2] + rise * self.rim_height
        return -math.inf


class Workspace(Plain, frozen=True):
    """The region where the object is handled.

    Attributes:
        start: initial position of an episode's object: above the palm, or above the middle of the floor.
        light_centre: point at which lights aim, and centre of the half-sphere that they come from.
        start_std: standard deviation of the initial position along each axis.
        lost_distance: distance from ``start`` beyond which the object counts as lost and no state is kept.
        drop_height: height below which the object counts as dropped; null if it may lie on the floor.
        random_motion: amount of random hand motion, before an episode and during exploration: 1 as in the reference,
            which suits the Shadow hand's hollow palm; less for a hand that would lose the object.
    """

    start: Vector3
    light_centre: Vector3
    start_std: float = 0.005
    lost_distance: float = 0.22
    drop_height: float | None = None
    random_motion: float = 1.0

    def check(self) -> None:
        if not 0 <= self.random_motion <= 1:
            raise ValueError(f"workspace: random_motion: expected 0 to 1, got {self.random_motion:g}")
        if self.start_std < 0 or self.lost_distance <= 0:
            raise ValueError("workspace: lost_distance must be positive, start_std must not be negative")
        for key in ("start_std", "lost_distance"):
            if (value := getattr(self, key)) > _WIDEST_M:
                raise ValueError(
                    f"workspace: {key}: expected at most {_WIDEST_M:g} metres, got {value:g}; are these millimetres?"
                )
