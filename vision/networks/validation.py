"""Errors of poses on held-out triplets during training: degrees and millimetres under each protocol."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from vision.geometry.rotations import geodesic_distance_torch, quaternion_to_matrix
from vision.medians import median
from vision.networks.prediction import PosePrediction
from vision.scene.objects import PoseObject
from vision.scene.symmetries import Symmetries, symmetric_distance

COLUMNS = 4
"""Number of columns that :func:`pose_columns` keeps for each protocol."""
_PROTOCOLS = ("", "nominal_")


def pose_columns(target: PoseObject, poses: Sequence[PosePrediction], position: Tensor, quaternion: Tensor) -> Tensor:
    """Return columns (B, 4 P) for each sample and protocol: errors of rotation (radians) and position (metres), the
    model's expected deviation, and the spread of its views in pixels (0 without them).

    Args:
        target: the object; errors ignore its symmetries.
        poses: B predictions under each of P protocols.
        position, quaternion: (B, 3) and (B, 4), the truth.
    """
    truth, columns = quaternion_to_matrix(quaternion.double()), []
    centre = torch.tensor(target.symmetries.centre, device=position.device)  # the point that no symmetry moves
    for pose in poses:
        turn = _rotation_error(target.symmetries, truth, pose.rotation)
        shift = torch.linalg.vector_norm(pose.position - position + (pose.rotation - truth) @ centre, dim=-1)
        nothing = torch.zeros_like(turn)
        columns += [turn, shift, nothing if pose.deviation is None else pose.deviation]
        columns += [nothing if pose.views is None else pose.views.spread]
    return torch.stack(columns, dim=-1)


def pose_metrics(columns: Tensor) -> dict[str, Tensor]:
    """Return means and medians by name, from columns (N, 4 P) of :func:`pose_columns`."""
    values = {}
    for protocol, error in zip(_PROTOCOLS, columns.unflatten(1, (-1, COLUMNS)).unbind(1), strict=False):
        turn, shift, _, _ = error.unbind(-1)
        values[f"{protocol}rotation_mean_deg"] = torch.rad2deg(turn.mean())
        values[f"{protocol}rotation_median_deg"] = torch.rad2deg(median(turn))
        values[f"{protocol}position_mean_mm"] = 1e3 * shift.mean()
        values[f"{protocol}position_median_mm"] = 1e3 * median(shift)
    return values


def _rotation_error(symmetries: Symmetries, truth: Tensor, found: Tensor) -> Tensor:
    """Return the angles (B,) in radians to the nearest rotation that looks like the true one, (B, 3, 3) each."""
    if symmetries.trivial:
        return geodesic_distance_torch(found, truth)
    angles = symmetric_distance(symmetries, truth.cpu().numpy(), found.double().cpu().numpy())
    return torch.from_numpy(angles).to(truth.device)
