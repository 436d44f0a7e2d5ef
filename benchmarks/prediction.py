"""Errors of predicting a tracked object one and two steps of 80 ms ahead, by how fast its velocities decay.

Uses states of a policy, with every step kept, and errors drawn like an estimator's; no images.

    dactyl states --count 6000 --stride 1 --worlds 16 --seed 5 --output runs/steps
    python -m benchmarks.prediction --states runs/steps > benchmarks/results/prediction.txt
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from benchmarks.machine import describe
from datagen.states.files import States, load_states
from vision.geometry.poses import Pose
from vision.geometry.rotations import rotation_from_quaternion
from vision.published import STEP_SECONDS
from vision.tracking import Tracker, TrackingConfig

DECAYS = (np.inf, 0.5, 0.25, 0.18, 0.13, 0.1, 0.07)  # s
_ERROR_DEG, _ERROR_MM = 0.75, 0.48  # means of the weights block on Filament, calibrated


def measure(states: States, rows: np.ndarray, decay_s: float, rng: np.random.Generator) -> list[tuple[float, ...]]:
    """Measure errors of each frame of an episode: of the prediction one step ahead, millimetres and degrees, the same
    for two steps, of the velocity, millimetres per second, and the square of the first in units of its own standard
    deviation, for which 1 is right."""
    # A vector of three independent numbers has a mean length of sqrt(8 / pi) times their standard deviation.
    stds = np.repeat([np.deg2rad(_ERROR_DEG), _ERROR_MM / 1000], 3) / np.sqrt(8 / np.pi)
    tracker, covariance, found = Tracker(TrackingConfig(velocity_decay_s=decay_s)), np.diag(stds**2), []
    places, turns = states.object_position[rows], rotation_from_quaternion(states.object_quaternion[rows])
    for frame in range(len(rows) - 2):
        error, now = stds * rng.normal(size=6), frame * STEP_SECONDS
        seen = Rotation.from_rotvec(error[:3]) * turns[frame]
        pose = tracker.update(now, Pose(seen.as_matrix(), places[frame] + error[3:]), covariance)
        if pose is None:
            continue
        row: list[float] = []
        for steps in (1, 2):
            ahead = tracker.predict(now + steps * STEP_SECONDS)
            assert ahead is not None
            shift = places[frame + steps] - ahead.pose.position
            turn = (turns[frame + steps] * Rotation.from_matrix(ahead.pose.rotation).inv()).as_rotvec()
            row += [1000 * float(np.linalg.norm(shift)), float(np.rad2deg(np.linalg.norm(turn)))]
            if steps == 1:
                off = np.concatenate([turn, shift])
                surprise = float(off @ np.linalg.solve(ahead.covariance[:6, :6], off)) / 6
        velocity = 1000 * float(np.linalg.norm(pose.velocity - states.object_linear_velocity[rows[frame]]))
        found.append((*row, velocity, surprise))
    return found


def _ways(states: States, rows: np.ndarray) -> np.ndarray:
    """Return how far an episode's object moves in one step and in two, (N, 4): millimetres and degrees for each."""
    places, turns = states.object_position[rows], rotation_from_quaternion(states.object_quaternion[rows])
    count, columns = len(rows) - 2, []
    for steps in (1, 2):
        shift = places[steps : steps + count] - places[:count]
        columns.append(1000 * np.linalg.norm(shift, axis=1))
        columns.append(np.rad2deg((turns[steps : steps + count] * turns[:count].inv()).magnitude()))
    return np.stack(columns, axis=1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--states", type=Path, required=True, help="folder of dactyl states, collected with --stride 1")
    parser.add_argument("--episodes", type=int, default=16)
    options = parser.parse_args()
    states = load_states(options.states)
    order = np.lexsort((states.step, states.episode))
    numbers = np.unique(states.episode)[: options.episodes]
    episodes = [order[states.episode[order] == number] for number in numbers]
    print(describe())
    print(f"\n{len(episodes)} episodes by {states.policy}; means over frames\n")
    print("| velocities decay in | 80 ms ahead | 160 ms ahead | velocity | squared error in deviations |")
    print("|---|---:|---:|---:|---:|")
    near, near_deg, far, far_deg = np.concatenate([_ways(states, rows) for rows in episodes]).mean(axis=0)
    print(f"| left where it was | {near:.1f} mm, {near_deg:.1f}° | {far:.1f} mm, {far_deg:.1f}° | | |")
    for decay in DECAYS:
        rng = np.random.default_rng(0)
        errors = [error for rows in episodes for error in measure(states, rows, decay, rng)]
        near, near_deg, far, far_deg, velocity, surprise = np.mean(errors, axis=0)
        name = "never" if np.isinf(decay) else f"{decay:g} s"
        print(
            f"| {name} | {near:.1f} mm, {near_deg:.1f}° | {far:.1f} mm, {far_deg:.1f}° | {velocity:.0f} mm/s | "
            f"{surprise:.2f} |"
        )


if __name__ == "__main__":
    main()
