"""Features respect the block's symmetry, the learner solves a task that can be solved, and a training resumes."""

from __future__ import annotations

import contextlib
import copy
import csv
import io
import multiprocessing
import os
import signal
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from datagen.policy import create_policy
from datagen.policy.critics import CriticConfig, Critics
from datagen.policy.curriculum import Curriculum, Widening
from datagen.policy.experience import Moments, Transitions
from datagen.policy.features import GOAL_WIDTH, INPUTS, shape_of, shape_vector
from datagen.policy.her import Learner, Learning, act, known, tensors
from datagen.policy.her_config import HerConfig
from datagen.policy.journal import Tally
from datagen.policy.layout import SHADOW
from datagen.policy.learner import compiles
from datagen.policy.memory import Memory
from datagen.policy.network import Actor, Normaliser, load_policy, save_policy
from datagen.policy.player import Orders, Player
from datagen.policy.player_processes import LocalPlayer, PlayerProcesses, started_players
from datagen.policy.replay import Replay
from datagen.policy.starts import start_states
from datagen.policy.student import Student
from datagen.policy.training import Training, train
from datagen.sim.outcome import Outcome
from datagen.sim.scene import compile_scene
from datagen.sim.trials import EVALUATION, TrialRules, Trials
from tests.scenes import scene
from vision.errors import DactylError
from vision.geometry.rotations import cube_rotations, quaternion_from_matrix, quaternion_from_rotation
from vision.objects.symmetries import Symmetries
from vision.scene.load import SCENES, load_scene

TINY = HerConfig(
    output=Path(), steps=3072, players=0, worlds=8, clean_worlds=2, threads=2, chunk=8, updates=1, replay_steps=300,
    warmup=1024, start_states=8, log_steps=512,
    learning=Learning(hidden=(16,), critic=CriticConfig(hidden=(16,)), batch=32),
)  # fmt: skip
STUDENT = replace(TINY, teacher="absent.pt", learning=Learning(hidden=(16,), batch=32))

torch.set_num_threads(1)  # threads that wait for a busy machine's other processor cost more than they bring
BLOCK = compile_scene(scene("block"))


def test_turning_the_block_by_its_symmetries_changes_nothing() -> None:
    orientation = Rotation.random(rng=np.random.default_rng(0)).as_matrix()
    alike = shape_vector(BLOCK.object, quaternion_from_matrix(orientation @ cube_rotations()))
    np.testing.assert_allclose(alike, alike[:1] * np.ones((24, 1)), atol=1e-12)


def test_other_orientations_of_the_block_differ() -> None:
    some = Rotation.random(200, rng=np.random.default_rng(1))
    moments = shape_vector(BLOCK.object, quaternion_from_rotation(some))
    distance = np.linalg.norm(moments[:, None] - moments[None], axis=-1)
    # The angle between two orientations, over all of the block's symmetries.
    products = np.einsum("aij,sjk->asik", some.as_matrix(), cube_rotations())
    cosine = (np.einsum("asik,bik->abs", products, some.as_matrix()).max(axis=-1) - 1) / 2
    apart = np.arccos(np.clip(cosine, -1, 1)) > 0.2
    assert distance[apart].min() > 0.02


AXIS = {False: np.eye(3)[None], True: np.stack([np.eye(3), np.diag([1.0, -1.0, -1.0])])}


@pytest.mark.parametrize("ends_alike", AXIS)
def test_a_body_of_revolution_is_told_by_its_axis(ends_alike: bool) -> None:
    symmetries = Symmetries(rotations=AXIS[ends_alike], axes=np.eye(3)[2:])
    can = msgspec.structs.replace(BLOCK.object, faces=(), symmetries=symmetries)
    some = Rotation.random(200, rng=np.random.default_rng(1))
    vectors = shape_vector(can, quaternion_from_rotation(some))
    turned = some * Rotation.from_euler("z", 1.0)
    np.testing.assert_allclose(shape_vector(can, quaternion_from_rotation(turned)), vectors, atol=1e-12)
    flipped = shape_vector(can, quaternion_from_rotation(turned * Rotation.from_euler("x", np.pi)))
    assert np.allclose(flipped, vectors) == ends_alike
    cosine = some.as_matrix()[:, :, 2] @ some.as_matrix()[:, :, 2].T
    apart = np.arccos(np.clip(np.abs(cosine) if ends_alike else cosine, -1, 1)) > 0.2
    assert np.linalg.norm(vectors[:, None] - vectors[None], axis=-1)[apart].min() > 0.1


