"""Worker processes: all results arrive, faults are named, nobody outlives the parent."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from datagen.pool import run
from vision.errors import DactylError
from vision.progress import Advance


@dataclass(frozen=True)
class Square:
    def __call__(self, number: int, advance: Advance) -> int:
        advance(2)
        return number * number


@dataclass(frozen=True)
class Refuse:
    def __call__(self, number: int, advance: Advance) -> int:
        raise DactylError(f"sample {number} is broken")


@dataclass(frozen=True)
class Die:
    def __call__(self, number: int, advance: Advance) -> int:
        os.kill(os.getpid(), signal.SIGKILL)
        return number


@dataclass(frozen=True)
class Sleep:
    folder: Path

    def __call__(self, number: int, advance: Advance) -> int:
        (self.folder / str(os.getpid())).touch()
        time.sleep(60)
        return number


def test_all_results_and_all_progress() -> None:
    advanced: list[int] = []
    results = dict(run(Square(), range(7), 2, advanced.append))
    assert results == {number: number * number for number in range(7)}
    assert sum(advanced) == 14


def test_error_of_a_task_reaches_the_caller() -> None:
    with pytest.raises(DactylError, match=r"sample \d is broken"):
        list(run(Refuse(), range(3), 2, lambda count: None))


def test_a_killed_worker_is_named() -> None:
    with pytest.raises(DactylError, match="worker process died"):
        list(run(Die(), range(3), 2, lambda count: None))


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_workers_die_with_a_killed_parent(tmp_path: Path) -> None:
    program = (
        "from pathlib import Path; from datagen.pool import run; from tests.datagen.test_pool import Sleep\n"
        f"if __name__ == '__main__': list(run(Sleep(Path({str(tmp_path)!r})), range(2), 2, lambda count: None))"
    )
    script = tmp_path.parent / "parent.py"
    script.write_text(program)
    root = Path(__file__).parents[2]
    parent = subprocess.Popen([sys.executable, script], env={**os.environ, "PYTHONPATH": str(root)})
    try:
        deadline = time.monotonic() + 60
        while len(workers := [int(path.name) for path in tmp_path.iterdir()]) < 2:
            assert time.monotonic() < deadline, "the workers never began"
            time.sleep(0.1)
        assert all(_alive(worker) for worker in workers)
    finally:
        parent.kill()
        parent.wait()
    deadline = time.monotonic() + 5
    while any(_alive(worker) for worker in workers):
        assert time.monotonic() < deadline, "a worker outlived its parent"
        time.sleep(0.05)
