"""Appearance of trials, and the cameras that their estimator knows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from datagen.appearance.draw import AppearanceConfig, draw_appearance
from datagen.render.sample import Appearance, Sample
from datagen.sim.interface import Observation
from datagen.sim.materials import Material
from datagen.variation import Uniform, UniformInt
from eval.scoring.conditions import ProtocolName
from eval.scoring.estimator import Estimator
from eval.scoring.trial_results import Simulation
from vision.geometry.cameras import Cameras


def _always(value: float) -> Uniform:
    return Uniform(value, value)


PLAIN_LOOK = AppearanceConfig(
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
"""The middle of the ranges of Table 9: a grey hand on darker grey, calibrated object colours, nominal cameras."""


@dataclass(frozen=True)
class TrialAppearance:
    """Appearance of N trials: an appearance for each, the cameras that the estimator knows, and the true ones.

    ``nominal`` states whether the known cameras are only the nominal ones.
    """

    appearances: list[Appearance]
    known: Cameras  # K (N, C, 3, 3) and T (N, C, 4, 4)
    true: Cameras
    nominal: bool


def draw_look(
    simulation: Simulation,
    appearance: AppearanceConfig,
    protocol: ProtocolName,
    estimator: Estimator,
    materials: Sequence[Material],
    seed: int,
    trials: Sequence[int],
) -> TrialAppearance:
    """Draw the appearance of trials; each is the same whichever others are drawn with it.

    Args:
        simulation: in the plain one all trials look the same.
        appearance: ranges of the randomized one, drawn from with a trial's number.
        protocol: what the estimator knows of the cameras. Self-calibrated also begins with the nominal ones
            (``eval.closed_loop.recording``).
        estimator: estimator whose scene is drawn.
        materials: materials of the renderer.
        seed: seed of the trials.
        trials: numbers of the trials, N.
    """
    scene = estimator.scene
    looks = [
        draw_appearance(PLAIN_LOOK, scene, materials, seed, 0)
        if simulation == "plain"
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


def sample_of(state: Observation, world: int, number: int, appearance: Appearance) -> Sample:
    """Return the sample by which a renderer draws one of a state's worlds."""
    return Sample(
        number,
        state["joint_position"][world],
        state["object_position"][world],
        state["object_quaternion"][world],
        appearance,
    )