@pytest.mark.parametrize(("name", "kind"), [("block", "moments"), ("prism", "moments"), ("adroit-box", "nearest")])
def test_moments_tell_objects_of_many_symmetries_alone(name: str, kind: str) -> None:
    """A box that is no cube has four symmetries: moments would take its long side for its short one."""
    target = load_scene(name).object
    assert shape_of(target) == kind
    some = Rotation.random(5, rng=np.random.default_rng(0))
    vectors = shape_vector(target, quaternion_from_rotation(some))
    if kind == "nearest":
        found = Rotation.from_matrix(vectors.reshape(-1, 3, 3))
        distances = [(found * (some * Rotation.from_matrix(one)).inv()).magnitude() for one in target.shape_symmetries]
        np.testing.assert_allclose(np.min(distances, axis=0), 0, atol=1e-6)
        assert (found.magnitude() <= some.magnitude()).all()
    alike = some[0] * Rotation.from_matrix(target.shape_symmetries)
    count = len(target.shape_symmetries)
    np.testing.assert_allclose(shape_vector(target, quaternion_from_rotation(alike)), vectors[[0] * count], atol=1e-12)


def test_inputs_are_found_by_name() -> None:
    assert SHADOW.columns(INPUTS) == list(range(SHADOW.state))
    assert SHADOW.columns(("object_position",)) == [15, 16, 17]
    with pytest.raises(ValueError, match="smell"):
        SHADOW.columns(("smell",))


HIDDEN = 3  # numbers that no observation tells


def view(rng: np.random.Generator, count: int, frames: int = 0) -> Moments:
    """Standard normal numbers; goals uniform, and seen as they are."""
    goal = rng.uniform(-0.8, 0.8, (count, GOAL_WIDTH)).astype(np.float32)
    state, seen = rng.normal(size=(2, count, SHADOW.state)).astype(np.float32)
    hidden = rng.normal(size=(count, HIDDEN)).astype(np.float32)
    past = rng.normal(size=(count, frames, SHADOW.state)).astype(np.float32)
    return Moments(state, hidden, goal, seen, goal, past, np.zeros((count, frames, 3), np.float32))


