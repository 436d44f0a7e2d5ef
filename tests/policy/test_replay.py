"""Experience is sampled within episodes, with goals that were reached later and returns that count time at them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from datagen.policy.experience import Hindsight, Step, Widths, together
from datagen.policy.memory import History
from datagen.policy.replay import REPLAY_DTYPES, Replay
from vision.errors import DactylError
from vision.geometry.rotations import quaternion_from_rotation
from vision.objects.symmetries import Symmetries

WORLDS = 3
TURN = 0.09  # rad a step: five steps are more than a goal's threshold, four are less
WIDTHS = Widths(state=6, hidden=2, actions=4)
UNLIKE = Symmetries(rotations=np.eye(3)[None])  # the object looks the same in no two orientations
NOBODY = np.zeros(WORLDS, dtype=bool)


def turned(steps: float) -> np.ndarray:
    """Orientations after so many steps of TURN, each world about another axis."""
    return quaternion_from_rotation(Rotation.from_rotvec(TURN * steps * np.eye(3)))


def recorded(state: np.ndarray, quaternion: np.ndarray, goal: np.ndarray, acted: np.ndarray) -> Step:
    """A step whose sensors report the state plus 100, and orientations TURN further than they are."""
    seen = quaternion_from_rotation(
        Rotation.from_rotvec(TURN * np.eye(3)) * Rotation.from_quat(quaternion, scalar_first=True)
    )
    return Step(
        state=state,
        hidden=-state[:, :2],
        seen=state + 100,
        quaternion=quaternion,
        seen_quaternion=seen,
        goal=goal,
        action=np.zeros((WORLDS, WIDTHS.actions)),
        acted=acted,
    )


def fill(replay: Replay, steps: int, episode: int = 7, drop: bool = True) -> None:
    """Worlds turn by TURN a step in episodes of so many actions; the first state number says world and time."""
    age = 0
    for _ in range(steps):
        acted = np.full(WORLDS, age < episode)
        state = np.zeros((WORLDS, WIDTHS.state), np.float32)
        state[:, 0], state[:, 1], state[:, 2] = replay.time, age, range(WORLDS)
        replay.add(recorded(state, turned(age), turned(20), acted))
        age += 1
        if age == episode:
            replay.finish(np.arange(WORLDS), np.full(WORLDS, drop), NOBODY)
        if age > episode:
            age = 0


def draw(replay: Replay, **how: float) -> dict[str, np.ndarray]:
    sample = replay.sample(np.random.default_rng(0), 4000, Hindsight(**how), 0)  # type: ignore[arg-type]
    return {**vars(sample.now), **vars(sample), "next_state": sample.then.state}


@pytest.mark.parametrize("steps", [40, 95])
def test_samples_stay_within_their_episode(tmp_path: Path, steps: int) -> None:
    replay = Replay(tmp_path, 50, WORLDS, WIDTHS, UNLIKE)
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
        replay = Replay(tmp_path / str(drop), 50, WORLDS, WIDTHS, UNLIKE)
        fill(replay, 40, drop=drop)
        sample = draw(replay, steps=2, discount=0.9)
        ahead = sample["next_state"][:, 0] - sample["state"][:, 0]
        last = sample["next_state"][:, 1] == 7
        np.testing.assert_allclose(sample["discount"], np.where(last & drop, 0, 0.9**ahead), rtol=1e-6)


def test_hindsight_goals_were_reached_later(tmp_path: Path) -> None:
    replay = Replay(tmp_path, 50, WORLDS, WIDTHS, UNLIKE)
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
    replay = Replay(tmp_path, 50, WORLDS, WIDTHS, UNLIKE)
    fill(replay, 40)
    sample = draw(replay, relabelled=1.0, steps=3, discount=0.9)
    away = np.round(2 * np.arccos(np.clip(sample["goal"][:, 0], -1, 1)) / TURN)
    ahead = sample["next_state"][:, 0] - sample["state"][:, 0]
    expected = np.zeros(len(away))
    for step in (1, 2, 3):
        counts = (np.abs(away - step) < 5) & (step <= ahead) & (sample["state"][:, 1] + step != 7)
        expected += 0.1 * 0.9 ** (step - 1) * counts
    np.testing.assert_allclose(sample["reward"], expected, atol=1e-6)


def test_a_goal_is_reached_by_what_looks_the_same(tmp_path: Path) -> None:
    """World 2 turns about an axis about which the object looks the same; the others turn it aside, as before."""
    alike = Symmetries(rotations=np.eye(3)[None], axes=np.eye(3)[2:])
    one, other = Replay(tmp_path / "1", 50, WORLDS, WIDTHS, UNLIKE), Replay(tmp_path / "2", 50, WORLDS, WIDTHS, alike)
    for replay in (one, other):
        fill(replay, 40, drop=False)
    told, alike_told = (draw(replay, relabelled=0.0, steps=1, discount=0.9) for replay in (one, other))
    about = told["state"][:, 2] == 2
    np.testing.assert_allclose(alike_told["goal"][about, 0], 1, atol=1e-6)
    np.testing.assert_allclose(alike_told["reward"][about], 0.1, rtol=1e-6)
    assert not told["reward"].any()
    for key in ("goal", "reward"):
        np.testing.assert_allclose(alike_told[key][~about], told[key][~about], atol=1e-6)


def test_goals_that_were_asked_for_are_kept(tmp_path: Path) -> None:
    replay = Replay(tmp_path, 50, WORLDS, WIDTHS, UNLIKE)
    fill(replay, 40)
    sample = draw(replay, relabelled=0.0)
    to_go = 2 * np.arccos(np.clip(sample["goal"][:, 0], -1, 1))
    np.testing.assert_allclose(to_go, TURN * (20 - sample["state"][:, 1]), atol=1e-2)


def test_a_buffer_that_has_lost_its_files_is_refused(tmp_path: Path) -> None:
    """It would be empty, while the training believes that it is full."""
    replay = Replay(tmp_path, 50, WORLDS, WIDTHS, UNLIKE)
    fill(replay, 40)
    assert len(Replay(tmp_path, 50, WORLDS, WIDTHS, UNLIKE, 40)) == len(replay)
    path = tmp_path / "goal.bin"
    for damage in (lambda: path.write_bytes(path.read_bytes()[:-4]), path.unlink):
        damage()
        with pytest.raises(DactylError, match=f"{path}: missing or of another size, .* put it back"):
            Replay(tmp_path, 50, WORLDS, WIDTHS, UNLIKE, 40)


def test_broken_states_are_never_learnt_from(tmp_path: Path) -> None:
    replay = Replay(tmp_path, 50, WORLDS, WIDTHS, UNLIKE)
    for step in range(20):
        state = np.full((WORLDS, WIDTHS.state), float(step), np.float32)
        acted = np.ones(WORLDS, dtype=bool)
        if step == 10:
            state[1], acted[1] = 1e9, False
        replay.add(recorded(state, turned(step), turned(0), acted))
        if step == 9:
            replay.finish(np.array([1]), NOBODY, np.array([False, True, False]))
    sample = draw(replay)
    assert max(sample["state"].max(), sample["next_state"].max()) < 20


def test_what_actors_see_is_what_sensors_reported(tmp_path: Path) -> None:
    replay = Replay(tmp_path, 50, WORLDS, WIDTHS, UNLIKE)
    fill(replay, 40)
    sample = replay.sample(np.random.default_rng(0), 500, Hindsight(steps=3), 0)
    for view in (sample.now, sample.then):
        np.testing.assert_array_equal(view.seen, view.state + 100)
        np.testing.assert_array_equal(view.hidden, -view.state[:, :2])
        # The same goal: one step of TURN less to go from where the object is seen.
        seen, true = (2 * np.arccos(np.clip(goal[:, 0], -1, 1)) for goal in (view.seen_goal, view.goal))
        np.testing.assert_allclose(np.abs(true - seen), TURN, atol=1e-3)


def test_frames_are_those_before_and_end_where_the_episode_began(tmp_path: Path) -> None:
    replay = Replay(tmp_path, 50, WORLDS, WIDTHS, UNLIKE)
    fill(replay, 95)
    sample = replay.sample(np.random.default_rng(0), 4000, Hindsight(steps=2), 4)
    for view in (sample.now, sample.then):
        time, age, world = view.state[:, :3].T
        back = np.minimum(np.arange(1, 5), np.minimum(age, time - 45)[:, None])  # the ring holds times from 45 on
        np.testing.assert_array_equal(view.past[..., 0], 100 + time[:, None] - back)
        np.testing.assert_array_equal(view.past[..., 2], 100 + np.tile(world[:, None], 4))
        turns = np.linalg.norm(view.turns, axis=-1)
        np.testing.assert_allclose(turns, TURN * back, atol=1e-3)
        assert (np.sign(view.turns.sum(axis=-1)) == np.sign(back)).all()  # from then to now


def test_a_history_recalls_what_the_replay_gives(tmp_path: Path) -> None:
    """In use an actor sees the same frames as in training, across episodes."""
    replay, history = Replay(tmp_path, 50, WORLDS, WIDTHS, UNLIKE), History(3, WORLDS, WIDTHS.state)
    recalled: dict[int, tuple[np.ndarray, np.ndarray]] = {}
    age = 0
    for time in range(20):
        acted = np.full(WORLDS, age < 7)
        state = np.zeros((WORLDS, WIDTHS.state), np.float32)
        state[:, 0], state[:, 2] = time, range(WORLDS)
        step = recorded(state, turned(age), turned(20), acted)
        recalled[time] = history.recall(step.seen, step.seen_quaternion)
        replay.add(step)
        age += 1
        if age == 7:
            replay.finish(np.arange(WORLDS), NOBODY, NOBODY)
        if age > 7:
            age = 0
            history.forget(range(WORLDS))
    now = replay.sample(np.random.default_rng(0), 400, Hindsight(), 3).now
    for row, state in enumerate(now.state):
        past, turns = recalled[int(state[0])]
        np.testing.assert_array_equal(now.past[row], past[int(state[2])])
        np.testing.assert_allclose(now.turns[row], turns[int(state[2])], atol=1e-5)


def test_steps_of_several_players_stand_side_by_side() -> None:
    one, other = (
        recorded(np.full((WORLDS, WIDTHS.state), value, np.float32), turned(0), turned(1), ~NOBODY) for value in (1, 2)
    )
    assert together([one, other]).state[:, 0].tolist() == [1] * WORLDS + [2] * WORLDS


def test_experience_survives_a_kill(tmp_path: Path) -> None:
    replay = Replay(tmp_path, 50, WORLDS, WIDTHS, UNLIKE)
    fill(replay, 30)
    again = Replay(tmp_path, 50, WORLDS, WIDTHS, UNLIKE, time=27)  # the checkpoint is older than the files
    fill(again, 20)
    sample = draw(again)
    assert sample["state"][:, 0].min() == 0
    before = sample["state"][:, 0] < 27
    assert before.any()
    assert (sample["next_state"][before, 0] < 27).all()  # nothing connects the two


def test_a_full_ring_forgets_what_was_recorded_after_the_checkpoint(tmp_path: Path) -> None:
    fill(Replay(tmp_path, 50, WORLDS, WIDTHS, UNLIKE), 80)
    again = Replay(tmp_path, 50, WORLDS, WIDTHS, UNLIKE, time=76)  # times 76 to 79 lie where 26 to 29 were
    fill(again, 2)
    sample = again.sample(np.random.default_rng(0), 4000, Hindsight(steps=3), 4)
    now, then = sample.now.state[:, 0], sample.then.state[:, 0]
    assert (now.min(), now.max(), then.max()) == (30, 76, 77)
    assert (then[now < 76] < 76).all()
    assert sample.now.past[..., 0].min() == 130
    assert (sample.now.past[..., 0] <= 100 + now[:, None]).all()


def test_a_ring_shorter_than_an_episode_forgets_what_was_recorded_after_the_checkpoint(tmp_path: Path) -> None:
    """Rows of both rounds then belong to one episode, and only their times tell them apart."""
    fill(Replay(tmp_path, 50, WORLDS, WIDTHS, UNLIKE), 190, episode=200)
    again = Replay(tmp_path, 50, WORLDS, WIDTHS, UNLIKE, time=176)  # times 176 to 189 lie where 126 to 139 were
    sample = again.sample(np.random.default_rng(0), 4000, Hindsight(steps=3), 4)
    now, then = sample.now.state[:, 0], sample.then.state[:, 0]
    assert (now.min(), now.max(), then.max()) == (140, 174, 175)
    assert (then - now <= 3).all()
    assert (sample.now.past[..., 0] >= 240).all()


def test_a_buffer_says_whether_there_is_anything_to_learn_from(tmp_path: Path) -> None:
    """Until there is, samples would be sought for ever."""
    replay = Replay(tmp_path, 50, WORLDS, WIDTHS, UNLIKE)
    assert not replay.usable()
    fill(replay, 1)
    assert not replay.usable()  # an action, but nothing that followed
    broken = Replay(tmp_path / "broken", 50, WORLDS, WIDTHS, UNLIKE)
    for _ in range(60):
        state = np.zeros((WORLDS, WIDTHS.state), np.float32)
        broken.add(recorded(state, turned(0), turned(0), np.ones(WORLDS, dtype=bool)))
        broken.finish(np.arange(WORLDS), NOBODY, ~NOBODY)
        broken.add(recorded(state, turned(0), turned(0), NOBODY))
    assert not broken.usable()  # every episode broke in its first step
    fill(broken, 2)
    assert broken.usable()


def test_a_disk_without_room_is_noticed_when_the_files_are_made(tmp_path: Path) -> None:
    """Files with holes would end the process by SIGBUS when a page of them is written."""
    Replay(tmp_path, 5000, WORLDS, WIDTHS, UNLIKE)
    for path in tmp_path.glob("*.bin"):
        assert path.stat().st_blocks * 512 >= path.stat().st_size > 0


def test_flushing_writes_every_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    replay, flushed = Replay(tmp_path, 50, WORLDS, WIDTHS, UNLIKE), list[str]()
    monkeypatch.setattr(np.memmap, "flush", lambda column: flushed.append(Path(column.filename).stem))
    replay.flush()
    assert sorted(flushed) == sorted(REPLAY_DTYPES)


@pytest.mark.parametrize(
    ("key", "value"), [("relabelled", 1.1), ("horizon", 0), ("steps", 0), ("discount", 1.0), ("discount", 0.0)]
)
def test_impossible_values_are_refused(key: str, value: float) -> None:
    with pytest.raises(ValueError, match=key):
        Hindsight(**{key: value})  # type: ignore[arg-type]
