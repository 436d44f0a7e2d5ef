"""Layout of a policy's state vectors: sizes of the hand, and representation of the object's orientation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import msgspec
import numpy as np

from datagen.policy.features import INPUTS, SHAPE_WIDTHS, Shape, shape_of
from datagen.sim.scene import SimScene
from vision.errors import DactylError
from vision.io.decode import Text

_Some = Annotated[int, msgspec.Meta(ge=0, le=1000)]


@dataclass(frozen=True)
class Layout:
    """Layout that determines widths and columns of state vectors, stored in a policy's file.

    Attributes:
        hand: name of the hand, since joints of another hand have another meaning.
        fingertips: number of fingertips, F.
        joints: number of joints, J.
        actuators: number of actuators, A.
        shape: representation of the object's orientation (:mod:`datagen.policy.features`).
    """

    hand: Text
    fingertips: _Some
    joints: _Some
    actuators: _Some
    shape: Shape

    def __str__(self) -> str:
        parts = f"{self.fingertips} fingertips, {self.joints} joints, {self.actuators} actuators"
        return f"hand {self.hand} ({parts}, object told by {self.shape})"

    @property
    def widths(self) -> dict[str, int]:
        """Widths of the parts of a state vector, in order."""
        widths = {
            "fingertip_position": 3 * self.fingertips,
            "object_position": 3,
            "object_shape": SHAPE_WIDTHS[self.shape],
            "joint_position": self.joints,
            "last_action": self.actuators,
            "joint_velocity": self.joints,
            "object_velocity": 6,
        }
        return {name: widths[name] for name in INPUTS}

    @property
    def state(self) -> int:
        """Width of a state vector, S."""
        return sum(self.widths.values())

    def columns(self, names: Sequence[str]) -> list[int]:
        """Return the columns of the state vector that hold the named inputs; raise as :func:`check_inputs`."""
        check_inputs(names)
        starts = dict(zip(INPUTS, np.cumsum([0, *self.widths.values()])[:-1], strict=True))
        return [int(starts[name]) + column for name in names for column in range(self.widths[name])]


SHADOW = Layout("shadow", fingertips=5, joints=24, actuators=20, shape="moments")
"""Layout of files without one, from when all policies were for the Shadow hand and objects described by moments."""


def layout_of(scene: SimScene) -> Layout:
    """Return the layout of a scene in which a policy can pursue goals.

    Raises:
        DactylError: nothing can move the object, or its orientation cannot be a goal.
    """
    if scene.hand is None or not scene.actions:
        raise DactylError(f"scene {scene.scene.name}: no hand with actuators, so nothing to turn the object with")
    if len(scene.object.symmetries.axes) > 1:
        raise DactylError(f"object {scene.object.name}: looks the same however it is turned, so it has no goals")
    joints, fingertips = len(scene.joint_names), len(scene.fingertip_sites)
    return Layout(scene.hand.name, fingertips, joints, scene.actions, shape_of(scene.object))


def check_inputs(names: Sequence[str]) -> None:
    """Raise ValueError for an unknown or repeated name of a part of the state vector."""
    unknown = [name for name in names if name not in INPUTS]
    if unknown or len(set(names)) < len(names):
        raise ValueError(f"inputs: expected different names out of {', '.join(INPUTS)}, got {', '.join(names)}")
