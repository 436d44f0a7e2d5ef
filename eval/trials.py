"""Trials of a policy in simulation, told the state or what an estimator sees: results, Table 3, errors over time.

``dactyl closed-loop`` (``eval.closed_loop``) plays them and leaves in its folder::

    results.json                  every trial of every play, the estimator's errors, what was run on what; written last
    table.md                      next to the paper's Table 3
    errors-<simulation>.png       the estimator's errors over a trial's time
    film-<simulation>.gif         a trial, the true and the estimated object drawn over
    blocks/                       the plays block by block, what a rerun goes on from; estimates as Parquet (``TRACE``)

Reading them needs no simulator.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from eval.bootstrap import Interval, mean_interval
from eval.metrics import PoseErrors
from vision.errors import DactylError
from vision.files import read_json
from vision.schema import LABEL, PREDICTIONS, STATES, Field, check_version

RESULTS = "results.json"
STEP_SECONDS = 0.08  # s, one step of the environment, one picture of each camera

Simulation = Literal["calibrated", "randomized"]
Told = Literal["state", "vision"]

TRACE: dict[str, Field] = {
    **PREDICTIONS,
    "joint_position": LABEL["joint_position"],
    "goal_quaternion": STATES["goal_quaternion"],
}
"""One estimate of a trial: ``index`` is the step, ``episode`` the trial."""


@dataclass(frozen=True)
class TrialRow:
    """A line of the table of trials; None where nothing is published or nothing was estimated.

    Attributes:
        label: whose trials, and what the policy was told.
        place: the simulation, or the robot.
        trials: how many.
        mean, std, median: of the consecutive goals.
        interval: of the mean, 95 %.
        ended: how many trials ended by a drop, by too long at one goal, with all goals.
        errors: the estimator's mean errors while it drove, degrees and millimetres.
        published: by the paper.
    """

    label: str
    place: str
    trials: int
    mean: float
    std: float | None = None
    median: float | None = None
    interval: Interval | None = None
    ended: tuple[int, int, int] | None = None
    errors: tuple[float, float] | None = None
    published: bool = False


def _paper(
    label: str, place: str, trials: int, mean: float, std: float | None = None, median: float | None = None
) -> TrialRow:
    return TrialRow(f"paper, {label}", place, trials, mean, std, median, published=True)


PAPER_TRIALS = {
    "block": (
        _paper("block (state)", "randomized", 100, 43.4, 13.8, 50.0),
        _paper("block (state, locked wrist)", "randomized", 100, 44.2, 13.4, 50.0),
        _paper("block (vision)", "randomized", 100, 30.0, 10.3, 33.0),
        _paper("block (state)", "robot", 10, 18.8),
        _paper("block (state, locked wrist)", "robot", 10, 26.4),
        _paper("block (vision)", "robot", 10, 15.2),
    ),
    "prism": (
        _paper("octagonal prism (state)", "randomized", 100, 29.0, 19.7, 30.0),
        _paper("octagonal prism (state)", "robot", 10, 7.8),
    ),
}
"""OpenAI et al., arXiv 1808.00177, Table 3, by object; of the robot's trials the means only."""

TRIAL_NOTES = (
    "Consecutive goals (orientations reached to 0.4 rad); the paper's trials end at a drop, 50 goals, or 80 s at one "
    "goal. State: the policy is told what the simulation's tracker reports. Vision: the object's pose comes from the "
    "estimator, which sees three pictures of MuJoCo's classic renderer at every step; whether a goal is reached is "
    "decided by the true pose.",
    "Paper: arXiv 1808.00177, Table 3. Calibrated: the simulation without randomization, the calibrated look, cameras "
    "in their places. Randomized: the paper's randomizations of physics, actions and sensors (Tables 1, 7, 8), and for "
    "each trial one look and one displacement of the cameras (Table 9).",
)


@dataclass(frozen=True)
class Play:
    """All trials of one simulation, with the policy told one thing.

    Attributes:
        simulation: calibrated or randomized.
        told: state or vision.
        goals: consecutive goals of each trial.
        endings: dropped, late or complete, of each trial.
        errors: mean rotation (degrees) and position error (mm) of all estimates; None for the state.
        over_time: :func:`over_time`; None for the state.
    """

    simulation: Simulation
    told: Told
    goals: Sequence[int]
    endings: Sequence[str]
    errors: tuple[float, float] | None = None
    over_time: Mapping[str, Sequence[float]] | None = None

    def row(self, name: str) -> TrialRow:
        """Its line of the table, for a policy and object called ``name``."""
        goals, ended = np.asarray(self.goals, dtype=np.float64), Counter(self.endings)
        return TrialRow(
            f"{name} ({self.told})",
            self.simulation,
            len(goals),
            float(goals.mean()),
            float(goals.std()),
            float(np.median(goals)),
            mean_interval(goals, np.arange(len(goals)), np.random.default_rng(0)),
            (ended["dropped"], ended["late"], ended["complete"]),
            self.errors,
        )


@dataclass(frozen=True)
class ClosedLoop:
    """The folder of one ``dactyl closed-loop``."""

    folder: Path
    record: dict[str, Any]

    @property
    def object(self) -> str:
        return self.record["object"]

    @property
    def plays(self) -> list[Play]:
        plays = []
        for one in self.record["plays"]:
            errors = one["errors"]
            means = None if errors is None else (errors["rotation_deg_mean"], errors["position_mm_mean"])
            plays.append(Play(one["simulation"], one["told"], one["goals"], one["endings"], means, one["over_time"]))
        return plays

    def film(self, simulation: Simulation) -> Path:
        return self.folder / f"film-{simulation}.gif"


