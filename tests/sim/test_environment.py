"""The environment keeps the paper's timing and gives the same episodes however they are computed."""

from __future__ import annotations

from pathlib import Path

import msgspec
import mujoco
import numpy as np
import pytest
from msgspec.structs import replace
from scipy.spatial.transform import Rotation

from datagen.policy import RandomExploration, create_policy
from datagen.sim.environment import SMOOTHING, Environment
from datagen.sim.outcome import Outcome
from datagen.sim.scene import compile_scene
from datagen.variation import generator
from tests.scenes import scene
from vision.errors import DactylError
from vision.geometry.rotations import quaternion_from_rotation, rotation_from_quaternion

WORLDS = 6


@pytest.fixture(scope="module")
def shared() -> Environment:
    """One environment for the tests that only step it; `environment` resets it."""
    return Environment(scene("block"), seed=3, worlds=WORLDS, threads=2)


@pytest.fixture
def environment(shared: Environment) -> Environment:
    shared.reset(range(WORLDS), range(WORLDS))
    return shared


def test_a_step_lasts_80_ms(environment: Environment) -> None:
    before = environment.batch.time.copy()
    environment.step(np.zeros((WORLDS, 20)))
    np.testing.assert_allclose(environment.batch.time - before, 0.08)


def test_only_the_named_worlds_advance(environment: Environment) -> None:
    before = environment.batch.state.copy()
    outcome = environment.step(np.zeros((WORLDS, 20)), worlds=[1, 4])
    moved = (environment.batch.qpos != before[:, 1 : 1 + environment.scene.model.nq]).any(axis=1)
    assert moved.tolist() == [False, True, False, False, True, False]
    assert not outcome.ended[[0, 2, 3, 5]].any()


def test_no_world_may_be_left(environment: Environment) -> None:
    before = environment.batch.state.copy()
    environment.step(np.zeros((WORLDS, 20)), worlds=[])
    np.testing.assert_array_equal(environment.batch.state, before)


def test_actions_are_relative_and_smoothed(environment: Environment) -> None:
    low, high = environment.scene.control_range.T
    action = np.full((WORLDS, 20), 0.5)
    for count in range(1, 5):
        current = environment.observe()["joint_position"][:, environment.scene.controls.follows.argmax(axis=1)]
        environment.step(action)
        smoothed = 0.5 * (1 - SMOOTHING**count)  # an exponential moving average that starts at zero
        expected = np.clip(current + smoothed * (high - low) / 2, low, high)
        np.testing.assert_allclose(environment.batch.ctrl, expected, atol=1e-12)


def test_actuators_drive_the_joints_they_are_named_after(environment: Environment) -> None:
    simulated = environment.scene
    driven = [simulated.joint_names[joint] for joint in simulated.controls.follows.argmax(axis=1)]
    named = [simulated.model.actuator(i).name.removeprefix("robot0:A_") for i in range(simulated.model.nu)]
    assert driven == named


def test_actions_beyond_the_range_are_clipped(environment: Environment) -> None:
    state = environment.batch.state.copy()
    environment.step(np.full((WORLDS, 20), 7.0))
    clipped = environment.batch.qpos.copy()
    environment.reset(range(WORLDS), range(WORLDS))
    np.testing.assert_array_equal(environment.batch.state, state)
    environment.step(np.ones((WORLDS, 20)))
    np.testing.assert_array_equal(environment.batch.qpos, clipped)


def test_integer_actions_mean_what_other_numbers_do(environment: Environment) -> None:
    environment.step(np.zeros((WORLDS, 20)))
    still = environment.batch.qpos.copy()
    environment.reset(range(WORLDS), range(WORLDS))
    environment.step(np.zeros((WORLDS, 20), dtype=np.int64))
    np.testing.assert_array_equal(environment.batch.qpos, still)


@pytest.mark.parametrize("action", [np.zeros((WORLDS, 19)), np.zeros(20)])
def test_actions_of_another_shape_are_refused(environment: Environment, action: np.ndarray) -> None:
    with pytest.raises(ValueError, match="action"):
        environment.step(action)


def test_a_policy_that_diverged_is_named(environment: Environment) -> None:
    action = np.zeros((WORLDS, 20))
    action[2, 5] = np.nan
    environment.step(action, worlds=[0, 1])
    with pytest.raises(DactylError, match="policy"):
        environment.step(action)


def test_episodes_begin_in_the_hand_after_random_actions(environment: Environment) -> None:
    assert (environment.batch.qpos[:, environment.scene.object_qpos + 2] > scene().workspace.drop_height).all()
    np.testing.assert_allclose(environment.batch.time, 100 * 0.08)


