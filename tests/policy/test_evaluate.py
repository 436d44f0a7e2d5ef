"""Trials are played, counted, set beside the paper's, and filmed; names stand for the weights that are shipped."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from datagen import policy as policies
from datagen.policy import RandomExploration, create_policy, policy_label
from datagen.policy.evaluate import EvaluatePolicyConfig, Result, evaluate_policy, play_trials, table
from datagen.policy.features import INPUTS
from datagen.policy.layout import SHADOW
from datagen.policy.network import Actor, Normaliser, save_policy
from datagen.policy.recorder import RecordedStep, TrialRecorder
from datagen.policy.starts import drawn_starts
from datagen.sim.complete import complete_scene
from datagen.sim.environment import Environment
from datagen.sim.interface import Observation, blank_observation
from datagen.sim.randomization import EVERYTHING, NOTHING
from datagen.sim.scene import compile_scene
from datagen.sim.trials import EVALUATION, TrialRules
from tests.scenes import scene
from vision.errors import DactylError
from vision.geometry.rotations import FloatArray, quaternion_from_matrix
from vision.statistics.trials import ConsecutiveGoals

COMPLETE = complete_scene("block")


@pytest.fixture
def shipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package that comes with a policy of the block, and none of the prism."""
    torch.manual_seed(0)
    path = tmp_path / "shadow-block.pt"
    save_policy(path, Actor(INPUTS[:4], (16,), SHADOW), Normaliser(SHADOW.state), {"name": "mine", "object": "block"})
    monkeypatch.setattr("datagen.policy.WEIGHTS", tmp_path)
    return path


def test_trained_stands_for_what_is_shipped(shipped: Path, capsys: pytest.CaptureFixture[str]) -> None:
    block = scene("block")
    label = policy_label("trained", block)
    assert label == policy_label("shadow-block", block) == policy_label(str(shipped), block)
    assert label.startswith("shadow-block-")
    assert create_policy("trained", compile_scene(block), 2).name == label
    shipped.write_bytes(shipped.read_bytes() + b"\0")
    assert policy_label("trained", block) != label  # other weights, other states