def _traced(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile as a training does, but for the code, which takes a compiler and half a minute."""
    traced: Callable[..., Any] = torch._dynamo.optimize("eager", nopython=True)(function)
    return traced


LEARNING = Learning(hidden=(64, 64), learning_rate=3e-3, averaging=0.05, batch=512)
CRITICS = {
    "classifiers": CriticConfig(hidden=(64, 64)),
    "distributions": CriticConfig(hidden=(64, 64), atoms=21),
    "residual": CriticConfig(hidden=(64, 64), blocks="residual", atoms=21),
}


@pytest.mark.parametrize("critic", CRITICS)
def test_the_learner_finds_the_action_that_pays(critic: str) -> None:
    """Goals are reached by an action that begins like the goal, at once, and by no other."""
    rng = np.random.default_rng(0)
    learner = Learner(replace(LEARNING, critic=CRITICS[critic]), SHADOW, HIDDEN, seed=0)
    learner.normaliser.update(torch.randn(512, SHADOW.state))
    for _ in range(250):
        now = view(rng, 512)
        action = rng.uniform(-1, 1, (512, 20)).astype(np.float32)
        pays = (np.abs(action[:, 0] - now.goal[:, 0]) < 0.35).astype(np.float32)
        figures = learner.update(Transitions(now, action, pays, np.zeros(512, np.float32), now), rng)
    assert figures["critic_loss"] < 0.5  # 0.62 is to know no more than how often it pays
    chosen = act(learner.actor, tensors(now, learner.normaliser, learner.device)).detach().numpy()
    assert np.abs(chosen[:, 0] - now.goal[:, 0]).mean() < 0.2  # 0.4 for an actor that is always in the middle


def test_the_saved_policy_is_a_mean_over_updates() -> None:
    """It follows the trained actor by a fraction in each update, and goes on from a checkpoint."""
    learner = Learner(replace(LEARNING, policy_averaging=0.25), SHADOW, HIDDEN, seed=0)
    plain = Learner(LEARNING, SHADOW, HIDDEN, seed=0)
    assert plain.saved_actor is plain.actor
    rng, expected = np.random.default_rng(0), copy.deepcopy(learner.actor.state_dict())
    for _ in range(3):
        now = view(rng, 512)
        action = rng.uniform(-1, 1, (512, 20)).astype(np.float32)
        sample = Transitions(now, action, np.zeros(512, np.float32), np.zeros(512, np.float32), now)
        learner.update(sample, np.random.default_rng(1))
        trained = learner.actor.state_dict()
        expected = {name: 0.75 * before + 0.25 * trained[name] for name, before in expected.items()}
    torch.testing.assert_close(dict(learner.saved_actor.state_dict()), expected)
    again = Learner(replace(LEARNING, policy_averaging=0.25), SHADOW, HIDDEN, seed=5)
    again.load_state_dict(learner.state_dict())
    torch.testing.assert_close(dict(again.saved_actor.state_dict()), expected)
    again.take_on(plain.actor, plain.normaliser)
    torch.testing.assert_close(dict(again.saved_actor.state_dict()), dict(plain.actor.state_dict()))


def test_actors_see_what_sensors_report_and_critics_what_is() -> None:
    learner = Learner(Learning(hidden=(32,)), SHADOW, HIDDEN, seed=1)
    learner.normaliser.count.fill_(1)
    now = tensors(view(np.random.default_rng(0), 4), learner.normaliser, learner.device)
    action = torch.randn(4, 20)
    for changed, acts, judges in (("seen", True, False), ("state", False, True), ("hidden", False, True)):
        other = now | {changed: now[changed] + 1}
        assert torch.equal(act(learner.actor, now), act(learner.actor, other)) != acts
        values = (learner.critics(known(which, action)) for which in (now, other))
        assert torch.equal(*values) != judges
    blind = now | {"seen": now["seen"].clone()}
    blind["seen"][:, SHADOW.columns(("joint_velocity", "object_velocity"))] += 1
    assert torch.equal(act(learner.actor, now), act(learner.actor, blind))


def test_a_teacher_sees_what_is() -> None:
    learner = Learner(Learning(hidden=(32,), privileged=True), SHADOW, HIDDEN, seed=1)
    now = tensors(view(np.random.default_rng(0), 4), learner.normaliser, learner.device)
    for changed, acts in (("seen", False), ("state", True), ("hidden", True)):
        other = now | {changed: now[changed] + 1}
        assert torch.equal(act(learner.actor, now), act(learner.actor, other)) != acts


@pytest.mark.parametrize("memory", [Memory("stack", 3), Memory("gru", 3, 8)])
def test_an_actor_with_memory_takes_on_one_without(memory: Memory) -> None:
    torch.manual_seed(0)
    plain, more = (Actor(INPUTS[:4], (16, 16), SHADOW, each) for each in (None, memory))
    more.take_on(plain)
    now = tensors(view(np.random.default_rng(0), 5, frames=3), Normaliser(SHADOW.state), torch.device("cpu"))
    now["turns"] = torch.randn(5, 3, 3)
    torch.testing.assert_close(act(more, now), act(plain, now))
    more.layers[0].weight.data[:, -1] += torch.randn(16)  # it can learn to look back
    assert (act(more, now) - act(plain, now)).abs().max() > 1e-3
    with pytest.raises(ValueError, match="layers"):
        more.take_on(Actor(INPUTS[:4], (16,), SHADOW))
    with pytest.raises(ValueError, match="Memory"):
        plain.take_on(more)


@pytest.mark.parametrize("memory", [Memory("stack", 2), Memory("gru", 2, 16)])
def test_a_student_infers_what_its_teacher_was_told(memory: Memory) -> None:
    """The teacher acts on the last of three hidden numbers; the student can read it in its last frame but one."""
    torch.manual_seed(0)
    rng, teacher = np.random.default_rng(0), Actor(("object_position",), (16,), SHADOW, privileged=HIDDEN)
    learning = Learning(("object_position",), (32,), memory, learning_rate=3e-3, batch=256)
    student = Student(learning, teacher, Normaliser(SHADOW.state), HIDDEN, seed=0)
    blind = Student(replace(learning, memory=Memory()), teacher, Normaliser(SHADOW.state), HIDDEN, seed=0)
    for _ in range(300):
        now = view(rng, 256, frames=2)
        now.seen[:] = now.state
        now.past[:, 1, 15:18] = now.hidden
        sample = Transitions(now, np.zeros((256, 20), np.float32), *np.zeros((2, 256), np.float32), now)
        seeing, guessing = student.update(sample, rng), blind.update(sample, rng)
    assert seeing["distance"] < 0.3 * guessing["distance"]


def test_compiled_networks_learn_as_others_do(monkeypatch: pytest.MonkeyPatch) -> None:
    compiled = list[object]()
    monkeypatch.setattr(torch, "compile", lambda each: compiled.append(each) or _traced(each))
    learners = [Learner(LEARNING, SHADOW, HIDDEN, seed=0, compiled=yes) for yes in (False, True)]
    assert len(compiled) == 2
    for each in learners:
        rng = np.random.default_rng(0)
        for _ in range(3):
            now = view(rng, 512)
            action, pays = rng.uniform(-1, 1, (512, 20)).astype(np.float32), (now.goal[:, 0] > 0).astype(np.float32)
            each.update(Transitions(now, action, pays, np.zeros(512, np.float32), now), rng, anchor=0.3)
    for name, part in learners[0].actor.state_dict().items():
        torch.testing.assert_close(learners[1].actor.state_dict()[name], part)


def test_where_torch_cannot_compile_a_training_goes_on(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Without a C++ compiler or Python's headers, torch says so only when the first compiled function is called."""

    def refuse(*_: object) -> None:
        raise RuntimeError("InvalidCxxCompiler: No working C++ compiler found")

    monkeypatch.setattr(torch, "compile", lambda _: refuse)
    training = Training(replace(TINY, output=tmp_path, compile=True), scene("block"))
    assert training.learner._critic_loss == training.learner._evaluate_critics
    assert "compile: left out, since torch cannot compile here (InvalidCxxCompiler" in capsys.readouterr().err
    monkeypatch.setattr(torch, "compile", lambda each: each)
    assert compiles("cpu")
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("changes", "reason"), [({"warmup": 0}, "warmup: must be"), ({"anchor": 0.5, "anchor_steps": 9}, "anchor: holds")]
)
def test_what_is_of_no_use_without_given_weights_is_refused(changes: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        replace(TINY, **changes)
    replace(TINY, **changes, init="shadow-block")


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"init": "shadow-block", "anchor": 0.5}, "anchor: has faded at once without anchor_steps"),
        ({"first_turn": 0.0}, "first_turn: must be positive"),
        ({"noise": (0.0, 1000.0)}, "noise: expected 0 <= least <= most <= 2"),
        ({"widen_at": 1.5}, "widen_at: must lie in"),
        ({"checkpoint_s": -1.0}, "checkpoint_s: must not be negative"),
        ({"seed": -1}, "seed: must not be negative"),
        ({"randomized": True, "groups": ()}, "groups: expected at least one"),
        ({"groups": ("physics",), "widening": Widening(0.4)}, "groups, widening: of the randomized simulation"),
    ],
)
def test_what_would_make_a_training_useless_is_refused(changes: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        replace(TINY, **changes)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"hidden": (0,)}, "hidden: expected widths of 1"),
        ({"action_cost": -0.1}, "action_cost: must not be negative"),
    ],
)
def test_networks_that_cannot_learn_are_refused(changes: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        Learning(**changes)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"critics_first": 9, "first_updates": 1}, "critics_first, first_updates: for critics"),
        ({"init": "shadow-block", "anchor": 0.5, "anchor_steps": 9}, "anchor, anchor_steps: for critics"),
        ({"learning": Learning(smoothing=0.1, critic=CriticConfig(3))}, "learning.critic, learning.smoothing: for"),
        ({"learning": Learning(privileged=True)}, "learning.privileged: makes a teacher"),
    ],
)
def test_a_student_refuses_what_it_would_ignore(changes: dict[str, Any], reason: str) -> None:
    """Of steps in which only critics learn it would learn nothing."""
    with pytest.raises(ValueError, match=reason):
        replace(STUDENT, **changes)


