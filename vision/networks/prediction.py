"""The prediction of a model."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from vision.geometry.poses import Pose
from vision.solvers.views import ViewAgreement


@dataclass(frozen=True)
class PosePrediction:
    """Poses of the object in the world.

    Attributes:
        pose: B poses, float64.
        confidence: (B,) float64 in [0, 1]. Geometric: the probability that the rotation error is below
            ``CONFIDENT_ANGLE``. Regression: the length of the predicted rotation values, which is short if several
            rotations are possible (meaningless after training with the geodesic loss).
        deviation: (B,) float64, radians: the geometric model's own estimate of the rotation's standard deviation about
            each axis, before calibration; None from a regression.
        covariance: (B, 6, 6) float64 of the error, radians about the world's axes then metres, after calibration; None
            from a regression.
        views: agreement of each camera's view with the pose, and the cameras as estimated; None from a regression.
    """

    pose: Pose
    confidence: Tensor
    deviation: Tensor | None = None
    covariance: Tensor | None = None
    views: ViewAgreement | None = None
