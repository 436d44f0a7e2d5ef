"""Following a pose over time."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import ArrayLike
from scipy.spatial.transform import Rotation

from vision.geometry.poses import Pose
from vision.geometry.rotations import quaternion_from_rotation, rotate, rotation_from_quaternion
from vision.objects.symmetries import Symmetries, symmetric_distance
from vision.tracking import TrackedPose, Tracker, TrackingConfig

STEP = 0.08
GENTLE = TrackingConfig(
    rotation_acceleration=3.0,
    position_acceleration=0.3,
    velocity_decay_s=np.inf,
    start_rotation_velocity=3.0,
    start_position_velocity=0.2,
)
"""Of motions as those here; the defaults are for an object that is shaken."""
NOISE = np.diag([np.deg2rad(0.7) ** 2] * 3 + [0.0003**2] * 3)


def upright(position: ArrayLike) -> Pose:
    return Pose(np.eye(3), np.asarray(position))


class Motion:
    """An object that is turned back and forth by up to 60 degrees a second, and estimates of it."""

    def __init__(self, frames: int, seed: int, step: float = STEP) -> None:
        rng = np.random.default_rng(seed)
        self.time = step * np.arange(1, frames + 1)
        axes = rng.normal(size=(2, 3))
        axes /= np.linalg.norm(axes, axis=1, keepdims=True)
        swing = [
            0.5 * np.sin(2 * t)[:, None] * axis for t, axis in zip((self.time, 1.3 * self.time), axes, strict=True)
        ]
        self.turns = Rotation.from_rotvec(swing[0]) * Rotation.from_rotvec(swing[1])
        self.places = np.array([1.02, 0.87, 0.145]) + 0.01 * np.sin(self.time[:, None] * [1.0, 1.5, 2.0])
        errors = rng.multivariate_normal(np.zeros(6), NOISE, frames)
        self.seen_turns = Rotation.from_rotvec(errors[:, :3]) * self.turns
        self.seen_places = self.places + errors[:, 3:]

    def track(self, tracker: Tracker) -> list[TrackedPose | None]:
        quaternions = quaternion_from_rotation(self.seen_turns)
        frames = zip(self.time, self.seen_places, quaternions, strict=True)
        return [tracker.update(t, Pose.from_quaternion(place, quaternion), NOISE) for t, place, quaternion in frames]

    def errors(self, poses: list[TrackedPose | None]) -> tuple[np.ndarray, np.ndarray]:
        """Degrees and millimetres."""
        found = [pose for pose in poses if pose is not None]
        assert len(found) == len(poses)
        turns = rotation_from_quaternion(np.stack([pose.pose.quaternion for pose in found]))
        places = np.stack([pose.pose.position for pose in found])
        degrees = np.rad2deg((turns * self.turns.inv()).magnitude())
        return degrees, 1000 * np.linalg.norm(places - self.places, axis=1)


@pytest.mark.parametrize("step", [0.033, 0.08])
def test_a_tracked_pose_is_better_than_single_frames(step: float) -> None:
    motion = Motion(200, 0, step)
    degrees, millimetres = motion.errors(motion.track(Tracker(GENTLE)))
    alone = np.rad2deg((motion.seen_turns * motion.turns.inv()).magnitude())
    assert degrees[10:].mean() < 0.97 * alone[10:].mean()
    assert millimetres[10:].mean() < 1000 * np.linalg.norm(motion.seen_places - motion.places, axis=1)[10:].mean()


def test_covariances_and_velocities_are_honest() -> None:
    """Of an object that moves as the filter has it: white noise of acceleration."""
    config, surprise = GENTLE, []
    density = np.repeat([config.rotation_acceleration, config.position_acceleration], 3)
    for seed in range(30):
        rng = np.random.default_rng(seed)
        tracker = Tracker(config)
        turn, place, speed = Rotation.random(random_state=rng), np.zeros(3), np.zeros(6)
        for frame in range(1, 25):
            for _ in range(20):  # small steps of the true motion
                small = STEP / 20
                turn, place = Rotation.from_rotvec(small * speed[:3]) * turn, place + small * speed[3:]
                speed = speed + density * np.sqrt(small) * rng.normal(size=6)
            error = rng.multivariate_normal(np.zeros(6), NOISE)
            seen = Rotation.from_rotvec(error[:3]) * turn
            pose = tracker.update(STEP * frame, Pose(seen.as_matrix(), place + error[3:]), NOISE)
            assert pose is not None
            if frame > 5:
                off = (turn * rotation_from_quaternion(pose.pose.quaternion).inv()).as_rotvec()
                parts = [off, place - pose.pose.position, speed[:3] - pose.angular_velocity, speed[3:] - pose.velocity]
                surprise.append(np.concatenate(parts) / np.sqrt(np.diag(pose.covariance)))
    within = (np.abs(surprise) < 1).mean(axis=0).reshape(4, 3).mean(axis=1)
    assert np.abs(within - 0.68).max() < 0.06


@pytest.mark.parametrize("decay", [0.13, np.inf])
def test_predictions_of_what_is_shaken_are_as_far_off_as_they_say(decay: float) -> None:
    """Velocities that decay under white accelerations, integrated in small steps; constant ones are the limit."""
    config = TrackingConfig(velocity_decay_s=decay)
    rng, count, ahead, parts = np.random.default_rng(3), 4000, 0.16, 200
    tracker = Tracker(config)
    tracker.update(0.0, upright(np.zeros(3)), NOISE)
    pose = tracker.update(0.08, upright([0.02, 0.0, -0.01]), NOISE)
    assert pose is not None
    errors = rng.multivariate_normal(np.zeros(12), pose.covariance, count)
    place, speed = pose.pose.position + errors[:, 3:6], pose.velocity + errors[:, 9:]
    small = ahead / parts
    for _ in range(parts):
        place = place + small * speed
        kick = config.position_acceleration * np.sqrt(small) * rng.normal(size=(count, 3))
        speed = speed * np.exp(-small / decay) + kick
    later = tracker.predict(0.08 + ahead)
    assert later is not None
    np.testing.assert_allclose(later.pose.position, place.mean(axis=0), atol=0.02 * np.abs(place).max())
    np.testing.assert_allclose(later.velocity, speed.mean(axis=0), atol=0.04)
    true = np.cov(np.concatenate([place, speed], axis=1).T)
    part = np.ix_(np.r_[3:6, 9:12], np.r_[3:6, 9:12])
    np.testing.assert_allclose(np.diag(later.covariance[part]), np.diag(true), rtol=0.08)
    np.testing.assert_allclose(later.covariance[3, 9], true[0, 3], rtol=0.15)


@pytest.mark.parametrize("decay", [0.13, np.inf])
def test_what_was_before_is_as_uncertain_as_what_comes(decay: float) -> None:
    tracker = Tracker(TrackingConfig(velocity_decay_s=decay))
    tracker.update(0.0, upright(np.zeros(3)), NOISE)
    now = tracker.update(0.08, upright([0.02, 0.0, -0.01]), NOISE)
    before, after = tracker.predict(0.04), tracker.predict(0.12)
    assert now is not None
    assert before is not None
    assert after is not None
    np.testing.assert_allclose(
        now.pose.position - before.pose.position, after.pose.position - now.pose.position, atol=1e-12
    )
    assert np.linalg.eigvalsh(before.covariance).min() > 0
    assert before.covariance[3, 3] > now.covariance[3, 3]


def test_slow_decay_comes_down_to_constant_velocities() -> None:
    """Over all orders of magnitude: none where differences of almost equal numbers are all that is left."""
    reference = None
    for decay in (np.inf, 1e9, 1e6, 1e3, 81.0, 79.0, 10.0):
        tracker = Tracker(TrackingConfig(velocity_decay_s=decay))
        tracker.update(0.0, upright(np.zeros(3)), NOISE)
        tracker.update(0.08, upright([0.02, 0.0, -0.01]), NOISE)
        pose = tracker.predict(0.16)
        assert pose is not None
        reference = reference or pose
        np.testing.assert_allclose(pose.pose.position, reference.pose.position, rtol=0.03)
        np.testing.assert_allclose(np.diag(pose.covariance), np.diag(reference.covariance), rtol=0.05)


def test_a_wrong_estimate_is_left_out_and_a_lost_object_found_again() -> None:
    motion, tracker = Motion(40, 1), Tracker(GENTLE)
    motion.seen_places[20] += 0.05  # one frame is wrong
    motion.seen_turns = Rotation.concatenate(
        [motion.seen_turns[:30], Rotation.from_rotvec([0, 0, np.pi / 2]) * motion.seen_turns[30:]]
    )  # and from the thirtieth on the object lies on another side
    poses = motion.track(tracker)
    status = [pose.status for pose in poses if pose is not None]
    assert status[0] == "found"
    assert status[20] == "predicted"
    assert set(status[1:20] + status[21:30]) == {"tracked"}
    assert status[30:34] == ["predicted", "predicted", "found", "tracked"]
    _, millimetres = motion.errors(poses)
    assert millimetres[20] < 10


@pytest.mark.parametrize("kind", ["die", "bottle", "ball"])
def test_an_object_is_followed_whichever_of_its_look_alikes_is_seen(kind: str) -> None:
    """Each frame's estimate is another of the poses that look the same, about a point beside the origin; about an axis,
    with a deviation that only keeps the solver's equations solvable."""
    axes = {"die": np.zeros((0, 3)), "bottle": np.eye(3)[2:], "ball": np.eye(3)[1:]}[kind]
    quarters = Rotation.from_euler("z", [[0], [90], [180], [270]], degrees=True).as_matrix()
    rotations = quarters if kind == "die" else np.eye(3)[None]
    symmetries = Symmetries(rotations=rotations, axes=axes, centre=np.array([0.0, 0.0, 0.02]))
    motion, tracker, rng = Motion(60, 3), Tracker(GENTLE, symmetries), np.random.default_rng(0)
    poses = []
    for number, (time, place, turn) in enumerate(zip(motion.time, motion.seen_places, motion.seen_turns, strict=True)):
        motions = symmetries.transforms()
        alike = motions[rng.integers(len(motions))] if number else np.eye(4)
        looks = turn * Rotation.from_matrix(alike[:3, :3])
        # The solver sees points of the axis, or the ball's centre: an unknown rotation swings the origin about them.
        spin, levers = np.zeros((6, 6)), lever_matrix(rotate(looks, symmetries.centre))
        open_axes = rotate(turn, axes) if kind == "bottle" else np.eye(3)[: 3 * len(axes) // 2]
        spin[:3, :3] = 1e9 * open_axes.T @ open_axes
        noise = NOISE + levers @ spin @ levers.T
        poses.append(tracker.update(time, Pose(looks.as_matrix(), place + turn.apply(alike[:3, 3])), noise))
    assert [pose.status for pose in poses if pose is not None] == ["found"] + 59 * ["tracked"]
    found = rotation_from_quaternion(np.stack([pose.pose.quaternion for pose in poses if pose is not None]))
    middle = rotate(found, symmetries.centre) + [pose.pose.position for pose in poses if pose is not None]
    off = 1000 * np.linalg.norm(middle - rotate(motion.turns, symmetries.centre) - motion.places, axis=1)
    assert off[10:].max() < 2
    turned = np.rad2deg(symmetric_distance(symmetries, motion.turns.as_matrix(), found.as_matrix()))
    assert turned[10:].max() < 3


@pytest.mark.parametrize("kind", ["box", "bottle"])
def test_where_a_file_puts_the_origin_changes_nothing(kind: str) -> None:
    """Estimates jump between poses that look alike; told of the symmetries' centre, or of a point 52 mm beside it with
    the errors that then go together, the filter follows the centre alike, and knows as well how far it is off."""
    halves = np.concatenate([np.eye(3)[None], Rotation.from_rotvec(np.pi * np.eye(3)).as_matrix()])
    axes, rotations = (np.zeros((0, 3)), halves) if kind == "box" else (np.eye(3)[2:], np.eye(3)[None])
    beside = np.full(3, 0.03)
    about_centre, about_origin = (Symmetries(rotations=rotations, axes=axes, centre=c) for c in (np.zeros(3), beside))
    motion, rng = Motion(60, 4), np.random.default_rng(0)
    one, other = Tracker(GENTLE, about_centre), Tracker(GENTLE, about_origin)
    for time, place, turn in zip(motion.time, motion.seen_places, motion.seen_turns, strict=True):
        alike = about_centre.discretised()
        seen = turn * Rotation.from_matrix(alike[rng.integers(len(alike))])
        levers = lever_matrix(seen.apply(beside))
        origin = place - seen.apply(beside)
        pose = one.update(time, Pose(seen.as_matrix(), place), NOISE)
        moved = other.update(time, Pose(seen.as_matrix(), origin), levers @ NOISE @ levers.T)
        assert pose is not None
        assert moved is not None
        assert (pose.status, moved.status) == (("tracked", "tracked") if time > STEP else ("found", "found"))
        lever = rotation_from_quaternion(moved.pose.quaternion).apply(beside)
        np.testing.assert_allclose(moved.pose.quaternion, pose.pose.quaternion, atol=1e-9)
        np.testing.assert_allclose(moved.pose.position + lever, pose.pose.position, atol=1e-9)
        np.testing.assert_allclose(moved.velocity + np.cross(moved.angular_velocity, lever), pose.velocity, atol=1e-9)
    if kind == "box":  # the covariance is the origin's, by the same levers
        levers = lever_matrix(rotation_from_quaternion(moved.pose.quaternion).apply(beside))
        np.testing.assert_allclose(moved.covariance[:6, :6], levers @ pose.covariance[:6, :6] @ levers.T, atol=1e-12)
    assert np.sqrt(np.diag(moved.covariance)[3:6].max()) < 0.002, "a spin that no image shows moves nothing"


def lever_matrix(lever: np.ndarray) -> np.ndarray:
    """(6, 6) from the errors of a rotation and of a point to those of the point from which the lever leads there."""
    x, y, z = lever
    matrix = np.eye(6)
    matrix[3:, :3] = [[0, -z, y], [z, 0, -x], [-y, x, 0]]
    return matrix


def test_nobody_begins_with_a_guess() -> None:
    tracker, guess = Tracker(GENTLE), 1000 * NOISE
    assert tracker.update(0.0, upright(np.zeros(3)), guess) is None
    assert tracker.predict(1.0) is None
    assert tracker.update(0.1, upright(np.full(3, np.nan)), NOISE) is None
    assert tracker.update(0.2, upright(np.zeros(3)), NOISE) is not None
    lost = [tracker.update(0.2 + 0.1 * n, upright(np.full(3, 0.5)), guess) for n in (1, 2, 3)]
    assert lost[-1] is None
    with pytest.raises(ValueError, match="gate"):
        TrackingConfig(gate=1.0)


def test_prediction_bridges_latency() -> None:
    motion, tracker = Motion(100, 2), Tracker()
    late, ahead = [], []
    for number in range(99):
        seen = Pose(motion.seen_turns[number].as_matrix(), motion.seen_places[number])
        now = tracker.update(motion.time[number], seen, NOISE)
        later = tracker.predict(motion.time[number + 1])
        assert now is not None
        assert later is not None
        true = motion.turns[number + 1]
        late.append((rotation_from_quaternion(now.pose.quaternion) * true.inv()).magnitude())
        ahead.append((rotation_from_quaternion(later.pose.quaternion) * true.inv()).magnitude())
    assert np.mean(ahead[10:]) < 0.7 * np.mean(late[10:])


def test_an_estimate_that_may_not_begin_a_track_begins_none() -> None:
    """Of unusual images: neither the first one, nor the one with which what was tracked is given up."""
    tracker, far = Tracker(GENTLE), upright([1, 0, 0])
    assert tracker.update(0.1, far, NOISE, may_begin=False) is None
    assert tracker.update(0.2, upright(np.zeros(3)), NOISE) is not None
    for frame in range(6):
        tracker.update(0.3 + 0.1 * frame, far, NOISE, may_begin=False)
    assert tracker.lost
    assert tracker.update(1.0, far, NOISE) is not None


def test_nobody_begins_without_a_place() -> None:
    """Known to a degree and unknown in depth, as one camera sees a ball."""
    deep = NOISE + np.diag([0, 0, 0, 0, 0, 1.0])
    assert Tracker(GENTLE).update(0.1, upright(np.zeros(3)), deep) is None


def test_a_rotation_that_is_not_finite_is_no_estimate() -> None:
    tracker, broken = Tracker(GENTLE), Pose(np.full((3, 3), np.nan), np.zeros(3))
    assert tracker.update(0.0, broken, NOISE) is None
    assert tracker.update(0.1, upright(np.zeros(3)), NOISE) is not None
    missed = tracker.update(0.2, broken, NOISE)
    assert missed is not None
    assert missed.status == "predicted"


def test_time_rises_for_a_lost_object_too() -> None:
    tracker = Tracker(GENTLE)
    assert tracker.miss(0.5) is None
    for time in (0.4, 0.5, float("nan")):
        with pytest.raises(ValueError, match="time must rise"):
            tracker.update(time, upright(np.zeros(3)), NOISE)
        with pytest.raises(ValueError, match="time must rise"):
            tracker.miss(time)
