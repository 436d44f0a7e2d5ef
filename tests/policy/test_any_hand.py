"""Policies of hands that are not the Shadow hand: trained, gone on with, measured and used, and told apart."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import msgspec
import mujoco
import numpy as np
import pytest
import torch

from dactyl.cli import main
from datagen.policy import create_policy, shipped
from datagen.policy.critics import CriticConfig
from datagen.policy.features import INPUTS
from datagen.policy.gym_env import HandVectorEnv
from datagen.policy.her import Learning
from datagen.policy.her_config import HerConfig
from datagen.policy.layout import SHADOW, Layout, layout_of
from datagen.policy.memory import Memory
from datagen.policy.network import Actor, Normaliser, load_policy, save_policy
from datagen.policy.training import train
from datagen.policy.trial_gif import film_camera
from datagen.sim.complete import complete_scene
from datagen.sim.environment import Environment
from datagen.sim.interface import blank_observation
from datagen.sim.randomization import EVERYTHING
from datagen.sim.scene import SimScene, compile_scene
from datagen.states.files import load_states
from tests.tray import ACTUATORS, JOINTS, TIPS, tray_scene
from vision.errors import DactylError
from vision.geometry.cameras import project
from vision.geometry.rotations import quaternion_from_rotation, rotation_from_quaternion
from vision.scene.framing import pixels_across

torch.set_num_threads(1)

TINY = HerConfig(
    output=Path(), steps=128, players=0, worlds=4, clean_worlds=1, threads=1, chunk=8, updates=1, replay_steps=300,
    warmup=32, start_states=4, log_steps=64,
    learning=Learning(hidden=(16,), critic=CriticConfig(hidden=(16,)), batch=32),
)  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("trays")


@pytest.fixture(scope="module")
def can(folder: Path) -> SimScene:
    return compile_scene(complete_scene(str(tray_scene(folder, "can"))))


@pytest.fixture(scope="module")
def policy(can: SimScene, folder: Path) -> Path:
    """Of the can in the tray: trained in everything that is randomized, with a memory, in two goes."""
    learning = replace(TINY.learning, memory=Memory("gru", 2, 8))
    config = replace(
        TINY, output=folder / "run", scene=str(folder / "tray-can.yaml"), randomized=True, learning=learning
    )
    train(config)
    train(replace(config, steps=192))
    return folder / "run" / "policy.pt"


def refused(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> str:
    """The one line with which the command line refuses them."""
    assert main([str(argument) for argument in arguments]) == 1
    said = capsys.readouterr().err
    assert said.count("\n") == 1, said
    return said


def test_a_policy_is_for_its_scenes_hand(policy: Path, can: SimScene) -> None:
    actor, normaliser, about = load_policy(policy)
    assert about["steps"] == 192
    assert actor.layout == layout_of(can) == Layout("tray", TIPS, JOINTS, ACTUATORS, "axis")
    assert len(normaliser.mean) == 3 * TIPS + 3 + 9 + JOINTS + ACTUATORS + JOINTS + 6
    acting = create_policy(str(policy), can, 2)
    acting.reset(range(2), [np.random.default_rng(world) for world in range(2)])
    assert acting.act(blank_observation(2, TIPS, JOINTS)).shape == (2, ACTUATORS)


def test_it_is_measured_and_makes_states(policy: Path, folder: Path, tmp_path: Path) -> None:
    made = ("--scene", str(folder / "tray-can.yaml"), "--policy", str(policy), "--threads", "1")
    trials = ("--trials", "2", "--rules.seconds", "0.4", "--plain", "false", "--baseline", "false")
    assert main(["policy", "evaluate", *made, *trials, "--output", str(tmp_path / "evaluation")]) == 0
    result = json.loads((tmp_path / "evaluation" / "results.json").read_text())["randomized"]
    assert len(result["goals"]) == 2
    assert main(["states", *made, "--count", "6", "--worlds", "2", "--output", str(tmp_path / "states")]) == 0
    states = load_states(tmp_path / "states")
    assert states.policy.startswith("policy-")
    assert states.joint_position.shape == (6, JOINTS)


@pytest.mark.parametrize("name", ["block", "adroit-box", "tray-pebble"])
def test_a_film_shows_what_the_hand_does(name: str, tmp_path: Path) -> None:
    """The object, large enough, and the fingertips around it, from where a camera of the rig looks."""
    source = str(tray_scene(tmp_path, "pebble")) if name == "tray-pebble" else name
    compiled = compile_scene(complete_scene(source))
    scene, data = compiled.scene, mujoco.MjData(compiled.model)
    camera = film_camera(scene)
    data.qpos[compiled.hand_qpos] = scene.initial_joints
    mujoco.mj_kinematics(compiled.model, data)
    start = np.array(scene.workspace.start)
    shown = np.concatenate([data.site_xpos[compiled.fingertip_sites], scene.object.points + start])
    pixels = project(shown, camera) / camera.width
    assert pixels.min() > 0.02
    assert pixels.max() < 0.98
    assert 0.15 < pixels_across(scene, camera) / camera.width < 0.7
    towards = camera.position - start
    rig = np.stack([each.position for each in scene.rig.cameras]) - start
    cosine = rig @ towards / np.linalg.norm(rig, axis=1) / np.linalg.norm(towards)
    assert cosine.max() > 0.95


def test_other_libraries_get_it_too(can: SimScene, folder: Path) -> None:
    hands = HandVectorEnv(2, str(folder / "tray-can.yaml"), EVERYTHING, threads=1, starts=2)
    observation, _ = hands.reset(seed=0)
    assert hands.single_action_space.shape == (ACTUATORS,)
    layout = layout_of(can)
    assert observation.shape == (2, layout.state - layout.joints - 6 + 13), "all but velocities"
    hands.step(np.ones((2, ACTUATORS), np.float32))


def test_a_teacher_and_its_student(folder: Path) -> None:
    """Of an object whose orientation is told by its matrix."""
    scene = str(tray_scene(folder, "pebble"))
    train(replace(TINY, output=folder / "teacher", scene=scene, learning=replace(TINY.learning, privileged=True)))
    teacher = folder / "teacher" / "policy.pt"
    learning = Learning(hidden=(16,), memory=Memory("stack", 2), batch=32)
    train(replace(TINY, output=folder / "student", scene=scene, teacher=str(teacher), learning=learning))
    actor, _, _ = load_policy(folder / "student" / "policy.pt")
    assert actor.layout.shape == "matrix"
    assert not torch.equal(actor.layers[0].weight, load_policy(teacher)[0].layers[0].weight)


def test_adroit_is_trained(tmp_path: Path) -> None:
    train(replace(TINY, output=tmp_path, scene="adroit-box", steps=64))
    actor, _, _ = load_policy(tmp_path / "policy.pt")
    assert actor.layout == Layout("adroit", 5, 24, 24, "nearest")


def test_files_without_a_layout_are_of_the_shadow_hand(tmp_path: Path) -> None:
    path = shipped()["shadow-block"]
    assert "layout" not in torch.load(path), "else nothing is tried here"
    assert load_policy(path)[0].layout == SHADOW == layout_of(compile_scene(complete_scene("block")))


def test_a_policy_of_another_hand_is_one_line(can: SimScene, folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "mine.pt"
    about = {"name": "mine", "object": "can"}
    save_policy(path, Actor(INPUTS[:4], (16,), SHADOW), Normaliser(SHADOW.state), about)
    said = (
        r"mine\.pt: a policy for hand shadow \(5 fingertips, 24 joints, 20 actuators, object told by moments\), where "
        r"the scene has hand tray \(3 fingertips, 6 joints, 5 actuators, object told by axis\)"
    )
    with pytest.raises(DactylError, match=said):
        create_policy(str(path), can, 2)
    with pytest.raises(DactylError, match=said):
        train(replace(TINY, output=tmp_path / "run", scene=str(folder / "tray-can.yaml"), init=str(path)))
    twin = replace(layout_of(can), hand="twin")  # as many joints, which mean something else
    save_policy(path, Actor(INPUTS[:4], (16,), twin), Normaliser(twin.state), about)
    with pytest.raises(DactylError, match=r"hand twin .* hand tray"):
        create_policy(str(path), can, 2)


def test_a_training_begins_with_a_policy_for_another_object(
    policy: Path, can: SimScene, folder: Path, tmp_path: Path
) -> None:
    learnt, normaliser, about = load_policy(policy)
    path = tmp_path / "another.pt"
    save_policy(path, learnt, normaliser, about | {"object": "another"})
    with pytest.raises(DactylError, match=r"another\.pt: a policy for the another, not the can"):
        create_policy(str(path), can, 2)
    learning = replace(TINY.learning, memory=Memory("gru", 2, 8))
    config = replace(
        TINY, scene=str(folder / "tray-can.yaml"), randomized=True, learning=learning, critics_first=10_000
    )
    config = replace(config, output=tmp_path / "run", init=str(path))
    train(config)
    after, _, about = load_policy(tmp_path / "run/policy.pt")
    assert about["object"] == "can"
    torch.testing.assert_close(after.state_dict(), learnt.state_dict())  # only the critics have learnt yet


def test_a_checkpoint_of_other_networks_is_one_line(policy: Path, folder: Path, tmp_path: Path) -> None:
    """As there is one where the scene's file named another hand before."""
    checkpoint = torch.load(policy.parent / "checkpoint.pt")
    del checkpoint["learner"]["actor"]["layers.0.weight"]
    torch.save(checkpoint, tmp_path / "checkpoint.pt")
    learning = replace(TINY.learning, memory=Memory("gru", 2, 8))
    config = replace(TINY, output=tmp_path, scene=str(folder / "tray-can.yaml"), randomized=True, learning=learning)
    with pytest.raises(DactylError, match=r"checkpoint\.pt: does not fit"):
        train(config)


