"""Log of a training: rows of a CSV file that are kept on resuming, TensorBoard events, and the learning curve."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch.utils.tensorboard import SummaryWriter

from datagen.sim.outcome import Outcome
from vision.errors import DactylError
from vision.io.files import atomic_write, read_file

_COMMON = (
    "steps", "seconds", "steps_per_second", "goals", "success", "dropped", "late", "consecutive", "trials",
)  # fmt: skip
_SHARES = {
    "success": "reached", "dropped": "dropped", "late": "out of time", "exploring_success": "exploring",
    "width": "width of the randomizations",
}  # fmt: skip


_MOST_BYTES = 1 << 28


@dataclass
class Tally:
    """Counts of goals reached, lost in a drop, or not reached in time, and the goals of each trial that ended."""

    reached: int = 0
    dropped: int = 0
    late: int = 0
    trials: list[int] = field(default_factory=list)

    def count(
        self,
        outcome: Outcome,
        goals: NDArray[np.int64],
        late: NDArray[np.bool_],
        ended: NDArray[np.bool_],
        whose: NDArray[np.bool_],
    ) -> None:
        """Count a step of the worlds that ``whose`` selects, given its outcome, the goals of the present trials, the
        worlds that ran out of time (``late``) and those whose trial is over (``ended``); (N,) each."""
        self.reached += int(outcome.reached[whose].sum())
        self.dropped += int(outcome.ended[whose].sum())
        self.late += int(late[whose].sum())
        self.trials += goals[whose & ended].tolist()

    def add(self, other: Tally) -> None:
        """Add the counts of another tally."""
        self.reached += other.reached
        self.dropped += other.dropped
        self.late += other.late
        self.trials += other.trials

    @property
    def goals(self) -> int:
        return self.reached + self.dropped + self.late

    @property
    def success(self) -> float:
        return self.reached / max(self.goals, 1)


class Journal:
    """Writer of a training's log.

    Columns: ``success`` is the fraction of goals that were reached before a drop or the time limit; ``dropped`` and
    ``late`` are the fractions that ended so; ``consecutive`` is the mean number of goals in the trials that ended.

    Args:
        folder: folder of progress.csv, progress.png and TensorBoard events.
        columns: further columns of this training.
    """

    def __init__(self, folder: Path, columns: tuple[str, ...]) -> None:
        self.path = folder / "progress.csv"
        self._columns = (*_COMMON, *columns)
        self.rows: list[dict[str, float]] = self._read() if self.path.exists() else []
        self._events: SummaryWriter | None = None

    def write(self, steps: int, seconds: float, tally: Tally, figures: dict[str, float]) -> None:
        """Write a row: ``tally`` since the last row, and ``figures`` by column; missing figures are NaN."""
        since = self.rows[-1] if self.rows else {"steps": 0.0, "seconds": 0.0}
        goals = max(tally.goals, 1)
        row: dict[str, float] = {
            "steps": steps,
            "seconds": round(seconds, 1),
            "steps_per_second": (steps - since["steps"]) / max(seconds - since["seconds"], 1e-9),
            "goals": tally.goals,
            "success": tally.success,
            "dropped": tally.dropped / goals,
            "late": tally.late / goals,
            "consecutive": float(np.mean(tally.trials)) if tally.trials else float("nan"),
            "trials": len(tally.trials),
        }
        row |= {key: figures.get(key, float("nan")) for key in self._columns[len(row) :]}
        self.rows.append(row)
        self._save()
        if self._events is None:  # TensorBoard then leaves out what a killed run wrote after the row before
            self._events = SummaryWriter(str(self.path.parent), purge_step=int(since["steps"]) + 1)
        for key in self._columns[2:]:
            self._events.add_scalar(f"policy/{key}", row[key], steps)

    def cut(self, steps: int) -> None:
        """Remove rows after ``steps``, which a training that resumes there writes again."""
        self.rows = [row for row in self.rows if row["steps"] <= steps]

    def draw(self) -> None:
        """Draw the learning curve beside the CSV file, if there are rows."""
        if not self.rows:
            return
        from matplotlib.figure import Figure

        figure = Figure(figsize=(8, 4), layout="constrained")
        shares, counts = figure.subplots(1, 2)
        millions = [row["steps"] / 1e6 for row in self.rows]
        for key in (key for key in _SHARES if key in self._columns):
            shares.plot(millions, [row[key] for row in self.rows], label=_SHARES[key])
        shares.set(xlabel="million steps of 80 ms", ylabel="share of goals", ylim=(0, 1))
        shares.legend()
        counts.plot(millions, [row["consecutive"] for row in self.rows])
        counts.set(xlabel="million steps of 80 ms", ylabel="consecutive goals, mean", ylim=(0, None))
        if len(millions) > 1 and "core_seconds" in self._columns:  # a second axis in core hours
            hours = [row["core_seconds"] / 3600 for row in self.rows]
            axis = counts.secondary_xaxis(
                "top", functions=(lambda x: np.interp(x, millions, hours), lambda x: np.interp(x, hours, millions))
            )
            axis.set_xlabel("core hours")
            counts.margins(x=0)
        image = io.BytesIO()
        figure.savefig(image, format="png", dpi=120)
        atomic_write(self.path.with_suffix(".png"), image.getvalue())

    def _save(self) -> None:
        text = io.StringIO(newline="")
        writer = csv.DictWriter(text, self._columns)
        writer.writeheader()
        writer.writerows({key: f"{value:.6g}" for key, value in row.items()} for row in self.rows)
        atomic_write(self.path, text.getvalue().encode())

    def _read(self) -> list[dict[str, float]]:
        content = read_file(self.path, _MOST_BYTES, "log of a training")
        try:
            rows: list[dict[str, Any]] = list(csv.DictReader(io.StringIO(content.decode(), newline="")))
            return [{key: float(row[key]) for key in self._columns} for row in rows]
        except (KeyError, TypeError, ValueError, csv.Error):
            raise DactylError(f"{self.path}: not a log of this version; delete it") from None
