"""What a policy is told when an estimator replaces the tracker: the looks of trials, and pictures of every step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from datagen.appearance.draw import AppearanceConfig, draw_appearance
from datagen.render.base import Appearance, Renderer, Sample
from datagen.sim.environment import Environment
from datagen.sim.goals import rotation_to_goal
from datagen.sim.interface import Observation
from datagen.variation import Uniform, UniformInt
from eval.scoring.predict import Estimator, unit_quaternion
from eval.scoring.trial_results import STEP_SECONDS, Simulation
from vision.geometry.cameras import Cameras
from vision.geometry.rotations import FloatArray, quaternion_from_rotation, rotation_from_quaternion
from vision.scene.symmetries import Symmetries


def _always(value: float) -> Uniform:
    return Uniform(value, value)


CALIBRATED_LOOK = AppearanceConfig(
    *(_always(0.0), _always(0.0), _always(0.0)),
    robot_color=_always(0.5),
    robot_metallic=_always(0.15),
    robot_glossiness=_always(0.5),
    object_hue=_always(0.0),
    object_saturation=_always(0.0),
    object_value=_always(0.0),
    object_metallic=_always(0.1),
    object_glossiness=_always(0.1),
    letter_value=_always(1.0),
    background_color=_always(0.3),
    background_metallic=_always(0.15),
    background_glossiness=_always(0.5),
    lights=UniformInt(5, 5),
    light_distance=_always(1.25),
    light_relative_intensity=_always(1.0),
    light_total_intensity=_always(7.5),
)
"""The middle of the ranges of Table 9: a grey hand before darker grey, calibrated object colours, cameras in place."""


@dataclass(frozen=True)
class TrialAppearance:
    """How trials look: an appearance for each, the cameras that the estimator knows, and those that draw.

    ``nominal`` says that the known ones are only where cameras should be.
    """

    appearances: list[Appearance]
    known: Cameras  # K (N, C, 3, 3) and T (N, C, 4, 4)
    true: Cameras
    nominal: bool


def draw_look(
    simulation: Simulation,
    appearance: AppearanceConfig,
    protocol: Literal["nominal", "calibrated"],
    estimator: Estimator,
    materials: Sequence[str],
    seed: int,
    trials: Sequence[int],
) -> TrialAppearance:
    """The look of trials, the same whichever others are drawn with it.

    Args:
        simulation: in the calibrated one all trials look the same.
        appearance: drawn from in the randomized one, with a trial's number.
        protocol: what the estimator is told of the cameras.
        estimator: its scene.
        materials: of the renderer.
        seed: of the trials.
        trials: their numbers, N.
    """
    scene = estimator.scene
    looks = [
        draw_appearance(CALIBRATED_LOOK, scene, materials, seed, 0)
        if simulation == "calibrated"
        else draw_appearance(appearance, scene, materials, seed, trial)
        for trial in trials
    ]
    true = Cameras(
        np.stack([look.camera_intrinsics for look in looks]), np.stack([look.camera_extrinsics for look in looks])
    )
    if protocol == "calibrated":
        return TrialAppearance(looks, true, true, False)
    nominal = Cameras(*(np.stack([array] * len(looks)) for array in scene.rig.nominal[:2]))
    return TrialAppearance(looks, nominal, true, True)


class VisionObserver:
    """What the policy is told of N worlds when an estimator's eyes replace the tracker.

    Attributes:
        rows: of ``TRACE``, one list entry for each step.
    """

    def __init__(
        self,
        environment: Environment,
        estimator: Estimator,
        renderer: Renderer,
        look: TrialAppearance,
        trials: Sequence[int],
        latency: int,
    ) -> None:
        self.environment, self.estimator, self.renderer, self.look = environment, estimator, renderer, look
        self.trials, self.latency = trials, latency
        self.rows: list[dict[str, np.ndarray]] = []
        self._estimates: list[tuple[FloatArray, FloatArray]] = []  # position (N, 3) and quaternion (N, 4) of each step

    def __call__(self, going: NDArray[np.int64]) -> Observation:
        """Look at the worlds that are still ``going`` (K,); the others keep their last estimate."""
        true = self.environment.observe()
        found = self._estimate(true, going)
        step = len(self._estimates)
        position, quaternion = (
            (self._estimates[-1][0].copy(), self._estimates[-1][1].copy())
            if step
            else (true["object_position"].copy(), true["object_quaternion"].copy())
        )
        position[going], quaternion[going] = found["position"], found["quaternion"]
        self._estimates.append((position, quaternion))
        self.rows.append(
            {
                "index": np.full(len(going), step),
                "episode": np.asarray(self.trials)[going],
                "true_position": true["object_position"][going],
                "true_quaternion": true["object_quaternion"][going],
                "predicted_position": found["position"],
                "predicted_quaternion": found["quaternion"],
                "confidence": found["confidence"],
                "joint_position": true["joint_position"][going],
                "goal_quaternion": true["goal_quaternion"][going],
            }
        )
        arrived = max(step - self.latency, 0)
        now, before = self._estimates[arrived], self._estimates[max(arrived - 1, 0)]
        return told_by_sight(self.environment.sense(), now, before, self.estimator.scene.object.symmetries)

    def _estimate(self, true: Observation, going: NDArray[np.int64]) -> dict[str, np.ndarray]:
        samples = [
            Sample(
                self.trials[world],
                true["joint_position"][world],
                true["object_position"][world],
                true["object_quaternion"][world],
                self.look.appearances[world],
            )
            for world in going
        ]
        known = self.look.known
        found = self.estimator.predict(
            self.renderer.render(samples), known.intrinsics[going], known.extrinsics[going], nominal=self.look.nominal
        )
        return {
            "position": np.asarray(found["position"], np.float64),
            "quaternion": unit_quaternion(found["quaternion"]),
            "confidence": np.asarray(found["confidence"], np.float64),
        }


def told_by_sight(
    sensed: Observation,
    now: tuple[FloatArray, FloatArray],
    before: tuple[FloatArray, FloatArray],
    symmetries: Symmetries,
) -> Observation:
    """An observation in which all that concerns the object comes from estimates.

    Args:
        sensed: of the tracker and the rest of the sensors, N worlds.
        now, before: estimated positions (N, 3) and quaternions (N, 4), 80 ms apart.
        symmetries: of the object.
    """
    rotation, last = (rotation_from_quaternion(quaternion) for _, quaternion in (now, before))
    goal = rotation_from_quaternion(sensed["goal_quaternion"])
    return {
        **sensed,
        "object_position": now[0],
        "object_quaternion": quaternion_from_rotation(rotation),
        "relative_goal": quaternion_from_rotation(rotation_to_goal(symmetries, rotation, goal)),
        "object_linear_velocity": (now[0] - before[0]) / STEP_SECONDS,
        "object_angular_velocity": (last.inv() * rotation).as_rotvec() / STEP_SECONDS,
    }