def load_closed_loop(folder: Path) -> ClosedLoop:
    """The results in a folder.

    Raises:
        DactylError: they are missing, unfinished, damaged or of another version.
    """
    path = folder / RESULTS
    if folder.is_dir() and not path.exists():
        raise DactylError(f"{folder}: no finished trials (no {RESULTS}); run dactyl closed-loop --output {folder}")
    record = read_json(path, "closed loop")
    if not isinstance(record, dict):
        raise DactylError(f"{path}: not the results of dactyl closed-loop; play again")
    check_version(record.get("schema_version"), str(path))
    found = ClosedLoop(folder, record)
    try:
        for play in found.plays:
            play.row(found.object)
        trial_notes({"": found})
    except (KeyError, TypeError, ValueError) as error:
        raise DactylError(f"{path}: not the results of dactyl closed-loop ({error!r}); play again") from error
    return found


def trial_rows(loops: Mapping[str, ClosedLoop]) -> list[TrialRow]:
    """The paper's rows for the object, then ours; one policy needs no name, several have theirs."""
    objects = dict.fromkeys(loop.object for loop in loops.values())
    rows = [row for name in objects for row in PAPER_TRIALS.get(name, ())]
    for name, loop in loops.items():
        label = loop.object if len(loops) == 1 else f"{name}, {loop.object}"
        rows += [play.row(label) for play in loop.plays]
    return rows


TRIAL_TITLES = (
    *("trials of", "in", "n", "consecutive goals", "95 % CI", "median", "dropped", "out of time", "all goals"),
    *("rotation error (°)", "position error (mm)"),
)


def trial_cells(row: TrialRow) -> list[str]:
    """A row's texts, one for each of :data:`TRIAL_TITLES`."""
    mean = f"{row.mean:.1f}" if row.std is None else f"{row.mean:.1f} ± {row.std:.1f}"
    between = "–" if row.interval is None else f"{row.interval.low:.1f}–{row.interval.high:.1f}"
    errors = ["–", "–"] if row.errors is None else [f"{value:.2f}" for value in row.errors]
    ended = ["–"] * 3 if row.ended is None else [str(count) for count in row.ended]
    median = "–" if row.median is None else f"{row.median:g}"
    return [row.label, row.place, str(row.trials), mean, between, median, *ended, *errors]


def trial_notes(loops: Mapping[str, ClosedLoop]) -> list[str]:
    """What the table's words mean, and how the trials of each policy were played."""
    notes = list(TRIAL_NOTES)
    for name, loop in loops.items():
        config, rules = loop.record["config"], loop.record["config"]["rules"]
        told = {"nominal": "should be", "calibrated": "are"}[config["protocol"]]
        late, held_out = config["latency_steps"] * STEP_SECONDS, ", ".join(config["hold_out"])
        notes.append(
            f"{name or 'Here'}: policy {loop.record['plays'][0]['policy']}, checkpoint "
            f"{loop.record['checkpoint']['sha256'][:12]}; trials until a drop, {rules['goals']} goals, or "
            f"{rules['seconds']:g} s at one goal; {config['protocol']} protocol (the estimator is told where the "
            f"cameras {told}); estimates {late:g} s late" + (f"; not randomized: {held_out}." if held_out else ".")
        )
    return notes


def trial_table(loops: Mapping[str, ClosedLoop]) -> str:
    """Markdown, with notes below."""
    rows, notes = trial_rows(loops), trial_notes(loops)
    body = [TRIAL_TITLES, ["---"] * 2 + ["---:"] * (len(TRIAL_TITLES) - 2), *(trial_cells(row) for row in rows)]
    return "\n".join([*("| " + " | ".join(line) + " |" for line in body), "", *(f"{note}\n" for note in notes)])


def over_time(columns: Mapping[str, np.ndarray], errors: PoseErrors) -> dict[str, list[float]]:
    """How a trial's time changes the estimator's errors.

    Args:
        columns: of :data:`TRACE`, (N, ...).
        errors: of the same estimates.

    Returns:
        For each second of the trials: ``seconds`` since their beginning (its middle), ``trials`` still going, and
        ``<error>_<p10|p50|p90>`` for rotation_deg and position_mm, percentiles over all estimates in that second.
        Seconds that fewer than two trials reached are left out, unless there is one trial only.
    """
    second = (columns["index"] * STEP_SECONDS).astype(np.int64)
    needed = min(2, len(np.unique(columns["episode"])))
    found: dict[str, list[float]] = {"seconds": [], "trials": []}
    for part in ("rotation_deg", "position_mm"):
        found |= {f"{part}_{name}": [] for name in ("p10", "p50", "p90")}
    for one in np.unique(second):
        here = second == one
        trials = len(np.unique(columns["episode"][here]))
        if trials < needed:
            break
        found["seconds"].append(float(one) + 0.5)
        found["trials"].append(float(trials))
        for part in ("rotation_deg", "position_mm"):
            values = getattr(errors, part)[here]
            for name, value in zip(("p10", "p50", "p90"), np.percentile(values, [10, 50, 90]), strict=True):
                found[f"{part}_{name}"].append(float(value))
    return found