def test_lost_initial_states_are_drawn_anew() -> None:
    environment = Environment(scene("prism"), seed=0, worlds=12)
    assert environment.reset(range(12), range(12)).sum() > 0  # more than half of the prism's are lost
    assert (environment.batch.qpos[:, environment.scene.object_qpos + 2] > scene().workspace.drop_height).all()


def test_an_object_that_cannot_be_held_is_named() -> None:
    workspace = msgspec.structs.replace(scene("block").workspace, drop_height=1.0)
    with pytest.raises(DactylError, match="block"):
        Environment(msgspec.structs.replace(scene("block"), workspace=workspace), seed=0, worlds=1).reset([0], [0])


@pytest.mark.parametrize("share", [0.0, 0.2, 1.0])
def test_how_far_the_hand_moves_at_random_is_the_scenes(share: float, monkeypatch: pytest.MonkeyPatch) -> None:
    block, largest, advance = scene("block"), list[float](), Environment._advance

    def record(self: Environment, action: np.ndarray, worlds: np.ndarray) -> Outcome:
        largest.append(np.abs(action).max())
        return advance(self, action, worlds)

    monkeypatch.setattr(Environment, "_advance", record)
    calm = replace(block, workspace=replace(block.workspace, random_motion=share))
    environment = Environment(calm, seed=3, worlds=1)
    environment.reset(np.array([0]), np.array([0]))
    assert 0.99 * share <= max(largest) <= share
    explorer = RandomExploration(environment.scene, 1)
    explorer.reset(np.array([0]), [generator(3, 0, "policy")])
    at_rest = environment.observe() | {"joint_position": calm.hand.start[None]}  # type: ignore[union-attr]
    assert np.abs(explorer.act(at_rest)).mean() == pytest.approx(0.6 * share, abs=0.15 * share)


def test_a_joint_has_at_least_the_armature_that_the_hand_says() -> None:
    block = scene("block")
    before = compile_scene(block)
    after = compile_scene(replace(block, hand=replace(block.hand, armature=0.003)))
    own = before.model.dof_armature[before.hand_dof]
    assert own.min() < 0.003 < own.max()
    np.testing.assert_allclose(after.model.dof_armature[after.hand_dof], np.maximum(own, 0.003))
    assert after.model.dof_armature[after.object_dof :][:6].max() == 0


def test_no_object_begins_within_the_floor() -> None:
    """It would be thrown out of the floor, or fall below it."""
    cube = scene("trifinger-cube")
    low = msgspec.structs.replace(cube.workspace, start=(0.0, 0.0, 0.02), start_std=0.02)
    environment = Environment(msgspec.structs.replace(cube, workspace=low), seed=0, worlds=64, threads=1)
    environment.reset(range(64), range(64))
    for _ in range(10):
        environment.step(np.zeros((64, 0)))
        height = environment.batch.qpos[:, environment.scene.object_qpos + 2] - cube.background.centre[2]
        assert (height > 0.01).all()  # half of its side is 0.033; the floor gives when it falls


def test_without_a_drop_height_nothing_is_dropped() -> None:
    workspace = msgspec.structs.replace(scene("block").workspace, drop_height=None)
    environment = Environment(msgspec.structs.replace(scene("block"), workspace=workspace), seed=3, worlds=1, threads=1)
    environment.reset([0], [0])
    beside = environment.scene.object_qpos
    environment.batch.qpos[0, beside : beside + 3] = [1.3, 0.87, 0.05]
    assert not environment.step(np.zeros((1, 20))).dropped.any()


def run(worlds: int, threads: int, place: dict[int, int], steps: int = 6) -> dict[int, np.ndarray]:
    """Object and hand positions and goals of episodes that a policy acts in; `place` maps episode to world."""
    environment = Environment(scene("block"), seed=5, worlds=worlds, threads=threads)
    policy = create_policy(RandomExploration.name, environment.scene, worlds)
    ids = list(place.values())
    environment.reset(ids, list(place))
    policy.reset(ids, [generator(5, episode, "policy") for episode in place])
    for _ in range(steps):
        environment.step(policy.act(environment.observe()), ids)
    state = np.concatenate([environment.batch.qpos, environment.batch.qvel, environment.goal], axis=1)
    return {episode: state[world] for episode, world in place.items()}


def test_an_episode_is_the_same_in_any_world_at_any_number_of_threads() -> None:
    reference = run(3, 1, {0: 0, 1: 1, 2: 2})
    assert (reference[0] != reference[1]).all()  # goals included
    for other in (run(3, 2, {0: 0, 1: 1, 2: 2}), run(5, 2, {2: 0, 1: 4, 0: 3})):
        for episode in range(3):
            np.testing.assert_array_equal(other[episode], reference[episode])


