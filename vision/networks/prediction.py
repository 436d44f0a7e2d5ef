"""What a model answers."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from vision.solvers.views import Views


@dataclass(frozen=True)
class PosePrediction:
    """Poses of the object in the world.

    Attributes:
        position: (B, 3) float64, metres.
        rotation: (B, 3, 3) float64, object to world.
        confidence: (B,) float64 in [0, 1]. Geometric: the probability that the rotation is right to
            ``CONFIDENT_ANGLE``. Regression: how long the predicted rotation vector is, which scattered possibilities
            make short (it says nothing after training with the geodesic loss).
        deviation: (B,) float64, radians: the geometric model's own estimate of the rotation's standard deviation about
            each axis, before calibration; None from a regression.
        covariance: (B, 6, 6) float64 of the error, radians about the world's axes then metres, after calibration; None
            from a regression.
        views: how each camera's view agrees with the pose, and the cameras as they were found; None from a regression.
    """

    position: Tensor
    rotation: Tensor
    confidence: Tensor
    deviation: Tensor | None = None
    covariance: Tensor | None = None
    views: Views | None = None
