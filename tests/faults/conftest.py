"""Loops of faults: short by default, at full length with ``--soak 1`` (``make soak``)."""

from __future__ import annotations

import csv
import datetime
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

FIGURES = Path("runs/soak/figures.csv")

Trials = Callable[[int, int], Iterator[int]]


@pytest.fixture
def trials(request: pytest.FixtureRequest) -> Trials:
    """``trials(quick, full)`` numbers the trials of a loop; one that ends well at full length is noted in a table."""
    share = request.config.getoption("--soak")

    def loop(quick: int, full: int) -> Iterator[int]:
        count = max(1, round(share * full)) if share else quick
        start, cpu = time.monotonic(), sum(os.times()[:4])
        yield from range(count)
        if share:
            _note(request.node.nodeid, count, time.monotonic() - start, sum(os.times()[:4]) - cpu)

    return loop


def _note(test: str, count: int, seconds: float, cpu: float) -> None:
    FIGURES.parent.mkdir(parents=True, exist_ok=True)
    fresh = not FIGURES.exists()
    with FIGURES.open("a", newline="") as file:
        writer = csv.writer(file)
        if fresh:
            writer.writerow(["finished", "test", "trials_passed", "seconds", "cpu_seconds"])
        now = datetime.datetime.now().isoformat(timespec="minutes")
        writer.writerow([now, test, count, f"{seconds:.0f}", f"{cpu:.0f}"])
