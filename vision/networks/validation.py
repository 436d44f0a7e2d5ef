"""Errors of poses on held-out triplets during training: degrees and millimetres under each protocol."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from vision.geometry.poses import Pose
from vision.geometry.rotations import geodesic_distance_torch
from vision.networks.prediction import PosePrediction
from vision.objects.pose_object import PoseObject
from vision.objects.symmetries import Symmetries, centre_shift, symmetric_distance
from vision.statistics.medians import median

COLUMNS = 4
"""Number of columns that :func:`pose_columns` keeps for each protocol."""
_PROTOCOLS = ("", "nominal_")


def pose_columns(target: PoseObject, predictions: Sequence[PosePrediction], true: Pose) -> Tensor:
    """Return columns (B, 4 P) for each sample and protocol: errors of rotation (radians) and position (metres), the
    model's expected deviation, and the spread of its views in pixels (0 without them).

    Args:
        target: the object; errors ignore its symmetries.
        predictions: of B poses, under each of P protocols.
        true: the B poses.
    """
    true, columns = true.double(), []
    for found in predictions:
        pose = found.pose
        turn = _rotation_error(target.symmetries, true.rotation, pose.rotation)
        shift = torch.linalg.vector_norm(centre_shift(target.symmetries, true, pose), dim=-1)
        nothing = torch.zeros_like(turn)
        columns += [turn, shift, nothing if found.deviation is None else found.deviation]
        columns += [nothing if found.views is None else found.views.spread]
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
    if symmetries.trivial:  # without a copy to the processor
        return geodesic_distance_torch(found, truth)
    angles = symmetric_distance(symmetries, truth.cpu().numpy(), found.double().cpu().numpy())
    return torch.from_numpy(angles).to(truth.device)
