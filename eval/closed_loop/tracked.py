"""Tracking of one object in each world from estimate to estimate; prediction compensates for delays."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from eval.closed_loop.policy_view import PolicyView, WorldEstimates
from vision.geometry.poses import Pose
from vision.objects.symmetries import Symmetries
from vision.published import STEP_SECONDS
from vision.tracking import Tracker, TrackingConfig


class TrackedWorlds:
    """A tracker for each of N worlds, for an object with these symmetries."""

    def __init__(self, config: TrackingConfig, worlds: int, symmetries: Symmetries) -> None:
        self._trackers = [Tracker(config, symmetries) for _ in range(worlds)]
        self._seen: WorldEstimates | None = None

    def take(self, step: int, seen: WorldEstimates, going: NDArray[np.int64]) -> None:
        """Update with the estimates from images of a step, in the worlds that are still running, ``going`` (K,)."""
        self._seen = seen
        for world in going:
            pose = Pose.from_quaternion(seen.position[world], seen.quaternion[world])
            self._trackers[world].update(step * STEP_SECONDS, pose, seen.covariance[world])

    def at(self, step: int) -> PolicyView:
        """Predict the objects at a step from the estimates so far; a lost one stays where it was last seen, at rest."""
        assert self._seen is not None, "asked before anything was seen"
        still = np.zeros_like(self._seen.position)
        view = PolicyView(self._seen.position.copy(), self._seen.quaternion.copy(), still, still.copy())
        for world, tracker in enumerate(self._trackers):
            if track := tracker.predict(step * STEP_SECONDS):
                view.position[world], view.quaternion[world] = track.pose.position, track.pose.quaternion
                view.velocity[world] = track.velocity
                view.angular_velocity[world] = track.pose.rotation.T @ track.angular_velocity
        return view
