"""Configuration of ``dactyl closed-loop``."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from datagen.appearance.draw import AppearanceConfig
from datagen.policy import TRAINED, policy_label
from datagen.render.base import RENDERING
from datagen.sim.randomization import EVERYTHING, GROUPS, NOTHING, Group, Randomization
from datagen.sim.trials import EVALUATION, FIRST_TRIAL, TrialRules
from eval.scoring.conditions import ProtocolName
from eval.scoring.trial_results import ObservationSource, Simulation
from vision.configuration.bounds import all_cores_or_some, at_least_one, known_device, not_negative
from vision.io.json_values import identity_of
from vision.scene.scene import Scene
from vision.tracking import TrackingConfig


@dataclass(frozen=True)
class ClosedLoopConfig:
    """What is played.

    Attributes:
        checkpoint: checkpoint file of the estimator, or the name of shipped weights.
        output: folder for results, table and films; a rerun resumes there, and more trials extend it.
        policy: name of a policy, file (.pt, .pt2) or entry point (package.module:function); trained is the shipped one.
        trials: number of trials per play.
        seed: seed of all random draws.
        protocol: what the estimator knows of the cameras: nominal (where they should be), self-calibrated (where it
            finds them, from a recording of the hand at work before the trial) or calibrated (where they are).
        calibration_triplets: number of triplets in the recording of the self-calibrated protocol, a quarter of a second
            apart.
        latency_steps: number of steps of 80 ms from taking images until their estimate reaches the policy.
        track: follow the object from estimate to estimate, and give the policy its predicted present pose.
        tracking: model of the object's motion and of which estimates to trust; with track.
        locked_wrist: hold the hand's wrist joints still (`wrist` in its file).
        state: also play with the policy given the true state.
        plain: play in the simulation without randomization: one appearance for all trials, cameras in their nominal
            places.
        randomized: play in the randomized simulation.
        rules: rules by which a trial ends; the default is the paper's.
        randomization: randomization of physics, actions and sensors; the default is all of the paper's.
        hold_out: groups of randomizations to leave out: physics, observation, unmodelled (Table 4).
        appearance: ranges of the appearance in the randomized simulation, drawn once for each trial, camera
            displacement included.
        film_s: length of the film of the trial with the most goals, seconds; 0 for none.
        workers: number of processes that play; null takes all cores.
        device: device on which the network runs: cpu, cuda or cuda:N; auto is a GPU if there is one.
        windows: number of windows around the object, rolled against each other, in which the network sees each image;
            what it finds is averaged (test-time augmentation): errors become smaller, and its time grows with it. Null
            takes the network's own number, model.window.count.
    """

    checkpoint: Path
    output: Path
    policy: str = TRAINED
    trials: int = 100
    seed: int = 0
    protocol: ProtocolName = "nominal"
    calibration_triplets: int = 100
    latency_steps: int = 0
    track: bool = False
    tracking: TrackingConfig = field(default_factory=TrackingConfig)
    locked_wrist: bool = False
    state: bool = True
    plain: bool = True
    randomized: bool = True
    rules: TrialRules = EVALUATION
    randomization: Randomization = EVERYTHING
    hold_out: tuple[Group, ...] = ()
    appearance: AppearanceConfig = field(default_factory=AppearanceConfig)
    film_s: float = 10.0
    workers: int | None = None
    device: str = "auto"
    windows: int | None = None

    def __post_init__(self) -> None:
        at_least_one(self, "trials", "calibration_triplets", "windows")
        not_negative(self, "latency_steps", "film_s")
        all_cores_or_some(self, "workers")
        known_device(self, "device")
        if not (self.plain or self.randomized):
            raise ValueError("plain, randomized: at least one of them must be true")
        if self.appearance.clutter.any:
            raise ValueError("appearance.clutter: a hand in motion would touch it; leave it out here")
        if self.appearance.camera_effects.any:
            raise ValueError("appearance.camera_effects: are for stored pictures; leave them out here")

    def plays(self) -> Iterator[tuple[Simulation, ObservationSource]]:
        """Yield the requested plays, in the order of the table."""
        for simulation, wanted in (("plain", self.plain), ("randomized", self.randomized)):
            if wanted:
                if self.state:
                    yield simulation, "state"  # type: ignore[misc]
                yield simulation, "vision"  # type: ignore[misc]

    def effects(self, simulation: Simulation) -> Randomization:
        """Return what is randomized in a simulation."""
        if simulation == "plain":
            return NOTHING
        return replace(self.randomization, **{part: None for group in self.hold_out for part in GROUPS[group]})

    def identity(self, scene: Scene, checkpoint_sha256: str) -> dict[str, Any]:
        """Return the keys that determine what happens in a trial in the estimator's scene, with this checkpoint."""
        identity = identity_of(self, ("output", "trials", "state", "plain", "randomized", "film_s", "workers"))
        policy = policy_label(self.policy, scene)
        return identity | {
            "appearance": self.appearance.identity(),
            "rendering": RENDERING,
            "first_trial": FIRST_TRIAL,  # trials of earlier versions had other draws: none are mixed with these
            "policy": policy,
            "checkpoint": checkpoint_sha256,
        }