def test_an_anchor_holds_the_given_actor() -> None:
    """Critics that know nothing pull it away; with an anchor it stays near, and moves no more than that."""
    moved = []
    for anchor in (0.0, 30.0):
        rng, learner = np.random.default_rng(0), Learner(LEARNING, SHADOW, HIDDEN, seed=0)
        torch.manual_seed(0)
        learner.take_on(Actor(LEARNING.actor_inputs, LEARNING.hidden, SHADOW), Normaliser(SHADOW.state))
        for _ in range(60):
            now = view(rng, 512)
            action, nothing = rng.uniform(-1, 1, (512, 20)).astype(np.float32), np.zeros(512, np.float32)
            learner.update(Transitions(now, action, nothing, nothing, now), rng, anchor=anchor)
        seen = tensors(now, learner.normaliser, learner.device)
        difference = act(learner.actor, seen) - act(learner.given, seen)
        moved.append((difference**2).mean().item())
    assert moved[1] < 0.3 * moved[0]


def test_an_actor_ascends_the_least_of_its_critics(monkeypatch: pytest.MonkeyPatch) -> None:
    """One critic praises actions for being large, the other blames them for it even more: only both together hold the
    actor where it is."""

    def opinions(inputs: torch.Tensor, members: int | None = None) -> torch.Tensor:
        size = inputs[:, -20:].square().sum(dim=1, keepdim=True)
        return torch.stack([size, -2 * size])[:members]

    grown = []
    for count in (1, 2):
        learner, rng = Learner(replace(LEARNING, actor_critics=count), SHADOW, HIDDEN, seed=0), np.random.default_rng(0)
        now = tensors(view(rng, 64), learner.normaliser, learner.device)
        before = act(learner.actor, now).square().mean().item()
        monkeypatch.setattr(learner.critics, "forward", opinions)
        for _ in range(20):
            learner._improve(now, 0.0)
        grown.append(act(learner.actor, now).square().mean().item() / before)
    assert grown[0] > 2
    assert grown[1] < 0.5
    with pytest.raises(ValueError, match="actor_critics: must be at most critic"):
        Learning(actor_critics=3)


