"""Figures of the paper (OpenAI et al., arXiv 1808.00177) that several parts of this program need."""

from __future__ import annotations

from vision.statistics.trials import ConsecutiveGoals

STEP_SECONDS = 0.08
"""Section 4.1: one step of the environment, in which each camera takes one image, s."""

CAMERA_POSITION_M = 0.0015
CAMERA_ROTATION_DEG = 3.0
CAMERA_FOVY_DEG = 1.0
"""Table 9: largest displacement of a camera along each axis, about a random axis, and of its vertical field of view."""

TRIAL_GOALS = 50
TRIAL_SECONDS = 80.0
"""Section 6.2: goals in a row that complete a trial, and the longest time at one of them, s."""

TRIALS = {
    ("shadow", "block"): (
        ConsecutiveGoals("block (state)", "randomized", 100, 43.4, 13.8, 50.0),
        ConsecutiveGoals("block (state, locked wrist)", "randomized", 100, 44.2, 13.4, 50.0),
        ConsecutiveGoals("block (vision)", "randomized", 100, 30.0, 10.3, 33.0),
        ConsecutiveGoals("block (state)", "robot", 10, 18.8),
        ConsecutiveGoals("block (state, locked wrist)", "robot", 10, 26.4),
        ConsecutiveGoals("block (vision)", "robot", 10, 15.2),
    ),
    ("shadow", "prism"): (
        ConsecutiveGoals("octagonal prism (state)", "randomized", 100, 29.0, 19.7, 30.0),
        ConsecutiveGoals("octagonal prism (state)", "robot", 10, 7.8),
    ),
}
"""Table 3, by names of hand and object; only the means of the robot's trials."""
