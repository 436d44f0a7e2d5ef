"""A policy's observations when an estimator replaces the tracker: images of every step, and the poses found in them."""

from __future__ import annotations

from collections import deque

import numpy as np
from numpy.typing import NDArray

from datagen.render.base import Renderer
from datagen.sim.environment import Environment
from datagen.sim.interface import Observation
from eval.closed_loop.config import ClosedLoopConfig
from eval.closed_loop.policy_view import PolicyView, WorldEstimates, observation_by_sight, with_differences
from eval.closed_loop.tracked import TrackedWorlds
from eval.closed_loop.trial_appearance import TrialAppearance, sample_of
from eval.scoring.estimator import Estimator
from eval.scoring.predict import unit_quaternion
from vision.geometry.rotations import FloatArray


class VisionObserver:
    """Provides the policy's observations of N worlds, with an estimator in place of the tracker.

    Args:
        config: how many steps after its images an estimate arrives, and whether and how the object is followed from
            estimate to estimate.
        environment: N worlds.
        estimator: finds the object in the images.
        renderer: renders the images.
        look: appearance of the N trials.

    Attributes:
        rows: rows of ``TRACE``, one list entry for each step.
    """

    def __init__(
        self,
        config: ClosedLoopConfig,
        environment: Environment,
        estimator: Estimator,
        renderer: Renderer,
        look: TrialAppearance,
    ) -> None:
        self.environment, self.estimator, self.renderer, self.look = environment, estimator, renderer, look
        self.latency, self.symmetries = config.latency_steps, estimator.scene.object.symmetries
        self.tracked: TrackedWorlds | None = None
        if config.track:
            self.tracked = TrackedWorlds(config.tracking, environment.worlds, self.symmetries)
        self.rows: list[dict[str, np.ndarray]] = []
        self._step = 0
        self._seen: deque[WorldEstimates] = deque(maxlen=self.latency + 2)  # of the last steps, the latest at the end

    def __call__(self, going: NDArray[np.int64]) -> Observation:
        """Observe the worlds that are still running, ``going`` (K,); the others keep their last estimate."""
        true, step = self.environment.observe(), self._step
        found, confidence = self._estimate(true, going)
        self._seen.append(self._latest(true).updated(going, found))
        self._step += 1
        view = self._view(step, going)
        self.rows.append(
            {
                "index": np.full(len(going), step),
                "episode": np.asarray(self.look.trials)[going],
                "true_position": true["object_position"][going],
                "true_quaternion": true["object_quaternion"][going],
                "predicted_position": found.position,
                "predicted_quaternion": found.quaternion,
                "confidence": confidence,
                "joint_position": true["joint_position"][going],
                "goal_quaternion": true["goal_quaternion"][going],
                "told_position": view.position[going],
                "told_quaternion": view.quaternion[going],
            }
        )
        return observation_by_sight(self.environment.sense(), view, self.symmetries)

    def _latest(self, true: Observation) -> WorldEstimates:
        """Return the last estimates; before the first, the worlds' true poses with unknown covariance."""
        if self._seen:
            return self._seen[-1]
        unknown = np.full((self.environment.worlds, 6, 6), np.nan)
        return WorldEstimates(true["object_position"], true["object_quaternion"], unknown)

    def _view(self, step: int, going: NDArray[np.int64]) -> PolicyView:
        """Return what has arrived of the object at a step; the first estimate arrives without latency."""
        late = min(self.latency, step)
        seen, before = self._seen[-1 - late], self._seen[max(-2 - late, -len(self._seen))]
        if self.tracked is None:
            return with_differences(seen, before, self.symmetries)
        if step == 0 or step > self.latency:
            self.tracked.take(step - late, seen, going)
        return self.tracked.at(step)

    def _estimate(self, true: Observation, going: NDArray[np.int64]) -> tuple[WorldEstimates, FloatArray]:
        """Return estimates in the worlds that are still running, ``going`` (K,), and the confidence of each, (K,)."""
        look = self.look
        samples = [sample_of(true, world, look.trials[world], look.appearances[world]) for world in going]
        images, known = self.renderer.render(samples), look.known.at(going)
        found = self.estimator.predict(images, known, nominal=look.nominal)
        unknown = np.full((len(going), 6, 6), np.nan)
        seen = WorldEstimates(found["position"], unit_quaternion(found["quaternion"]), found.get("covariance", unknown))
        return seen, found["confidence"]