def test_targets_are_made_of_actions_near_the_actors(monkeypatch: pytest.MonkeyPatch) -> None:
    learner = Learner(replace(LEARNING, smoothing=0.1), SHADOW, HIDDEN, seed=0)
    rng, asked = np.random.default_rng(0), list[torch.Tensor]()
    now, nothing = view(rng, 512), np.zeros(512, np.float32)
    monkeypatch.setattr(
        learner.target_critics, "forward", lambda inputs: asked.append(inputs[:, -20:]) or learner.critics(inputs)
    )
    chosen = act(learner.target_actor, tensors(now, learner.normaliser, learner.device))
    learner.update(Transitions(now, rng.uniform(-1, 1, (512, 20)).astype(np.float32), nothing, nothing, now), rng)
    apart = asked[0] - chosen.detach()
    assert 0.08 < apart.std() < 0.1  # cut at two deviations
    assert apart.abs().max() <= 0.2 + 2**-8  # rounded as bfloat16 where a processor computes fast in it
    assert asked[0].abs().max() <= 1


def test_targets_of_distributions_keep_mass_and_mean() -> None:
    critics = Critics(CriticConfig(count=2, hidden=(8,), atoms=11), 4)
    logits = torch.randn(2, 6, 11)
    reward, discount = torch.linspace(0, 0.3, 6), torch.tensor([0.7, 0.7, 0.5, 0.7, 0.0, 0.7])
    target = critics.target(logits, reward, discount)
    torch.testing.assert_close(target.sum(dim=1), torch.ones(6))
    least = critics.value(logits).min(dim=0).values
    torch.testing.assert_close((target * critics.atoms).sum(dim=1), reward + discount * least)
    sure = torch.full((2, 6, 11), -50.0)
    sure[..., 4] = 50
    torch.testing.assert_close(critics.value(sure), torch.full((2, 6), 0.4))


