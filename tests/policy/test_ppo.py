"""The recurrent learner: its arithmetic, a task that takes memory, and trainings that stop, go on and spread out."""

from __future__ import annotations

import csv
import importlib.util
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from datagen.policy import create_policy
from datagen.policy.cli import _method
from datagen.policy.ppo import PpoLearner, PpoLearning, advantages
from datagen.policy.ppo_config import PpoConfig
from datagen.policy.ppo_training import train_ppo
from datagen.policy.recurrent import INPUTS, Recurrent, input_width, save_recurrent
from datagen.policy.rollout import Experience, Rollout, StepResult
from datagen.sim.bins import BINS, actions_from_bins
from datagen.sim.environment import Environment
from datagen.sim.scene import SceneConfig
from datagen.workers.ray_cluster import RAY_ENVIRONMENT
from vision.errors import DactylError

torch.set_num_threads(1)


class Recall:
    """A number is shown in an episode's first step only; the first actuator's bin must say it in all the others."""

    length = 6

    def __init__(self, worlds: int) -> None:
        self.worlds = worlds
        self.age = np.zeros(worlds, dtype=np.int64)
        self.cue = np.zeros(worlds, dtype=np.int64)

    def observe(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        shown = np.where(self.age == 0, self.cue, 0.0)
        seen = np.stack([shown, self.age == 0], axis=1).astype(np.float32)
        return seen, np.hstack([seen, self.age[:, None], self.cue[:, None]]).astype(np.float32)

    def step(self, bins: NDArray[np.int64], acting: NDArray[np.bool_]) -> StepResult:
        right = np.where(self.cue > 0, bins[:, 0] > BINS // 2, bins[:, 0] < BINS // 2)
        reward = acting * (self.age > 0) * right.astype(np.float64)
        self.age += acting
        ended = acting & (self.age == self.length)
        return StepResult(reward, ended, ended & (self.cue > 0))  # half of them are lost, half out of time

    def begin(self, worlds: NDArray[np.int64], rng: np.random.Generator) -> None:
        self.age[worlds] = 0
        self.cue[worlds] = rng.choice([-1, 1], size=len(worlds))


LEARNING = PpoLearning(
    discount=0.9, entropy=0.001, learning_rate=5e-3, dense=32, lstm=32, chunk=6, minibatch=384, minibatches=8
)


def recall(learning: PpoLearning = LEARNING) -> tuple[PpoLearner, Rollout]:
    learner = PpoLearner(learning, 2, 4, seed=0, device="cpu")
    return learner, Rollout(Recall(32), learner.players, learning.chunk)


def test_memory_is_learnt() -> None:
    learner, rollout = recall()
    rng = np.random.default_rng(0)
    rollout.begin(rng)
    rewards = [learner.update(rollout.collect(36, rng), rng)["reward"] for _ in range(25)]
    # Five of six steps count. Half of them (but for the middle bin) are right by chance, all with memory.
    assert rewards[0] < 0.45
    assert rewards[-1] > 0.75


def test_no_memory_does_no_better_than_chance() -> None:
    learner, rollout = recall(replace(LEARNING, chunk=1))  # no gradient flows back to the step that showed it
    rng = np.random.default_rng(0)
    rollout.begin(rng)
    learner.players.policy.cell.weight_hh.requires_grad_(False).zero_()
    learner.players.policy.cell.bias_hh.requires_grad_(False)
    rollout.players.policy.blank = lambda worlds: torch.zeros(worlds, 2, 32)  # type: ignore[method-assign]
    forget = Recall.observe

    def blind(game: Recall) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        seen, known = forget(game)
        return 0 * seen, known

    rollout.game.observe = lambda: blind(rollout.game)  # type: ignore[method-assign, arg-type]
    rewards = [learner.update(rollout.collect(36, rng), rng)["reward"] for _ in range(25)]
    assert rewards[-1] < 0.55


@pytest.mark.parametrize("chunk", [1, 3, 6, 9])
def test_the_learner_sees_what_the_player_saw(chunk: int) -> None:
    """Before anything is learnt every action is as likely as when it was chosen: memories begin and end where they
    should, in chunks that do not fall together with episodes (7 rows: six steps and the state that ended them)."""
    learner, rollout = recall(replace(LEARNING, chunk=chunk, minibatch=32 * 72, minibatches=1))
    torch.nn.init.normal_(learner.players.policy.head.weight)
    rng = np.random.default_rng(0)
    rollout.begin(rng)
    for _ in range(2):  # the second begins in the middle of episodes
        experience = rollout.collect(72, rng)
        assert abs(learner.update(experience, rng)["first_divergence"]) < 1e-6
    assert experience.first.any(dim=0).all()
    assert torch.equal(experience.first[1:], ~experience.acted[:-1])  # an episode begins after what ended the last one
    assert experience.acted.float().mean() == pytest.approx(6 / 7, abs=0.02)


def test_networks_forget_before_a_first_step() -> None:
    torch.manual_seed(0)
    network = Recurrent(5, 8, 8, 3)
    inputs, first = torch.randn(6, 2, 5), torch.zeros(6, 2, dtype=torch.bool)
    first[3, 1] = True
    memory = torch.randn(2, 2, 8)
    outputs, after = network(inputs, memory, first)
    fresh, fresh_after = network(inputs[3:], network.blank(2), torch.zeros(3, 2, dtype=torch.bool))
    torch.testing.assert_close(outputs[3:, 1], fresh[:, 1])
    torch.testing.assert_close(after[1], fresh_after[1])
    assert not torch.allclose(outputs[3:, 0], fresh[:, 0])
    some, between = network(inputs[:2], memory, first[:2])  # in pieces, the same
    rest, end = network(inputs[2:], between, first[2:])
    torch.testing.assert_close(torch.cat([some, rest]), outputs)
    torch.testing.assert_close(end, after)


def experience(value: list[float], reward: list[float], acted: list[bool], lost: list[bool]) -> Experience:
    def column(values: list[float] | list[bool], dtype: torch.dtype = torch.float32) -> torch.Tensor:
        return torch.tensor(values, dtype=dtype)[:, None]

    none = torch.zeros(0)
    return Experience(
        none, none, none, column(acted, torch.bool), none, none, column(value), column(reward),
        column(lost, torch.bool), none, none,
    )  # fmt: skip


def test_advantages_are_those_of_the_definition() -> None:
    value, reward = [1.0, 2.0, 3.0, 4.0, 5.0], [0.1, 0.2, 0.3, 0.4]
    surprise = [0.1 + 0.9 * 2 - 1, 0.2 + 0.9 * 3 - 2, 0.3 + 0.9 * 4 - 3, 0.4 + 0.9 * 5 - 4]
    expected = [sum((0.9 * 0.5) ** k * surprise[t + k] for k in range(4 - t)) for t in range(4)]
    found = advantages(experience(value, reward, [True] * 4, [False] * 4), 0.9, 0.5)
    np.testing.assert_allclose(found[:, 0], expected, rtol=1e-5)


def test_advantages_stop_at_the_end_of_an_episode() -> None:
    value, reward = [1.0, 2.0, 7.0, 4.0, 5.0], [0.1, 0.2, 0.0, 0.4]
    for lost in (False, True):  # nothing comes after a drop; what the ended state promised does after the time is over
        acted = [True, True, False, True]
        found = advantages(experience(value, reward, acted, [False, lost, False, False]), 0.9, 0.5)[:, 0]
        last = 0.2 + (0.0 if lost else 0.9 * 7) - 2
        expected = [0.1 + 0.9 * 2 - 1 + 0.45 * last, last, 0.0, 0.4 + 0.9 * 5 - 4]
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-7)


def test_bins_span_the_range_of_actions() -> None:
    np.testing.assert_allclose(actions_from_bins(np.arange(BINS)), np.linspace(-1, 1, 11))
    assert BINS == 11
    for wrong in (-1, 11):
        with pytest.raises(ValueError, match="bins"):
            actions_from_bins(np.array([wrong]))


def test_the_environment_takes_bins() -> None:
    environment = Environment(SceneConfig("block"), seed=0, worlds=2, threads=1)
    start, bins = environment.batch.state.copy(), np.random.default_rng(0).integers(BINS, size=(2, 20))
    ends = []
    for action in (bins, bins / 5 - 1):
        environment.restore([0, 1], start, [0, 1])
        environment.step(action)
        ends.append(environment.batch.qpos.copy())
    np.testing.assert_allclose(*ends, atol=1e-12)
    with pytest.raises(ValueError, match="bins"):
        environment.step(np.full((2, 20), 11))


TINY = PpoConfig(
    output=Path(), steps=160, workers=2, worlds=2, threads=1, rollout_steps=10, checkpoint_rollouts=2, start_states=2,
    learning=PpoLearning(dense=8, lstm=8, chunk=5, minibatch=20, minibatches=2),
)  # fmt: skip


def weights(folder: Path) -> dict[str, torch.Tensor]:
    content = torch.load(folder / "checkpoint.pt", weights_only=True)
    return content["players"]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("ppo") / "whole"
    train_ppo(replace(TINY, output=folder))
    return folder


def test_a_training_goes_on_as_if_it_had_never_stopped(trained: Path, tmp_path: Path) -> None:
    train_ppo(replace(TINY, output=tmp_path, steps=80))
    before = weights(tmp_path)
    train_ppo(replace(TINY, output=tmp_path))
    whole, parts = weights(trained), weights(tmp_path)
    assert all(torch.equal(whole[key], parts[key]) for key in whole)
    assert not all(torch.equal(whole[key], before[key]) for key in whole)
    rows = []
    for folder in (trained, tmp_path):
        with (folder / "progress.csv").open() as file:
            rows.append([row | {"seconds": "", "steps_per_second": ""} for row in csv.DictReader(file)])
    assert rows[0] == rows[1]
    assert [int(row["steps"]) for row in rows[0]] == [40, 80, 120, 160]
    assert (trained / "progress.png").stat().st_size > 1000


def test_what_was_trained_can_be_played(trained: Path) -> None:
    environment = Environment(SceneConfig("block"), seed=0, worlds=3, threads=1)
    policy = create_policy(str(trained / "policy.pt"), environment.scene, 3)
    policy.reset(range(3), [np.random.default_rng(world) for world in range(3)])
    actions = policy.act(environment.observe())
    assert actions.shape == (3, 20)
    np.testing.assert_allclose(5 * actions, np.round(5 * actions), atol=1e-9)  # the middles of 11 bins


def test_recurrent_policies_remember_each_world_apart(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = Recurrent(input_width(tuple(INPUTS)), 8, 8, 20 * BINS)
    save_recurrent(tmp_path / "mine.pt", network, tuple(INPUTS), {"name": "mine", "object": "block"})
    environment = Environment(SceneConfig("block"), seed=0, worlds=2, threads=1)
    policy = create_policy(str(tmp_path / "mine.pt"), environment.scene, 2)
    nobody = [np.random.default_rng(0)]
    policy.reset([0, 1], 2 * nobody)
    seen = environment.observe()
    memories = []
    for _ in range(2):
        policy.act(seen)
        memories.append(policy._memory.clone())  # type: ignore[attr-defined]
    policy.reset([1], nobody)
    policy.act(seen)
    after = policy._memory  # type: ignore[attr-defined]
    assert torch.equal(after[1], memories[0][1])  # begins anew
    assert not torch.equal(after[0], memories[0][0])
    with pytest.raises(DactylError, match="block"):
        create_policy(str(tmp_path / "mine.pt"), Environment(SceneConfig("prism"), 0, 1, 1).scene, 1)


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"rollout_steps": 12}, "chunk"),
        ({"policy_inputs": ("smell",)}, "smell"),
        ({"largest_turn": 4.0}, "largest_turn"),
        ({"workers": 0}, "workers"),
        ({"ray_address": "auto"}, "ray_address"),
    ],
)
def test_impossible_configurations_are_refused(keys: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replace(TINY, **keys)  # type: ignore[arg-type]


def test_another_configuration_is_refused(trained: Path) -> None:
    with pytest.raises(DactylError, match="workers: 2 there, 1 here"):
        train_ppo(replace(TINY, output=trained, workers=1))
    with pytest.raises(DactylError, match="device nowhere"):
        train_ppo(replace(TINY, output=trained, device="nowhere"))


def test_the_method_is_found_in_arguments_and_files(tmp_path: Path) -> None:
    path = tmp_path / "some.yaml"
    path.write_text("object: block\nmethod: ppo\n")
    assert _method([]) == "her"
    assert _method(["--method", "ppo", "--steps", "3"]) == "ppo"
    assert _method(["--config", str(path), "--output", "x"]) == "ppo"
    assert _method(["--config", str(tmp_path / "absent.yaml")]) == "her"
    assert _method(["--config", "configs/policy/her.yaml"]) == "her"


@pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="needs the extra ray: make test-extras")
@pytest.mark.timeout(600)
def test_ray_gives_what_workers_here_give(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in RAY_ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("RAY_worker_niceness", "0")  # by default they give way to everything else on the machine
    train_ppo(replace(TINY, output=tmp_path, executor="ray"))
    whole, spread = weights(trained), weights(tmp_path)
    assert all(torch.equal(whole[key], spread[key]) for key in whole)
