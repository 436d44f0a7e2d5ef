"""``dactyl policy evaluate``: the paper's trials, with its table next to our results."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from datagen.policy import TRAINED, create_policy, policy_label
from datagen.policy.explore import RandomExploration
from datagen.policy.layout import layout_of
from datagen.policy.recorder import TrialRecorder
from datagen.sim.environment import Environment
from datagen.sim.interface import Observation, Policy
from datagen.sim.randomization import EVERYTHING, NOTHING, Randomization
from datagen.sim.trials import EVALUATION, FIRST_TRIAL, TrialRules, Trials
from datagen.variation import generator
from vision.configuration.bounds import all_cores_or_some, at_least_one, not_negative
from vision.io.files import atomic_write, require_unchanged
from vision.io.json_values import canonical_json, to_jsonable
from vision.machine.progress import Advance, progress
from vision.published import TRIALS
from vision.scene.load import check_scene
from vision.scene.scene import Scene
from vision.statistics.trials import GOAL_TITLES, ConsecutiveGoals, Ending
from vision.templating import markdown_table


@dataclass(frozen=True)
class EvaluatePolicyConfig:
    """What to play.

    Attributes:
        output: folder for results.json.
        policy: name, file (.pt, .pt2) or entry point (package.module:function); trained is the shipped one.
        scene: name or file of the scene (configs/scenes).
        locked_wrist: hold the hand's wrist joints still (`wrist` in its file).
        trials: number of trials of each kind.
        seed: seed of every random draw.
        threads: number of simulation threads; null takes all cores.
        plain: play in the simulation without randomization.
        randomized: play in the randomized simulation.
        baseline: play the same trials with random exploration, for comparison.
        gif: film of the best seconds of the first trials, from those without randomization if they are played.
        rules: when a trial ends; the default is the paper's.
        randomization: what differs in the randomized simulation; the default is all of the paper's.
    """

    output: Path
    policy: str = TRAINED
    scene: str = "block"
    locked_wrist: bool = False
    trials: int = 100
    seed: int = 0
    threads: int | None = None
    plain: bool = True
    randomized: bool = True
    baseline: bool = True
    gif: Path | None = None
    rules: TrialRules = EVALUATION
    randomization: Randomization = EVERYTHING

    def __post_init__(self) -> None:
        check_scene(self.scene)
        at_least_one(self, "trials")
        not_negative(self, "seed")
        all_cores_or_some(self, "threads")
        if self.gif is not None and self.gif.suffix != ".gif":
            raise ValueError(f"gif: must end in .gif, got {self.gif}")
        if not (self.plain or self.randomized):
            raise ValueError("plain, randomized: at least one of them must be true")
        if not self.randomized and self.randomization != EVERYTHING:
            raise ValueError("randomization: of the randomized simulation, which randomized false leaves out")


@dataclass(frozen=True)
class Result:
    """Name of a policy, goals and ending of each of its trials, in order, and how many goals complete one."""

    policy: str
    goals: list[int]
    endings: list[Ending]
    most: int

    def summary(self, label: str = "", place: str = "") -> ConsecutiveGoals:
        """Return what a table says of these trials."""
        return ConsecutiveGoals.of(label, place, self.goals, self.endings, self.most)


def play(
    config: EvaluatePolicyConfig,
    scene: Scene,
    policy: str,
    randomization: Randomization,
    label: str,
    recorder: TrialRecorder | None = None,
) -> Result:
    """Play all trials in parallel, each until it is over."""
    environment = Environment(scene, config.seed, config.trials, config.threads, randomization, config.locked_wrist)
    layout_of(environment.scene)  # refuses a scene without goals
    player = create_policy(policy, environment.scene, config.trials)

    def sense(going: NDArray[np.int64]) -> Observation:
        if recorder:
            recorder.note(environment.observe(), going)
        return environment.sense()

    with progress(label, config.trials, "trials") as advance:
        goals, endings = play_trials(environment, player, config.rules, np.arange(config.trials), advance, sense)
    return Result(player.name, goals, endings, config.rules.goals)


def play_trials(
    environment: Environment,
    policy: Policy,
    rules: TrialRules,
    numbers: NDArray[np.int64],
    advance: Advance,
    sense: Callable[[NDArray[np.int64]], Observation] | None = None,
) -> tuple[list[int], list[Ending]]:
    """Play one trial in each world until all are over.

    Args:
        environment: N worlds; its seed and a trial's number, from ``FIRST_TRIAL`` on, determine all random values of
            the trial.
        policy: policy created for N worlds.
        rules: rules that end a trial.
        numbers: numbers of the trials, (N,).
        advance: called after each step with the number of trials that it ended.
        sense: function that returns the policy's observation of all worlds before a step, given the worlds still going,
            (K,); the environment's own ``sense`` if None.

    Returns:
        Goals reached in each trial, and how it ended.
    """
    going = np.arange(environment.worlds)
    trials = Trials(rules, environment.worlds)
    endings: list[Ending] = ["complete"] * environment.worlds
    episodes = FIRST_TRIAL + numbers
    environment.reset(going, episodes)
    policy.reset(going, [generator(environment.seed, int(episode), "policy") for episode in episodes])
    while len(going):
        observation = environment.sense() if sense is None else sense(going)
        outcome = environment.step(policy.act(observation), going)
        over, late = trials.update(outcome, going)
        for world in going[over[going]]:
            endings[world] = "dropped" if outcome.ended[world] else "late" if late[world] else "complete"
        advance(int(over[going].sum()))
        going = going[~over[going]]
    return trials.reached.tolist(), endings


def evaluate_policy(config: EvaluatePolicyConfig, scene: Scene) -> dict[str, Result]:
    """Play the configured trials in the configured scene, complete, and write ``results.json`` and the GIF."""
    played = policy_label(config.policy, scene)
    kinds = {"plain": NOTHING} if config.plain else {}
    if config.randomized:
        kinds["randomized"] = config.randomization
    recorder = TrialRecorder() if config.gif else None
    results: dict[str, Result] = {}
    for kind, randomization in kinds.items():
        wanted = recorder if not results else None
        results[kind] = play(config, scene, config.policy, randomization, f"{kind} simulation", wanted)
    require_unchanged(f"policy {config.policy}", played, policy_label(config.policy, scene))
    if config.baseline and played != RandomExploration.name:
        for kind, randomization in kinds.items():
            label = f"{kind}, {RandomExploration.name}"
            results[label] = play(config, scene, RandomExploration.name, randomization, label)
    content: dict[str, Any] = {
        "config": to_jsonable(replace(config, output=Path(config.output.name), gif=None)),
        "scene": scene.identity(),
    }
    for kind, result in results.items():
        goals = result.summary()
        content[kind] = {name: getattr(goals, name) for name in ("mean", "interval", "std", "median")}
        content[kind] |= {"policy": result.policy, "goals": result.goals}
        content[kind] |= {ending: result.endings.count(ending) for ending in ("dropped", "late", "complete")}
    atomic_write(config.output / "results.json", canonical_json(content))
    if config.gif and recorder:
        from datagen.policy.trial_gif import film  # late: it imports the renderers

        film(config.gif, recorder.best(), scene)
    return results


def table(config: EvaluatePolicyConfig, scene: Scene, results: dict[str, Result]) -> str:
    """Return a Markdown table of consecutive goals, next to the paper's Table 3 if they are of trials like those."""
    target = scene.object.name
    wrist = ", locked wrist" if config.locked_wrist else ""
    published = TRIALS.get((scene.hand.name if scene.hand else "", target), ())
    if config.rules != EVALUATION or config.randomization != EVERYTHING:
        published = ()  # the paper's trials were others
    rows = [result.summary(f"{target}{wrist}", kind) for kind, result in results.items()]
    rows += [
        replace(row, label=f"paper, {row.label}")
        for row in published
        if row.place == "randomized" and row.label.endswith(f"(state{wrist})")
    ]
    trials = [f"{kind} trials: {' '.join(map(str, sorted(one.goals, reverse=True)))}" for kind, one in results.items()]
    return markdown_table(GOAL_TITLES, [row.cells() for row in rows], 2, trials)