def test_a_curriculum_moves_when_its_edge_is_mastered() -> None:
    curriculum = Curriculum(Widening(first=0.5, step=0.3, fraction=0.75, goals=8))
    assert not curriculum.count(reached=5, total=7)  # too few to tell
    assert curriculum.count(reached=1, total=1)
    assert curriculum.value == pytest.approx(0.8)
    assert not curriculum.count(reached=5, total=8)  # not enough, so that it begins anew
    assert not curriculum.count(reached=6, total=7)
    assert curriculum.count(reached=0, total=1)
    assert curriculum.value == 1
    assert not curriculum.count(reached=100, total=100)


def test_a_curriculum_moves_whatever_a_chunk_holds() -> None:
    """More goals than are counted at a time: once the misses of such a chunk came last and alone were left."""
    curriculum = Curriculum(Widening(first=0.0, step=0.1, fraction=0.8, goals=20))
    assert curriculum.count(reached=34, total=40)
    assert not curriculum.count(reached=31, total=40)


def test_worlds_that_do_not_explore_hold_the_grasp_still_at_first(tmp_path: Path) -> None:
    player = Player(replace(TINY, output=tmp_path), scene("block"), 0, 0, 0)
    parts = (
        {name: value.numpy() for name, value in part.state_dict().items()} for part in (player.actor, player.normaliser)
    )
    (step,) = player.play(Orders(*parts, grasping=True, turn=3.2, width=0.0), 1).steps
    np.testing.assert_array_equal(step.action[:2], np.clip(np.repeat(player.grasp, 2, axis=0), -1, 1))
    assert (step.action[2:] != player.grasp).any(axis=1).all()


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
    assert float(rows[-1]["core_seconds"]) > float(rows[0]["core_seconds"]) > 0
    assert (tmp_path / "progress.png").stat().st_size > 1000
    with pytest.raises(DactylError, match="worlds"):
        train(replace(config, worlds=9))


def test_a_training_that_has_more_steps_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = replace(TINY, output=tmp_path, steps=128)
    train(config)
    assert "already" not in capsys.readouterr().err
    (tmp_path / "policy.pt").unlink()
    assert train(replace(config, steps=64)) == 128
    assert "it already has the 64 steps asked for; larger steps extend it" in capsys.readouterr().err
    assert (tmp_path / "policy.pt").exists()


def test_learning_waits_until_there_is_something_to_learn_from(tmp_path: Path) -> None:
    """Without a warm-up, the first chunk may be a single step, which nothing follows."""
    given = Actor(TINY.learning.actor_inputs, TINY.learning.hidden, SHADOW)
    save_policy(tmp_path / "given.pt", given, Normaliser(SHADOW.state), {"name": "given", "object": "block"})
    init = str(tmp_path / "given.pt")
    assert train(replace(TINY, output=tmp_path / "run", init=init, warmup=0, chunk=1, steps=24)) == 24


