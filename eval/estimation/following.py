"""Tracking of an object from estimate to estimate."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from eval.estimation.estimates import Estimate, pose_json, rounded
from vision.errors import DactylError
from vision.objects.symmetries import Symmetries
from vision.tracking import NO_COVARIANCE, TrackedPose, Tracker, TrackingConfig


class Follower:
    """Tracks the object through estimates in order of time.

    Args:
        config: configuration of the tracker.
        interval_s: seconds from estimate to estimate if they have no times.
        symmetries: symmetries of the object's appearance; None for none.

    Attributes:
        losses: number of times the object was lost.
        found: whether it was ever found.
    """

    def __init__(self, config: TrackingConfig, interval_s: float | None, symmetries: Symmetries | None = None) -> None:
        self.tracker, self.interval_s = Tracker(config, symmetries), interval_s
        self._time: float | None = None
        self.losses, self.found = 0, False

    def __call__(self, estimate: Estimate) -> tuple[Estimate, TrackedPose | None]:
        """Return the estimate with its time, and the tracked pose at that time, or None while the object is lost.

        An estimate of unusual images never starts a track; it updates one only if it is certain and agrees with the
        prediction.

        Raises:
            DactylError: the estimate has no covariance, no time, or a time that does not rise.
        """
        if estimate.covariance is None:
            raise DactylError(NO_COVARIANCE)
        time = estimate.time_s
        if time is None:
            if self.interval_s is None:
                raise DactylError(
                    f"{estimate.key}: pictures without times; tracking needs --interval_s, their distance"
                )
            time = 0.0 if self._time is None else self._time + self.interval_s
        if self._time is not None and time <= self._time:
            raise DactylError(
                f"{estimate.key}: time does not rise ({time:g} s after {self._time:g} s); sort the pictures"
            )
        self._time = time
        followed = not self.tracker.lost
        if estimate.unusual and not (followed and self.tracker.sure(estimate.pose, estimate.covariance)):
            pose = self.tracker.miss(time)
        else:
            pose = self.tracker.update(time, estimate.pose, estimate.covariance, may_begin=not estimate.unusual)
        self.losses += followed and (pose is None or pose.status == "found")  # found again in the same frame
        self.found |= pose is not None
        return replace(estimate, time_s=time), pose

    def __str__(self) -> str:
        times = "once" if self.losses == 1 else f"{self.losses} times" if self.losses else "never"
        return f"lost {times}" if self.found else "never found: no estimate of usual images was certain enough"


def track_json(track: TrackedPose | None, estimate: Estimate) -> dict[str, Any]:
    """Return the pose that is tracked at an estimate for its JSON line: status, and pose, velocities and standard
    deviations unless it is lost."""
    if track is None:
        return {"status": "lost"}
    # The filter averages over frames, but the cameras' errors are the same in all of them.
    deviations = np.sqrt(np.diag(track.covariance[:6, :6] + estimate.camera_covariance).clip(0))
    return {
        "status": track.status,
        **pose_json(track.pose),
        "velocity": rounded(track.velocity),
        "angular_velocity": rounded(track.angular_velocity),
        "position_std": rounded(deviations[3:]),
        "rotation_std": rounded(deviations[:3]),
    }
