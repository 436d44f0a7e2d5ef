"""Results of trials of a policy in simulation that observes the state or an estimator's poses, and errors over time.

``dactyl closed-loop`` (``eval.closed_loop``) plays them and writes into its folder::

    results.json                  every trial of every play, the estimator's errors, software and checkpoint; last
    table.md                      results next to the paper's Table 3
    errors-<simulation>.png       the estimator's errors over a trial's time
    film-<simulation>.gif         a trial, with the true and the estimated object drawn over it
    blocks/                       the plays block by block, from which a rerun resumes; estimates as Parquet (``TRACE``)

Reading them needs no simulator.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
import numpy as np

from eval.scoring.conditions import ProtocolName
from eval.scoring.metrics import PoseErrors
from eval.scoring.record_types import CheckpointFile, SoftwareRecord
from vision.errors import DactylError
from vision.io.decode import Count, Record, Text, convert
from vision.published import STEP_SECONDS
from vision.scene.scene import Scene
from vision.statistics.trials import Ending
from vision.storage.records import read_record
from vision.storage.schema import LABEL, PREDICTIONS, STATES, Field

RESULTS = "results.json"

Simulation = Literal["plain", "randomized"]
ObservationSource = Literal["state", "vision"]
Error = Annotated[float, msgspec.Meta(ge=0)]

TRACE: dict[str, Field] = {
    **PREDICTIONS,
    "joint_position": LABEL["joint_position"],
    "goal_quaternion": STATES["goal_quaternion"],
    "told_position": PREDICTIONS["predicted_position"],
    "told_quaternion": PREDICTIONS["predicted_quaternion"],
}
"""One step of a trial: ``index`` is the step, ``episode`` the trial. It holds the prediction from its images and the
pose that the policy observed then, which may be delayed or tracked."""


class EstimatesRecord(Record, frozen=True):
    """Errors of all estimates of a play, in degrees and millimetres."""

    estimates: Count
    rotation_deg_mean: Error
    rotation_deg_std: Error
    rotation_deg_median: Error
    rotation_deg_p90: Error
    position_mm_mean: Error
    position_mm_std: Error
    position_mm_median: Error
    position_mm_p90: Error

    @property
    def means(self) -> tuple[float, float]:
        """Mean rotation (degrees) and position error (mm)."""
        return self.rotation_deg_mean, self.position_mm_mean


class OverTimeRecord(Record, frozen=True):
    """Errors of a play's estimates for each second of its trials (:func:`over_time`).

    Attributes:
        seconds: since the start, the middle of each second.
        trials: number of trials still running.
        rotation_deg_p10, rotation_deg_p50, rotation_deg_p90, position_mm_p10, position_mm_p50, position_mm_p90:
            percentiles over all estimates in that second.
    """

    seconds: tuple[float, ...]
    trials: tuple[float, ...]
    rotation_deg_p10: tuple[Error, ...]
    rotation_deg_p50: tuple[Error, ...]
    rotation_deg_p90: tuple[Error, ...]
    position_mm_p10: tuple[Error, ...]
    position_mm_p50: tuple[Error, ...]
    position_mm_p90: tuple[Error, ...]

    def __post_init__(self) -> None:
        if len({len(getattr(self, name)) for name in self.__struct_fields__}) > 1:
            raise ValueError("over_time: lists of different length")


class PlayRecord(Record, frozen=True, omit_defaults=False):
    """All trials of one simulation with one observation source.

    Attributes:
        simulation: plain or randomized.
        observation_source: state or vision: where the policy's object poses come from.
        policy: name of the policy.
        goals: number of consecutive goals of each trial.
        endings: ending of each trial.
        errors: errors of all estimates; None for the state.
        told: errors of the poses that the policy observed, at the time of observation; None for the state.
        over_time: errors as a function of the time in a trial; None for the state.
        filmed: the trial shown in the film; None for the state.
    """

    simulation: Simulation
    observation_source: ObservationSource
    policy: Text
    goals: Annotated[tuple[Count, ...], msgspec.Meta(min_length=1)]
    endings: tuple[Ending, ...]
    errors: EstimatesRecord | None = None
    told: EstimatesRecord | None = None
    over_time: OverTimeRecord | None = None
    filmed: Count | None = None

    def __post_init__(self) -> None:
        if len(self.goals) != len(self.endings):
            raise ValueError(f"goals of {len(self.goals)} trials, endings of {len(self.endings)}")


class ClosedLoopRecord(Record, frozen=True):
    """The content of ``results.json``."""

    scene: dict[str, Any]
    config: dict[str, Any]
    checkpoint: CheckpointFile
    software: SoftwareRecord
    plays: Annotated[tuple[PlayRecord, ...], msgspec.Meta(min_length=1)]


class TrialConditions(msgspec.Struct, frozen=True):
    """The part of ``config`` that a table of trials states."""

    rules: TrialLimits
    protocol: ProtocolName
    latency_steps: Count
    hold_out: tuple[Text, ...]
    track: bool = False
    calibration_triplets: Count = 0
    windows: Count | None = None


class TrialLimits(msgspec.Struct, frozen=True):
    """The part of the rules of a trial that a table states."""

    goals: Count
    seconds: float


@dataclass(frozen=True)
class ClosedLoop:
    """The folder of a run of ``dactyl closed-loop``."""

    folder: Path
    record: ClosedLoopRecord

    @functools.cached_property
    def scene(self) -> Scene:
        return Scene.from_json(self.record.scene, f"{self.folder / RESULTS}: scene")

    @property
    def object(self) -> str:
        return self.scene.object.name

    @property
    def played(self) -> TrialConditions:
        """How the trials were played."""
        return convert(self.record.config, TrialConditions, f"{self.folder / RESULTS}: key 'config'")

    @property
    def plays(self) -> tuple[PlayRecord, ...]:
        return self.record.plays

    def film(self, simulation: Simulation) -> Path:
        return self.folder / f"film-{simulation}.gif"


def load_closed_loop(folder: Path) -> ClosedLoop:
    """Load the results in a folder.

    Raises:
        DactylError: they are missing, unfinished, damaged or of another version.
    """
    path = folder / RESULTS
    if folder.is_dir() and not path.exists():
        raise DactylError(f"{folder}: no finished trials (no {RESULTS}); run dactyl closed-loop --output {folder}")
    found = ClosedLoop(folder, read_record(path, ClosedLoopRecord, "result of dactyl closed-loop", "play again"))
    _ = found.played
    return found


def over_time(columns: Mapping[str, np.ndarray], errors: PoseErrors) -> OverTimeRecord:
    """Compute the estimator's errors as a function of the time in a trial.

    Seconds that fewer than two trials reached are omitted, unless there is only one trial.

    Args:
        columns: of :data:`TRACE`, (N, ...).
        errors: of the same estimates.
    """
    second = (columns["index"] * STEP_SECONDS).astype(np.int64)
    needed = min(2, len(np.unique(columns["episode"])))
    found: dict[str, list[float]] = {"seconds": [], "trials": []}
    for part in ("rotation_deg", "position_mm"):
        found |= {f"{part}_{name}": [] for name in ("p10", "p50", "p90")}
    order = np.argsort(second, kind="stable")
    seconds, starts = np.unique(second[order], return_index=True)
    for one, here in zip(seconds, np.split(order, starts[1:]), strict=True):
        trials = len(np.unique(columns["episode"][here]))
        if trials < needed:
            break
        found["seconds"].append(float(one) + 0.5)
        found["trials"].append(float(trials))
        for part in ("rotation_deg", "position_mm"):
            values = getattr(errors, part)[here]
            for name, value in zip(("p10", "p50", "p90"), np.percentile(values, [10, 50, 90]), strict=True):
                found[f"{part}_{name}"].append(float(value))
    return OverTimeRecord(**{name: tuple(values) for name, values in found.items()})