def test_a_second_reset_forgets_the_first() -> None:
    fresh = Environment(scene("block"), seed=1, worlds=2)
    used = Environment(scene("block"), seed=1, worlds=2)
    used.reset([0, 1], [7, 8])
    used.step(np.ones((2, 20)))
    for environment in (fresh, used):
        environment.reset([0, 1], [2, 3])
        environment.step(np.full((2, 20), 0.3))
    np.testing.assert_array_equal(fresh.batch.state, used.batch.state)


def test_a_falling_object_is_dropped(environment: Environment) -> None:
    beside = environment.scene.object_qpos
    environment.batch.qpos[2, beside : beside + 3] = [1.3, 0.87, 0.2]
    dropped = [environment.step(np.zeros((WORLDS, 20))).dropped for _ in range(6)]
    assert not dropped[0].any()
    assert dropped[-1].tolist() == [False, False, True, False, False, False]


def test_reached_goals_are_replaced(environment: Environment) -> None:
    orientation = rotation_from_quaternion(environment.observe()["object_quaternion"])
    offsets = Rotation.from_rotvec([[0, 0, angle] for angle in (0.0, 0.2, 0.7, 1.5, 3.0, 0.1)])
    environment.goal[:] = quaternion_from_rotation(offsets * orientation)
    before = environment.goal.copy()
    reached = environment.step(np.zeros((WORLDS, 20))).reached
    assert reached.tolist() == [True, True, False, False, False, True]
    assert (environment.goal != before).any(axis=1).tolist() == reached.tolist()


def test_observation_is_of_the_present_state(environment: Environment) -> None:
    environment.step(np.full((WORLDS, 20), 0.4))
    observation = environment.observe()
    simulated = environment.scene
    for world in range(WORLDS):
        data = environment.batch.get_data(world)
        mujoco.mj_forward(simulated.model, data)
        np.testing.assert_allclose(
            observation["fingertip_position"][world], data.site_xpos[simulated.fingertip_sites], atol=1e-12
        )
        np.testing.assert_array_equal(observation["object_position"][world], data.body("object").xpos)
        angles = [data.joint(f"robot0:{name}").qpos[0] for name in simulated.joint_names]
        np.testing.assert_array_equal(observation["joint_position"][world], angles)
        # MuJoCo's own account of a free body's velocity: rotation first, in the world frame.
        velocity = np.zeros(6)
        mujoco.mj_objectVelocity(
            simulated.model, data, mujoco.mjtObj.mjOBJ_BODY, data.body("object").id, velocity, False
        )
        np.testing.assert_allclose(observation["object_linear_velocity"][world], velocity[3:], atol=1e-9)
        rotation = data.body("object").xmat.reshape(3, 3)
        np.testing.assert_allclose(rotation @ observation["object_angular_velocity"][world], velocity[:3], atol=1e-9)
    turned = rotation_from_quaternion(observation["relative_goal"]) * rotation_from_quaternion(
        observation["object_quaternion"]
    )
    np.testing.assert_allclose(
        (turned * rotation_from_quaternion(observation["goal_quaternion"]).inv()).magnitude(), 0, atol=1e-6
    )
    for key in ("object_quaternion", "goal_quaternion", "relative_goal"):
        assert (observation[key][:, 0] >= 0).all()  # type: ignore[literal-required]


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e9])
def test_a_broken_world_is_seen_and_breaks_no_other(
    environment: Environment, value: float, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)  # MuJoCo logs its warnings to a file in the working folder
    environment.batch.qvel[3, environment.scene.object_dof] = value
    outcome = environment.step(np.zeros((WORLDS, 20)))
    assert (outcome.non_finite | outcome.warned).tolist() == [world == 3 for world in range(WORLDS)]
    assert outcome.ended[3]
    assert environment.observe()["object_position"].shape == (WORLDS, 3)
    environment.reset([3], [9])
    assert not environment.step(np.zeros((WORLDS, 20))).ended.any()


def test_exploration_stays_in_range_and_differs_between_worlds(environment: Environment) -> None:
    policy = create_policy(RandomExploration.name, environment.scene, WORLDS)
    policy.reset(range(WORLDS), [generator(0, world, "policy") for world in range(WORLDS)])
    actions = [policy.act(environment.observe()) for _ in range(3)]
    assert np.abs(actions).max() <= 1
    assert np.ptp(actions, axis=1).min() > 0
    step = np.abs(np.diff(actions, axis=0)).mean()
    assert step < 0.5 * np.std(actions)  # smooth: consecutive actions are alike


def test_unknown_policy_is_refused(environment: Environment) -> None:
    with pytest.raises(DactylError, match="random-exploration"):
        create_policy("master", environment.scene, 1)


def test_it_compiles_its_scene_for_physics(environment: Environment) -> None:
    """A scene to render cannot be stepped: nothing in it collides."""
    assert not environment.scene.materials
