"""Experience is sampled within episodes, with goals that were reached later and returns that count time at them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from datagen.policy.features import STATE_WIDTH
from datagen.policy.replay import Hindsight, Replay
from vision.geometry.rotations import quaternion_from_rotation

WORLDS = 3
TURN = 0.09  # rad a step: five steps are more than a goal's threshold, four are less
NOBODY = np.zeros(WORLDS, dtype=bool)


def turned(steps: float) -> np.ndarray:
    """Orientations after so many steps of TURN, each world about another axis."""
    return quaternion_from_rotation(Rotation.from_rotvec(TURN * steps * np.eye(3)))


def fill(replay: Replay, steps: int, episode: int = 7, drop: bool = True) -> None:
    """Worlds turn by TURN a step in episodes of so many actions; the first state number says world and time."""
    age = 0
    for _ in range(steps):
        acted = np.full(WORLDS, age < episode)
        state = np.zeros((WORLDS, STATE_WIDTH), np.float32)
        state[:, 0], state[:, 1], state[:, 2] = replay.time, age, range(WORLDS)
        replay.add(state, turned(age), turned(20), np.zeros((WORLDS, 20)), acted)
        age += 1
        if age == episode:
            replay.finish(np.arange(WORLDS), np.full(WORLDS, drop), NOBODY)
        if age > episode:
            age = 0


def draw(replay: Replay, **how: float) -> dict[str, np.ndarray]:
    sample = replay.sample(np.random.default_rng(0), 4000, Hindsight(**how))  # type: ignore[arg-type]
    return dict(vars(sample))


@pytest.mark.parametrize("steps", [40, 95])
def test_samples_stay_within_their_episode(tmp_path: Path, steps: int) -> None:
    replay = Replay(tmp_path, 50, WORLDS)
    fill(replay, steps)
    sample = draw(replay, steps=3)
    now, then = sample["state"], sample["next_state"]
    assert now[:, 0].min() == max(0, steps - 50)
    np.testing.assert_array_equal(now[:, 2], then[:, 2])
    ahead = then[:, 0] - now[:, 0]
    np.testing.assert_array_equal(then[:, 1] - now[:, 1], ahead)  # no step across a reset
    present = (steps - 1) - now[:, 0]
    np.testing.assert_array_equal(ahead, np.minimum(3, np.minimum(7 - now[:, 1], present)))
    assert len(np.unique(now[:, :3], axis=0)) > 0.9 * WORLDS * min(50, steps) * 7 / 8


def test_drops_end_the_return_and_time_does_not(tmp_path: Path) -> None:
    for drop in (True, False):
        replay = Replay(tmp_path / str(drop), 50, WORLDS)
        fill(replay, 40, drop=drop)
        sample = draw(replay, steps=2, discount=0.9)
        ahead = sample["next_state"][:, 0] - sample["state"][:, 0]
        last = sample["next_state"][:, 1] == 7
        np.testing.assert_allclose(sample["discount"], np.where(last & drop, 0, 0.9**ahead), rtol=1e-6)


def test_hindsight_goals_were_reached_later(tmp_path: Path) -> None:
    replay = Replay(tmp_path, 50, WORLDS)
    fill(replay, 40)
    sample = draw(replay, relabelled=1.0, steps=1, discount=0.9)
    angle = 2 * np.arccos(np.clip(sample["goal"][:, 0], -1, 1)) / TURN  # steps to go
    assert np.allclose(angle, np.round(angle), atol=0.05)
    left = np.minimum(7 - sample["state"][:, 1], 39 - sample["state"][:, 0])
    assert (np.round(angle) >= 1).all()
    assert (np.round(angle) <= left).all()
    assert set(np.round(angle[left == 7]).astype(int)) == set(range(1, 8))
    # A step later, orientations within 0.4 rad count; the step of a drop does not.
    near = (np.round(angle) - 1 < 5) & ~(sample["next_state"][:, 1] == 7)
    np.testing.assert_allclose(sample["reward"], 0.1 * near, atol=1e-6)


def test_returns_sum_the_steps_at_the_goal(tmp_path: Path) -> None:
    replay = Replay(tmp_path, 50, WORLDS)
    fill(replay, 40)
    sample = draw(replay, relabelled=1.0, steps=3, discount=0.9)
    away = np.round(2 * np.arccos(np.clip(sample["goal"][:, 0], -1, 1)) / TURN)
    ahead = sample["next_state"][:, 0] - sample["state"][:, 0]
    expected = np.zeros(len(away))
    for step in (1, 2, 3):
        counts = (np.abs(away - step) < 5) & (step <= ahead) & (sample["state"][:, 1] + step != 7)
        expected += 0.1 * 0.9 ** (step - 1) * counts
    np.testing.assert_allclose(sample["reward"], expected, atol=1e-6)


def test_goals_that_were_asked_for_are_kept(tmp_path: Path) -> None:
    replay = Replay(tmp_path, 50, WORLDS)
    fill(replay, 40)
    sample = draw(replay, relabelled=0.0)
    to_go = 2 * np.arccos(np.clip(sample["goal"][:, 0], -1, 1))
    np.testing.assert_allclose(to_go, TURN * (20 - sample["state"][:, 1]), atol=1e-2)


def test_broken_states_are_never_learnt_from(tmp_path: Path) -> None:
    replay = Replay(tmp_path, 50, WORLDS)
    for step in range(20):
        state = np.full((WORLDS, STATE_WIDTH), float(step), np.float32)
        acted = np.ones(WORLDS, dtype=bool)
        if step == 10:
            state[1], acted[1] = 1e9, False
        replay.add(state, turned(step), turned(0), np.zeros((WORLDS, 20)), acted)
        if step == 9:
            replay.finish(np.array([1]), NOBODY, np.array([False, True, False]))
    sample = draw(replay)
    assert max(sample["state"].max(), sample["next_state"].max()) < 20


def test_experience_survives_a_kill(tmp_path: Path) -> None:
    replay = Replay(tmp_path, 50, WORLDS)
    fill(replay, 30)
    again = Replay(tmp_path, 50, WORLDS, time=27)  # the checkpoint is older than the files
    fill(again, 20)
    sample = draw(again)
    assert sample["state"][:, 0].min() == 0
    before = sample["state"][:, 0] < 27
    assert before.any()
    assert (sample["next_state"][before, 0] < 27).all()  # nothing connects the two


@pytest.mark.parametrize(
    ("key", "value"), [("relabelled", 1.1), ("horizon", 0), ("steps", 0), ("discount", 1.0), ("discount", 0.0)]
)
def test_impossible_values_are_refused(key: str, value: float) -> None:
    with pytest.raises(ValueError, match=key):
        Hindsight(**{key: value})  # type: ignore[arg-type]
