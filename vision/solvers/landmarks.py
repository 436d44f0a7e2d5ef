"""Positions of the hand's landmarks at given angles of the hinges that carry them."""

from __future__ import annotations

import roma
import torch
from torch import Tensor

from vision.scene.landmarks import Landmarks


def locate_landmarks(landmarks: Landmarks, angles: Tensor) -> tuple[Tensor, Tensor]:
    """Return landmarks (B, L, 3) in the world with hinges at ``angles`` (B, P), and their derivatives (B, L, 3, P)."""
    points = torch.tensor(landmarks.points, dtype=angles.dtype, device=angles.device).expand(len(angles), -1, -1)
    if not len(landmarks.joints):
        return points, points.new_zeros(*points.shape, 0)
    level = torch.tensor(landmarks.level, device=angles.device)
    pivots, axes = angles.new_tensor(landmarks.pivots), angles.new_tensor(landmarks.axes)
    turns = roma.rotvec_to_rotmat(angles[..., None] * axes)  # (B, P, 3, 3)
    derivatives: list[Tensor] = []
    for hinge in reversed(range(len(pivots))):  # from the last, which those before it carry
        moved = (level > hinge)[:, None]
        turn = turns[:, hinge].mT
        arm = (points - pivots[hinge]) @ turn
        derivatives = [torch.where(moved, derivative @ turn, derivative) for derivative in derivatives]
        derivatives.insert(0, torch.linalg.cross(axes[hinge].expand_as(arm), arm) * moved)
        points = torch.where(moved, arm + pivots[hinge], points)
    return points, torch.stack(derivatives, dim=-1)
