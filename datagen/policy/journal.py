"""What a training logs: rows of a CSV file that survive a resume, TensorBoard's events, and the learning curve."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

import numpy as np
from torch.utils.tensorboard import SummaryWriter

from datagen.sim.outcome import Outcome
from vision.errors import DactylError
from vision.files import atomic_write

_COLUMNS = (
    "steps", "seconds", "steps_per_second", "goals", "success", "dropped", "late", "consecutive", "trials",
    "exploring_success", "largest_turn", "critic_loss", "value", "chosen_logit", "action_square",
)  # fmt: skip


class Journal:
    """Gathers what happens and writes a row of means when asked.

    Columns: ``success`` is the share of goals that worlds without exploration reached before a drop or the time limit;
    ``dropped`` and ``late`` the shares that ended so; ``consecutive`` the mean number of goals in the trials that
    ended; ``exploring_success`` the share that exploring worlds reached, of goals within ``largest_turn`` rad.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / "progress.csv"
        self.rows: list[dict[str, float]] = self._read() if self.path.exists() else []
        self._events = SummaryWriter(str(folder))
        self._clear()

    def _clear(self) -> None:
        self._clean = {"reached": 0, "dropped": 0, "late": 0}
        self._exploring = {"reached": 0, "failed": 0}
        self._trials: list[int] = []
        self._learned: list[dict[str, float]] = []

    def acted(
        self, outcome: Outcome, reached: np.ndarray, late: np.ndarray, ended: np.ndarray, clean: np.ndarray
    ) -> None:
        """Count a step: its outcome, goals of the present trials, whose time is over, whose trial is, who is clean."""
        self._clean["reached"] += int(outcome.reached[clean].sum())
        self._clean["dropped"] += int(outcome.ended[clean].sum())
        self._clean["late"] += int(late[clean].sum())
        self._exploring["reached"] += int(outcome.reached[~clean].sum())
        self._exploring["failed"] += int((outcome.ended | late)[~clean].sum())
        self._trials.extend(reached[clean & ended].tolist())

    def learned(self, figures: dict[str, float]) -> None:
        """Note the figures of an update."""
        self._learned.append(figures)

    def write(self, steps: int, seconds: float, largest_turn: float) -> None:
        """Finish a row."""
        since = self.rows[-1] if self.rows else {"steps": 0.0, "seconds": 0.0}
        goals = sum(self._clean.values())
        exploring = sum(self._exploring.values())
        row: dict[str, float] = {
            "steps": steps,
            "seconds": round(seconds, 1),
            "steps_per_second": (steps - since["steps"]) / max(seconds - since["seconds"], 1e-9),
            "goals": goals,
            "success": self._clean["reached"] / max(goals, 1),
            "dropped": self._clean["dropped"] / max(goals, 1),
            "late": self._clean["late"] / max(goals, 1),
            "consecutive": float(np.mean(self._trials)) if self._trials else float("nan"),
            "trials": len(self._trials),
            "exploring_success": self._exploring["reached"] / max(exploring, 1),
            "largest_turn": largest_turn,
        }
        for key in _COLUMNS[len(row) :]:
            values = [figures[key] for figures in self._learned]
            row[key] = float(np.mean(values)) if values else float("nan")
        self.rows.append(row)
        self._clear()
        self._save()
        for key in _COLUMNS[2:]:
            self._events.add_scalar(f"policy/{key}", row[key], steps)

    def cut(self, steps: int) -> None:
        """Forget rows after `steps`: a training that goes on from there writes them again."""
        self.rows = [row for row in self.rows if row["steps"] <= steps]

    def draw(self) -> None:
        """Draw the learning curve beside the CSV file."""
        from matplotlib.figure import Figure

        figure = Figure(figsize=(8, 4), layout="constrained")
        shares, counts = figure.subplots(1, 2)
        millions = [row["steps"] / 1e6 for row in self.rows]
        labels = {"success": "reached", "dropped": "dropped", "late": "out of time", "exploring_success": "exploring"}
        for key, label in labels.items():
            shares.plot(millions, [row[key] for row in self.rows], label=label)
        shares.set(xlabel="million steps of 80 ms", ylabel="share of goals", ylim=(0, 1))
        shares.legend()
        counts.plot(millions, [row["consecutive"] for row in self.rows])
        counts.set(xlabel="million steps of 80 ms", ylabel="consecutive goals, mean", ylim=(0, None))
        image = io.BytesIO()
        figure.savefig(image, format="png", dpi=120)
        atomic_write(self.path.with_suffix(".png"), image.getvalue())

    def _save(self) -> None:
        text = io.StringIO(newline="")
        writer = csv.DictWriter(text, _COLUMNS)
        writer.writeheader()
        writer.writerows({key: f"{value:.6g}" for key, value in row.items()} for row in self.rows)
        atomic_write(self.path, text.getvalue().encode())

    def _read(self) -> list[dict[str, float]]:
        with self.path.open(newline="") as file:
            rows: list[dict[str, Any]] = list(csv.DictReader(file))
        try:
            return [{key: float(row[key]) for key in _COLUMNS} for row in rows]
        except (KeyError, TypeError, ValueError):
            raise DactylError(f"{self.path}: not a log of this version; delete it") from None
