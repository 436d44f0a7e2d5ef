"""Other libraries' learners get a standard environment: gymnasium's checker agrees, and episodes are as they should."""

from __future__ import annotations

import warnings

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import AutoresetMode

from dactyl.policies import env
from datagen.policy.features import GOAL_WIDTH
from datagen.policy.gym_env import HandEnv, HandVectorEnv
from datagen.policy.layout import layout_of
from datagen.sim.randomization import EVERYTHING
from datagen.sim.trials import TrialRules


def test_gymnasiums_checker_agrees() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", message=".*(infinity|render|spec).*")  # there is no bound on a velocity
        check_env(HandEnv(randomization=EVERYTHING, threads=1, starts=2), skip_render_check=True)
    assert isinstance(gymnasium.make("dactyl/Prism-v0", threads=1, starts=2).unwrapped, HandEnv)


@pytest.fixture(scope="module")
def hands() -> HandVectorEnv:
    return env("block", num_envs=4, randomization=EVERYTHING, rules=TrialRules(seconds=0.4), threads=1, starts=4)


def play(hands: HandVectorEnv, seed: int | None, steps: int) -> list[np.ndarray]:
    observation, info = hands.reset(seed=seed)
    rows, rng = [np.hstack([observation, info["privileged"]])], np.random.default_rng(0)
    for _ in range(steps):
        observation, reward, terminated, truncated, info = hands.step(rng.uniform(-1, 1, (4, 20)).astype(np.float32))
        rows.append(np.hstack([observation, info["privileged"], np.stack([reward, terminated, truncated], axis=1)]))
    return rows


def test_vectors_fit_their_spaces_and_a_seed_gives_the_same_episodes(hands: HandVectorEnv) -> None:
    first, other = play(hands, 3, 12), play(hands, 4, 12)
    for one, again, third in zip(first, play(hands, 3, 12), other, strict=True):
        np.testing.assert_array_equal(one, again)
        assert not np.array_equal(one, third)
    observation, info = hands.reset()
    assert hands.observation_space.contains(observation)
    true, layout = info["privileged"], layout_of(hands.environment.scene)
    assert observation.shape == (4, layout.state - 24 - 6 + GOAL_WIDTH), "no sensor reports velocities"
    joints = layout.columns(["joint_position"])
    np.testing.assert_array_equal(observation[:, joints], true[:, joints])
    assert not np.isclose(observation[:, :18], true[:, :18]).any(), "sensors err about fingertips and object"
    assert hands.metadata["autoreset_mode"] == AutoresetMode.NEXT_STEP
    assert not np.array_equal(observation, hands.reset()[0])  # without a seed they go on


def test_episodes_end_and_begin_in_the_step_after(hands: HandVectorEnv) -> None:
    hands.reset(seed=0)
    still = np.zeros((4, 20), np.float32)
    for _ in range(4):
        *_, truncated, _ = hands.step(still)
    assert not truncated.any()
    *_, terminated, truncated, _ = hands.step(still)
    assert truncated.all()  # 0.4 s without reaching a goal
    before = hands.environment.goal.copy()
    _, *nothing, info = hands.step(np.ones_like(still))
    assert not np.any([*nothing, info["goals"]])
    assert (hands.environment.goal != before).any(axis=1).all()
    hands.environment.batch.qpos[1, hands.environment.scene.object_qpos + 2] = 0.04  # m, on the floor
    _, reward, terminated, truncated, _ = hands.step(still)
    assert terminated.tolist() == [False, True, False, False]
    assert not truncated.any()
    assert reward[1] < -15


def test_what_cannot_be_is_refused(hands: HandVectorEnv) -> None:
    with pytest.raises(ValueError, match=r"\(4, 20\)"):
        hands.step(np.zeros((4, 19), np.float32))
    with pytest.raises(ValueError, match="starts"):
        HandVectorEnv(2, starts=0)
