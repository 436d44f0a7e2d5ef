"""Features respect the block's symmetry, the learner solves a task that can be solved, and a training resumes."""

from __future__ import annotations

import csv
import os
import signal
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from datagen.policy.features import GOAL_WIDTH, INPUTS, STATE_WIDTH, input_indices, shape_moments
from datagen.policy.her import Learner, Learning
from datagen.policy.her_config import HerConfig
from datagen.policy.network import load_policy
from datagen.policy.replay import Sample
from datagen.policy.training import Training, train
from datagen.sim.outcome import Outcome
from datagen.sim.scene import SceneConfig, build_scene
from datagen.sim.trials import EVALUATION, TrialRules, Trials
from vision.errors import DactylError
from vision.geometry.rotations import cube_rotations, quaternion_from_matrix, quaternion_from_rotation

torch.set_num_threads(1)  # threads that wait for a busy machine's other processor cost more than they bring
BLOCK = build_scene(SceneConfig("block"))


def test_turning_the_block_by_its_symmetries_changes_nothing() -> None:
    orientation = Rotation.random(rng=np.random.default_rng(0)).as_matrix()
    alike = shape_moments(BLOCK, quaternion_from_matrix(orientation @ cube_rotations()))
    np.testing.assert_allclose(alike, alike[:1] * np.ones((24, 1)), atol=1e-12)


def test_other_orientations_of_the_block_differ() -> None:
    some = Rotation.random(200, rng=np.random.default_rng(1))
    moments = shape_moments(BLOCK, quaternion_from_rotation(some))
    distance = np.linalg.norm(moments[:, None] - moments[None], axis=-1)
    # The angle between two orientations, over all of the block's symmetries.
    products = np.einsum("aij,sjk->asik", some.as_matrix(), cube_rotations())
    cosine = (np.einsum("asik,bik->abs", products, some.as_matrix()).max(axis=-1) - 1) / 2
    apart = np.arccos(np.clip(cosine, -1, 1)) > 0.2
    assert distance[apart].min() > 0.02


def test_inputs_are_found_by_name() -> None:
    assert input_indices(tuple(INPUTS)) == list(range(STATE_WIDTH))
    assert input_indices(("object_position",)) == [15, 16, 17]
    with pytest.raises(ValueError, match="smell"):
        input_indices(("smell",))


def test_the_learner_finds_the_action_that_pays() -> None:
    """Goals are reached by an action that begins like the goal, at once, and by no other."""
    rng = np.random.default_rng(0)
    learner = Learner(Learning(hidden=(64, 64), learning_rate=3e-3, averaging=0.05, batch=512), seed=0)
    state = rng.normal(size=(512, STATE_WIDTH)).astype(np.float32)
    learner.normaliser.update(torch.from_numpy(state))
    for _ in range(200):
        state = rng.normal(size=(512, STATE_WIDTH)).astype(np.float32)
        goal = rng.uniform(-0.8, 0.8, (512, GOAL_WIDTH)).astype(np.float32)
        action = rng.uniform(-1, 1, (512, 20)).astype(np.float32)
        pays = np.abs(action[:, 0] - goal[:, 0]) < 0.35
        zeros = np.zeros(512, np.float32)
        figures = learner.update(Sample(state, goal, action, pays.astype(np.float32), zeros, state, goal))
    assert figures["critic_loss"] < 0.5  # 0.62 is to know no more than how often it pays
    chosen = learner.act(torch.from_numpy(state), torch.from_numpy(goal)).numpy()
    assert np.abs(chosen[:, 0] - goal[:, 0]).mean() < 0.2  # 0.4 for an actor that is always in the middle


def test_the_actor_does_not_see_what_only_critics_may() -> None:
    learner = Learner(Learning(hidden=(32,)), seed=1)
    learner.normaliser.count.fill_(1)
    goal, action = torch.randn(4, GOAL_WIDTH), torch.randn(4, 20)
    state = torch.randn(4, STATE_WIDTH)
    other = state.clone()
    other[:, input_indices(("joint_velocity", "object_velocity"))] += 1
    assert torch.equal(learner.act(state, goal), learner.act(other, goal))
    assert not torch.equal(learner.critics(state, goal, action), learner.critics(other, goal, action))


def outcome(reached: list[int] = [], dropped: list[int] = [], worlds: int = 3) -> Outcome:  # noqa: B006
    def those(chosen: list[int]) -> np.ndarray:
        return np.isin(np.arange(worlds), chosen)

    return Outcome(those(reached), those(dropped), those([]), those([]), np.zeros(worlds))


def test_trials_end_by_the_papers_rules() -> None:
    everyone = np.arange(3)
    assert (EVALUATION.goals, EVALUATION.seconds) == (50, 80.0)
    trials = Trials(TrialRules(goals=2, seconds=0.24), 3)
    over, late = trials.update(outcome(reached=[0], dropped=[2]), everyone)
    assert over.tolist() == [False, False, True]
    assert not late.any()
    trials.begin([2])
    over, late = trials.update(outcome(), everyone)
    assert not over.any()
    over, late = trials.update(outcome(reached=[0]), everyone)
    assert over.tolist() == [True, True, False]
    assert late.tolist() == [False, True, False]  # 0.24 s are three steps
    assert trials.reached.tolist() == [2, 0, 0]
    over, late = trials.update(outcome(), np.array([2]))
    assert late.tolist() == [False, False, True]


TINY = HerConfig(
    output=Path(), steps=3072, worlds=8, clean_worlds=2, threads=2, updates=1, replay_steps=300, warmup=1024,
    start_states=8, log_steps=512, learning=Learning(hidden=(16,), batch=32),
)  # fmt: skip


def test_a_training_resumes_and_extends(tmp_path: Path) -> None:
    config = replace(TINY, output=tmp_path, steps=2048)
    train(config)
    actor, _, about = load_policy(tmp_path / "policy.pt")
    assert about["steps"] == 2048
    train(replace(config, steps=3072))
    more, _, about = load_policy(tmp_path / "policy.pt")
    assert about["steps"] == 3072
    assert not torch.equal(actor.layers[0].weight, more.layers[0].weight)
    with (tmp_path / "progress.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [int(row["steps"]) for row in rows] == [512, 1024, 1536, 2048, 2560, 3072]
    assert rows[0]["critic_loss"] == "nan"
    assert float(rows[-1]["critic_loss"]) > 0
    assert (tmp_path / "progress.png").stat().st_size > 1000
    with pytest.raises(DactylError, match="worlds"):
        train(replace(config, worlds=9))


def test_a_signal_finds_everything_between_two_steps_and_saves_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    step = Training._step
    calls = []

    def interrupted(self: Training, over: np.ndarray) -> np.ndarray:
        calls.append(self.steps)
        if len(calls) == 3:
            os.kill(os.getpid(), signal.SIGINT)
        return step(self, over)

    monkeypatch.setattr(Training, "_step", interrupted)
    with pytest.raises(KeyboardInterrupt):
        train(replace(TINY, output=tmp_path))
    assert calls == [0, 8, 16]
    assert torch.load(tmp_path / "checkpoint.pt")["steps"] == 24
    assert load_policy(tmp_path / "policy.pt")[2]["steps"] == 24


def test_a_damaged_checkpoint_is_named(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.pt"
    path.write_bytes(b"nothing of the sort")
    with pytest.raises(DactylError, match=r"checkpoint\.pt"):
        train(replace(TINY, output=tmp_path))
