"""Cameras that an estimator finds before its trials begin, from a recording of the hand at work.

Before each trial the policy plays for a while with the state given, and the trial's own displaced cameras take images,
as ``dactyl calibrate --from`` requires of a laboratory. In the plain simulation all trials have the same cameras, which
are found once for each block of trials that a process plays.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from datagen.appearance.sample import Appearance
from datagen.policy import create_policy
from datagen.render.base import Renderer
from datagen.sim.complete import as_installed
from datagen.sim.environment import Environment
from datagen.sim.interface import Observation
from datagen.sim.trials import FIRST_TRIAL
from datagen.variation import generator
from eval.closed_loop.config import ClosedLoopConfig
from eval.closed_loop.trial_appearance import TrialAppearance, sample_of
from eval.scoring.estimator import Estimator
from eval.scoring.trial_results import Simulation
from vision.geometry.cameras import Cameras

_RECORDING = 1_000_000  # numbers of episodes for each trial's recordings, which follow those of the trials themselves
_EVERY = 3  # steps from triplet to triplet, so that the object moves in between
_BATCH = 32  # triplets in memory at once


def with_found_cameras(
    config: ClosedLoopConfig,
    simulation: Simulation,
    policy_label: str,
    estimator: Estimator,
    renderer: Renderer,
    look: TrialAppearance,
) -> TrialAppearance:
    """Return the appearance of trials, with the cameras that the estimator finds as the known ones.

    Raises:
        DactylError: a recording leaves a camera undetermined, or the policy no longer has this label.
    """
    alike, trials = simulation == "plain", look.trials
    recorded = _record(config, simulation, policy_label, estimator, [0] if alike else trials)
    rows = range(1 if alike else len(trials))
    cameras = [_find(estimator, renderer, look.appearances[row], recorded, row) for row in rows]
    known = cameras[0].repeated(len(trials)) if alike else Cameras.stacked(cameras)
    return replace(look, known=known, nominal=False)


def _record(
    config: ClosedLoopConfig, simulation: Simulation, policy_label: str, estimator: Estimator, trials: Sequence[int]
) -> list[Observation]:
    """Return true states of worlds in which the policy plays, one for each trial; episodes that end begin again."""
    everyone = np.arange(len(trials))
    environment = Environment(
        as_installed(estimator.scene), config.seed, len(trials), 1, config.effects(simulation), config.locked_wrist
    )
    policy = create_policy(config.policy, environment.scene, len(trials), policy_label)
    episodes = FIRST_TRIAL + (np.asarray(trials, dtype=np.int64) + 1) * _RECORDING

    def begin(worlds: np.ndarray) -> None:
        environment.reset(worlds, episodes[worlds])
        policy.reset(worlds, [generator(config.seed, int(number), "policy") for number in episodes[worlds]])
        episodes[worlds] += 1

    begin(everyone)
    states = []
    for step in range(config.calibration_triplets * _EVERY):
        if step % _EVERY == 0:
            states.append(environment.observe())
        outcome = environment.step(policy.act(environment.sense()), everyone)
        if outcome.ended.any():
            begin(np.flatnonzero(outcome.ended))
    return states


def _find(
    estimator: Estimator, renderer: Renderer, appearance: Appearance, states: Sequence[Observation], world: int
) -> Cameras:
    """Find K (C, 3, 3) and T (C, 4, 4) from the states of one world."""
    samples = [sample_of(state, world, number, appearance) for number, state in enumerate(states)]
    images = itertools.chain.from_iterable(
        renderer.render(samples[first : first + _BATCH]) for first in range(0, len(samples), _BATCH)
    )
    seen = estimator.observe(images, _BATCH)
    return estimator.self_calibrate(seen, estimator.scene.rig.nominal).cameras.numpy()
