"""Goals are drawn where they should be, the reward is the paper's, and both objects and a locked wrist play along."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats
from scipy.spatial.transform import Rotation

from datagen.sim.environment import Environment
from datagen.sim.goals import orientation_near, random_orientation
from datagen.sim.outcome import GOAL_THRESHOLD
from datagen.sim.randomization import EVERYTHING
from tests.scenes import scene
from vision.geometry.rotations import quaternion_from_rotation, rotation_from_quaternion

STILL = np.zeros((2, 20))


@pytest.fixture(scope="module")
def environment() -> Environment:
    environment = Environment(scene("block"), seed=3, worlds=2, threads=1)
    environment.reset([0, 1], [0, 1])
    return environment


def ask(environment: Environment, angle: float, axis: tuple[float, float, float] = (0, 0, 1)) -> None:
    """Set both goals `angle` rad away from where the objects are."""
    present = rotation_from_quaternion(environment.observe()["object_quaternion"])
    environment.goal[:] = quaternion_from_rotation(Rotation.from_rotvec(angle * np.array(axis)) * present)


def to_goal(environment: Environment, goal: np.ndarray) -> np.ndarray:
    present = rotation_from_quaternion(environment.observe()["object_quaternion"])
    return (rotation_from_quaternion(goal) * present.inv()).magnitude()


def test_the_reward_is_the_angle_that_was_gained(environment: Environment) -> None:
    ask(environment, 2.0)
    goal = environment.goal.copy()
    for action in np.random.default_rng(0).uniform(-1, 1, (5, 2, 20)):
        before = to_goal(environment, goal)
        outcome = environment.step(action)
        gained = before - to_goal(environment, goal)
        assert not outcome.reached.any()
        np.testing.assert_allclose(outcome.reward, gained, atol=1e-9)
        assert np.abs(gained).max() > 1e-4  # it did move


def test_reaching_a_goal_earns_five_and_a_drop_costs_twenty(environment: Environment) -> None:
    for angle, extra in ((GOAL_THRESHOLD - 0.15, 5.0), (GOAL_THRESHOLD + 0.25, 0.0)):
        ask(environment, angle)
        goal = environment.goal.copy()
        outcome = environment.step(STILL)
        np.testing.assert_allclose(outcome.reward, angle - to_goal(environment, goal) + extra, atol=1e-9)
    ask(environment, 2.0)
    goal, start = environment.goal.copy(), environment.scene.object_qpos
    environment.batch.qpos[1, start : start + 3] = [1.3, 0.87, 0.05]  # beside the hand, near the ground
    outcome = environment.step(STILL)
    assert outcome.dropped.tolist() == [False, True]
    np.testing.assert_allclose(outcome.reward, 2.0 - to_goal(environment, goal) - [0, 20], atol=1e-9)
    outcome = environment.step(STILL, [0])
    assert outcome.reward[1] == 0
    environment.reset([1], [1])


def test_goals_anywhere_are_uniform_over_the_rotations() -> None:
    rng = np.random.default_rng(0)
    present = random_orientation(rng)
    drawn = rotation_from_quaternion(np.array([orientation_near(rng, present, np.pi) for _ in range(4000)]))
    angle = (drawn * rotation_from_quaternion(present).inv()).magnitude()
    # The share of rotations by less than an angle is (angle - sin(angle)) / pi.
    assert stats.kstest(angle, lambda x: (x - np.sin(x)) / np.pi).pvalue > 1e-4
    assert stats.kstest((drawn.apply([0, 0, 1])[:, 2] + 1) / 2, "uniform").pvalue > 1e-4


@pytest.mark.parametrize("largest", [0.5, 2.5])
def test_goals_nearby_are_uniform_within_their_angle(largest: float) -> None:
    rng = np.random.default_rng(0)
    present = random_orientation(rng)
    drawn = rotation_from_quaternion(np.array([orientation_near(rng, present, largest) for _ in range(4000)]))
    turn = drawn * rotation_from_quaternion(present).inv()
    angle, axis = turn.magnitude(), turn.as_rotvec() / turn.magnitude()[:, None]
    assert angle.max() <= largest + 1e-9
    whole = largest - np.sin(largest)
    assert (
        stats.kstest(angle, lambda x: (np.clip(x, 0, largest) - np.sin(np.clip(x, 0, largest))) / whole).pvalue > 1e-4
    )
    for column in axis.T:
        assert stats.kstest((column + 1) / 2, "uniform").pvalue > 1e-4


def test_the_environment_draws_goals_within_the_angle_of_each_world() -> None:
    environment = Environment(scene("block"), seed=0, worlds=2, threads=1)
    environment.limit_turns(np.array([0.6, np.pi]))
    start = environment.batch.state.copy()
    turns = []
    for episode in range(60):
        environment.restore([0, 1], start, [2 * episode, 2 * episode + 1])
        turns.append(to_goal(environment, environment.goal))
    near, far = np.array(turns).T
    assert near.max() <= 0.6
    assert near.min() < 0.4
    assert far.max() > 2.5


def test_a_locked_wrist_stays_where_it_is() -> None:
    angles, hand = {}, scene().hand
    assert hand is not None
    assert hand.wrist == ("WRJ1", "WRJ0")
    for locked in (False, True):
        environment = Environment(scene("block"), seed=0, worlds=2, threads=1, locked_wrist=locked)
        environment.reset([0, 1], [0, 1])
        for _ in range(15):
            environment.step(np.ones((2, 20)))
        joints = [environment.scene.joint_names.index(name) for name in hand.wrist]
        cupped = [hand.initial_pose[name] for name in hand.wrist]
        angles[locked] = np.abs(environment.observe()["joint_position"][:, joints] - cupped).max()
    assert angles[True] < 0.03  # rad: a constraint is a stiff spring
    assert angles[False] > 0.2


@pytest.mark.parametrize("randomized", [False, True])
def test_the_prism_plays_along(randomized: bool) -> None:
    randomization = EVERYTHING if randomized else replace(EVERYTHING).only()
    environment = Environment(scene("prism"), 1, 2, threads=1, randomization=randomization)
    environment.reset([0, 1], [3, 4])
    ends = []
    for _ in range(5):
        outcome = environment.step(np.full((2, 20), 0.2))
        assert np.isfinite(outcome.reward).all()
        ends.append(outcome.ended)
    told, true = environment.sense(), environment.observe()
    assert (told["object_position"] != true["object_position"]).any() == randomized
    assert np.abs(true["object_position"] - [1.0, 0.87, 0.2])[~np.any(ends, axis=0)].max(initial=0) < 0.15