@pytest.mark.parametrize("command", ["train", "evaluate"])
def test_without_a_hand_nothing_can_be_turned(command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said = refused(capsys, "policy", command, "--scene", "trifinger-cube", "--output", tmp_path / "run")
    assert "scene trifinger-cube: no hand with actuators" in said


def test_what_looks_the_same_in_every_orientation_has_no_goals(can: SimScene) -> None:
    every = msgspec.structs.replace(can.object.symmetries, rotations=np.eye(3)[None], axes=np.eye(3)[:2])
    ball = msgspec.structs.replace(can.object, name="ball", symmetries=every)
    with pytest.raises(DactylError, match="ball: looks the same"):
        layout_of(replace(can, scene=msgspec.structs.replace(can.scene, object=ball)))


class Half(torch.nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = width

    def forward(self, observation: dict[str, torch.Tensor]) -> torch.Tensor:
        return torch.full((observation["joint_position"].shape[0], self.width), 0.5)


@pytest.mark.parametrize(("tips", "width", "said"), [(TIPS, ACTUATORS, ""), (TIPS, 20, r"\(2, 5\), got \(2, 20\)"),
    (5, ACTUATORS, r"fingertip_position \(2, 3, 3\), joint_position \(2, 6\)")])  # fmt: skip
def test_programs_are_tried_for_the_scenes_hand(
    can: SimScene, tmp_path: Path, tips: int, width: int, said: str
) -> None:
    observation = blank_observation(2, tips, JOINTS)
    example = {key: torch.from_numpy(value).float() for key, value in observation.items()}  # type: ignore[attr-defined]
    path = tmp_path / "program.pt2"
    torch.export.save(torch.export.export(Half(width), (example,)), str(path))
    if not said:
        assert (create_policy(str(path), can, 2).act(observation) == 0.5).all()
        return
    with pytest.raises(DactylError, match=said):
        create_policy(str(path), can, 2)


def test_functions_are_tried_for_the_scenes_hand(
    can: SimScene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "their_policies.py").write_text(
        "import numpy as np\n"
        "class Still:\n"
        "    name = 'still'\n"
        "    def __init__(self, scene, worlds, actions=20): self.shape = worlds, actions\n"
        "    def reset(self, worlds, generators): pass\n"
        "    def act(self, observation): return np.zeros(self.shape)\n"
        "def fits(scene, worlds): return Still(scene, worlds, scene.actions)\n"
        "def breaks(scene, worlds): return {}['a']\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    assert create_policy("their_policies:fits", can, 2).name == "still"
    for name, said in (("Still", r"\(2, 5\), got \(2, 20\)"), ("breaks", r"joint_position \(2, 6\)\): 'a'")):
        with pytest.raises(DactylError, match=said):
            create_policy(f"their_policies:{name}", can, 2)


def test_a_goal_is_reached_when_the_object_looks_as_asked(can: SimScene) -> None:
    """A can upside down and turned about its axis is the same can; with its axis elsewhere it is not."""
    environment = Environment(can.scene, 0, 2, 1, EVERYTHING.only("observation_noise"))
    environment.reset([0, 1], [0, 1])
    present = rotation_from_quaternion(environment.observe()["object_quaternion"])
    alike = present * rotation_from_quaternion([[0.0, np.cos(1), np.sin(1), 0]] * 2)
    aside = alike * rotation_from_quaternion([[1.0, 0, 0, 0], [np.cos(0.4), np.sin(0.4), 0, 0]])
    environment.goal[:] = quaternion_from_rotation(aside)
    left = rotation_from_quaternion(environment.observe()["relative_goal"]).magnitude()
    np.testing.assert_allclose(left, [0, 0.8], atol=1e-6)
    outcome = environment.step(np.zeros((2, ACTUATORS)))
    assert outcome.reached.tolist() == [True, False]
    told = rotation_from_quaternion(environment.sense()["relative_goal"]).magnitude()
    assert told[1] == pytest.approx(0.8, abs=0.6)  # noise of 0.1 rad, twice; 2.3 to the very goal


def test_only_hinges_have_their_limits_moved_by_radians(can: SimScene) -> None:
    environment = Environment(can.scene, 0, 1, 1, EVERYTHING.only("physics"))
    environment.reset([0], [0])
    moved = np.abs(environment.batch.expand("jnt_range")[0] - can.model.jnt_range).max(axis=1) > 0
    slide = can.model.joint("slide").id
    assert not moved[slide]
    assert moved.sum() == JOINTS - 1
