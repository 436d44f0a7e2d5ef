"""What runs for hours must hold no more at its end than at its beginning."""

from __future__ import annotations

from pathlib import Path

from datagen.workers.pool import run
from vision.machine.progress import Advance


class Nothing:
    def __call__(self, number: int, advance: Advance) -> int:
        return number


def test_replaced_workers_leave_no_open_file() -> None:
    """Found in a long run: three files for each worker replaced, and a million triplets replace 488."""
    held = [len(list(Path("/proc/self/fd").iterdir())) for _ in run(Nothing(), range(6), 1, int, tasks_per_process=1)]
    assert max(held) - min(held) <= 3, held
