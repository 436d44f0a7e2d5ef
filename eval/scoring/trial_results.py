"""Trials of a policy in simulation, told the state or what an estimator sees: results, and errors over time.

``dactyl closed-loop`` (``eval.closed_loop``) plays them and leaves in its folder::

    results.json                  every trial of every play, the estimator's errors, what was run on what; written last
    table.md                      next to the paper's Table 3
    errors-<simulation>.png       the estimator's errors over a trial's time
    film-<simulation>.gif         a trial, the true and the estimated object drawn over
    blocks/                       the plays block by block, what a rerun goes on from; estimates as Parquet (``TRACE``)

Reading them needs no simulator.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from eval.scoring.metrics import PoseErrors
from vision.errors import DactylError
from vision.storage.files import read_json
from vision.storage.schema import LABEL, PREDICTIONS, STATES, Field, check_version

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
        _ = [np.asarray(play.goals, np.float64).mean() for play in found.plays], record["plays"][0]["policy"]
        _ = [record["config"][key] for key in ("rules", "protocol", "latency_steps", "hold_out")]
        _ = record["checkpoint"]["sha256"], found.object
    except (LookupError, TypeError, ValueError) as error:
        raise DactylError(f"{path}: not the results of dactyl closed-loop ({error!r}); play again") from error
    return found


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