def test_an_object_without_a_policy_gets_exploration_and_a_line(
    shipped: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    policies._say_substitute.cache_clear()
    assert policy_label("trained", scene("prism")) == RandomExploration.name
    for _ in range(2):
        assert create_policy("trained", compile_scene(scene("prism")), 2).name == RandomExploration.name
    assert capsys.readouterr().err.count("no policy trained in the scene prism is shipped") == 1


def test_trials_are_played(shipped: Path, tmp_path: Path) -> None:
    config = EvaluatePolicyConfig(tmp_path / "out", trials=2, threads=1, rules=TrialRules(2, 0.4))
    results = evaluate_policy(config, COMPLETE)
    labels = ["plain", "randomized"]
    assert list(results) == [*labels, *(f"{kind}, random-exploration" for kind in labels)]
    content = json.loads((tmp_path / "out" / "results.json").read_text())
    for kind, result in results.items():
        assert len(result.goals) == 2
        assert len(result.endings) == sum(content[kind][ending] for ending in ("dropped", "late", "complete")) == 2
        assert content[kind]["mean"] == np.mean(result.goals)
    text = table(config, COMPLETE, results)
    assert "random-exploration" in text
    assert content["scene"] == COMPLETE.identity()
    paper = "| paper, block (state) | randomized | 100 | 43.4 ± 13.8 | – | 50 | – | – | – |"
    assert paper in table(replace(config, rules=EVALUATION), COMPLETE, results)
    assert paper not in text, "the paper's trials ended otherwise"
    calmer = replace(config, rules=EVALUATION, randomization=replace(EVERYTHING, backlash=None))
    assert paper not in table(calmer, COMPLETE, results), "the paper's simulation was randomized otherwise"
    again = evaluate_policy(replace(config, output=tmp_path / "again", randomized=False, baseline=False), COMPLETE)
    assert again["plain"] == results["plain"]


def test_no_trial_has_the_draws_of_states_or_of_a_training() -> None:
    """They share the default seed, and all are numbered from 0."""
    environment = Environment(scene("block"), 0, 2, 1, EVERYTHING)
    starts, goals, drawn = drawn_starts(environment, 2), environment.goal.copy(), environment.hidden()
    begun: list[tuple[FloatArray, ...]] = []

    def note(_: object) -> Observation:
        begun.append((environment.batch.state.copy(), environment.goal.copy(), environment.hidden()))
        return environment.sense()

    exploration = RandomExploration(environment.scene, 2)
    play_trials(environment, exploration, TrialRules(1, 0.08), np.arange(2), lambda _: None, note)
    for others, ours in zip((starts, goals, drawn), begun[0], strict=True):
        assert (others != ours).any(axis=1).all()


def test_a_policy_may_return_a_list() -> None:
    class Listing(RandomExploration):
        def act(self, observation: Observation) -> Any:
            return super().act(observation).tolist()

    environment = Environment(scene("block"), 0, 2, 1)
    policies.tried(Listing, "mine:build", environment.scene, 2)
    goals, _ = play_trials(
        environment, Listing(environment.scene, 2), TrialRules(1, 0.08), np.arange(2), lambda _: None
    )
    assert len(goals) == 2


def test_a_policy_that_is_replaced_between_plays_is_refused(
    shipped: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its two results would be of two policies."""

    def play(*_: object) -> Result:
        shipped.write_bytes(shipped.read_bytes() + b"\0")
        return Result("mine", [1], ["late"], 50)

    monkeypatch.setattr("datagen.policy.evaluate.play", play)
    config = EvaluatePolicyConfig(tmp_path / "out", policy=str(shipped), trials=1, baseline=False)
    with pytest.raises(DactylError, match=f"policy {shipped}: was replaced while this command ran"):
        evaluate_policy(config, COMPLETE)
    assert not (tmp_path / "out" / "results.json").exists()


def test_a_trial_is_filmed(shipped: Path, tmp_path: Path) -> None:
    # In a process of its own: Mesa and triton, which other tests import, bring two LLVMs that do not get along.
    gif = tmp_path / "a.gif"
    options = ["--policy", str(shipped), "--trials", "2", "--rules.seconds", "0.4", "--threads", "1", "--gif", str(gif)]
    less = ["--randomized", "false", "--baseline", "false", "--output", str(tmp_path / "out")]
    program = [sys.executable, "-m", "dactyl", "policy", "evaluate", *options, *less]
    done = subprocess.run(program, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "consecutive goals" in done.stdout
    picture = Image.open(gif)
    assert picture.n_frames >= 5  # type: ignore[attr-defined]
    assert np.ptp(np.asarray(picture.convert("L"))) > 100


def test_results_count_as_they_should() -> None:
    goals = ConsecutiveGoals.of("mine", "plain", [3, 0, 6], ["dropped", "dropped", "late"], 50)
    assert (goals.trials, goals.mean, goals.median) == (3, 3, 3)
    assert goals.std == pytest.approx(np.sqrt(6))
    assert goals.cells()[:4] == ["mine", "plain", "3", "3.0 ± 2.4"]
    assert goals.cells()[5:] == ["3", "2", "1", "0"]
    many = ConsecutiveGoals.of("", "", np.random.default_rng(0).poisson(9, 400).tolist(), ["dropped"] * 400, 50)
    assert many.interval == pytest.approx((many.mean - 1.96 * 3 / 20, many.mean + 1.96 * 3 / 20), abs=0.06)
    mastered = ConsecutiveGoals.of("", "", [50] * 9 + [30], ["complete"] * 9 + ["late"], 50)
    assert mastered.interval is not None
    assert mastered.interval.low < 48
    assert mastered.interval.high == 50, "no more goals can be reached"
    few = ConsecutiveGoals.of("", "", [50] * 3 + [20], ["complete"] * 4, 50)
    assert few.interval is None, "few trials say nothing about others"
    alike = ConsecutiveGoals.of("", "", [0] * 20, ["dropped"] * 20, 50)
    assert alike.interval is None, "others may reach a goal"
    assert few.cells()[4] == alike.cells()[4] == "–"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"seed": -1}, "seed: must not be negative"),
        ({"randomized": False, "randomization": NOTHING}, "randomization: of the randomized simulation"),
    ],
)
def test_what_no_trial_uses_is_refused(changes: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        EvaluatePolicyConfig(Path("out"), **changes)


def test_the_film_shows_where_most_goals_are_reached() -> None:
    recorder = TrialRecorder()
    observation: Observation = blank_observation(3, 5, 24)
    for step in range(400):
        goal = 0 if step < 200 else step // 10  # from step 200 on, a new goal every ten steps
        angle = np.array([0, goal, 0]) * 0.1
        turns = np.array([[[np.cos(a), -np.sin(a), 0], [np.sin(a), np.cos(a), 0], [0, 0, 1]] for a in angle])
        observation["goal_quaternion"] = quaternion_from_matrix(turns)
        recorder.note({**observation}, np.array([0, 1]) if step < 380 else np.array([0]))
    assert [len(frames) for frames in recorder.trials[:3]] == [400, 380, 0]
    best: list[RecordedStep] = recorder.best()
    assert len(best) == 150
    assert best[-1].reached - best[0].reached == 15
