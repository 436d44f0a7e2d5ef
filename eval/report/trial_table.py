"""The table of trials: the paper's Table 3, our trials, and how ours were played."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np

from eval.scoring.record import windows_note
from eval.scoring.trial_results import ClosedLoop, PlayRecord
from vision.published import STEP_SECONDS, TRIAL_GOALS, TRIAL_SECONDS, TRIALS
from vision.statistics.bootstrap import mean_interval
from vision.statistics.trials import GOAL_TITLES, ConsecutiveGoals
from vision.templating import markdown_table


@dataclass(frozen=True)
class TrialRow:
    """A line of the table of trials.

    Attributes:
        goals: label of the trials, and their consecutive goals.
        errors: the estimator's mean errors during the trials, degrees and millimetres; None if nothing was estimated.
        published: whether the paper published them.
    """

    goals: ConsecutiveGoals
    errors: tuple[float, float] | None = None
    published: bool = False


PAPER_TRIALS = {
    names: tuple(TrialRow(replace(goals, label=f"paper, {goals.label}"), published=True) for goals in rows)
    for names, rows in TRIALS.items()
}

TRIAL_NOTES = (
    f"Consecutive goals (orientations reached to 0.4 rad); the paper's trials end at a drop, {TRIAL_GOALS} goals, or "
    f"{TRIAL_SECONDS:g} s at one goal. State: the policy is told what the simulation's tracker reports. Vision: the "
    "object's pose comes from the estimator, which sees a picture of each camera by MuJoCo's classic renderer at every "
    "step; whether a goal is reached is decided by the true pose.",
    "Paper: arXiv 1808.00177, Table 3. Plain: the simulation without randomization, one look for all trials, cameras "
    "in their places. Randomized: the paper's randomizations of physics, actions and sensors (Tables 1, 7, 8), and for "
    "each trial one look and one displacement of the cameras (Table 9).",
)


def play_row(play: PlayRecord, name: str, most: int) -> TrialRow:
    """Return a play's line of the table, for a policy and object called ``name``; ``most`` goals complete a trial."""
    label = f"{name} ({play.observation_source})"
    goals = ConsecutiveGoals.of(label, play.simulation, play.goals, play.endings, most)
    return TrialRow(goals, None if play.errors is None else play.errors.means)


def trial_rows(loops: Mapping[str, ClosedLoop]) -> list[TrialRow]:
    """Return the paper's rows for the hand and object, if trials like the paper's were played, then ours; a single
    policy is not named."""
    alike = [loop for loop in loops.values() if _as_published(loop)]
    played = dict.fromkeys((loop.scene.hand.name if loop.scene.hand else "", loop.object) for loop in alike)
    rows = [row for names in played for row in PAPER_TRIALS.get(names, ())]
    for name, loop in loops.items():
        label = loop.object if len(loops) == 1 else f"{name}, {loop.object}"
        rows += [play_row(play, label, loop.played.rules.goals) for play in loop.plays]
    return rows


def _as_published(loop: ClosedLoop) -> bool:
    played = loop.played
    return (played.rules.goals, played.rules.seconds) == (TRIAL_GOALS, TRIAL_SECONDS) and not played.hold_out


TRIAL_TITLES = (*GOAL_TITLES, "rotation error (°)", "position error (mm)")


def trial_cells(row: TrialRow) -> list[str]:
    """Return a row's texts, one for each of :data:`TRIAL_TITLES`."""
    errors = ["–", "–"] if row.errors is None else [f"{value:.2f}" for value in row.errors]
    return [*row.goals.cells(), *errors]


def trial_notes(loops: Mapping[str, ClosedLoop]) -> list[str]:
    """Return notes on the terms of the table, and on how the trials of each policy were played."""
    notes = list(TRIAL_NOTES)
    for name, loop in loops.items():
        played = loop.played
        cameras = {
            "nominal": "the estimator is told where the cameras should be",
            "self-calibrated": f"the estimator finds the cameras from {played.calibration_triplets} triplets first",
            "calibrated": "the estimator is told where the cameras are",
        }[played.protocol]
        tracked = ", tracked, and predicted for the moment when they arrive" if played.track else ""
        late, held_out = played.latency_steps * STEP_SECONDS, ", ".join(played.hold_out)
        notes.append(
            f"{name or 'Here'}: policy {loop.record.plays[0].policy}, checkpoint "
            f"{loop.record.checkpoint.sha256[:12]}; trials until a drop, {played.rules.goals} goals, or "
            f"{played.rules.seconds:g} s at one goal; {played.protocol} protocol ({cameras}); estimates {late:g} s "
            f"late{tracked}{windows_note(played.windows)}" + (f"; not randomized: {held_out}." if held_out else ".")
        )
        for play in loop.plays:
            if play.told is not None and play.errors is not None and play.told.means != play.errors.means:
                turn, shift = play.told.means
                notes.append(
                    f"{name or 'Here'}, {play.simulation}: what the policy was told of the object was at each moment "
                    f"off by {turn:.2f}° and {shift:.2f} mm (means)."
                )
        notes += _paired(name, loop)
    return notes


def _paired(name: str, loop: ClosedLoop) -> Iterator[str]:
    """Yield what vision costs: the paired difference of the same trials by vision and by the state."""
    goals = {(play.simulation, play.observation_source): np.asarray(play.goals, np.float64) for play in loop.plays}
    for simulation, source in goals:
        if source == "vision" and (simulation, "state") in goals:
            less = goals[simulation, "vision"] - goals[simulation, "state"]
            interval = mean_interval(less, np.arange(len(less)), np.random.default_rng(0))
            between = f" (95 % {interval.low:+.1f} to {interval.high:+.1f})" if interval else ""
            yield f"{name or 'Here'}, {simulation}: {less.mean():+.1f} goals a trial by vision, paired{between}."


def trial_table(loops: Mapping[str, ClosedLoop]) -> str:
    """Format the table of trials in Markdown, with notes below."""
    return markdown_table(TRIAL_TITLES, [trial_cells(row) for row in trial_rows(loops)], 2, trial_notes(loops))
