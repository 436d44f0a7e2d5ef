"""Points of the hand by which a picture tells where its camera is.

The forearm stands still in the world, and the palm hangs on it by two hinges: whoever finds points of both in a picture
knows the camera's turn and zoom, up to the wrist's two angles, which all cameras share. The fingers move too freely to
help. Metres and radians, world frame of the MJCF. Numbers are constants, since this package knows no simulator; a test
compares them with the compiled scene.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import roma
import torch
from torch import Tensor

from vision.geometry.rotations import FloatArray


@dataclass(frozen=True, eq=False)
class Landmarks:
    """Points on a chain of hinges that begins at a body fixed in the world.

    Attributes:
        points: (L, 3) metres, world, all hinges at zero.
        level: (L,) how many of the hinges move each point: the first ``level``.
        pivots: (P, 3) metres, a point on each hinge's axis, all hinges at zero.
        axes: (P, 3) unit, its direction.
        limits: (P, 2) radians, lowest and highest angle.
        joints: (P,) index of each hinge in the label's ``joint_position``.
    """

    points: FloatArray
    level: tuple[int, ...]
    pivots: FloatArray
    axes: FloatArray
    limits: FloatArray
    joints: tuple[int, ...]


# Corners of the forearm's front: of the socket that holds the wrist, and of the collar behind it.
_FOREARM = (
    (0.9696, 1.0102, 0.1082), (0.9701, 1.0119, 0.1730), (1.0271, 1.0110, 0.1047), (1.0314, 1.0111, 0.1708),
    (0.9544, 1.0296, 0.0845), (0.9545, 1.0296, 0.1756), (1.0455, 1.0296, 0.0844), (1.0456, 1.0296, 0.1755),
)  # fmt: skip
# Where the palm's joints are: the wrist's two, then the first of the little finger, ring, middle, first finger, thumb.
_WRIST = ((1.0000, 0.9940, 0.1400), (1.0000, 0.9600, 0.1400))
_KNUCKLES = (
    (1.0170, 0.9160, 0.1400), (1.0110, 0.8650, 0.1400), (0.9890, 0.8610, 0.1400), (0.9670, 0.8650, 0.1400),
    (0.9660, 0.9310, 0.1490),
)  # fmt: skip

HAND_LANDMARKS = Landmarks(
    points=np.array([*_FOREARM, *_WRIST, *_KNUCKLES]),
    level=(0,) * 9 + (1,) + (2,) * 5,
    pivots=np.array(_WRIST),
    axes=np.array([(0.0, 0.0, -1.0), (-1.0, 0.0, 0.0)]),
    limits=np.array([(-0.489, 0.140), (-0.698, 0.489)]),
    joints=(0, 1),
)
"""Of the Shadow hand of gymnasium-robotics."""


def locate(landmarks: Landmarks, angles: Tensor) -> tuple[Tensor, Tensor]:
    """Landmarks (B, L, 3) in the world with hinges at ``angles`` (B, P), and their derivative (B, L, 3, P)."""
    points = angles.new_tensor(landmarks.points).expand(len(angles), -1, -1)
    level = torch.tensor(landmarks.level, device=angles.device)
    pivots, axes = angles.new_tensor(landmarks.pivots), angles.new_tensor(landmarks.axes)
    turns = roma.rotvec_to_rotmat(angles[..., None] * axes)  # (B, P, 3, 3)
    derivatives: list[Tensor] = []
    for hinge in reversed(range(len(pivots))):  # from the last: it is carried by those before it
        moved = (level > hinge)[:, None]
        turn = turns[:, hinge].mT
        arm = (points - pivots[hinge]) @ turn
        derivatives = [torch.where(moved, derivative @ turn, derivative) for derivative in derivatives]
        derivatives.insert(0, torch.linalg.cross(axes[hinge].expand_as(arm), arm) * moved)
        points = torch.where(moved, arm + pivots[hinge], points)
    return points, torch.stack(derivatives, dim=-1)
