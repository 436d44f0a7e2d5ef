"""The judge of long runs: what is flat, and what is not."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from tests.soak.watch import COLUMNS, verdict


def table(folder: Path, **changed: np.ndarray) -> Path:
    """An hour of one worker that renders ten samples for each second of processor time, with columns changed."""
    time = np.arange(10.0, 3601.0, 10.0)
    columns = {"processes": 3, "threads": 20, "files": 30, "first_mb": 188, "memory_mb": 600, "load": 1}
    rows = {key: np.full(len(time), float(value)) for key, value in columns.items()}
    rows |= {"time_s": time, "cpu_s": time, "done": 10 * time, **changed}
    path = folder / "watch.csv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        writer.writerows(zip(*(rows[key] for key in COLUMNS), strict=True))
    return path


TIME = np.arange(10.0, 3601.0, 10.0)


def test_a_steady_hour_is_flat(tmp_path: Path) -> None:
    found = verdict(table(tmp_path))
    assert found["flat"] is True
    assert found["rate_per_cpu_s"] == pytest.approx(10.0)


@pytest.mark.parametrize(
    "changed",
    [
        {"first_mb": 188 + TIME / 100},
        {"memory_mb": 600 + TIME / 30},
        {"done": 10 * TIME - TIME**2 / 2000},
        {"files": 30 + TIME // 600},
        {"processes": 3 + TIME // 1800},
    ],
    ids=["first process", "memory", "rate", "files", "processes"],
)
def test_what_grows_or_slows_is_not(tmp_path: Path, changed: dict[str, np.ndarray]) -> None:
    assert verdict(table(tmp_path, **changed))["flat"] is False


def test_a_worker_between_its_end_and_its_parent_s_account_is_no_loss_of_speed(tmp_path: Path) -> None:
    cpu = TIME.copy()
    cpu[260] -= 300  # in the last third, for one look
    assert verdict(table(tmp_path, cpu_s=cpu))["flat"] is True