def test_experience_is_on_the_disk_before_the_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a loss of power, a checkpoint would count on experience that is not there."""
    training = Training(replace(TINY, output=tmp_path), scene("block"))

    def refuse(_: object) -> None:
        raise InterruptedError

    monkeypatch.setattr(Replay, "flush", refuse)
    with pytest.raises(InterruptedError):
        training.save()
    assert not (tmp_path / "checkpoint.pt").exists()


@pytest.mark.parametrize("damage", [lambda data: data[:-100], lambda data: b"", lambda data: b"starts"])
def test_damaged_starts_are_one_line(tmp_path: Path, damage: Callable[[bytes], bytes]) -> None:
    environment, path = TINY.environment(scene("block")), tmp_path / "starts.npy"
    width = environment.batch.state.shape[1]
    np.save(path, np.zeros((8, width)))
    assert start_states(tmp_path, environment, 8).shape == (8, width)
    for content in (damage(path.read_bytes()), _saved(np.zeros((8, width + 1)))):
        path.write_bytes(content)
        with pytest.raises(DactylError, match=f"{path}: damaged; delete it, and it is made again"):
            start_states(tmp_path, environment, 8)


def _saved(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def test_residual_critics_are_computed_in_bfloat16_without_a_warning() -> None:
    critics = Critics(CRITICS["residual"], 4)
    torch.set_warn_always(True)  # else once in a process, which another test may have had
    try:
        with torch.autocast("cpu", torch.bfloat16), warnings.catch_warnings(action="error"):
            assert critics(torch.zeros(3, 4)).shape == (2, 3, 21)
    finally:
        torch.set_warn_always(False)


def test_a_short_training_says_how_long_it_was_and_leaves_a_curve(tmp_path: Path) -> None:
    assert train(replace(TINY, output=tmp_path, steps=100)) == 128, "two chunks of eight steps in eight worlds"
    with (tmp_path / "progress.csv").open() as file:
        assert [int(row["steps"]) for row in csv.DictReader(file)] == [128]
    assert (tmp_path / "progress.png").exists()


@pytest.mark.parametrize(("key", "value"), [("start_states", 6), ("seed", 1), ("scene", "prism")])
def test_a_training_killed_before_its_first_checkpoint_is_of_one_configuration(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, key: str, value: object
) -> None:
    config = replace(TINY, output=tmp_path, steps=1024)
    with monkeypatch.context() as patch:
        patch.setattr(Training, "save", lambda self: None)
        train(config)
    with pytest.raises(DactylError, match=f"another configuration .*{key}"):
        train(replace(config, **{key: value}))
    train(config)
    with (tmp_path / "progress.csv").open() as file:
        assert [int(row["steps"]) for row in csv.DictReader(file)] == [512, 1024]


def test_a_randomized_training_goes_on_from_given_weights_in_processes(tmp_path: Path) -> None:
    torch.manual_seed(0)
    learning = replace(TINY.learning, memory=Memory("gru", 3, 8))
    given = Actor(learning.actor_inputs, learning.hidden, SHADOW)
    save_policy(tmp_path / "given.pt", given, Normaliser(SHADOW.state), {"name": "given", "object": "block"})
    config = replace(
        TINY, output=tmp_path / "run", randomized=True, init=str(tmp_path / "given.pt"), learning=learning, players=2,
        worlds=4, clean_worlds=1, warmup=256, critics_first=1280, first_updates=1, steps=1536,
    )  # fmt: skip
    train(config)
    kept, normaliser, _ = load_policy(tmp_path / "run" / "policy.pt")
    plain = given.get_parameter("layers.0.weight")
    torch.testing.assert_close(kept.get_parameter("layers.0.weight")[:, : plain.shape[1]], plain)
    assert normaliser.count == 0  # inputs keep the meaning that the given weights know them by
    train(replace(config, steps=2048))
    learnt, _, _ = load_policy(tmp_path / "run" / "policy.pt")
    assert not torch.equal(learnt.get_parameter("layers.0.weight"), kept.get_parameter("layers.0.weight"))


def test_a_teacher_is_trained_and_taught(tmp_path: Path) -> None:
    taught = replace(TINY.learning, privileged=True)
    train(replace(TINY, output=tmp_path / "teacher", randomized=True, learning=taught, steps=1536))
    path = tmp_path / "teacher" / "policy.pt"
    with pytest.raises(DactylError, match="student"):
        create_policy(str(path), BLOCK, 2)
    learning = replace(STUDENT.learning, memory=Memory("gru", 2, 8))
    student = replace(
        STUDENT, output=tmp_path / "student", randomized=True, teacher=str(path), learning=learning, warmup=64
    )
    train(student)
    with (tmp_path / "student" / "progress.csv").open() as file:
        distances = [float(row["distance"]) for row in csv.DictReader(file)]
    assert distances[-1] < distances[0]
    assert create_policy(str(tmp_path / "student" / "policy.pt"), BLOCK, 2).name.startswith("policy-")


def test_a_player_in_the_same_process_leaves_the_learner_its_threads(tmp_path: Path) -> None:
    before = torch.get_num_threads()
    try:
        train(replace(TINY, output=tmp_path, torch_threads=2, steps=256, warmup=64))
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_weights_go_to_players_by_value(tmp_path: Path) -> None:
    """Torch passes tensors on as open files, of which a thread complained where a player was ended before it had
    fetched them."""
    orders = Training(replace(TINY, output=tmp_path), scene("block"))._orders()
    assert {type(value) for part in (orders.actor, orders.normaliser) for value in part.values()} == {np.ndarray}


@pytest.mark.parametrize("key", ["core_seconds", "replay_time"])
def test_a_checkpoint_of_another_version_is_one_line(tmp_path: Path, key: str) -> None:
    config, path = replace(TINY, output=tmp_path), tmp_path / "checkpoint.pt"
    Training(config, scene("block")).save()
    content = torch.load(path)
    del content[key]
    torch.save(content, path)
    with pytest.raises(DactylError, match=f"{path}: does not fit this version's network \\('{key}'\\); train it again"):
        Training(config, scene("block"))


def test_players_simulate_the_scene_that_was_recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its file may be edited after the training has read it."""
    path, block = tmp_path / "it.yaml", (SCENES / "block.yaml").read_text()
    path.write_text(block.replace("object: block", "object: prism"))
    played = []

    def edited(*arguments: Any) -> contextlib.AbstractContextManager[LocalPlayer | PlayerProcesses]:
        path.write_text(block)
        return started_players(*arguments)

    def note(self: Player, *_: object) -> None:
        played.append(self.environment.scene.object.name)
        raise InterruptedError

    monkeypatch.setattr("datagen.policy.training.started_players", edited)
    monkeypatch.setattr(Player, "play", note)
    with pytest.raises(InterruptedError):
        train(replace(TINY, output=tmp_path / "run", scene=str(path)))
    assert played == ["prism"]


