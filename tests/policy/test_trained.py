"""Policies load from every kind of file, act as they should, and wrong ones get one line."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from datagen.policy import RandomExploration, create_policy
from datagen.policy.features import INPUTS
from datagen.policy.layout import SHADOW
from datagen.policy.memory import Memory
from datagen.policy.network import Actor, Normaliser, save_policy
from datagen.policy.targets import JointTargets, Servo
from datagen.sim.environment import SMOOTHING
from datagen.sim.interface import Observation, blank_observation
from datagen.sim.scene import compile_scene
from tests.scenes import scene
from vision.errors import DactylError

BLOCK = compile_scene(scene("block"))
PRISM = compile_scene(scene("prism"))


def blank(worlds: int) -> Observation:
    """Of the Shadow hand."""
    return blank_observation(worlds, SHADOW.fingertips, SHADOW.joints)


class Half(torch.nn.Module):
    def __init__(self, width: int = 20) -> None:
        super().__init__()
        self.width = width

    def forward(self, observation: dict[str, torch.Tensor]) -> torch.Tensor:
        return torch.full((observation["object_position"].shape[0], self.width), 0.5)


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    path = tmp_path / "mine.pt"
    save_policy(path, Actor(INPUTS[:4], (16,), SHADOW), Normaliser(SHADOW.state), {"name": "mine", "object": "block"})
    return path


def test_own_weights_load_and_say_targets(weights: Path) -> None:
    policy = create_policy(str(weights), BLOCK, 3)
    assert policy.name.startswith("mine-")
    policy.reset(range(3), [np.random.default_rng(world) for world in range(3)])
    observation = blank(3)
    first = policy.act(observation)
    assert first.shape == (3, 20)
    assert np.abs(first).max() <= 1


def test_targets_become_relative_actions() -> None:
    targets = JointTargets(BLOCK, Servo())
    joints = np.zeros((1, 24))
    low, high = BLOCK.control_range.T
    joints[:, BLOCK.controls.follows.argmax(axis=1)] = low + 0.25 * (high - low)
    np.testing.assert_allclose(targets.relative(np.full((1, 20), -0.5), joints, joints), 0, atol=1e-12)
    np.testing.assert_allclose(targets.relative(np.zeros((1, 20)), joints, joints), 0.5)
    np.testing.assert_allclose(targets.relative(np.ones((1, 20)), joints, joints), 1)  # 1.5, clipped
    np.testing.assert_allclose(targets.holding(joints), -0.5)
    before = joints.copy()
    before[:, BLOCK.controls.follows.argmax(axis=1)] += 0.05 * (high - low)  # it went down by a tenth of half the range
    gentle = JointTargets(BLOCK, Servo(gain=0.6, damping=0.2))
    np.testing.assert_allclose(gentle.relative(np.zeros((1, 20)), joints, before), 0.6 * 0.5 + 0.2 * 0.1)


@pytest.mark.parametrize(("servo", "settles"), [(Servo(), False), (Servo(0.65, 0.2), True)])
def test_a_late_joint_settles_at_its_target_only_by_a_gentle_servo(servo: Servo, settles: bool) -> None:
    """The joint goes where it is told, one step late, and actions are averaged as in the environment."""
    targets, half = JointTargets(BLOCK, servo), (BLOCK.control_range[0, 1] - BLOCK.control_range[0, 0]) / 2
    led = int(BLOCK.controls.follows[0].argmax())
    joints, before, average, late = *(np.full((1, 24), BLOCK.control_range[0].mean()) for _ in range(2)), 0.0, 0.0
    ways = []
    for _ in range(80):
        action = targets.relative(np.full((1, 20), 0.4), joints, before)[0, 0]
        average, done = SMOOTHING * average + (1 - SMOOTHING) * action, late
        before, late = joints.copy(), average
        joints[0, led] += half * done
        ways.append((joints[0, led] - BLOCK.control_range[0].mean()) / half)
    assert (np.abs(np.array(ways[-20:]) - 0.4).max() < 0.01) == settles


@pytest.mark.parametrize("memory", [Memory("stack", 2), Memory("gru", 2, 8)])
def test_memory_is_each_worlds_own_and_ends_with_the_episode(tmp_path: Path, memory: Memory) -> None:
    path = tmp_path / "mine.pt"
    torch.manual_seed(0)
    save_policy(
        path, Actor(INPUTS[:4], (16,), SHADOW, memory), Normaliser(SHADOW.state), {"name": "mine", "object": "block"}
    )
    policy = create_policy(str(path), BLOCK, 2)
    generators = [np.random.default_rng(world) for world in range(2)]
    policy.reset(range(2), generators)
    observation = blank(2)
    first = policy.act(observation)
    moved = blank(2)
    moved["object_position"][0] += 0.5
    policy.act(moved)
    later = policy.act(observation)
    assert not np.allclose(later[0], first[0])  # it remembers that the object was elsewhere
    policy.reset([0], generators[:1])
    again = policy.act(observation)
    np.testing.assert_array_equal(again[0], first[0])
    assert not np.array_equal(again[1], first[1])  # what it did before it still knows


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_torchscript_loads(tmp_path: Path) -> None:
    path = tmp_path / "script.pt"
    example = {key: torch.from_numpy(value).float() for key, value in blank(2).items()}  # type: ignore[attr-defined]
    torch.jit.trace(Half(), (example,), strict=False).save(str(path))
    assert (create_policy(str(path), BLOCK, 2).act(blank(2)) == 0.5).all()


@pytest.mark.parametrize("width", [20, 24])
def test_exported_programs_load(tmp_path: Path, width: int) -> None:
    path = tmp_path / "program.pt2"
    example = {key: torch.from_numpy(value).float() for key, value in blank(2).items()}  # type: ignore[attr-defined]
    torch.export.save(torch.export.export(Half(width), (example,)), str(path))
    if width == 20:
        assert (create_policy(str(path), BLOCK, 2).act(blank(2)) == 0.5).all()
    else:
        with pytest.raises(DactylError, match=r"shape \(2, 20\), got \(2, 24\)"):
            create_policy(str(path), BLOCK, 2)


def test_entry_points_load(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "my_policy.py").write_text(
        "from datagen.policy import RandomExploration as build\nempty = lambda scene, worlds: 3\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    assert create_policy("my_policy:build", BLOCK, 2).name == RandomExploration.name
    for wrong in ("my_policy:missing", "no_such_module:build", "my_policy:empty"):
        with pytest.raises(DactylError, match=wrong):
            create_policy(wrong, BLOCK, 2)
    sys.modules.pop("my_policy", None)


def test_wrong_files_get_one_line(weights: Path, tmp_path: Path) -> None:
    with pytest.raises(DactylError, match="block"):
        create_policy(str(weights), PRISM, 2)
    with pytest.raises(DactylError, match="random-exploration"):
        create_policy(str(tmp_path / "absent.pt"), BLOCK, 2)
    whole = weights.read_bytes()
    for damaged in (whole[:-200], whole[:900] + bytes([whole[900] ^ 1]) + whole[901:], b"", b"text"):
        weights.write_bytes(damaged)
        with pytest.raises(DactylError, match=r"mine\.pt") as caught:
            create_policy(str(weights), BLOCK, 2)
        assert "\n" not in str(caught.value)
    torch.save({"format": "else"}, weights)
    with pytest.raises(DactylError, match="not a policy"):
        create_policy(str(weights), BLOCK, 2)


def test_a_policy_leaves_torch_as_many_threads_as_it_had() -> None:
    """The demo's training came after its states, and had one."""
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        create_policy("shadow-block", BLOCK, 3).act(blank(3))
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
