"""Benefit of tracking: errors of each frame's estimate and of the tracked pose, on rendered sequences.

Sequences are made by ``python -m benchmarks.sequences``. The same network and frames are used with known cameras, with
cameras found from the sequence itself, and with nominal ones:

    single          each frame's own estimate, with velocities from neighbouring frames
    tracked         the filter's pose after the update with the frame's estimate
    predicted       the filter's pose for the next frame, before it is seen: the cost of one frame's latency

Jumps are changes of the error from frame to frame. The lag is the time offset at which the tracked rotations fit the
true ones best: a filter that only smooths lags behind.

    python -m benchmarks.tracking --sequences data/sequences-80 data/sequences-32 --checkpoint block
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation, Slerp

from benchmarks.machine import describe
from eval.estimation.config import EstimateConfig
from eval.estimation.estimates import Estimate, Observer
from eval.estimation.following import Follower
from eval.estimation.own_cameras import find_own_cameras
from eval.estimation.sources import open_source
from vision.geometry.poses import Pose
from vision.geometry.rotations import FloatArray, rotation_from_quaternion
from vision.tracking import TrackedPose, TrackingConfig

_BATCH = 16


@dataclass(frozen=True)
class Course:
    """Errors of a pose over time: rotation vectors (F, 3) rad, positions (F, 3) metres, velocities (F, 3) rad/s and
    m/s; NaN if there is no pose."""

    turn: FloatArray
    shift: FloatArray
    angular_velocity: FloatArray
    velocity: FloatArray

    def figures(self) -> list[float]:
        """Return mean errors in degrees and mm, mean jumps in the same, and velocity errors in deg/s and mm/s."""
        turned, moved = np.rad2deg(np.linalg.norm(self.turn, axis=1)), 1000 * np.linalg.norm(self.shift, axis=1)
        jumps = (np.linalg.norm(np.diff(each, axis=0), axis=1) for each in (np.rad2deg(self.turn), 1000 * self.shift))
        speeds = (np.rad2deg(self.angular_velocity), 1000 * self.velocity)
        each = (turned, moved, *jumps, *(np.linalg.norm(speed, axis=1) for speed in speeds))
        return [float(np.nanmean(values)) for values in each]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sequences", type=Path, nargs="+", required=True)
    parser.add_argument("--checkpoint", type=Path, default=Path("block"))
    parser.add_argument("--rotation_acceleration", type=float, default=TrackingConfig.rotation_acceleration)
    parser.add_argument("--position_acceleration", type=float, default=TrackingConfig.position_acceleration)
    arguments = parser.parse_args()
    config = TrackingConfig(arguments.rotation_acceleration, arguments.position_acceleration)
    print(f"{describe()}\n{arguments.checkpoint}; {config.rotation_acceleration:g}, {config.position_acceleration:g}\n")
    names = ("deg", "mm", "jump deg", "jump mm", "deg/s", "mm/s")
    print(f"{'':46}" + "".join(f"{name:>10}" for name in names) + f"{'lag ms':>10}{'lost':>6}")
    for folder in arguments.sequences:
        for protocol in ("calibrated", "self-calibrated", "nominal"):
            _measure(folder, protocol, arguments.checkpoint, config)


def _measure(folder: Path, protocol: str, checkpoint: Path, config: TrackingConfig) -> None:
    courses: dict[str, list[Course]] = {"single": [], "tracked": [], "predicted": []}
    lags, lost, frames, step = [], 0, 0, 0.0
    for sequence in sorted(path.parent for path in folder.glob("*/truth.npz")):
        with np.load(sequence / "truth.npz") as file:
            truth = dict(file)
        estimates = list(_estimates(sequence, protocol, checkpoint))
        step = float(np.diff(truth["time_s"]).mean())
        tracked, predicted = follow(estimates, config, step)
        courses["single"].append(_course(truth, [each.pose for each in estimates], None))
        for name, tracks in (("tracked", tracked), ("predicted", predicted)):
            poses = [None if track is None else track.pose for track in tracks]
            courses[name].append(_course(truth, poses, tracks))
        lags.append(_lag(truth, tracked))
        lost += sum(pose is None for pose in tracked)
        frames += len(tracked)
    for name, parts in courses.items():
        figures = np.mean([part.figures() for part in parts], axis=0)
        title = f"{1000 * step:.0f} ms, {protocol}, {frames} frames, {name}"
        more = f"{1000 * float(np.median(lags)):10.0f}{lost:6}" if name == "tracked" else ""
        print(f"{title:46}" + "".join(f"{figure:10.2f}" for figure in figures) + more, flush=True)


def _estimates(sequence: Path, protocol: str, checkpoint: Path) -> Iterator[Estimate]:
    calibration = sequence / "calibration.json" if protocol == "calibrated" else None
    config = EstimateConfig(sequence, checkpoint=checkpoint, calibration=calibration)
    observer = Observer(config)
    source = open_source(config, observer.estimator.scene)
    if protocol == "self-calibrated":
        find_own_cameras(observer, source, source.count)
    for first in range(0, source.count, _BATCH):
        yield from observer([source.read(number) for number in range(first, min(first + _BATCH, source.count))])


def follow(
    estimates: list[Estimate], config: TrackingConfig, step: float
) -> tuple[list[TrackedPose | None], list[TrackedPose | None]]:
    """Return tracked poses, and the prediction of each frame from those before it."""
    follower, tracked, predicted = Follower(config, step), [], []
    for estimate in estimates:
        assert estimate.time_s is not None
        predicted.append(follower.tracker.predict(estimate.time_s))
        tracked.append(follower(estimate)[1])
    return tracked, predicted


def _course(
    truth: dict[str, np.ndarray],
    poses: Sequence[Pose | None],
    tracks: Sequence[TrackedPose | None] | None,
) -> Course:
    count, nothing = len(poses), np.full(3, np.nan)
    turn, shift = np.full((count, 3), np.nan), np.full((count, 3), np.nan)
    for row, pose in enumerate(poses):
        if pose is not None:
            true = rotation_from_quaternion(truth["quaternion"][row])
            turn[row] = (Rotation.from_matrix(pose.rotation) * true.inv()).as_rotvec()
            shift[row] = pose.position - truth["position"][row]
    if tracks is not None:
        speeds = [(nothing, nothing) if each is None else (each.angular_velocity, each.velocity) for each in tracks]
    else:
        steps = np.diff(truth["time_s"], prepend=np.nan)
        speeds = [(nothing, nothing)]
        for row in range(1, count):
            before, now = poses[row - 1], poses[row]
            assert before is not None
            assert now is not None
            turned = Rotation.from_matrix(now.rotation @ before.rotation.T)
            speeds.append((turned.as_rotvec() / steps[row], (now.position - before.position) / steps[row]))
    angular, linear = (np.stack(each) for each in zip(*speeds, strict=True))
    return Course(turn, shift, angular - truth["angular_velocity"], linear - truth["velocity"])


def _lag(truth: dict[str, np.ndarray], poses: list[TrackedPose | None]) -> float:
    """Return the seconds by which the tracked rotations lag behind the true ones."""
    times, kept = truth["time_s"], [row for row, pose in enumerate(poses) if pose is not None]
    true = Slerp(times, rotation_from_quaternion(truth["quaternion"]))
    found = Rotation.from_matrix([poses[row].pose.rotation for row in kept])  # type: ignore[union-attr]
    lags = np.linspace(-0.1, 0.1, 81)
    inside = [(times[kept] - lag >= times[0]) & (times[kept] - lag <= times[-1]) for lag in lags]
    off = [
        (found[rows] * true(times[kept][rows] - lag).inv()).magnitude().mean()
        for lag, rows in zip(lags, inside, strict=True)
    ]
    return float(lags[int(np.argmin(off))])


if __name__ == "__main__":
    main()
