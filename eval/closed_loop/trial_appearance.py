"""Appearance of trials, and the cameras that their estimator knows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from datagen.appearance.draw import draw_appearance
from datagen.appearance.plain import PLAIN_LOOK
from datagen.appearance.sample import Appearance, Sample
from datagen.render.base import Renderer
from datagen.sim.interface import Observation
from datagen.sim.trials import FIRST_TRIAL
from eval.closed_loop.config import ClosedLoopConfig
from eval.scoring.estimator import Estimator
from eval.scoring.trial_results import Simulation
from vision.geometry.cameras import Cameras


@dataclass(frozen=True)
class TrialAppearance:
    """Appearance of N trials.

    Attributes:
        trials: numbers of the trials.
        appearances: the appearance of each.
        known: the cameras that the estimator knows, K (N, C, 3, 3) and T (N, C, 4, 4).
        true: the true ones, likewise.
        nominal: whether the known cameras are only the nominal ones.
    """

    trials: Sequence[int]
    appearances: list[Appearance]
    known: Cameras
    true: Cameras
    nominal: bool


def draw_look(
    config: ClosedLoopConfig, simulation: Simulation, estimator: Estimator, renderer: Renderer, trials: Sequence[int]
) -> TrialAppearance:
    """Draw the appearance of trials; each is the same whichever others are drawn with it.

    Self-calibrated cameras begin as the nominal ones (``eval.closed_loop.recording``).

    Args:
        config: the ranges of the randomized appearance, the trials' seed, and what the estimator knows of the cameras.
        simulation: in the plain one all trials look the same.
        estimator: estimator whose scene is drawn.
        renderer: draws the scene.
        trials: numbers of the trials, N.
    """
    scene, materials = estimator.scene, renderer.materials
    looks = [
        draw_appearance(PLAIN_LOOK, scene, materials, config.seed, 0)
        if simulation == "plain"
        else draw_appearance(config.appearance, scene, materials, config.seed, FIRST_TRIAL + trial)
        for trial in trials
    ]
    true = Cameras.stacked([look.cameras for look in looks])
    if config.protocol == "calibrated":
        return TrialAppearance(trials, looks, known=true, true=true, nominal=False)
    return TrialAppearance(trials, looks, known=scene.rig.nominal.repeated(len(looks)), true=true, nominal=True)


def sample_of(state: Observation, world: int, number: int, appearance: Appearance) -> Sample:
    """Return the sample by which a renderer draws one of a state's worlds."""
    return Sample(
        number,
        state["joint_position"][world],
        state["object_position"][world],
        state["object_quaternion"][world],
        appearance,
    )