def test_a_player_that_dies_is_one_line() -> None:
    ours, theirs = multiprocessing.Pipe()
    theirs.close()
    with pytest.raises(DactylError, match="last checkpoint"):
        PlayerProcesses([ours]).finish()


@pytest.mark.parametrize(
    ("config", "fault"),
    [
        (replace(TINY, init="absent.pt"), "absent.pt"),
        (STUDENT, "absent.pt"),
        (replace(TINY, device="cuda:99"), "cuda:99"),
    ],
)
def test_what_cannot_be_used_is_one_line(tmp_path: Path, config: HerConfig, fault: str) -> None:
    with pytest.raises(DactylError, match=fault) as caught:
        train(replace(config, output=tmp_path))
    assert "\n" not in str(caught.value)


def test_a_signal_finds_everything_between_two_chunks_and_saves_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    advance = Training._advance
    calls = []

    def interrupted(self: Training) -> None:
        calls.append(self.steps)
        if len(calls) == 3:
            os.kill(os.getpid(), signal.SIGINT)
        advance(self)

    monkeypatch.setattr(Training, "_advance", interrupted)
    with pytest.raises(KeyboardInterrupt):
        train(replace(TINY, output=tmp_path))
    assert calls == [0, 64, 128]
    assert torch.load(tmp_path / "checkpoint.pt")["steps"] == 192
    assert load_policy(tmp_path / "policy.pt")[2]["steps"] == 192


def test_a_damaged_checkpoint_is_named(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.pt"
    path.write_bytes(b"nothing of the sort")
    with pytest.raises(DactylError, match=r"checkpoint\.pt"):
        train(replace(TINY, output=tmp_path))


def test_only_trials_begun_at_the_present_width_count_for_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Trials under way keep the physics that they began with, and may go on for fifty goals."""
    config = replace(TINY, output=tmp_path, randomized=True)
    player, counted = Player(config, scene("block"), 0, 0, 0), list[np.ndarray]()
    monkeypatch.setattr(Tally, "count", lambda self, *values: counted.append(values[-1]))
    weights = [
        {name: tensor.numpy() for name, tensor in part.state_dict().items()}
        for part in (player.actor, player.normaliser)
    ]
    assert player.play(Orders(*weights, grasping=True, turn=3.2, width=0.5), 1).width == 0.5
    assert player.play(Orders(*weights, grasping=True, turn=3.2, width=0.6), 1).width == 0.6
    player._begin(np.array([1]))
    player.play(Orders(*weights, grasping=True, turn=3.2, width=0.6), 1)
    clean = counted[::2]
    assert [whose.tolist()[:2] for whose in clean] == [[True, True], [False, False], [False, True]]
    assert not any(whose[config.clean_worlds :].any() for whose in clean)
